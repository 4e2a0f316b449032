"""All 53 observables of many jets: a host function around a few compiled programs of fixed shape.

The host works in float64: it orders the particles by pT, turns and boosts each jet so that its leading particle lies at
y = φ = 0, and divides by the scalar pT sum. The compiled float32 programs so see numbers of order one and small
angles to full relative accuracy. Masses are summed on the host, where E² - p² keeps its digits.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.data.dataset import P4, column, derivable
from hepjax.errors import InputError
from hepjax.numerics import safe_divide
from hepjax.physics import kinematics
from hepjax.physics.derivation import MOMENTUM, momenta
from hepjax.physics.substructure import correlators, grooming, subjettiness
from hepjax.physics.substructure.clustering import Algorithm, History, cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array, Jets

SLOTS = (32, 64, 96, 160, 256, 384)
"""Sizes to which jets are padded; above the last, whole multiples of it."""
JETS_PER_CALL = 16
SOFT_DROPS = ((0.1, 0.0), (0.1, 2.0), (0.1, -1.0))
"""(z_cut, β) of mMDT, of `sdb2` and of `sdm1`."""
R0 = 1.0
"""The angle of reference of soft drop; the public sample was made with FastJet's default."""
TRIM_RADIUS, TRIM_SHARE = 0.2, 0.03
PRUNE_SHARE, PRUNE_FACTOR = 0.1, 0.5
_GROOMED_MASSES = ("mass_mmdt", "mass_sdb2", "mass_sdm1", "mass_trim", "mass_prun")
# fmt: off
SUBSTRUCTURE = (
    "tau1_b1", "tau2_b1", "tau3_b1", "tau1_b2", "tau2_b2", "tau3_b2", "tau32_b1", "tau32_b2",
    "c1_b0", "c1_b1", "c1_b2", "c2_b1", "c2_b2", "d2_b1", "d2_b2", "d2_a1_b1", "d2_a1_b2",
    "m2_b1", "m2_b2", "n2_b1", "n2_b2",
)
"""The observables that exist for the jet and, with the suffix `_mmdt`, for the groomed jet."""
OBSERVABLES = (
    "ptfrac", "pt", "eta", "mass", *SUBSTRUCTURE[:8], "zlogz", *SUBSTRUCTURE[8:],
    *(f"{name}_mmdt" for name in SUBSTRUCTURE),
    "mass_trim", "mass_mmdt", "mass_prun", "mass_sdb2", "mass_sdm1", "multiplicity",
)
"""The names of the 53 observables, in order."""
# fmt: on
_ROWS = 2000


def jet_observables(p4: Array, mask: Array, *, jet_pt_reference: Array | None = None) -> np.ndarray:
    """Computes the 53 jet observables, named by `OBSERVABLES`.

    A jet's numbers depend on its particles alone: not on their order, on padding, or on the other jets of the call.
    A ratio whose denominator vanishes is 0, and so is every observable of a jet without particles.
    Programs are compiled once for each size in `SLOTS` that occurs.

    Args:
      p4: (N, M, 4) momenta (px, py, pz, E), GeV.
      mask: (N, M) bool, True for a particle.
      jet_pt_reference: (N,) pT in GeV by which `ptfrac` divides, as in the program that made the public data, where
        it is the pT of the jet before some kinds of particles are left out. Without it the jet is its own reference.

    Returns:
      (N, 53) float32, always finite; pT, masses and N-subjettiness in GeV.

    Raises:
      InputError: a shape does not fit, or a particle's momentum is not finite.

    >>> p4 = np.array([[[500.0, 0.0, 0.0, 500.0], [500.0, 80.0, 0.0, 506.5]]])
    >>> found = jet_observables(p4, np.ones((1, 2), bool))
    >>> found.shape, float(found[0, OBSERVABLES.index("multiplicity")])
    ((1, 53), 2.0)
    """
    p4, mask = _checked(p4, mask)
    p4, mask = _by_falling_pt(p4, mask)
    frame, scale = _in_jet_frame(p4, mask)
    keep = _in_shapes(_groom, frame, mask, particles=True, width=len(_GROOMED_MASSES)).astype(bool)
    keep &= mask[:, None]

    jet = p4.sum(axis=1)
    pt = kinematics.pt(jet)
    columns: dict[str, Any] = {
        "pt": pt,
        "eta": kinematics.eta(jet),
        "mass": kinematics.mass(jet),
        "multiplicity": mask.sum(axis=1),
        "ptfrac": safe_divide(pt, pt if jet_pt_reference is None else np.asarray(jet_pt_reference, np.float64)),
    }
    masses = kinematics.mass(np.einsum("ngm,nmc->ngc", keep, p4))
    columns |= dict(zip(_GROOMED_MASSES, masses.T, strict=True))
    columns |= _shapes(frame, mask, scale, suffix="")
    columns |= _shapes(*_compacted(frame, keep[:, 0]), scale, suffix="_mmdt")

    largest = np.finfo(np.float32).max
    found = np.stack([columns[name] for name in OBSERVABLES], axis=-1)
    finite: np.ndarray = np.nan_to_num(np.clip(found, -largest, largest))
    return finite.astype(np.float32)


def from_jets(jets: Jets) -> np.ndarray:
    """The jet observables of stored jets, read a slice at a time.

    Args:
      jets: N jets whose particles have momenta: px, py, pz and an energy or mass, or pt, eta and phi.

    Returns:
      (N, 53) float32, as `jet_observables`.

    Raises:
      InputError: a column that is needed is missing.
    """
    known = derivable(jets.dataset)
    roles = [role for role in MOMENTUM if role in jets.dataset.roles]
    for role in P4:
        if role not in known:
            column(jets.dataset, role)
    found = [np.zeros((0, len(OBSERVABLES)), np.float32)]
    for start in range(0, len(jets), _ROWS):
        rows = slice(start, start + _ROWS)
        particles = np.asarray(jets.constituents[rows])
        columns = {role: particles[..., jets.particle_names.index(jets.dataset.roles[role])] for role in roles}
        found.append(jet_observables(momenta(columns), np.asarray(jets.mask[rows])))
    return np.concatenate(found)


def substructure(p4: jax.Array, mask: jax.Array) -> jax.Array:
    """Computes the 21 observables of `SUBSTRUCTURE` and Σ z ln z of one jet; pure, to be lifted with `vmap`.

    Args:
      p4: (M, 4) momenta (px, py, pz, E), GeV.
      mask: (M,) bool, True for a particle.

    Returns:
      (22,) the observables, `zlogz` last.
    """
    z, theta = correlators.momentum_fractions(p4, mask), correlators.pairwise_angles(p4, mask)
    pt = jnp.where(mask, kinematics.pt(p4), 0)
    tau = subjettiness.n_subjettiness(pt, theta, subjettiness.winner_take_all_axes(p4, mask))
    values = {f"tau{n + 1}_b{beta + 1}": tau[n, beta] for n in range(3) for beta in range(2)}
    values |= {f"tau32_b{beta + 1}": safe_divide(tau[2, beta], tau[1, beta]) for beta in range(2)}
    values |= correlators.ratios(correlators.energy_correlators(z, theta), z)
    return jnp.stack([values[name] for name in SUBSTRUCTURE] + [correlators.zlogz(z)])


def survivors(p4: jax.Array, mask: jax.Array) -> jax.Array:
    """The particles of one jet that survive each groomer; pure, to be lifted with `vmap`.

    Args:
      p4: (M, 4) momenta (px, py, pz, E), GeV.
      mask: (M,) bool, True for a particle.

    Returns:
      (5, M) bool: mMDT, soft drop with β = 2 and with β = -1, trimming, pruning.
    """
    jet = jnp.sum(jnp.where(mask[:, None], p4, 0), axis=0)
    z_cuts, betas = jnp.array(SOFT_DROPS, p4.dtype).T

    def one(algorithm: jax.Array, radius: jax.Array, r_cut: jax.Array) -> History:
        return cluster(p4, mask, algorithm, radius, grooming.pruning(PRUNE_SHARE, r_cut))

    # Three clusterings as one loop: they compile once and fill the vector units better.
    algorithms = jnp.array([Algorithm.CAMBRIDGE_AACHEN, Algorithm.KT, Algorithm.CAMBRIDGE_AACHEN])
    radii = jnp.array([inf, TRIM_RADIUS, inf], p4.dtype)
    r_cuts = jnp.stack([jnp.full_like(jet[0], inf)] * 2 + [grooming.pruning_radius(jet, PRUNE_FACTOR)])
    histories = jax.vmap(one)(algorithms, radii, r_cuts)
    plain, kt, pruned = (jax.tree.map(lambda x, i=i: x[i], histories) for i in range(3))
    dropped = jax.vmap(lambda z_cut, beta: grooming.soft_drop(plain, z_cut, beta, R0))(z_cuts, betas)
    others = jnp.stack([grooming.trimmed(kt, jet, TRIM_SHARE), grooming.pruned(pruned)])
    return jnp.concatenate([dropped, others])


_groom = jax.jit(jax.vmap(survivors))
_measure = jax.jit(jax.vmap(substructure))


def _shapes(frame: np.ndarray, mask: np.ndarray, scale: np.ndarray, suffix: str) -> dict[str, np.ndarray]:
    """The columns of `SUBSTRUCTURE` with a suffix; `zlogz` too where there is none."""
    found = _in_shapes(_measure, frame, mask, particles=False, width=len(SUBSTRUCTURE) + 1)
    columns = dict(zip((f"{name}{suffix}" for name in SUBSTRUCTURE), found.T, strict=False))
    for name in SUBSTRUCTURE[:6]:
        columns[f"{name}{suffix}"] = columns[f"{name}{suffix}"] * scale
    return columns if suffix else columns | {"zlogz": found[:, -1]}


def _in_shapes(
    program: Callable[[Any, Any], Any], p4: np.ndarray, mask: np.ndarray, *, particles: bool, width: int
) -> np.ndarray:
    """Runs a batched program on jets grouped by size, a fixed number at a time, and puts the answers back in order."""
    count = mask.sum(axis=1)
    found = np.zeros((*mask.shape[:1], width, *(mask.shape[1:] if particles else ())))
    sizes = np.array([_slots(n) for n in count])
    pending = []
    for size in np.unique(sizes[count > 0]):
        rows = np.flatnonzero((sizes == size) & (count > 0))
        used = min(size, mask.shape[1])
        for start in range(0, len(rows), JETS_PER_CALL):
            some = rows[start : start + JETS_PER_CALL]
            x, m = np.zeros((JETS_PER_CALL, size, 4), np.float32), np.zeros((JETS_PER_CALL, size), bool)
            x[: len(some), :used], m[: len(some), :used] = p4[some, :used], mask[some, :used]
            pending.append((some, used, program(x, m)))
    for some, used, answer in pending:
        values = np.asarray(answer)[: len(some)]
        if particles:
            found[some, :, :used] = values[..., :used]
        else:
            found[some] = values
    return found


def _slots(count: int) -> int:
    return next((size for size in SLOTS if count <= size), -(-count // SLOTS[-1]) * SLOTS[-1])


def _by_falling_pt(p4: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Particles by falling pT and padding, as zeros, behind them."""
    p4 = np.where(mask[..., None], p4, 0)
    order = np.argsort(np.where(mask, -kinematics.pt(p4), inf), axis=1, kind="stable")
    return np.take_along_axis(p4, order[..., None], axis=1), np.take_along_axis(mask, order, axis=1)


def _compacted(p4: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kept particles in front, in their old order."""
    order = np.argsort(~keep, axis=1, kind="stable")
    kept = np.take_along_axis(keep, order, axis=1)
    return np.where(kept[..., None], np.take_along_axis(p4, order[..., None], axis=1), 0), kept


def _in_jet_frame(p4: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Momenta over the scalar pT sum, with the leading particle at y = φ = 0; and that sum, GeV."""
    if not p4.size:
        return p4, np.zeros(len(p4))
    scale = kinematics.pt(p4).sum(axis=1)
    px, py, pz, e = np.moveaxis(safe_divide(p4, np.broadcast_to(scale[:, None, None], p4.shape)), -1, 0)
    phi = kinematics.phi(p4[:, 0])[:, None]
    # Beyond |y| = 20 a float64 cannot tell E from |pz|.
    y = np.clip(kinematics.rapidity(p4[:, 0]), -20, 20)[:, None]
    px, py = px * np.cos(phi) + py * np.sin(phi), py * np.cos(phi) - px * np.sin(phi)
    pz, e = pz * np.cosh(y) - e * np.sinh(y), e * np.cosh(y) - pz * np.sinh(y)
    frame = np.stack([px, py, pz, e], axis=-1)
    largest = float(np.finfo(np.float32).max) / 1e6
    return np.where(mask[..., None], np.clip(frame, -largest, largest), 0), scale


def _checked(p4: Array, mask: Array) -> tuple[np.ndarray, np.ndarray]:
    p4, mask = np.asarray(p4, np.float64), np.asarray(mask)
    if p4.ndim != 3 or p4.shape[2] != 4:
        raise InputError(f"p4: expected the shape (jets, particles, 4), found {p4.shape}; give (px, py, pz, E)")
    if mask.shape != p4.shape[:2] or mask.dtype != np.bool_:
        raise InputError(f"mask: expected bool {p4.shape[:2]}, found {mask.dtype} {mask.shape}; give one per particle")
    bad = np.flatnonzero((~np.isfinite(p4).all(axis=2) & mask).any(axis=1))
    if bad.size:
        raise InputError(
            f"p4: {bad.size} of {len(p4)} jets have a NaN or infinite momentum, the first is jet {bad[0]}; drop them"
        )
    return p4, mask

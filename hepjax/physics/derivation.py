"""Columns of particles that follow from others: coordinates of the momenta, and places relative to the jet."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from hepjax.choices import Role
from hepjax.numerics import safe_divide, wrap_azimuth
from hepjax.physics import kinematics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Columns = Mapping[Role, np.ndarray]

log = logging.getLogger("hepjax")

MOMENTUM = (Role.PX, Role.PY, Role.PZ, Role.ENERGY, Role.PT, Role.ETA, Role.PHI, Role.MASS)
"""The roles that momenta are computed from."""
_ROUNDING = 2.0**-24
"""The relative rounding of a float32 number."""
_COARSE = 0.005
"""Masses that cannot be told from 0 are worth a word where the smallest that could is above this share of the pT."""


def derive_columns(wanted: Sequence[Role], known: Columns, mask: np.ndarray, jet: Columns | None = None) -> np.ndarray:
    """Computes columns of particles from others, in float64.

    Args:
      wanted: F roles of particles.
      known: role → (N, P) values, those of `hepjax.data.momenta.momentum_roles`; of any others that are wanted, the
        values are taken as they are.
      mask: (N, P) bool, True for a particle.
      jet: role of jets → (N,) values of the whole jet, where they are known. Otherwise the jet is the sum of its
        particles, which leaves out those that a file does not keep; where all is relative to it, its φ is 0.

    Returns:
      (N, P, F) float32 in the unit of the momenta, and 0 in the padding.

    >>> p4 = {Role.PT: np.array([[2.0, 2.0]]), Role.ETA: np.array([[0.1, -0.1]]), Role.PHI: np.array([[0.2, 0.2]])}
    >>> derive_columns([Role.ETA_REL, Role.PT_REL], p4, np.ones((1, 2), bool)).round(3).tolist()
    [[[0.10000000149011612, 0.5], [-0.10000000149011612, 0.5]]]
    """
    columns = momentum_values(known, mask, jet, lose_masses=Role.MASS in wanted)
    values = np.stack([columns[role] for role in wanted], axis=-1)
    return np.where(mask[..., None], values, 0).astype(np.float32)


def momentum_values(
    known: Columns, mask: np.ndarray, jet: Columns | None = None, *, lose_masses: bool = False
) -> dict[Role, NDArray[np.float64]]:
    """Computes all that follows from momenta.

    Args:
      known: as in `derive_columns`.
      mask: (N, P) bool, True for a particle.
      jet: as in `derive_columns`.
      lose_masses: masses are wanted, so that those which are lost are worth a warning.

    Returns:
      Role → (N, P) float64, of particles and, the same number for each of its particles, the η of the jet; what stands
      in the padding means nothing.
    """
    jet = jet or {}
    if is_relative(known):
        known, jet = {**known, **absolute_coordinates(known, jet)}, {Role.JET_PHI: np.zeros(len(mask)), **jet}
    p4 = np.where(mask[..., None], particle_momenta(known), 0)
    if lose_masses and (lost := int(jets_without_mass(known, p4).sum())):
        log.warning(
            "masses of %d of %d jets are lost: energies and momenta in float32 cannot tell them at such boosts; give a "
            "column of masses", lost, len(p4),
        )  # fmt: skip
    total = p4.sum(axis=-2)
    eta, phi = (
        _known_coordinates(known, Role.ETA, kinematics.eta(p4)),
        _known_coordinates(known, Role.PHI, kinematics.phi(p4)),
    )
    jet_pt = _known_coordinates(jet, Role.JET_PT, kinematics.pt(total))
    jet_eta = _known_coordinates(jet, Role.JET_ETA, kinematics.eta(total))
    jet_phi = _known_coordinates(jet, Role.JET_PHI, kinematics.phi(total))
    pt = _known_coordinates(known, Role.PT, kinematics.pt(p4))
    return {
        **dict(zip((Role.PX, Role.PY, Role.PZ, Role.ENERGY), np.moveaxis(p4, -1, 0), strict=True)),
        Role.PT: pt,
        Role.ETA: eta,
        Role.PHI: phi,
        Role.MASS: kinematics.mass(p4),
        Role.ETA_REL: eta - jet_eta[:, None],
        Role.PHI_REL: wrap_azimuth(phi - jet_phi[:, None]),
        Role.PT_REL: safe_divide(pt, jet_pt[:, None]),
        Role.ENERGY_REL: safe_divide(p4[..., 3], _energy_of_jet(jet, total)[:, None]),
        Role.DELTA_R: kinematics.delta_r(eta, phi, jet_eta[:, None], jet_phi[:, None]),
        Role.JET_ETA: np.broadcast_to(jet_eta[:, None], mask.shape),
        **{role: np.asarray(column, np.float64) for role, column in known.items()},
    }


def jets_without_mass(known: Columns, p4: np.ndarray) -> NDArray[np.bool_]:
    """Tells which jets have a mass that rounding hides: E² - p² of float32 columns has no digit left at extreme boosts.

    Args:
      known: role → (N, P) values, as in `derive_columns`; with a column of masses, or without one of energies, nothing
        is lost.
      p4: (N, P, 4) float64 momenta (px, py, pz, E) of them; padding is 0.

    Returns:
      (N,) bool, True where the squared mass is below its largest rounding error, and that is above (0.005 pT)².

    >>> w = kinematics.from_pt_eta_phi_mass(*np.array([[[5000.0]], [[5.0]], [[0.3]], [[80.4]]])).astype(np.float32)
    >>> jets_without_mass(dict(zip(MOMENTUM, np.moveaxis(w, -1, 0), strict=False)), np.float64(w)).tolist()
    [True]
    """
    if Role.MASS in known or Role.ENERGY not in known:
        return np.zeros(len(p4), bool)
    total = p4.sum(axis=-2)
    error_2 = 4 * _ROUNDING * total[..., 3] ** 2  # at most: of E and of pz, each at most half a unit in the last place
    lost = (kinematics.mass(total) ** 2 <= error_2) & (error_2 > (_COARSE * kinematics.pt(total)) ** 2)
    return np.asarray(lost)


def is_relative(known: Columns) -> bool:
    """Tells whether particles have no momenta of their own, only relative to their jet."""
    return not {Role.PX, Role.PT} & known.keys()


def absolute_coordinates(known: Columns, jet: Columns) -> dict[Role, NDArray[np.float64]]:
    """Returns the pt, eta and phi of particles that are known relative to their jet.

    Args:
      known: pt_rel, eta_rel and phi_rel → (N, P) values.
      jet: jet_pt and jet_eta → (N,) values; without jet_phi, the φ of the jet is 0.

    Returns:
      Role → (N, P) float64, the pt in the unit of the jet's, phi in ±π.

    >>> known = dict.fromkeys((Role.PT_REL, Role.ETA_REL, Role.PHI_REL), np.array([[0.5]]))
    >>> jet = {Role.JET_PT: np.array([100.0]), Role.JET_ETA: np.array([1.0])}
    >>> [float(values[0, 0]) for values in absolute_coordinates(known, jet).values()]
    [50.0, 1.5, 0.5]
    """
    pt, eta, phi = (np.asarray(known[role], np.float64) for role in (Role.PT_REL, Role.ETA_REL, Role.PHI_REL))
    jet_pt, jet_eta, jet_phi = (
        np.asarray(jet.get(role, 0.0), np.float64)[..., None] for role in (Role.JET_PT, Role.JET_ETA, Role.JET_PHI)
    )
    phi = wrap_azimuth(phi + jet_phi)
    return {Role.PT: pt * jet_pt, Role.ETA: eta + jet_eta, Role.PHI: phi}


def particle_momenta(known: Columns) -> NDArray[np.float64]:
    """Returns the (..., 4) momenta (px, py, pz, E) of particles whose coordinates are known, in their unit.

    Args:
      known: role → (...) values, as in `derive_columns`; of an energy and a mass the mass is taken.

    Returns:
      float64.

    >>> zero = np.zeros(1)
    >>> particle_momenta({Role.PT: zero + 3, Role.ETA: zero, Role.PHI: zero, Role.MASS: zero + 4})
    array([[3., 0., 0., 5.]])
    """
    values = {role: np.asarray(column, np.float64) for role, column in known.items()}
    if {Role.PX, Role.PY, Role.PZ} <= values.keys():
        p3 = [values[Role.PX], values[Role.PY], values[Role.PZ]]
    else:
        pt, eta, phi = values[Role.PT], values[Role.ETA], values[Role.PHI]
        p3 = [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
    mass = values.get(Role.MASS, np.zeros_like(p3[0]))
    # Masses are more precise: E² - p² of rounded numbers loses those of fast particles.
    whole = Role.ENERGY in values and Role.MASS not in values
    energy = values[Role.ENERGY] if whole else np.sqrt(sum(p**2 for p in p3) + mass**2)
    return np.stack([*p3, energy], axis=-1)


def _known_coordinates(columns: Columns, role: Role, derived: np.ndarray) -> np.ndarray:
    return np.asarray(columns[role], np.float64) if role in columns else derived


def _energy_of_jet(jet: Columns, total: np.ndarray) -> np.ndarray:
    """The energy of the jet, from its own columns where these tell it."""
    if Role.JET_ENERGY in jet:
        return np.asarray(jet[Role.JET_ENERGY], np.float64)
    if {Role.JET_PT, Role.JET_ETA, Role.JET_MASS} <= jet.keys():
        pt, eta, mass = (np.asarray(jet[role], np.float64) for role in (Role.JET_PT, Role.JET_ETA, Role.JET_MASS))
        return np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    return total[..., 3]

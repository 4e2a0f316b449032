"""The trees of splittings of jets from Cambridge/Aachen clustering, with the kinematics of each splitting."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.numerics import safe_divide, wrap_azimuth
from hepjax.physics import kinematics
from hepjax.physics.substructure.clustering import Algorithm, History, cluster
from hepjax.physics.substructure.jets import (
    JETS_PER_CALL,
    _check_substructure_particles,
    _sort_jet_by_pt,
    _to_jet_frame,
)

if TYPE_CHECKING:
    from hepjax.types import Array


class Tree(NamedTuple):
    """The splittings of a jet of M particles, as its Cambridge/Aachen clustering read backwards has them.

    Splitting s undoes step s of the clustering, so that a branch's own splitting has a smaller number; jets with n
    particles have the splittings 0 to n - 2, the rest is padding. N jets have one more axis in front.
    """

    mask: Array
    """(M,) bool, True for a particle."""
    jet: Array
    """(4,) float, the momentum (px, py, pz, E) of all particles, GeV."""
    first: Array
    """() int32, the jet's own splitting; -1 for a jet of one particle."""
    particles: Array
    """(M, 2) int32, the particle at the end of the hardest line of the harder and of the softer branch; padding -1."""
    branches: Array
    """(M, 2) int32, the splitting of the harder and of the softer branch; -1 where it is a particle, padding -1."""
    softer: Array
    """(M, 4) float, the momentum of the softer branch, GeV; padding 0."""
    delta_r: Array
    """(M,) float, ΔR of the two branches in rapidity and azimuth; padding 0."""
    z: Array
    """(M,) float, the softer branch's share of the two transverse momenta; padding 0."""
    psi: Array
    """(M,) float, atan(Δy / Δφ) from the harder to the softer branch, radians; padding 0."""
    mass: Array
    """(M,) float, of both branches together, GeV; padding 0."""
    kt: Array
    """(M,) float, pT of the softer branch times ΔR, GeV; padding 0."""


def jet_tree(history: History, p4: jax.Array, mask: jax.Array) -> Tree:
    """Returns the splittings of one jet; pure, for use with `vmap`.

    Args:
      history: a Cambridge/Aachen clustering with an infinite radius.
      p4: (M, 4) clustered momenta (px, py, pz, E); masses and kT have their unit.
      mask: (M,) bool, True for a particle.

    Returns:
      The tree. A jet of one particle has no splitting: its `first` is -1.
    """
    size = p4.shape[0]
    slots = jnp.arange(size)

    def undo(carry: tuple[jax.Array, jax.Array], step: jax.Array) -> tuple[tuple[jax.Array, jax.Array], tuple]:  # type: ignore[type-arg]
        momenta, made_by = carry
        kept, absorbed = history.kept[step], history.absorbed[step]
        is_merge = absorbed >= 0
        is_kept = (slots == kept) & is_merge
        pair = jnp.stack([momenta[kept], momenta[absorbed]])
        branches = jnp.stack([made_by[kept], made_by[absorbed]])
        momenta = jnp.where(is_kept[:, None], pair.sum(axis=0), momenta)
        return (momenta, jnp.where(is_kept, step, made_by)), (pair, branches)

    momenta = jnp.where(mask[:, None], p4, 0)
    nothing = jnp.full(size, -1, jnp.int32)
    _, (pairs, branches) = jax.lax.scan(undo, (momenta, nothing), slots.astype(jnp.int32))
    is_splitting = history.absorbed >= 0
    pairs = jnp.where(is_splitting[:, None, None], pairs, 0)
    pt, y, phi = kinematics.pt(pairs), kinematics.rapidity(pairs), kinematics.phi(pairs)
    d_y, d_phi = y[:, 1] - y[:, 0], wrap_azimuth(phi[:, 1] - phi[:, 0])
    return Tree(
        mask=mask,
        jet=momenta.sum(axis=0),
        first=jnp.max(jnp.where(is_splitting, slots, -1)).astype(jnp.int32),
        particles=jnp.where(is_splitting[:, None], jnp.stack([history.kept, history.absorbed], axis=1), -1),
        branches=jnp.where(is_splitting[:, None], branches, -1),
        softer=pairs[:, 1],
        delta_r=history.delta_r,
        z=safe_divide(pt[:, 1], pt.sum(axis=1)),
        psi=jnp.arctan2(jnp.where(d_phi < 0, -d_y, d_y), jnp.abs(d_phi)),
        mass=kinematics.mass(pairs.sum(axis=1)),
        kt=pt[:, 1] * history.delta_r,
    )


def soft_dropped(
    tree: Tree, z_cut: float | jax.Array, beta: float | jax.Array, r0: float = 1.0, *, recursive: bool = False
) -> jax.Array:
    """Returns the splittings whose softer branch soft drop removes, for comparison with decisions of other groomers.

    Soft drop follows the hardest line until a splitting has z ≥ z_cut (ΔR / R0)^β (arXiv:1402.2657); recursive soft
    drop continues into all remaining branches to the end (arXiv:1804.03657, N infinite).

    Args:
      tree: tree of one jet.
      z_cut: smallest momentum share at ΔR = R0.
      beta: angular exponent.
      r0: reference angle.
      recursive: True for recursive soft drop; decisions on splittings in dropped branches are then undefined.

    Returns:
      (M,) bool, True for splittings that lose their softer branch.

    >>> p4 = np.array([[[9.0, 0.1, 0.0, 9.1], [5.0, 0.0, 0.0, 5.0], [0.0, 1.0, 0.0, 1.0]]])
    >>> tree = jax.tree.map(lambda x: x[0], jet_trees(p4, p4[..., 3] > 0))
    >>> soft_dropped(tree, z_cut=0.1, beta=0.0).tolist()
    [False, True, False]
    """
    first, branches, z, delta_r = (jnp.asarray(x) for x in (tree.first, tree.branches, tree.z, tree.delta_r))
    apart = delta_r > 0
    fails = apart & (z < z_cut * (jnp.where(apart, delta_r, 1) / r0) ** beta)
    if recursive:
        return fails

    def descend(at: jax.Array, splitting: jax.Array) -> tuple[jax.Array, jax.Array]:
        drops = (splitting == at) & fails[splitting]
        return jnp.where(drops, branches[splitting, 0], at), drops

    slots = jnp.arange(fails.shape[0], dtype=jnp.int32)
    return jax.lax.scan(descend, first, slots, reverse=True)[1]


def jet_trees(p4: Array, mask: Array) -> Tree:
    """Returns the splittings of many jets, which are clustered in batches of fixed size.

    Momenta are rotated and boosted along the beam so that the hardest particle of each jet is at y = φ = 0, in float64
    on the host: masses, kT and angles do not change, and they become more accurate in float32.

    Args:
      p4: (N, M, 4) momenta (px, py, pz, E), GeV.
      mask: (N, M) bool, True for a particle.

    Returns:
      The trees as float32 host arrays, with particles numbered as in `p4`. `tree.mask` is `mask`.

    Raises:
      InputError: a shape does not fit, or a particle's momentum is not finite.

    >>> p4 = np.array([[[500.0, 0.0, 0.0, 500.0], [500.0, 80.0, 0.0, 506.5], [0.0, 0.0, 0.0, 0.0]]])
    >>> trees = jet_trees(p4, p4[..., 3] > 0)
    >>> trees.particles[0].tolist(), trees.branches[0].tolist(), trees.delta_r[0].round(2).tolist()[1:]
    ([[1, 0], [-1, -1], [-1, -1]], [[-1, -1], [-1, -1], [-1, -1]], [0.0, 0.0])
    """
    p4, mask = _check_substructure_particles(p4, mask)
    order = np.argsort(np.where(mask, -kinematics.pt(p4), np.inf), axis=1, kind="stable").astype(np.int32)
    frame, scale = _to_jet_frame(*_sort_jet_by_pt(p4, mask))
    count, size = mask.shape
    calls = max(1, -(-count // JETS_PER_CALL))
    x, m = np.zeros((calls, JETS_PER_CALL, size, 4), np.float32), np.zeros((calls, JETS_PER_CALL, size), bool)
    x.reshape(-1, size, 4)[:count], m.reshape(-1, size)[:count] = frame, np.take_along_axis(mask, order, axis=1)
    batches = [_make_tree_batch(*arrays) for arrays in zip(x, m, strict=True)]
    trees: Tree = jax.tree.map(lambda *parts: np.concatenate([np.asarray(x) for x in parts])[:count], *batches)
    ends = np.take_along_axis(order, np.reshape(trees.particles, (count, 2 * size)), axis=1)
    scale = scale.astype(np.float32)[:, None]
    return trees._replace(
        mask=mask,
        jet=trees.jet * scale,
        particles=np.where(trees.particles < 0, -1, np.reshape(ends, (count, size, 2))),
        softer=trees.softer * scale[..., None],
        mass=trees.mass * scale,
        kt=trees.kt * scale,
    )


@jax.jit
@jax.vmap
def _make_tree_batch(p4: jax.Array, mask: jax.Array) -> Tree:
    return jet_tree(cluster(p4, mask, Algorithm.CAMBRIDGE_AACHEN), p4, mask)

"""Jet grooming by soft drop, trimming and pruning.

Every groomer returns a mask of particles, so that the groomed mass can be computed in any precision and every other
observable can be computed for the groomed jet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from hepjax.numerics import safe_divide
from hepjax.physics import kinematics
from hepjax.physics.substructure.clustering import Algorithm, History, cluster

if TYPE_CHECKING:
    from hepjax.physics.substructure.clustering import Recombine


def soft_drop(history: History, z_cut: float | jax.Array, beta: float | jax.Array, r0: float = 1.0) -> jax.Array:
    """Declusters a jet along its hardest line until a splitting is hard enough: z > z_cut (ΔR / R0)^β.

    Here z = min(pT_1, pT_2) / (pT_1 + pT_2) (arXiv:1402.2657, eq. 1.1). β = 0 is the modified mass drop
    (arXiv:1307.0007). If no splitting passes, the last particle of the hardest line remains.

    Args:
      history: a Cambridge/Aachen clustering with an infinite radius.
      z_cut: smallest momentum share at ΔR = R0.
      beta: angular exponent; negative values groom hardest at small angles.
      r0: reference angle; FastJet uses 1, others use the jet radius.

    Returns:
      (M,) bool, True for the particles that survive.

    >>> p4 = jnp.array([[9.0, 0.1, 0.0, 9.0], [5.0, 0.0, 0.0, 5.0], [0.0, 1.0, 0.0, 1.0]])
    >>> history = cluster(p4, jnp.ones(3, bool), Algorithm.CAMBRIDGE_AACHEN)
    >>> soft_drop(history, z_cut=0.1, beta=0.0).tolist()
    [True, True, False]
    """
    soft, angle = history.pt.min(axis=1), history.delta_r / r0
    apart = angle > 0
    # At ΔR = 0 the power is 1, 0 or infinite.
    at_zero = jnp.where(beta > 0, 0, jnp.where(beta < 0, jnp.inf, 1))
    power = jnp.where(apart, jnp.where(apart, angle, 1) ** beta, at_zero)
    passes = safe_divide(soft, history.pt.sum(axis=1)) > z_cut * power
    return _descend_clustering_history(history, passes, history.kept >= 0, stops=True)


def trim(p4: jax.Array, mask: jax.Array, r_sub: float = 0.2, f_cut: float = 0.03) -> jax.Array:
    """Keeps the kT subjets that carry at least a share `f_cut` of the pT of the jet (arXiv:0912.1342).

    The defaults are those of the program that made the public data.

    Args:
      p4: (M, 4) momenta (px, py, pz, E), GeV.
      mask: (M,) bool, True for a particle.
      r_sub: radius of the subjets.
      f_cut: smallest pT of a subjet, as a share of the pT of the jet.

    Returns:
      (M,) bool, True for the particles that survive.

    >>> p4 = jnp.array([[99.0, 0.0, 0.0, 99.0], [0.0, 1.0, 0.0, 1.0]])
    >>> trim(p4, jnp.ones(2, bool)).tolist()
    [True, False]
    """
    return trimmed(cluster(p4, mask, Algorithm.KT, r_sub), _sum_momenta(p4, mask), f_cut)


def trimmed(history: History, jet: jax.Array, f_cut: float) -> jax.Array:
    """Trims a jet whose subjets are already clustered.

    Args:
      history: a clustering with the radius of the subjets.
      jet: (4,) momentum of the whole jet.
      f_cut: smallest pT of a subjet, as a share of the pT of the jet.

    Returns:
      (M,) bool, True for the particles that survive.
    """
    hard = history.pt[:, 0] >= f_cut * kinematics.pt(jet)
    return _descend_clustering_history(history, jnp.ones_like(hard), hard, stops=False)


def prune(p4: jax.Array, mask: jax.Array, z_cut: float = 0.1, r_factor: float = 0.5) -> jax.Array:
    """Reclusters a jet and drops the softer object of each merging that is both soft and wide (arXiv:0912.0033).

    Args:
      p4: (M, 4) momenta (px, py, pz, E), GeV.
      mask: (M,) bool, True for a particle.
      z_cut: a softer object below this share of the merged pT is soft.
      r_factor: a ΔR above r_factor · 2 m / pT of the jet is wide.

    Returns:
      (M,) bool, True for the particles that survive.

    >>> p4 = jnp.array([[99.0, 0.0, 0.0, 99.0], [0.0, 1.0, 0.0, 1.0]])
    >>> prune(p4, jnp.ones(2, bool)).tolist()
    [True, False]
    """
    recombine = pruning(z_cut, pruning_radius(_sum_momenta(p4, mask), r_factor))
    return pruned(cluster(p4, mask, Algorithm.CAMBRIDGE_AACHEN, recombine=recombine))


def pruned(history: History) -> jax.Array:
    """Returns the particles that remain after a clustering with `pruning`.

    Args:
      history: a clustering whose recombination drops objects.

    Returns:
      (M,) bool, True for the particles that survive.
    """
    return _descend_clustering_history(history, ~history.dropped, history.kept >= 0, stops=False)


def pruning_radius(jet: jax.Array, r_factor: float | jax.Array) -> jax.Array:
    """Computes R_cut = r_factor · 2 m / pT, where 2 m / pT approximates the opening angle of a two-body decay.

    Args:
      jet: (4,) momentum of the jet.
      r_factor: share of that angle.

    Returns:
      () angle above which pruning applies.
    """
    r_cut: jax.Array = r_factor * safe_divide(2 * kinematics.mass(jet), kinematics.pt(jet))
    return r_cut


def pruning(z_cut: float | jax.Array, r_cut: jax.Array) -> Recombine:
    """Makes the E-scheme that drops the softer object of a soft, wide merging (arXiv:0912.0033, eq. 2).

    Args:
      z_cut: a softer object below this share of the merged pT is soft.
      r_cut: a larger ΔR is wide; infinity gives the plain E-scheme.

    Returns:
      The recombination, for `cluster`.
    """

    def recombine(harder: jax.Array, softer: jax.Array, delta_r: jax.Array) -> tuple[jax.Array, jax.Array]:
        both = harder + softer
        drop = (delta_r > r_cut) & (kinematics.pt(softer) < z_cut * kinematics.pt(both))
        return jnp.where(drop, harder, both), drop

    return recombine


def _sum_momenta(p4: jax.Array, mask: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(mask[:, None], p4, 0), axis=0)


def _descend_clustering_history(history: History, passes: jax.Array, jets: jax.Array, *, stops: bool) -> jax.Array:
    """Traverses a history from the jets to their particles and keeps the softer branches of the steps that pass.

    Args:
      history: clustering of M slots.
      passes: (M,) bool, True for merging steps whose softer branch is kept.
      jets: (M,) bool, True for jet steps that are kept.
      stops: True to keep everything below a step that passes.
    """
    slots = jnp.arange(history.kept.shape[0])

    def undo(carry: tuple[jax.Array, jax.Array], step: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        alive, settled = carry
        kept, absorbed = history.kept[step], history.absorbed[step]
        is_jet, is_merge = (kept >= 0) & (absorbed < 0), absorbed >= 0
        done = settled[kept] | (passes[step] & stops)
        stays = alive[kept] & (settled[kept] | passes[step])
        alive = jnp.where(is_merge & (slots == absorbed), stays, alive)
        alive = jnp.where(is_jet & (slots == kept), jets[step], alive)
        settled = jnp.where(is_merge & ((slots == absorbed) | (slots == kept)), done, settled)
        return (alive, settled), None

    nothing = jnp.zeros_like(passes)
    return jax.lax.scan(undo, (nothing, nothing), slots[::-1])[0][0]

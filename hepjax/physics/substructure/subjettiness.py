"""N-subjettiness, which measures how well N axes describe a jet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from hepjax.physics.substructure.clustering import Algorithm, cluster, exclusive_slots, winner_take_all

if TYPE_CHECKING:
    import jax


def winner_take_all_axes(p4: jax.Array, mask: jax.Array, number: int = 3) -> jax.Array:
    """Returns the axes of exclusive kT clustering with winner-take-all recombination (arXiv:1401.2158).

    Each axis is a particle of the jet, which makes the axes insensitive to the recoil of soft radiation.

    Args:
      p4: (M, 4) momenta (px, py, pz, E); any unit.
      mask: (M,) bool, True for a particle.
      number: number of axes; the first n are the axes of n subjets.

    Returns:
      (number,) int32 indices of particles; -1 if there are fewer particles.

    >>> p4 = jnp.array([[9.0, 0.0, 0.0, 9.0], [0.0, 9.0, 0.0, 9.0], [8.0, 1.0, 0.0, 9.0]])
    >>> winner_take_all_axes(p4, jnp.ones(3, bool), 2).tolist()
    [0, 1]
    """
    return exclusive_slots(cluster(p4, mask, Algorithm.KT, recombine=winner_take_all), number)


def n_subjettiness(
    pt: jax.Array, theta: jax.Array, axes: jax.Array, betas: tuple[float, ...] = (1.0, 2.0)
) -> jax.Array:
    """Computes τ_N = Σ_i pT_i min_{a ≤ N} ΔR_ia^β without normalization (arXiv:1108.2701, eq. 2.1).

    Args:
      pt: (M,) transverse momenta, GeV; padding is 0.
      theta: (M, M) ΔR of every pair of particles.
      axes: (A,) indices of the particles that are axes, of which the first N belong to τ_N; -1 for a missing axis.
      betas: K angular exponents.

    Returns:
      (A, K) τ_1 to τ_A in GeV at each exponent; τ_N is 0 for a jet of at most N particles.

    >>> theta = 0.1 * (jnp.ones((3, 3)) - jnp.eye(3))
    >>> print(n_subjettiness(jnp.array([5.0, 2.0, 1.0]), theta, jnp.array([0, 1, 2]), (1.0,))[:, 0].round(3))
    [0.3 0.1 0. ]
    """
    nearest = jnp.minimum.accumulate(jnp.where(axes[:, None] >= 0, theta[axes], jnp.inf), axis=0)
    nearest = jnp.where(jnp.isfinite(nearest), nearest, 0)
    return jnp.stack([jnp.sum(pt * nearest**beta, axis=-1) for beta in betas], axis=-1)

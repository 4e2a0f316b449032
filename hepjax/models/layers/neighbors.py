"""Each particle's nearest others, where coordinates are learned."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def nearest_others(points: jax.Array, mask: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Finds the particles nearest to each particle.

    Args:
      points: (B, P, D) float coordinates, finite for particles.
      mask: (B, P) bool, True for a particle.
      count: k, less than P.

    Returns:
      (B, P, k) int32, the slots of the nearest others, nearest first, of equally near ones the first; and (B, P, k)
      bool, which of these exist: a jet of n ≤ k particles has n − 1 others for each.

    >>> near, exist = nearest_others(jnp.array([[[0.0], [1.0], [3.0]]]), jnp.ones((1, 3), bool), 1)
    >>> near[..., 0].tolist(), bool(exist.all())
    ([[1, 0, 1]], True)
    """
    points = jax.lax.stop_gradient(jnp.where(mask[..., None], points, 0))
    squares = jnp.sum(points**2, axis=-1)
    distances = squares[:, :, None] - 2 * jnp.einsum("bid,bjd->bij", points, points) + squares[:, None, :]
    others = mask[:, None, :] & ~jnp.eye(mask.shape[1], dtype=bool)
    nearness, near = jax.lax.top_k(jnp.where(others, -jnp.maximum(distances, 0), -jnp.inf), count)
    return near, nearness > -jnp.inf

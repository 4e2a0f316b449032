"""Jets without particles: what a model says of them, and that batch statistics leave them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

if TYPE_CHECKING:
    import jax


def uniform_where_empty(logits: jax.Array, there: jax.Array) -> jax.Array:
    """Logits 0 for a jet without particles: all classes alike, and no gradient.

    Args:
      logits: (B, C) float, finite everywhere.
      there: (B,) bool, True for a jet with a particle.

    Returns:
      (B, C), the dtype of `logits`.

    >>> uniform_where_empty(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([True, False])).tolist()
    [[1.0, 2.0], [0.0, 0.0]]
    """
    return jnp.where(there[:, None], logits, jnp.zeros_like(logits))


def jets_of_batch_statistics(there: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The jets that batch statistics count.

    Args:
      there: (B,) bool, True for a jet with a particle.
      mask: (B,) bool, False for rows that are no example; None has none of them.

    Returns:
      (B,) bool; all True where no jet would count, for statistics over nothing are NaN and stay in running averages.

    >>> jets_of_batch_statistics(jnp.array([True, False, True]), jnp.array([True, True, False])).tolist()
    [True, False, False]
    """
    both = there if mask is None else there & mask
    return both | ~jnp.any(both)

"""Distillation: a loss that teaches a network what a trained one predicts, beside the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from hepjax.numerics import weighted_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    Loss = Callable[..., jax.Array]

_SMALLEST = 1.1754944e-38
"""What a probability that underflowed to 0 is taken for: the smallest normal float32."""


def soften(probabilities: Any, temperature: float) -> jax.Array:
    """Divides the logarithms of probabilities by a temperature.

    Args:
      probabilities: (..., C), each row adds up to 1.
      temperature: above 0; infinitely high ones make all classes alike.

    Returns:
      (..., C) probabilities.

    >>> [round(float(p), 4) for p in soften(jnp.array([0.8, 0.2]), 2.0)]
    [0.6667, 0.3333]
    """
    return jax.nn.softmax(jnp.log(jnp.maximum(probabilities, _SMALLEST)) / temperature)


def softened_cross_entropy(logits: Any, taught: Any, weights: Any, temperature: float) -> jax.Array:
    """Computes T² times the cross-entropy of softened predictions with softened probabilities of a teacher.

    The factor makes its gradients as large as those of labels, whatever the temperature (arXiv:1503.02531, section 2).

    Args:
      logits: (B, C).
      taught: (B, C) probabilities of the teacher.
      weights: (B,); rows of weight 0 do not matter, even where their numbers are NaN.
      temperature: T, above 0.

    Returns:
      () the mean.

    >>> p = jnp.array([[0.5, 0.5]])
    >>> round(float(softened_cross_entropy(jnp.zeros((1, 2)), p, jnp.ones(1), 2.0)), 4)
    2.7726
    """
    counts = weights[:, None] != 0
    logits, taught = jnp.where(counts, logits, 0), jnp.where(counts, taught, 1 / jnp.shape(taught)[1])
    each = -jnp.sum(soften(taught, temperature) * jax.nn.log_softmax(logits / temperature), axis=1)
    mean: jax.Array = temperature**2 * weighted_mean(each, weights)
    return mean


def with_teacher(loss: Loss, temperature: float, share: float) -> Loss:
    """Mixes a loss with what a teacher predicts.

    Args:
      loss: (logits, labels, weights, …) → () mean.
      temperature: T of the softened probabilities.
      share: how much they count, from 0 to 1; the loss counts the rest.

    Returns:
      The same function, which is given the teacher's probabilities (B, C) last.

    >>> both = with_teacher(lambda logits, labels, weights: jnp.float32(1.0), 1.0, 0.5)
    >>> round(float(both(jnp.zeros((1, 2)), None, jnp.ones(1), jnp.array([[1.0, 0.0]]))), 4)
    0.8466
    """

    def mixed(logits: jax.Array, labels: jax.Array, weights: jax.Array, *others: jax.Array) -> jax.Array:
        *further, taught = others
        own = loss(logits, labels, weights, *further)
        return (1 - share) * own + share * softened_cross_entropy(logits, taught, weights, temperature)

    return mixed

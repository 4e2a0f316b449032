"""Outputs of a network to values in the targets' units, as pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from hepjax.choices import RegressionLoss

if TYPE_CHECKING:
    from collections.abc import Mapping

    import jax

    from hepjax.types import Array

_LARGEST = 30.0
"""Log-variances beyond this are cut, so that no width is 0 or infinite."""


def predictions_in_units(
    outputs: jax.Array, statistics: Mapping[str, Any], loss: RegressionLoss, levels: int
) -> jax.Array:
    """Turns outputs of scaled targets into predictions.

    Args:
      outputs: (B, D) values; or (B, 2 D) means, then log-variances; or (B, D Q) quantiles of each target.
      statistics: mean and width, (D,) or (B, D).
      loss: that the network was trained by.
      levels: Q.

    Returns:
      The same shape: values; or means, then widths; or quantiles that rise with their level.

    >>> statistics = {"mean": jnp.array([100.0]), "width": jnp.array([20.0])}
    >>> predictions_in_units(jnp.array([[0.5, 0.0]]), statistics, RegressionLoss.GAUSSIAN, 0).tolist()
    [[110.0, 20.0]]
    """
    mean, width = statistics["mean"], statistics["width"]
    if loss is RegressionLoss.GAUSSIAN:
        scaled, log_variance = jnp.split(outputs, 2, axis=1)
        widths = width * jnp.exp(jnp.clip(log_variance, -_LARGEST, _LARGEST) / 2)
        return jnp.concatenate([mean + width * scaled, widths], axis=1)
    if loss is RegressionLoss.QUANTILES:
        targets = outputs.shape[1] // levels
        columns = [sort_quantiles([outputs[:, d * levels + i] for i in range(levels)]) for d in range(targets)]
        stacked = jnp.stack([column for each in columns for column in each], axis=1)
        repeated = [jnp.repeat(x, levels, axis=-1) for x in (mean, width)]
        return repeated[0] + repeated[1] * stacked
    predicted: jax.Array = mean + width * outputs
    return predicted


def sort_quantiles(columns: list[jax.Array]) -> list[jax.Array]:
    """Sorts a few columns by odd-even transposition, which needs no more than minima and maxima.

    Quantiles that cross are put in order so (V. Chernozhukov et al., Econometrica 78 (2010) 1093).

    Args:
      columns: Q arrays of one shape.

    Returns:
      The same numbers, rising.

    >>> [float(x) for x in sort_quantiles([jnp.array(3.0), jnp.array(1.0), jnp.array(2.0)])]
    [1.0, 2.0, 3.0]
    """
    ordered = list(columns)
    for turn in range(len(ordered)):
        for i in range(turn % 2, len(ordered) - 1, 2):
            low, high = ordered[i], ordered[i + 1]
            ordered[i], ordered[i + 1] = jnp.minimum(low, high), jnp.maximum(low, high)
    return ordered


def gaussian_mixture_moments(predictions: Array) -> Array:
    """Computes mean and width of the mixture of Gaussians that the members of an ensemble predict.

    Args:
      predictions: (M, N, 2 D) of M members: D means, then D widths; NumPy or JAX.

    Returns:
      (N, 2 D) (arXiv:1612.01474, section 2.4).

    >>> gaussian_mixture_moments(jnp.array([[[1.0, 2.0]], [[1.0, 2.0]]])).tolist()
    [[1.0, 2.0]]
    """
    xp: Any = predictions.__array_namespace__()
    targets = predictions.shape[2] // 2
    means, widths = predictions[..., :targets], predictions[..., targets:]
    middle = means.mean(axis=0)
    variance = (widths**2 + (means - middle) ** 2).mean(axis=0)
    mixed: Array = xp.concatenate([middle, xp.sqrt(variance)], axis=1)
    return mixed

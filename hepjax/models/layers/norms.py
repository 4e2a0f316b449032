"""The normalization between a layer and its activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from hepjax.choices import Norm, choose

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hepjax.types import PyTree

_STEPS = "batch_steps"
"""The collection of variables that counts the batches in the running averages; only training needs it."""


_MOMENTUM = 0.95
"""The weight of a batch's statistics, for each batch since. With more, averages lag behind the parameters; with less,
those of small batches are noisy."""
_SETTLED = 1000.0
"""After so many batches one more has its full weight."""


class BatchNorm(nn.BatchNorm):
    """Batch normalization whose running averages are right from the first step on.

    Flax's begin at a mean of 0 and a variance of 1, which stay in them for hundreds of steps. Here batches alone count,
    as in Adam. The variables are those of Flax, and the collection `batch_steps`, which predictions do not need. A
    batch of less than two rows has no variance, and does not count.

    Reference: D. P. Kingma, J. Ba, "Adam", arXiv:1412.6980, section 3, for the correction of the bias.
    """

    momentum: float = 0.0
    """With this, Flax leaves the statistics of the batch alone in its variables."""

    @nn.compact
    def __call__(self, x: Any, use_running_average: bool | None = None, *, mask: Any = None) -> jax.Array:
        """Returns x, (..., F), normalized; rows where mask, broadcastable to (..., 1), is False do not count."""
        average = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        if average and not self.is_initializing():
            y: jax.Array = super().__call__(x, use_running_average, mask=mask)
            return y
        steps = self.variable(_STEPS, "steps", jnp.zeros, ())
        before: dict[str, Any] = {name: self.get_variable("batch_stats", name) for name in ("mean", "var")}
        # Statistics over nothing would be NaN.
        y = super().__call__(x, use_running_average, mask=None if mask is None else mask | ~jnp.any(mask))
        if self.is_initializing():
            return y
        rows = x.size // x.shape[-1] if mask is None else jnp.sum(jnp.broadcast_to(mask, (*x.shape[:-1], 1)))
        share = _share_of_batch(steps, rows)
        for name, old in before.items():
            self.put_variable("batch_stats", name, old + share * (self.get_variable("batch_stats", name) - old))
        return y


class BatchNormOfMoments(nn.Module):
    """Batch normalization of values that are never stored all at once, from their moments.

    Its variables are those of `BatchNorm`.
    """

    features: int
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, moments: tuple[jax.Array, jax.Array, jax.Array] | None) -> tuple[jax.Array, jax.Array]:
        """Returns scale and shift, (F,) each: what is normalized is scale · x + shift.

        The moments of a batch are the number of its rows, (), and their sums of x and of x², (F,) each; with None the
        running averages are taken.
        """
        scale = self.param("scale", nn.initializers.ones, (self.features,))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (self.features,))
        var = self.variable("batch_stats", "var", jnp.ones, (self.features,))
        used, spread = mean.value, var.value
        if moments is not None or self.is_initializing():
            steps = self.variable(_STEPS, "steps", jnp.zeros, ())
        if moments is not None:
            rows, total, squares = moments
            used = total / jnp.maximum(rows, 1)
            spread = jnp.maximum(squares / jnp.maximum(rows, 1) - used**2, 0)
            share = _share_of_batch(steps, rows)
            mean.value += share * (used - mean.value)
            var.value += share * (spread - var.value)
        factor = scale * jax.lax.rsqrt(spread + self.epsilon)
        return factor, bias - used * factor


def _share_of_batch(steps: nn.Variable[jax.Array], rows: jax.Array | int) -> jax.Array:
    """Counts a batch, and returns its share in the running averages: 0 for one of less than two rows."""
    steps.value += jnp.where(rows > 1, 1.0, 0.0)
    return jnp.where(rows > 1, (1 - _MOMENTUM) / (1 - _MOMENTUM ** jnp.maximum(steps.value, 1)), 0.0)


def without_steps(variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """Returns a model's other variables without those that only training needs.

    >>> without_steps({"batch_stats": 1, "batch_steps": 2})
    {'batch_stats': 1}
    """
    return {name: value for name, value in variables.items() if name != _STEPS}


def count_as_settled(variables: Mapping[str, PyTree], layers: Collection[tuple[str, ...]]) -> dict[str, PyTree]:
    """Makes running averages that were taken from a trained network count: training goes on from them.

    Args:
      variables: a model's other variables.
      layers: the paths of the layers that the averages are of.

    >>> count_as_settled({"batch_steps": {"norm": {"steps": jnp.zeros(())}}}, [("norm",)])["batch_steps"]["norm"]
    {'steps': Array(1000., dtype=float32)}
    """
    flat = traverse_util.flatten_dict(dict(variables))
    settled = {path for path in flat if path[0] == _STEPS and path[1:-1] in layers}
    counted: dict[str, PyTree] = traverse_util.unflatten_dict(
        {path: jnp.full_like(leaf, _SETTLED) if path in settled else leaf for path, leaf in flat.items()}
    )
    return counted


def normalize_layer(x: jax.Array, norm: Norm | str, mask: jax.Array | None, train: bool) -> jax.Array:
    """Normalizes the features of x; to be called inside a compact module, which keeps the parameters.

    Args:
      x: (..., F) float.
      norm: batch statistics run over all axes but the last; layer statistics over the last.
      mask: bool, the first axes of x; False for what batch statistics leave out. None counts all.
      train: whether batch statistics come from this batch or from the running averages.

    Returns:
      (..., F).

    >>> class Centered(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, x, mask):
    ...         return normalize_layer(x, Norm.BATCH, mask, train=True)
    >>> x, mask = jnp.array([[1.0], [3.0], [99.0]]), jnp.array([True, True, False])
    >>> y, _ = Centered().init_with_output(jax.random.key(0), x, mask)
    >>> y[:2].round(3).tolist()
    [[-1.0], [1.0]]
    """
    norm = choose(Norm, norm, "norm")
    if norm is Norm.LAYER:
        x = nn.LayerNorm()(x)
    elif norm is Norm.BATCH:
        mask = None if mask is None else mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
        x = BatchNorm(use_running_average=not train)(x, mask=mask)
    return x

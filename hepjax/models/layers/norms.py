"""The normalization between a layer and its activation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Norm, choose


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
        if mask is not None:
            # Statistics over nothing would be NaN, and stay in the running averages for good.
            mask = (mask | ~jnp.any(mask)).reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
        x = nn.BatchNorm(use_running_average=not train)(x, mask=mask)
    return x

"""Sums, means and elementary functions that are safe with padding and zeros.

All functions accept NumPy or JAX arrays and return the same type.
"""

from __future__ import annotations

from typing import Any


def masked_sum(x: Any, mask: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Computes Σ x over the elements where the mask is True; NaN in the padding has no effect.

    Args:
      x: values of any shape.
      mask: bool, broadcastable to x; False for padding.
      axis: the axes to sum over; None means all axes.

    Returns:
      The sum over `axis`.

    >>> import numpy as np
    >>> float(masked_sum(np.array([1.0, 2.0, np.nan]), np.array([True, True, False])))
    3.0
    """
    xp = x.__array_namespace__()
    return xp.sum(xp.where(mask, x, xp.zeros_like(x)), axis=axis)


def weighted_mean(x: Any, weights: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Computes Σ w x / Σ w, or 0 where all weights are 0; values of weight 0 have no effect, even NaN.

    The gradient with respect to values of weight 0 is 0. It becomes NaN in the computation of x if a step of that
    computation has a NaN gradient: replace the inputs of such a step first, as the losses do.

    Args:
      x: values of any shape.
      weights: non-negative weights, or a bool mask, broadcastable to x.
      axis: the axes to average over; None means all axes.

    Returns:
      The mean over `axis`.

    >>> import numpy as np
    >>> float(weighted_mean(np.array([1.0, 4.0, np.nan]), np.array([2.0, 1.0, 0.0])))
    2.0
    """
    xp = x.__array_namespace__()
    counted = xp.where(weights > 0, x, xp.zeros_like(x))
    weights = xp.broadcast_to(xp.astype(weights, x.dtype), x.shape)
    return safe_divide(xp.sum(counted * weights, axis=axis), xp.sum(weights, axis=axis))


def safe_divide(a: Any, b: Any) -> Any:
    """Computes a / b, or 0 where b is 0, with finite gradients.

    >>> import numpy as np
    >>> safe_divide(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, 0.0]
    """
    xp = b.__array_namespace__()
    zero = b == 0
    return xp.where(zero, xp.zeros_like(b), a / xp.where(zero, xp.ones_like(b), b))


def safe_log(x: Any) -> Any:
    """Computes log x, or 0 where x is not positive, with finite gradients, so that x log x is 0 at 0.

    >>> import numpy as np
    >>> safe_log(np.array([1.0, 0.0])).tolist()
    [0.0, 0.0]
    """
    xp = x.__array_namespace__()
    positive = x > 0
    return xp.log(xp.where(positive, x, xp.ones_like(x)))


def safe_sqrt(x: Any) -> Any:
    """Computes sqrt(max(x, 0)), with gradient 0 where x is not positive.

    >>> import numpy as np
    >>> safe_sqrt(np.array([4.0, 0.0, -1.0])).tolist()
    [2.0, 0.0, 0.0]
    """
    xp = x.__array_namespace__()
    positive = x > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, x, xp.ones_like(x))), xp.zeros_like(x))

"""Sums, means and elementary functions that padding and zero cannot spoil.

NumPy or JAX arrays in, the same kind out.
"""

from __future__ import annotations

from typing import Any


def masked_sum(x: Any, mask: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Σ x over the places where the mask is True; a NaN in the padding does not matter.

    Args:
      x: values of any shape.
      mask: bool, broadcastable to x.
      axis: the axes to sum over; None is all.

    Returns:
      The sum over `axis`.

    >>> import numpy as np
    >>> float(masked_sum(np.array([1.0, 2.0, np.nan]), np.array([True, True, False])))
    3.0
    """
    xp = x.__array_namespace__()
    return xp.sum(xp.where(mask, x, xp.zeros_like(x)), axis=axis)


def weighted_mean(x: Any, weights: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Σ w x / Σ w, and 0 where all weights are 0; values of weight 0 do not matter, even NaN.

    The gradient with respect to x is 0 there. It stays NaN for what x was computed from, if that step's own gradient is
    NaN: replace the inputs of such steps before, as the losses do.

    Args:
      x: values of any shape.
      weights: non-negative weights, or a bool mask, broadcastable to x.
      axis: the axes to average over; None is all.

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
    """A / b, and 0 where b is 0, with finite gradients.

    >>> import numpy as np
    >>> safe_divide(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, 0.0]
    """
    xp = b.__array_namespace__()
    zero = b == 0
    return xp.where(zero, xp.zeros_like(b), a / xp.where(zero, xp.ones_like(b), b))


def safe_log(x: Any) -> Any:
    """Log x, and 0 where x is not positive, with finite gradients: so that x log x is 0 at 0.

    >>> import numpy as np
    >>> safe_log(np.array([1.0, 0.0])).tolist()
    [0.0, 0.0]
    """
    xp = x.__array_namespace__()
    positive = x > 0
    return xp.log(xp.where(positive, x, xp.ones_like(x)))


def safe_sqrt(x: Any) -> Any:
    """sqrt(max(x, 0)) with gradient 0 where x is not positive.

    >>> import numpy as np
    >>> safe_sqrt(np.array([4.0, 0.0, -1.0])).tolist()
    [2.0, 0.0, 0.0]
    """
    xp = x.__array_namespace__()
    positive = x > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, x, xp.ones_like(x))), xp.zeros_like(x))

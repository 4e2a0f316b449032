"""Sums, means and elementary functions that are safe with padding, zeros and rounding.

All functions accept NumPy or JAX arrays and return the same type.
"""

from __future__ import annotations

from math import pi
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


def wrap_azimuth(phi: Any) -> Any:
    """Wraps an azimuth into [-π, π).

    Args:
      phi: angles of any shape, radians.

    Returns:
      The same angles in [-π, π).

    >>> import numpy as np
    >>> wrap_azimuth(np.array([0.5, 2 * np.pi + 0.5])).round(6).tolist()
    [0.5, 0.5]
    """
    return (phi + pi) % (2 * pi) - pi


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


def scale_to_one(*x: Any) -> Any:
    """Returns powers of two that bring numbers so near to 1 that squares neither underflow nor overflow in float32.

    Whatever is computed of squares and their roots has the same bits then. Derivatives take them as constants.

    Args:
      x: values of one shape, such as the components of momenta.

    Returns:
      A factor for each place, for all x alike; with it the largest lies between 2^-16 and 2^16, if it is above 2^-112.

    >>> import numpy as np
    >>> np.log2(scale_to_one(np.array([1e-30, 3.0, 0.0]), np.array([0.0, 1e30, 0.0]))).tolist()
    [96.0, -96.0, 96.0]
    """
    xp = x[0].__array_namespace__()
    size = abs(x[0])
    for other in x[1:]:
        size = xp.maximum(size, abs(other))
    scale = one = xp.ones_like(size)
    for power in (32, 64, 96):
        scale = xp.where(size > 2.0 ** (power - 16), one * 2.0**-power, scale)
        scale = xp.where(size < 2.0 ** (16 - power), one * 2.0**power, scale)
    return scale


def safe_norm(*x: Any) -> Any:
    """Computes sqrt(Σ x²), also where squares underflow or overflow; its gradient is 0 where all x are 0.

    Args:
      x: values of one shape.

    Returns:
      Of the same shape.

    >>> import numpy as np
    >>> float(safe_norm(np.float32(3e-30), np.float32(4e-30)) * np.float32(1e30))
    5.0
    """
    scale = scale_to_one(*x)
    total = (x[0] * scale) ** 2
    for other in x[1:]:
        total = total + (other * scale) ** 2
    return safe_sqrt(total) / scale


def asinh_of_ratio(a: Any, b: Any) -> Any:
    """Computes asinh(a / b) for b of 0 or more, also where the ratio overflows; it is 0 where b is 0.

    Args:
      a: values.
      b: values of the same shape.

    Returns:
      Of the same shape.

    >>> import numpy as np
    >>> asinh_of_ratio(np.float32([1, 1e30, 1]), np.float32([1, 1e-30, 0])).astype(int).tolist()
    [0, 138, 0]
    """
    xp = b.__array_namespace__()
    one, zero = xp.ones_like(b), xp.zeros_like(b)
    # Beyond, asinh x is ln 2x to all digits.
    large = (abs(a) > 1e8 * b) & (b > 0)
    scale = scale_to_one(b)
    ratio = safe_divide(xp.where(large | (b == 0), zero, a) * scale, xp.where(large, one, b) * scale)
    size, width = xp.where(large, abs(a), one), xp.where(large, b, one)
    return xp.where(large, xp.sign(a) * (xp.log(2 * size) - xp.log(width)), xp.asinh(ratio))


def unfused_product(product: Any) -> Any:
    """The product itself, rounded before it is added to anything.

    Compilers fuse a product with a sum, which rounds differently: where the sum then decides, a particle near the edge
    would fall to one side on one device and to the other on another. The minimum changes nothing but stops that.

    Args:
      product: of any shape, floating, NumPy or JAX.

    Returns:
      The same.

    >>> import numpy as np
    >>> unfused_product(np.array([3.0]) * 4)
    array([12.])
    """
    xp = product.__array_namespace__()
    return xp.minimum(product, xp.finfo(product.dtype).max)

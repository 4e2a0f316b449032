"""Rational-quadratic splines: rising functions whose inverse is known."""

from __future__ import annotations

import jax
import jax.numpy as jnp

Shape = tuple[jax.Array, jax.Array, jax.Array]
"""(..., K) widths, (..., K) heights and (..., K + 1) slopes of a spline's bins."""

SMALLEST = 0.01
"""Width and height of a bin, as a share of all, and slope at an edge, at least."""


def rational_quadratic_spline(x: jax.Array, shape: Shape, reach: float) -> tuple[jax.Array, jax.Array]:
    """A rising function made of K quotients of parabolas (arXiv:1906.04032, eq. 4 and 5).

    Args:
      x: (...) where.
      shape: (..., K) widths and (..., K) heights of bins, which add up to 1, and (..., K + 1) slopes at their edges.
      reach: it maps (-reach, reach) onto itself; beyond, it changes nothing.

    Returns:
      (...) its values, and (...) the logarithms of its slope.

    >>> even = jnp.full(2, 0.5), jnp.full(2, 0.5), jnp.ones(3)
    >>> [float(y) for y in rational_quadratic_spline(jnp.array(0.25), even, 1.0)]
    [0.25, 0.0]
    """
    inside = jnp.abs(x) < reach
    at = jnp.where(inside, x, 0)
    left, width, bottom, height, slope, next_slope = _spline_bin(at, shape, reach, inverse=False)
    steep, place = height / width, (at - left) / width
    rest = 1 - place
    below = steep + (next_slope + slope - 2 * steep) * place * rest
    y = bottom + height * (steep * place**2 + slope * place * rest) / below
    rise = next_slope * place**2 + 2 * steep * place * rest + slope * rest**2
    log_slope = 2 * jnp.log(steep) + jnp.log(rise) - 2 * jnp.log(below)
    return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0)


def inverse_rational_quadratic_spline(y: jax.Array, shape: Shape, reach: float) -> jax.Array:
    """Inverts `rational_quadratic_spline`, by the root of a parabola (arXiv:1906.04032, eq. 6 to 8).

    Args:
      y: (...) values.
      shape: as in `rational_quadratic_spline`.
      reach: as in `rational_quadratic_spline`.

    Returns:
      (...) x.

    >>> shape = jnp.array([0.2, 0.8]), jnp.array([0.7, 0.3]), jnp.array([1.0, 3.0, 0.5])
    >>> x = jnp.array([-0.9, 0.1, 0.99, 5.0])
    >>> shape = [jnp.broadcast_to(part, (4, len(part))) for part in shape]
    >>> y = rational_quadratic_spline(x, shape, 1.0)[0]
    >>> bool(jnp.allclose(inverse_rational_quadratic_spline(y, shape, 1.0), x, atol=1e-5))
    True
    """
    inside = jnp.abs(y) < reach
    at = jnp.where(inside, y, 0)
    left, width, bottom, height, slope, next_slope = _spline_bin(at, shape, reach, inverse=True)
    steep, up = height / width, at - bottom
    bend = up * (next_slope + slope - 2 * steep)
    a, b, c = height * (steep - slope) + bend, height * slope - bend, -steep * up
    place = 2 * c / (-b - jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0)))
    return jnp.where(inside, left + width * place, y)


def _spline_bin(at: jax.Array, shape: Shape, reach: float, *, inverse: bool) -> tuple[jax.Array, ...]:
    """(...) left edge, width, bottom, height, slope and next slope of the bin that a place, or a value, lies in."""
    widths, heights, slopes = shape
    lefts, bottoms = (2 * reach * (jnp.cumsum(size, axis=-1) - size) - reach for size in (widths, heights))
    edges = bottoms if inverse else lefts
    which = jnp.sum(at[..., None] >= edges[..., 1:], axis=-1)
    # A sum over few bins, whose gradient is faster than that of indexing.
    here = jax.nn.one_hot(which, widths.shape[-1], dtype=at.dtype)
    columns = (lefts, 2 * reach * widths, bottoms, 2 * reach * heights, slopes[..., :-1], slopes[..., 1:])
    return tuple(jnp.sum(column * here, axis=-1) for column in columns)

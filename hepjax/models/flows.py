"""A normalizing flow: coupling layers of rational-quadratic splines, which can be gone through both ways."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hepjax.errors import InputError

if TYPE_CHECKING:
    from hepjax.types import Conditioned

    Shape = tuple[jax.Array, jax.Array, jax.Array]

_SMALLEST = 0.01  # width and height of a bin, as a share of all, and slope at an edge


def spline(x: jax.Array, shape: Shape, reach: float) -> tuple[jax.Array, jax.Array]:
    """A rising function made of K quotients of parabolas (arXiv:1906.04032, eq. 4 and 5).

    Args:
      x: (...) where.
      shape: (..., K) widths and (..., K) heights of bins, which add up to 1, and (..., K + 1) slopes at their edges.
      reach: it maps (-reach, reach) onto itself; beyond, it changes nothing.

    Returns:
      (...) its values, and (...) the logarithms of its slope.

    >>> even = jnp.full(2, 0.5), jnp.full(2, 0.5), jnp.ones(3)
    >>> [float(y) for y in spline(jnp.array(0.25), even, 1.0)]
    [0.25, 0.0]
    """
    inside = jnp.abs(x) < reach
    at = jnp.where(inside, x, 0)
    left, width, bottom, height, slope, next_slope = _bin(at, shape, reach, inverse=False)
    steep, place = height / width, (at - left) / width
    rest = 1 - place
    below = steep + (next_slope + slope - 2 * steep) * place * rest
    y = bottom + height * (steep * place**2 + slope * place * rest) / below
    rise = next_slope * place**2 + 2 * steep * place * rest + slope * rest**2
    log_slope = 2 * jnp.log(steep) + jnp.log(rise) - 2 * jnp.log(below)
    return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0)


def inverse_spline(y: jax.Array, shape: Shape, reach: float) -> jax.Array:
    """Where `spline` has a value: the root of a parabola (arXiv:1906.04032, eq. 6 to 8).

    Args:
      y: (...) values.
      shape: as in `spline`.
      reach: as in `spline`.

    Returns:
      (...) x.

    >>> shape = jnp.array([0.2, 0.8]), jnp.array([0.7, 0.3]), jnp.array([1.0, 3.0, 0.5])
    >>> x = jnp.array([-0.9, 0.1, 0.99, 5.0])
    >>> shape = [jnp.broadcast_to(part, (4, len(part))) for part in shape]
    >>> bool(jnp.allclose(inverse_spline(spline(x, shape, 1.0)[0], shape, 1.0), x, atol=1e-5))
    True
    """
    inside = jnp.abs(y) < reach
    at = jnp.where(inside, y, 0)
    left, width, bottom, height, slope, next_slope = _bin(at, shape, reach, inverse=True)
    steep, up = height / width, at - bottom
    bend = up * (next_slope + slope - 2 * steep)
    a, b, c = height * (steep - slope) + bend, height * slope - bend, -steep * up
    place = 2 * c / (-b - jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0)))
    return jnp.where(inside, left + width * place, y)


class CouplingFlow(nn.Module):
    """Data to normal numbers and back, given a condition: each layer changes half of the features by splines.

    A small network makes the splines' shapes of the other half and of the condition; between layers the features are
    permuted (arXiv:1605.08803, 1906.04032). At first nothing is changed. It answers with -ln p, to be made small.

    Attributes:
      features: F, two or more.
      conditions: K.
      layers: of the flow, one or more.
      hidden: the widths of the layers of the small networks.
      bins: of a spline.
      reach: splines act from minus to plus this.
      tolerance: by how much a feature may come back changed.
    """

    features: int
    conditions: int
    layers: int = 8
    hidden: tuple[int, ...] = (64, 64)
    bins: int = 8
    reach: float = 6.0
    tolerance: float = 0.01

    def setup(self) -> None:
        """The small networks, stacked, so that all layers compile as one."""
        if self.features < 2:
            raise InputError(f"features: a flow of coupling layers needs two or more, found {self.features}")
        kept = self.features // 2
        widths = [kept + self.conditions, *self.hidden, (self.features - kept) * (3 * self.bins - 1)]
        usual, nothing = nn.initializers.lecun_normal(batch_axis=0), nn.initializers.zeros
        self.networks = [
            (
                self.param(f"kernel_{i}", nothing if i == len(self.hidden) else usual, (self.layers, old, new)),
                self.param(f"bias_{i}", nothing, (self.layers, new)),
            )
            for i, (old, new) in enumerate(itertools.pairwise(widths))
        ]

    def __call__(self, x: Conditioned, mask: jax.Array | None = None, train: bool = False) -> jax.Array:  # noqa: ARG002
        """Args: x, values (B, F) and conditions (B, K); mask, (B,) bool, changes nothing.

        Returns: (B,) -ln p; outside of training infinite where the way back does not lead to the values.
        """
        values, condition = jnp.asarray(x.values), jnp.asarray(x.condition)
        latent, log_determinant = self.to_latent(values, condition)
        found = 0.5 * jnp.sum(latent**2 + jnp.log(2 * jnp.pi), axis=-1) - log_determinant
        if train:
            return found
        missed = jnp.max(jnp.abs(self.from_latent(latent, condition) - values), axis=-1)
        return jnp.where(missed <= self.tolerance, found, jnp.inf)

    def to_latent(self, values: jax.Array, condition: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Args: values, (B, F); condition, (B, K).

        Returns: (B, F) normal numbers, and (B,) the logarithm of the Jacobian determinant.
        """
        kept = self.features // 2

        def change(carry: tuple[jax.Array, jax.Array], layer: Any) -> tuple[tuple[jax.Array, jax.Array], None]:
            (x, total), (networks, order) = carry, layer
            x = jnp.take(x, order, axis=-1)
            y, log_slope = spline(x[..., kept:], self._shape(networks, x, condition), self.reach)
            return (jnp.concatenate([x[..., :kept], y], axis=-1), total + log_slope.sum(axis=-1)), None

        start = (values, jnp.zeros(values.shape[:-1], values.dtype))
        return jax.lax.scan(change, start, (self.networks, self._orders()))[0]

    def from_latent(self, latent: jax.Array, condition: jax.Array) -> jax.Array:
        """Args: latent, (B, F) normal numbers; condition, (B, K).

        Returns: (B, F) values.
        """
        kept = self.features // 2

        def change_back(x: jax.Array, layer: Any) -> tuple[jax.Array, None]:
            networks, order = layer
            y = inverse_spline(x[..., kept:], self._shape(networks, x, condition), self.reach)
            return jnp.take(jnp.concatenate([x[..., :kept], y], axis=-1), jnp.argsort(order), axis=-1), None

        return jax.lax.scan(change_back, latent, (self.networks, self._orders()), reverse=True)[0]

    def _shape(self, networks: Any, x: jax.Array, condition: jax.Array) -> Shape:
        """The splines that a small network makes of the half that stays; outliers shall not make wild ones."""
        kept = self.features // 2
        x = jnp.concatenate([jnp.clip(x[..., :kept], -self.reach, self.reach), condition], axis=-1)
        for i, (kernel, bias) in enumerate(networks):
            x = (nn.relu(x) if i else x) @ kernel + bias
        x = x.reshape(*x.shape[:-1], self.features - kept, 3 * self.bins - 1)
        widths, heights, slopes = jnp.split(x, [self.bins, 2 * self.bins], axis=-1)
        share = 1 - _SMALLEST * self.bins
        inner = _SMALLEST + nn.softplus(slopes + np.log(np.expm1(1 - _SMALLEST)))  # 1 at first
        slopes = jnp.pad(inner, [(0, 0)] * (inner.ndim - 1) + [(1, 1)], constant_values=1)
        return _SMALLEST + share * nn.softmax(widths), _SMALLEST + share * nn.softmax(heights), slopes

    def _orders(self) -> np.ndarray:
        """(layers, F) permutations of the features, the same ones always; each two layers change all features."""
        rng, turned = np.random.default_rng(0), np.roll(np.arange(self.features), self.features // 2)
        return np.stack([turned if layer % 2 else rng.permutation(self.features) for layer in range(self.layers)])


def _bin(at: jax.Array, shape: Shape, reach: float, *, inverse: bool) -> tuple[jax.Array, ...]:
    """(...) left edge, width, bottom, height, slope and next slope of the bin that a place, or a value, lies in."""
    widths, heights, slopes = shape
    lefts, bottoms = (2 * reach * (jnp.cumsum(size, axis=-1) - size) - reach for size in (widths, heights))
    edges = bottoms if inverse else lefts
    which = jnp.sum(at[..., None] >= edges[..., 1:], axis=-1)
    # A sum over few bins, whose gradient is faster than that of indexing.
    here = jax.nn.one_hot(which, widths.shape[-1], dtype=at.dtype)
    columns = (lefts, 2 * reach * widths, bottoms, 2 * reach * heights, slopes[..., :-1], slopes[..., 1:])
    return tuple(jnp.sum(column * here, axis=-1) for column in columns)

"""A normalizing flow: coupling layers of rational-quadratic splines, which can be gone through both ways."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hepjax.errors import InputError
from hepjax.models.bounds import at_least, at_most, each_value, more_than
from hepjax.models.layers.splines import SMALLEST, inverse_rational_quadratic_spline, rational_quadratic_spline
from hepjax.models.model import Model
from hepjax.models.registry import register

if TYPE_CHECKING:
    from hepjax.models.layers.splines import Shape
    from hepjax.types import Conditioned


@register("coupling-flow")
class CouplingFlow(Model):
    """Data to normal numbers and back, given a condition: each layer changes half of the features by splines.

    A small network makes the splines' shapes of the other half and of the condition; between layers the features are
    permuted (arXiv:1605.08803, 1906.04032). At first nothing is changed. It answers with -ln p, to be made small.

    Its outputs are the features F, two or more, that the flow changes.
    """

    serves: ClassVar[tuple[str, ...]] = ("generation",)

    conditions: Annotated[int, at_least(0)] = 0
    """Number of conditions, K."""
    layers: Annotated[int, at_least(1), at_most(1000)] = 8
    """Layers of the flow."""
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (64, 64)
    """Widths of the layers of the small networks."""
    bins: Annotated[int, at_least(1), at_most(1000)] = 8
    """Bins of a spline."""
    reach: Annotated[float, more_than(0)] = 6.0
    """Splines act from minus to plus this."""
    tolerance: Annotated[float, more_than(0)] = 0.01
    """By how much a feature may come back changed."""

    def setup(self) -> None:
        """The small networks, stacked, so that all layers compile as one."""
        if self.outputs < 2:
            raise InputError(f"outputs: a flow of coupling layers needs two or more, found {self.outputs}")
        kept = self.outputs // 2
        widths = [kept + self.conditions, *self.hidden, (self.outputs - kept) * (3 * self.bins - 1)]
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
        kept = self.outputs // 2

        def apply_coupling(carry: tuple[jax.Array, jax.Array], layer: Any) -> tuple[tuple[jax.Array, jax.Array], None]:
            (x, total), (networks, order) = carry, layer
            x = jnp.take(x, order, axis=-1)
            y, log_slope = rational_quadratic_spline(
                x[..., kept:], self._spline_parameters(networks, x, condition), self.reach
            )
            return (jnp.concatenate([x[..., :kept], y], axis=-1), total + log_slope.sum(axis=-1)), None

        start = (values, jnp.zeros(values.shape[:-1], values.dtype))
        return jax.lax.scan(apply_coupling, start, (self.networks, self._feature_permutations()))[0]

    def from_latent(self, latent: jax.Array, condition: jax.Array) -> jax.Array:
        """Args: latent, (B, F) normal numbers; condition, (B, K).

        Returns: (B, F) values.
        """
        kept = self.outputs // 2

        def invert_coupling(x: jax.Array, layer: Any) -> tuple[jax.Array, None]:
            networks, order = layer
            y = inverse_rational_quadratic_spline(
                x[..., kept:], self._spline_parameters(networks, x, condition), self.reach
            )
            return jnp.take(jnp.concatenate([x[..., :kept], y], axis=-1), jnp.argsort(order), axis=-1), None

        return jax.lax.scan(invert_coupling, latent, (self.networks, self._feature_permutations()), reverse=True)[0]

    def _spline_parameters(self, networks: Any, x: jax.Array, condition: jax.Array) -> Shape:
        """The splines that a small network makes of the half that stays; outliers shall not make wild ones."""
        kept = self.outputs // 2
        x = jnp.concatenate([jnp.clip(x[..., :kept], -self.reach, self.reach), condition], axis=-1)
        for i, (kernel, bias) in enumerate(networks):
            x = (nn.relu(x) if i else x) @ kernel + bias
        x = x.reshape(*x.shape[:-1], self.outputs - kept, 3 * self.bins - 1)
        widths, heights, slopes = jnp.split(x, [self.bins, 2 * self.bins], axis=-1)
        share = 1 - SMALLEST * self.bins
        inner = SMALLEST + nn.softplus(slopes + np.log(np.expm1(1 - SMALLEST)))  # 1 at first
        slopes = jnp.pad(inner, [(0, 0)] * (inner.ndim - 1) + [(1, 1)], constant_values=1)
        return SMALLEST + share * nn.softmax(widths), SMALLEST + share * nn.softmax(heights), slopes

    def _feature_permutations(self) -> np.ndarray:
        """(layers, F) permutations of the features, the same ones always; each two layers change all features."""
        rng, turned = np.random.default_rng(0), np.roll(np.arange(self.outputs), self.outputs // 2)
        return np.stack([turned if layer % 2 else rng.permutation(self.outputs) for layer in range(self.layers)])

"""The variational autoencoder, whose code is a normal distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Activation
from hepjax.models.bounds import at_least, each_value
from hepjax.models.layers.activations import ActivationLike
from hepjax.models.mlp import MLP
from hepjax.models.model import FeatureModel, Reconstructing
from hepjax.models.registry import register
from hepjax.types import Conditioned, Reconstruction

if TYPE_CHECKING:
    from hepjax.types import Array

_WIDEST = 10.0
"""Log-variances stay within plus and minus this, so that no width over- or underflows."""


@register("variational-autoencoder")
class VariationalAutoencoder(Reconstructing, FeatureModel):
    """An autoencoder whose code is a normal distribution (arXiv:1312.6114); given a condition, of arXiv:1406.5298.

    Its outputs are as many as the features.
    """

    serves: ClassVar[tuple[str, ...]] = ("anomaly", "generation")

    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (64, 32)
    """Widths of the encoder's layers; the decoder has them the other way round."""
    latent: Annotated[int, at_least(1)] = 8
    """Width of the code."""
    activation: ActivationLike = Activation.TANH
    """Activation after every hidden layer."""

    @nn.nowrap
    def output_count(self, asked: int) -> int:  # noqa: ARG002
        """Returns the number of features."""
        return len(self.features)

    @nn.nowrap
    def is_variational(self) -> bool:
        """Returns True: the code is a normal distribution."""
        return True

    def setup(self) -> None:
        """The two networks."""
        self.encoder = MLP(hidden=self.hidden, outputs=2 * self.latent, activation=self.activation)
        self.decoder = MLP(hidden=self.hidden[::-1], outputs=self.outputs, activation=self.activation)

    def __call__(
        self, x: jax.Array | Conditioned, mask: jax.Array | None = None, train: bool = False
    ) -> Reconstruction:
        """Args: x, (B, F) float, or such values with a condition (B, K); mask, (B,) bool, changes nothing.

        Returns: what is decoded of a draw from the code's distribution while training, of its mean else; and that
        distribution. Training draws from the rng `dropout`.
        """
        values, condition = x if isinstance(x, Conditioned) else (x, None)
        mean, raw = jnp.split(self.encoder(_join_condition(values, condition), mask, train), 2, axis=-1)
        log_variance = _WIDEST * jnp.tanh(raw / _WIDEST)
        code = mean
        if train:
            code += jnp.exp(0.5 * log_variance) * jax.random.normal(self.make_rng("dropout"), mean.shape, mean.dtype)
        return Reconstruction(self.decode(code, condition), mean, log_variance)

    def decode(self, z: jax.Array, condition: Array | None = None) -> jax.Array:
        """Args: z, (B, L) codes; condition, (B, K), where the network was trained with one.

        Returns: (B, F) the means of what they stand for.
        """
        decoded: jax.Array = self.decoder(_join_condition(z, condition))
        return decoded


def _join_condition(values: jax.Array, condition: Array | None = None) -> jax.Array:
    return values if condition is None else jnp.concatenate([values, condition], axis=-1)

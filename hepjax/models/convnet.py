"""The convolutional network on jet images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Activation, Norm
from hepjax.models.bounds import at_least, at_most, below, each_value, not_empty
from hepjax.models.layers.activations import ActivationLike
from hepjax.models.layers.convolutions import convolve, kernels_rule
from hepjax.models.layers.empty_jets import jets_of_batch_statistics, uniform_where_empty
from hepjax.models.mlp import MLP
from hepjax.models.model import ImageModel
from hepjax.models.registry import register

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepjax.types import Rule


@register("convnet")
class ConvNet(ImageModel):
    """A convolutional network on jet images (arXiv:1511.05190).

    Convolutions over the image, each with normalization, activation, max pooling and dropout; then dense layers. The
    convolutional tagger of arXiv:1908.05318 has one layer of 10 filters, kernel 3, pool 5, hidden=(50, 50, 50). The
    image is padded with zeros and keeps its size; pixels that do not fill a pooling window are left out.
    """

    filters: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (16, 32, 64)
    """Filters of each convolution."""
    kernels: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1)), each_value(at_most(1000))] = (5, 3, 3)
    """Side of each convolution's window, in pixels."""
    pool: Annotated[int, at_least(1), at_most(1000)] = 2
    """Side of the pooling window after each convolution; 1 does not pool."""
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (64,)
    """Widths of the dense layers at the end."""
    activation: ActivationLike = Activation.RELU
    """Activation after every layer but the last."""
    dropout: Annotated[float, at_least(0), below(1)] = 0.0
    """Probability of dropping a unit after each layer while training."""
    norm: Norm = Norm.NONE
    """Normalization before each activation; batch statistics of convolutions count pixels."""

    @nn.nowrap
    def rules(self) -> Iterable[Rule]:
        """Returns the rule that each convolution has a kernel."""
        return (*super().rules(), kernels_rule(self))

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns (B, outputs), 0 for an image that is 0 everywhere, of x, (B, H, W, channels) float.

        Batch statistics leave out rows where mask, (B,) bool, is False. Training draws from the rng `dropout`.
        InputError where the pooling windows do not fit into the image.
        """
        filled = jnp.any(x != 0, axis=(1, 2, 3))
        examples = jets_of_batch_statistics(filled, mask)
        y = convolve(self, x, examples, train)
        head = MLP(
            hidden=self.hidden,
            outputs=self.outputs,
            activation=self.activation,
            dropout=self.dropout,
            norm=self.norm,
        )
        return uniform_where_empty(head(y.reshape(len(y), -1), examples, train), filled)

"""The convolutional autoencoder of jet images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Activation, PixelScale
from hepjax.models.bounds import at_least, each_value, not_empty
from hepjax.models.layers.activations import Activate, ActivationLike, units
from hepjax.models.model import ImageModel, Reconstructing
from hepjax.models.registry import register
from hepjax.types import Reconstruction, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable


@register("conv-autoencoder")
class ConvAutoencoder(Reconstructing, ImageModel):
    """Convolutions down to a code and back, for jet images (arXiv:1808.08979, sec. 3; arXiv:1808.08992).

    A layer first makes one pixel of s x s, with a channel for each of them, and then looks at 3 x 3 of these: this is a
    convolution with a window of 3 s and stride s. The way back is its transpose, as a convolution whose channels become
    pixels (arXiv:1609.05158).
    """

    pixel_scale: PixelScale = PixelScale.AMPLITUDE
    """What the network sees of it, and gives back."""
    filters: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (16, 32)
    """Channels of each layer."""
    strides: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (4, 2)
    """Stride of each layer; their product divides the pixels along a side."""
    latent: Annotated[int, at_least(1)] = 8
    """Width of the code."""
    activation: ActivationLike = Activation.LEAKY_RELU
    """Activation after every layer but the code and the last."""

    @nn.nowrap
    def rules(self) -> Iterable[Rule]:
        """Returns the rules of the strides."""
        count, shrunk = len(self.filters), math.prod(self.strides)
        yield from super().rules()
        yield Rule("--strides", self.strides, len(self.strides) == count, f"one for each of the {count} --filters")
        fits = shrunk > 0 and self.pixels % shrunk == 0
        yield Rule("--strides", self.strides, fits, f"a product that divides the {self.pixels} --pixels")

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> Reconstruction:  # noqa: ARG002
        """Args: x, (B, H, W, channels) float; mask, (B,) bool, and train change nothing.

        Returns: the images as they come back, and the code.
        """
        act, y = Activate(activation=self.activation), x
        for filters, stride in zip(self.filters, self.strides, strict=True):
            y = act(
                nn.Dense(units(self.activation, filters))(_stack_neighbor_pixels(_gather_pixels_to_channels(y, stride)))
            )
        small = y.shape[1:]
        code = nn.Dense(self.latent)(y.reshape(len(y), -1))
        y = act(nn.Dense(units(self.activation, math.prod(small)))(code)).reshape(-1, *small)
        for filters, stride in zip(self.filters[-2::-1], self.strides[:0:-1], strict=True):
            y = _spread_channels_to_pixels(
                act(nn.Dense(units(self.activation, filters * stride**2))(_stack_neighbor_pixels(y))), stride
            )
        values = _spread_channels_to_pixels(
            nn.Dense(x.shape[-1] * self.strides[0] ** 2)(_stack_neighbor_pixels(y)), self.strides[0]
        )
        return Reconstruction(values, code, code[:, :0])


def _stack_neighbor_pixels(x: jax.Array) -> jax.Array:
    """Gives each pixel its eight neighbors as channels, zeros beyond the edge: (B, H, W, C) → (B, H, W, 9 C).

    A product with a matrix follows: inside a loop XLA's own convolution takes ten times as long on a CPU.
    """
    height, width = x.shape[1:3]
    padded = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    moved = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.concatenate(moved, axis=-1)


def _gather_pixels_to_channels(x: jax.Array, s: int) -> jax.Array:
    """Pixels of s x s as channels of one: (B, H, W, C) → (B, H/s, W/s, s² C)."""
    count, height, width, channels = x.shape
    blocks = x.reshape(count, height // s, s, width // s, s, channels)
    return jnp.swapaxes(blocks, 2, 3).reshape(count, height // s, width // s, s * s * channels)


def _spread_channels_to_pixels(x: jax.Array, s: int) -> jax.Array:
    """The other way: (B, H, W, s² C) → (B, s H, s W, C)."""
    count, height, width, channels = x.shape
    blocks = x.reshape(count, height, width, s, s, channels // (s * s))
    return jnp.swapaxes(blocks, 2, 3).reshape(count, s * height, s * width, channels // (s * s))

"""The convolutional autoencoder of jet images."""

from __future__ import annotations

import math
from typing import Annotated

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Activation
from hepjax.errors import InputError
from hepjax.models.bounds import at_least, each, not_empty
from hepjax.models.layers.activations import Activate, ActivationLike, units
from hepjax.models.model import Model
from hepjax.types import Reconstruction


class ConvAutoencoder(Model):
    """Convolutions down to a code and back, for jet images (arXiv:1808.08979, sec. 3; arXiv:1808.08992).

    A layer first makes one pixel of s x s, with a channel for each of them, and then looks at 3 x 3 of these: this is a
    convolution with a window of 3 s and stride s. The way back is its transpose, as a convolution whose channels become
    pixels (arXiv:1609.05158).
    """

    shape: tuple[int, int, int] = (40, 40, 1)
    """Shape of an image, (H, W, channels)."""
    filters: Annotated[tuple[int, ...], not_empty(), each(at_least(1))] = (16, 32)
    """Channels of each layer."""
    strides: Annotated[tuple[int, ...], not_empty(), each(at_least(1))] = (4, 2)
    """Stride of each layer; their product divides H and W."""
    latent: Annotated[int, at_least(1)] = 8
    """Width of the code."""
    activation: ActivationLike = Activation.LEAKY_RELU
    """Activation after every layer but the code and the last."""

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> Reconstruction:  # noqa: ARG002
        """Args: x, (B, H, W, channels) float; mask, (B,) bool, and train change nothing.

        Returns: the images as they come back, and the code.

        Raises: InputError, where the strides do not fit the filters or the shape, or the images have another shape.
        """
        shrunk = math.prod(self.strides)
        if len(self.strides) != len(self.filters) or self.shape[0] % shrunk or self.shape[1] % shrunk:
            raise InputError(
                f"strides: expected one for each of filters={self.filters} and a product that divides the sides of "
                f"shape={self.shape}, found {self.strides}"
            )
        if x.shape[1:] != self.shape:
            raise InputError(f"images: expected shape {self.shape}, found {x.shape[1:]}; give `shape` to the network")
        act, y = Activate(activation=self.activation), x
        for filters, stride in zip(self.filters, self.strides, strict=True):
            y = act(nn.Dense(units(self.activation, filters))(_around(_gathered(y, stride))))
        small = y.shape[1:]
        code = nn.Dense(self.latent)(y.reshape(len(y), -1))
        y = act(nn.Dense(units(self.activation, math.prod(small)))(code)).reshape(-1, *small)
        for filters, stride in zip(self.filters[-2::-1], self.strides[:0:-1], strict=True):
            y = _spread(act(nn.Dense(units(self.activation, filters * stride**2))(_around(y))), stride)
        values = _spread(nn.Dense(self.shape[-1] * self.strides[0] ** 2)(_around(y)), self.strides[0])
        return Reconstruction(values, code, code[:, :0])


def _around(x: jax.Array) -> jax.Array:
    """Each pixel with its eight neighbors as channels, zeros beyond the edge: (B, H, W, C) → (B, H, W, 9 C).

    A product with a matrix follows: inside a loop XLA's own convolution takes ten times as long on a CPU.
    """
    height, width = x.shape[1:3]
    padded = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    moved = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.concatenate(moved, axis=-1)


def _gathered(x: jax.Array, s: int) -> jax.Array:
    """Pixels of s x s as channels of one: (B, H, W, C) → (B, H/s, W/s, s² C)."""
    count, height, width, channels = x.shape
    blocks = x.reshape(count, height // s, s, width // s, s, channels)
    return jnp.swapaxes(blocks, 2, 3).reshape(count, height // s, width // s, s * s * channels)


def _spread(x: jax.Array, s: int) -> jax.Array:
    """The other way: (B, H, W, s² C) → (B, s H, s W, C)."""
    count, height, width, channels = x.shape
    blocks = x.reshape(count, height, width, s, s, channels // (s * s))
    return jnp.swapaxes(blocks, 2, 3).reshape(count, s * height, s * width, channels // (s * s))

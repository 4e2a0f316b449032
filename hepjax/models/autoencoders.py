"""Autoencoders: examples through a narrow code and back, dense, convolutional and variational."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Activation
from hepjax.errors import InputError
from hepjax.models.layers.activations import Activate, units
from hepjax.models.mlp import MLP
from hepjax.types import Conditioned, Reconstruction

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array

_WIDEST = 10.0
"""Log-variances stay within plus and minus this, so that no width over- or underflows."""


class Autoencoder(nn.Module):
    """Dense layers down to a code and back; an anomaly is what comes back badly (arXiv:1808.08979, 1808.08992).

    Attributes:
      features: F.
      hidden: the widths of the encoder's layers; the decoder has them the other way round.
      latent: L, the width of the code; below F, or nothing has to be learnt.
      activation: a name, or any function of one array.
    """

    features: int
    hidden: tuple[int, ...] = (64, 32)
    latent: int = 4
    activation: Activation | Callable[[Any], Any] = Activation.TANH

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> Reconstruction:
        """Args: x, (B, F) float; mask, (B,) bool, and train change nothing.

        Returns: the inputs as they come back, and the code.
        """
        code = MLP(self.hidden, self.latent, self.activation, name="encoder")(x, mask, train)
        values = MLP(self.hidden[::-1], self.features, self.activation, name="decoder")(code, mask, train)
        return Reconstruction(values, code, code[:, :0])


class VariationalAutoencoder(nn.Module):
    """An autoencoder whose code is a normal distribution (arXiv:1312.6114); given a condition, of arXiv:1406.5298.

    Attributes:
      features: F.
      hidden: the widths of the encoder's layers; the decoder has them the other way round.
      latent: L, the width of the code.
      activation: a name, or any function of one array.
    """

    features: int
    hidden: tuple[int, ...] = (64, 32)
    latent: int = 8
    activation: Activation | Callable[[Any], Any] = Activation.TANH

    def setup(self) -> None:
        """The two networks."""
        self.encoder = MLP(self.hidden, 2 * self.latent, self.activation)
        self.decoder = MLP(self.hidden[::-1], self.features, self.activation)

    def __call__(
        self, x: jax.Array | Conditioned, mask: jax.Array | None = None, train: bool = False
    ) -> Reconstruction:
        """Args: x, (B, F) float, or such values with a condition (B, K); mask, (B,) bool, changes nothing.

        Returns: what is decoded of a draw from the code's distribution while training, of its mean else; and that
        distribution. Training draws from the rng `dropout`.
        """
        values, condition = x if isinstance(x, Conditioned) else (x, None)
        mean, raw = jnp.split(self.encoder(_joined(values, condition), mask, train), 2, axis=-1)
        log_variance = _WIDEST * jnp.tanh(raw / _WIDEST)
        code = mean
        if train:
            code += jnp.exp(0.5 * log_variance) * jax.random.normal(self.make_rng("dropout"), mean.shape, mean.dtype)
        return Reconstruction(self.decode(code, condition), mean, log_variance)

    def decode(self, z: jax.Array, condition: Array | None = None) -> jax.Array:
        """Args: z, (B, L) codes; condition, (B, K), where the network was trained with one.

        Returns: (B, F) the means of what they stand for.
        """
        decoded: jax.Array = self.decoder(_joined(z, condition))
        return decoded


class ConvAutoencoder(nn.Module):
    """Convolutions down to a code and back, for jet images (arXiv:1808.08979, sec. 3; arXiv:1808.08992).

    A layer first makes one pixel of s x s, with a channel for each of them, and then looks at 3 x 3 of these: this is a
    convolution with a window of 3 s and stride s. The way back is its transpose, as a convolution whose channels become
    pixels (arXiv:1609.05158).

    Attributes:
      shape: of an image, (H, W, channels).
      filters: the channels of each layer.
      strides: s of each layer; their product divides H and W.
      latent: L, the width of the code.
      activation: a name, or any function of one array.
    """

    shape: tuple[int, int, int] = (40, 40, 1)
    filters: tuple[int, ...] = (16, 32)
    strides: tuple[int, ...] = (4, 2)
    latent: int = 8
    activation: Activation | Callable[[Any], Any] = Activation.LEAKY_RELU

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
        act, y = Activate(self.activation), x
        for filters, stride in zip(self.filters, self.strides, strict=True):
            y = act(nn.Dense(units(self.activation, filters))(_around(_gathered(y, stride))))
        small = y.shape[1:]
        code = nn.Dense(self.latent)(y.reshape(len(y), -1))
        y = act(nn.Dense(units(self.activation, math.prod(small)))(code)).reshape(-1, *small)
        for filters, stride in zip(self.filters[-2::-1], self.strides[:0:-1], strict=True):
            y = _spread(act(nn.Dense(units(self.activation, filters * stride**2))(_around(y))), stride)
        values = _spread(nn.Dense(self.shape[-1] * self.strides[0] ** 2)(_around(y)), self.strides[0])
        return Reconstruction(values, code, code[:, :0])


def _joined(values: jax.Array, condition: Array | None = None) -> jax.Array:
    return values if condition is None else jnp.concatenate([values, condition], axis=-1)


def _around(x: jax.Array) -> jax.Array:
    """Each pixel with its eight neighbours as channels, zeros beyond the edge: (B, H, W, C) → (B, H, W, 9 C).

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

"""Convolutional networks: over images, and along the list of particles."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from hepjax.errors import InputError
from hepjax.models.activations import Activate, units
from hepjax.models.empty import counted, uniform_where_empty
from hepjax.models.mlp import MLP
from hepjax.models.norms import normalise
from hepjax.types import Activation, Norm

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Sequences


class ConvNet(nn.Module):
    """Convolutions over an image, each with normalisation, activation, max pooling and dropout; then dense layers.

    The convolutional tagger of arXiv:1908.05318 has one layer of 10 filters, kernel 3, pool 5, hidden=(50, 50, 50).

    Attributes:
      filters: the channels of each convolution.
      kernels: the side of each convolution's square window; the image is padded with zeros and keeps its size.
      pool: the side of the pooling window after each convolution; what does not fill a window is left out.
      hidden: the widths of the dense layers.
      classes: C.
      activation: a name, or any function of one array.
      dropout: the probability of dropping a pooled or hidden unit while training.
      norm: before each activation; batch statistics of convolutions count pixels.
    """

    filters: tuple[int, ...] = (8, 16, 32)
    kernels: tuple[int, ...] = (5, 3, 3)
    pool: int = 2
    hidden: tuple[int, ...] = (64,)
    classes: int = 5
    activation: Activation | Callable[[Any], Any] = Activation.RELU
    dropout: float = 0.0
    norm: Norm = Norm.NONE

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Args: x, (B, H, W, channels) float; mask, (B,) bool, False for rows that batch statistics leave out.

        Returns: (B, C) logits, 0 for an image that is 0 everywhere. Training draws from the rng `dropout`.

        Raises: InputError, where the pooling windows do not fit into the image.
        """
        there = jnp.any(x != 0, axis=(1, 2, 3))
        examples = counted(there, mask)
        y = _convolve(self, x, examples, train)
        head = MLP(self.hidden, self.classes, self.activation, self.dropout, self.norm)
        return uniform_where_empty(head(y.reshape(len(y), -1), examples, train), there)


class ConvNet1D(nn.Module):
    """Convolutions along the list of particles, each with normalisation, activation, max pooling and dropout.

    The order of the particles matters, and their number P is fixed by the parameters of the dense layers at the end.
    Padding is seen as particles of zeros.

    Attributes:
      filters: the channels of each convolution.
      kernels: the particles in each convolution's window; the list is padded with zeros and keeps its length.
      pool: the particles in the pooling window after each convolution; what does not fill a window is left out.
      hidden: the widths of the dense layers.
      classes: C.
      activation: a name, or any function of one array.
      dropout: the probability of dropping a pooled or hidden unit while training.
      norm: before each activation; batch statistics of convolutions count particles, and windows that hold one.
    """

    filters: tuple[int, ...] = (32, 32)
    kernels: tuple[int, ...] = (3, 3)
    pool: int = 2
    hidden: tuple[int, ...] = (64,)
    classes: int = 5
    activation: Activation | Callable[[Any], Any] = Activation.RELU
    dropout: float = 0.0
    norm: Norm = Norm.NONE

    @nn.compact
    def __call__(self, x: Sequences, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Args: x, values (B, P, F) and mask (B, P); mask, (B,) bool, False for rows that batch statistics leave out.

        Returns: (B, C) logits, 0 for a jet without particles. Training draws from the rng `dropout`.

        Raises: InputError, where the pooling windows do not fit into the list.
        """
        there = jnp.any(x.mask, axis=1)
        examples = counted(there, mask)
        values = jnp.where(x.mask[..., None], x.values, 0)
        y = _convolve(self, values, x.mask & examples[:, None], train)
        head = MLP(self.hidden, self.classes, self.activation, self.dropout, self.norm)
        return uniform_where_empty(head(y.reshape(len(y), -1), examples, train), there)


def _convolve(net: ConvNet | ConvNet1D, x: jax.Array, mask: jax.Array, train: bool) -> jax.Array:
    """The convolutions of a network; `mask` is (B,), or (B, P) along a list. Returns (B, ..., channels)."""
    if len(net.kernels) != len(net.filters):
        raise InputError(f"kernels: expected one for each of filters={net.filters}, found {net.kernels}")
    for i, (width, kernel) in enumerate(zip(net.filters, net.kernels, strict=True)):
        if min(x.shape[1:-1]) < net.pool:
            sides = " x ".join(map(str, x.shape[1:-1]))
            raise InputError(
                f"pool: a window of {net.pool} does not fit into the {sides} left before convolution {i + 1}; "
                "give a smaller pool, fewer filters or a larger input"
            )
        y = _WindowedConv(units(net.activation, width), kernel, net.pool, name=f"Conv_{i}")(x)
        if mask.ndim > 1:
            mask = mask[:, : y.shape[1] * net.pool].reshape(*y.shape[:2], net.pool)
        y = Activate(net.activation)(normalise(y, net.norm, mask, train))
        x = nn.Dropout(net.dropout, deterministic=not train)(_largest(y))
        mask = mask.any(axis=-1) if mask.ndim > 1 else mask
    return x


@jax.custom_jvp
def _largest(y: jax.Array) -> jax.Array:
    """The largest answer of each window: (..., places, channels) → (..., channels)."""
    return jnp.max(y, axis=-2)


@_largest.defjvp
def _largest_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    # The gradient of `jnp.max` asks which place equals the largest. XLA may compute a place once more in between, and
    # differently in the last bit, say with a fused multiply-add: then none does, and the gradient is lost.
    (y,), (change,) = primals, tangents
    chosen = jax.nn.one_hot(jnp.argmax(y, axis=-2), y.shape[-2], axis=-2, dtype=y.dtype)
    return _largest(y), jnp.sum(change * chosen, axis=-2)


class _WindowedConv(nn.Module):
    """`nn.Conv` with padding "SAME", its answers grouped by the pooling window that each falls into.

    Windows do not overlap, so one matrix product gives all answers of a window. Its matrix holds the kernel once for
    each place in the window; on a CPU that trains 1.6 to 2.1 times faster than `nn.Conv` and `nn.max_pool`.
    """

    filters: int
    kernel: int
    pool: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Args: x, (B, ..., channels). Returns: (B, ... // pool, pool ** axes, filters)."""
        axes, (k, p) = x.ndim - 2, (self.kernel, self.pool)
        shape = (k,) * axes + (x.shape[-1], self.filters)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.filters,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias)
        if p == 1:  # Nothing to gain, and the patches would fill the memory.
            letters = "HW"[:axes]
            layout = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
            y = jax.lax.conv_general_dilated(x, kernel, (1,) * axes, "SAME", dimension_numbers=layout)
            return jnp.add(jnp.expand_dims(y, -2), bias)
        for axis in range(axes, 0, -1):
            windows = x.shape[axis] // p
            x = jnp.pad(x, [((k - 1) // 2, k // 2) if a == axis else (0, 0) for a in range(x.ndim)])
            x = jnp.concatenate(
                [jax.lax.slice_in_dim(x, i, i + (windows - 1) * p + 1, p, axis) for i in range(k + p - 1)], axis=-1
            )
        places = itertools.product(range(p), repeat=axes)
        moved = [jnp.pad(kernel, [*((at, p - 1 - at) for at in place), (0, 0), (0, 0)]) for place in places]
        matrix = jnp.stack(moved, axis=-2).reshape(x.shape[-1], -1)
        return jnp.add(jnp.reshape(x @ matrix, (*x.shape[:-1], -1, self.filters)), bias)

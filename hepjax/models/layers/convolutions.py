"""Convolutions with pooling, over images and along lists, fast on CPUs too."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from hepjax.choices import Activation, Norm
from hepjax.errors import InputError
from hepjax.models.layers.activations import Activate, ActivationLike, units
from hepjax.models.layers.norms import normalize_layer
from hepjax.types import Rule

_RISING = frozenset(
    {
        Activation.IDENTITY,
        Activation.SIGMOID,
        Activation.TANH,
        Activation.ARCTAN,
        Activation.RELU,
        Activation.LEAKY_RELU,
        Activation.ELU,
        Activation.SELU,
        Activation.SOFTPLUS,
    }
)
"""What never falls: the activation of the largest is the largest activation."""

_AT_ONCE = 2**21
"""Numbers in the patches and in the answers that are worked on at once: on a CPU they should stay in its cache."""

_FEWEST = 8
"""Examples that are worked on at once, at least; several devices share them."""


class Convolutional(Protocol):
    """The options of a network with convolutions."""

    filters: tuple[int, ...]
    kernels: tuple[int, ...]
    pool: int
    activation: ActivationLike
    dropout: float
    norm: Norm


def kernels_rule(net: Convolutional) -> Rule:
    """Returns the rule that each convolution has a kernel."""
    good = len(net.kernels) == len(net.filters)
    return Rule("--kernels", net.kernels, good, f"as many as --filters, {len(net.filters)}")


def convolve(net: Convolutional, x: jax.Array, mask: jax.Array, train: bool) -> jax.Array:
    """Applies the convolutions of a network, each with normalization, activation, max pooling and dropout.

    Args:
      net: the network, inside whose compact call this is.
      x: (B, ..., channels) float.
      mask: (B,) bool, False for rows that batch statistics leave out; or (B, P) along a list.
      train: whether dropout and batch statistics act.

    Returns:
      (B, ..., channels).

    Raises:
      InputError: there are not as many kernels as filters, or the pooling windows do not fit.
    """
    if len(net.kernels) != len(net.filters):
        raise InputError(f"kernels: expected one for each of filters={net.filters}, found {net.kernels}")
    # Then the largest comes first, and normalization and activation see one answer of each window.
    first = net.norm is Norm.NONE and isinstance(net.activation, Activation) and net.activation in _RISING
    for i, (width, kernel) in enumerate(zip(net.filters, net.kernels, strict=True)):
        if min(x.shape[1:-1]) < net.pool:
            sides = " x ".join(map(str, x.shape[1:-1]))
            raise InputError(
                f"pool: a window of {net.pool} does not fit into the {sides} left before convolution {i + 1}; "
                "give a smaller pool, fewer filters or a larger input"
            )
        y = _WindowedConv(units(net.activation, width), kernel, net.pool, first, name=f"Conv_{i}")(x)
        if mask.ndim > 1:
            mask = mask[:, : y.shape[1] * net.pool].reshape(*y.shape[:2], net.pool)
        y = Activate(activation=net.activation)(normalize_layer(y, net.norm, mask, train))
        x = nn.Dropout(net.dropout, deterministic=not train)(y if first else _max_pool(y))
        mask = mask.any(axis=-1) if mask.ndim > 1 else mask
    return x


@jax.custom_jvp
def _max_pool(y: jax.Array) -> jax.Array:
    """The largest answer of each window: (..., places, channels) → (..., channels)."""
    return jnp.max(y, axis=-2)


@_max_pool.defjvp
def _max_pool_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    # The gradient of `jnp.max` asks which place equals the largest. XLA may compute a place once more in between, and
    # differently in the last bit, say with a fused multiply-add: then none does, and the gradient is lost.
    (y,), (change,) = primals, tangents
    chosen = jax.nn.one_hot(jnp.argmax(y, axis=-2), y.shape[-2], axis=-2, dtype=y.dtype)
    return _max_pool(y), jnp.sum(change * chosen, axis=-2)


class _WindowedConv(nn.Module):
    """`nn.Conv` with padding "SAME", its answers grouped by the pooling window that each falls into.

    Windows do not overlap, so one matrix product gives all answers of a window. Its matrix holds the kernel once for
    each place in the window.
    """

    filters: int
    kernel: int
    pool: int
    largest: bool
    """Whether only the largest answer of each window is asked for."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Args: x, (B, ..., channels).

        Returns: (B, ... // pool, pool ** axes, filters), or the largest of each window, (B, ... // pool, filters).
        """
        axes, p = x.ndim - 2, self.pool
        shape = (self.kernel,) * axes + (x.shape[-1], self.filters)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.filters,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias)
        if p == 1:  # Nothing to gain, and the patches would fill the memory.
            letters = "HW"[:axes]
            layout = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
            y = jax.lax.conv_general_dilated(x, kernel, (1,) * axes, "SAME", dimension_numbers=layout)
            y = y if self.largest else jnp.expand_dims(y, -2)
        elif self.largest:
            y = _pooled_convolution(x, kernel, p)
        else:
            y = _convolution_patches(x, self.kernel, p) @ _convolution_matrix(kernel, p)
            y = jnp.reshape(y, (*y.shape[:-1], -1, self.filters))
        return jnp.add(y, bias)


def _convolution_patches(x: jax.Array, k: int, p: int) -> jax.Array:
    """Gathers the pixels of each window: (B, ..., channels) → (B, ... // p, (k + p - 1) ** axes · channels)."""
    for axis in range(x.ndim - 2, 0, -1):
        windows = x.shape[axis] // p
        x = jnp.pad(x, [((k - 1) // 2, k // 2) if a == axis else (0, 0) for a in range(x.ndim)])
        x = jnp.concatenate(
            [jax.lax.slice_in_dim(x, i, i + (windows - 1) * p + 1, p, axis) for i in range(k + p - 1)], axis=-1
        )
    return x


def _convolution_matrix(kernel: jax.Array, p: int) -> jax.Array:
    """The kernel at each place of a window: (a patch, places · filters)."""
    places = itertools.product(range(p), repeat=kernel.ndim - 2)
    moved = [jnp.pad(kernel, [*((at, p - 1 - at) for at in place), (0, 0), (0, 0)]) for place in places]
    return jnp.stack(moved, axis=-2).reshape(-1, len(moved) * kernel.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _pooled_convolution(x: jax.Array, kernel: jax.Array, p: int) -> jax.Array:
    """The largest answer of each window: (B, ..., channels) → (B, ... // p, filters).

    On a CPU some examples at a time, whose patches and answers stay in its cache. What is kept for the gradient is the
    place of the largest answer.
    """
    return _pooled_convolution_kernel(x, kernel, p)[0]


def _pooled_convolution_kernel(x: jax.Array, kernel: jax.Array, p: int) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    matrix, parts, places = _convolution_matrix(kernel, p), _batch_part_count(x, kernel, p), p ** (x.ndim - 2)
    index = jnp.int8 if places < 128 else jnp.int32

    def best(part: jax.Array) -> tuple[jax.Array, jax.Array]:
        answers = jnp.split(_convolution_patches(part, kernel.shape[0], p) @ matrix, places, axis=-1)
        largest, place = answers[0], jnp.zeros(answers[0].shape, index)
        for at, answer in enumerate(answers[1:], 1):
            place = jnp.where(answer > largest, jnp.asarray(at, index), place)
            largest = jnp.maximum(answer, largest)
        return largest, place

    def some(i: Any, found: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        largest, place = best(_strided_batch_part(x, i, parts))
        return _put_batch_part(found[0], largest, i), _put_batch_part(found[1], place, i)

    if parts == 1:  # no loop, which an exported model would keep
        largest, place = best(x)
        return largest, (x, kernel, place)
    shape = (len(x) // parts, parts, *(size // p for size in x.shape[1:-1]), kernel.shape[-1])
    largest, place = jax.lax.fori_loop(0, parts, some, (_output_buffer(shape, x.dtype), _output_buffer(shape, index)))
    largest, place = (found.reshape(len(x), *shape[2:]) for found in (largest, place))
    return largest, (x, kernel, place)


def _pooled_convolution_gradient(p: int, kept: tuple[jax.Array, ...], change: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Propagates the gradient of each window's largest output; patches are computed again rather than kept."""
    x, kernel, place = kept
    matrix, to_kernel = jax.vjp(functools.partial(_convolution_matrix, p=p), kernel)
    places, width, parts = p ** (x.ndim - 2), kernel.shape[-1], _batch_part_count(x, kernel, p)

    def some(i: Any, found: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        part, at, slope = (_strided_batch_part(each, i, parts) for each in (x, place, change))
        patches, to_part = jax.vjp(lambda x: _convolution_patches(x, kernel.shape[0], p), part)
        spread = jnp.concatenate([jnp.where(at == j, slope, 0) for j in range(places)], axis=-1)
        # As matrices: of more axes XLA makes a transposed copy first.
        here = patches.reshape(-1, len(matrix)).T @ spread.reshape(-1, places * width)
        return found[0] + here, _put_batch_part(found[1], to_part(spread @ matrix.T)[0], i)

    start = jnp.zeros_like(matrix), _output_buffer((len(x) // parts, parts, *x.shape[1:]), x.dtype)
    total, by_x = jax.lax.fori_loop(0, parts, some, start)
    return by_x.reshape(x.shape), to_kernel(total)[0]


_pooled_convolution.defvjp(_pooled_convolution_kernel, _pooled_convolution_gradient)


def _batch_part_count(x: jax.Array, kernel: jax.Array, p: int) -> int:
    """Chooses the number of parts of a batch."""
    if jax.default_backend() != "cpu":
        return 1
    axes, windows = x.ndim - 2, math.prod(size // p for size in x.shape[1:-1])
    widest = max((kernel.shape[0] + p - 1) ** axes * x.shape[-1], p**axes * kernel.shape[-1])
    possible = [n for n in range(1, len(x) // _FEWEST + 1) if len(x) % n == 0]
    return next((n for n in possible if len(x) // n * windows * widest <= _AT_ONCE), max(possible, default=1))


def _output_buffer(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Allocates an array that the parts of a batch fill."""
    found: jax.Array = jax.lax.empty(shape, dtype)
    return found


def _strided_batch_part(x: jax.Array, i: Any, parts: int) -> jax.Array:
    """Takes every `parts`-th example from the i-th on: of all devices, where the batch is spread over several."""
    found: jax.Array = jax.lax.dynamic_index_in_dim(x.reshape(-1, parts, *x.shape[1:]), i, axis=1, keepdims=False)
    return found


def _put_batch_part(found: jax.Array, part: jax.Array, i: Any) -> jax.Array:
    updated: jax.Array = jax.lax.dynamic_update_index_in_dim(found, part, i, axis=1)
    return updated

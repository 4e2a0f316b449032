"""Sums over all ordered pairs of a jet's particles, as plain functions of arrays."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_VECTOR = 8
_AT_ONCE = 3
"""Receivers in a step of the loop, whose operations then overlap on two CPU cores: 1.25 times as fast as one."""
_DENSE_PAIRS = 30_000
"""Pairs in a batch up to which one tensor of them all is the fastest, measured on two CPU cores. Of twice as many, one
training step took 0.9 to 2.2 times as long as receiver by receiver, differently from run to run."""


class Layer(NamedTuple):
    """A dense layer and what follows it."""

    kernel: jax.Array
    """(inputs, outputs)."""
    bias: jax.Array
    """(outputs,)."""
    activate: Callable[[jax.Array], jax.Array]
    """Acts on the last axis."""
    elementwise: bool
    """Whether it acts on any axis alike."""


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _exponential_activation(x: jax.Array, alpha: float, scale: float) -> jax.Array:
    """Its slope follows from its value, so that a layer keeps one tensor and takes one exponential of it.

    To rounding of 1, which suffices for a sum of messages; `jax.nn.elu` takes three times as long on a CPU.
    """
    return scale * (jnp.maximum(x, 0) + alpha * (jnp.exp(jnp.minimum(x, 0)) - 1))


@_exponential_activation.defjvp
def _exponential_activation_jvp(
    alpha: float, scale: float, x: tuple[jax.Array], change: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    y = _exponential_activation(x[0], alpha, scale)
    return y, change[0] * jnp.where(y > 0, scale, y + scale * alpha)


def elu(x: jax.Array) -> jax.Array:
    """ELU.

    >>> print(elu(jnp.array([-1.0, 0.0, 2.0])).round(4))
    [-0.6321  0.      2.    ]
    """
    return _exponential_activation(x, 1.0, 1.0)


def selu(x: jax.Array) -> jax.Array:
    """SELU (arXiv:1706.02515).

    >>> print(selu(jnp.array([-1.0, 0.0, 2.0])).round(4))
    [-1.1113  0.      2.1014]
    """
    return _exponential_activation(x, 1.6732632423543772, 1.0507009873554805)


def run(layers: Sequence[Layer], x: jax.Array) -> jax.Array:
    """Features last: (..., F) → (..., D).

    >>> run([Layer(jnp.ones((3, 2)), jnp.zeros(2), elu, True)], jnp.ones((4, 3))).tolist()[0]
    [3.0, 3.0]
    """
    for layer in layers:
        x = layer.activate(x @ layer.kernel + layer.bias)
    return x


def particles_per_slot(mask: jax.Array, slots: int | None, *, masked: bool) -> jax.Array:
    """Counts the particles that each slot stands for.

    Args:
      mask: (B, P) bool, True for a particle; particles come first.
      slots: the particles that each jet is filled up to by padding, P or more; None is P.
      masked: whether padding counts for nothing.

    Returns:
      (B, P) float. A particle counts 1. Where padding takes part and P slots do not hold all of it, its first slot
      stands for all, and no other counts.

    >>> particles_per_slot(jnp.array([[True, True, False, False]]), 150, masked=False).tolist()
    [[1.0, 1.0, 148.0, 0.0]]
    """
    if masked:
        return mask.astype(float)
    if slots in {None, mask.shape[1]}:
        return jnp.ones(mask.shape)
    particles = mask.sum(axis=1, keepdims=True)
    padding = jnp.where(jnp.arange(mask.shape[1]) == particles, slots - particles, 0)
    return jnp.where(mask, 1, padding).astype(float)


def weights(counts: jax.Array, itself: jax.Array) -> jax.Array:
    """Counts how often a slot that stands for several particles sends; one less to its own slot.

    >>> weights(jnp.array([1.0, 1.0, 148.0, 0.0]), jnp.array([True, False, True, True])).tolist()
    [0.0, 1.0, 147.0, 0.0]
    """
    return jnp.maximum(counts - itself, 0)


def sum_all_pairs(layers: Sequence[Layer], x: jax.Array, counts: jax.Array) -> jax.Array:
    """The sum of messages to each slot, all pairs at once.

    Args:
      layers: of the function f of receiver and sender.
      x: (B, P, F) float, finite.
      counts: (B, P) float, how many particles each slot stands for.

    Returns:
      (B, P, D), the sum over all particles j but i itself of f(x_i, x_j).

    >>> layers = [Layer(jnp.ones((2, 1)), jnp.zeros(1), elu, True)]
    >>> sum_all_pairs(layers, jnp.array([[[1.0], [2.0], [4.0]]]), jnp.array([[1.0, 1.0, 0.0]]))[0, :, 0].tolist()
    [3.0, 3.0, 11.0]
    """
    received, sent, counts = _receiver_and_sender_parts(layers[0], x, counts)
    return jnp.moveaxis(_incoming_messages(layers, received, sent, jnp.arange(x.shape[1]), counts), 0, -1)


def sum_pairs_by_receiver(layers: Sequence[Layer], x: jax.Array, counts: jax.Array) -> jax.Array:
    """Computes the same as `sum_all_pairs`, one receiver after another; pairs are computed again for the gradient.

    Args:
      layers: as in `sum_all_pairs`.
      x: as in `sum_all_pairs`.
      counts: as in `sum_all_pairs`.

    Returns:
      As `sum_all_pairs`.

    >>> layers = [Layer(jnp.ones((2, 1)), jnp.zeros(1), elu, True)]
    >>> nodes, sends = jnp.array([[[1.0], [2.0], [4.0]]]), jnp.array([[1.0, 1.0, 0.0]])
    >>> sum_pairs_by_receiver(layers, nodes, sends)[0, :, 0].tolist()
    [3.0, 3.0, 11.0]
    """
    received, sent, counts = _receiver_and_sender_parts(layers[0], x, counts)

    def sum_to_receivers(part: tuple[jax.Array, jax.Array]) -> jax.Array:
        return _incoming_messages(layers, part[0], sent, part[1], counts)

    receivers = received, jnp.arange(x.shape[1])
    sums = map_receivers(sum_to_receivers, receivers, all_at_once=False, unroll=_AT_ONCE)
    return jnp.moveaxis(sums, 0, -1)


def are_few(jets: int, slots: int) -> bool:
    """Tells whether the pairs of a batch are so few that all at once are faster than receiver by receiver.

    >>> are_few(32, 30), are_few(1000, 30)
    (True, False)
    """
    return jets * slots * slots <= _DENSE_PAIRS


def map_receivers(function: Callable[[Any], Any], receivers: Any, *, all_at_once: bool, unroll: int = 1) -> Any:
    """Computes something of each receiver of pairs.

    Args:
      function: of a pytree of arrays whose last axis is of receivers, to another such.
      receivers: a pytree of arrays (..., R).
      all_at_once: whether to call the function once, or in a loop over receivers, of which it is called once for each.
        The loop needs the memory of one receiver: what it computed is computed again for the gradient.
      unroll: receivers in a step of the loop; more take longer to compile.

    Returns:
      What the function gives, (..., R).

    >>> map_receivers(lambda x: x.sum(0, keepdims=True), jnp.ones((3, 4)), all_at_once=False)
    Array([[3., 3., 3., 3.]], dtype=float32)
    """
    if all_at_once:
        return function(receivers)

    @partial(jax.checkpoint, prevent_cse=False)
    def of_one(none: None, receiver: Any) -> tuple[None, Any]:
        found = function(jax.tree.map(lambda x: x[..., None], receiver))
        return none, jax.tree.map(lambda x: x[..., 0], found)

    first = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), receivers)
    found = jax.lax.scan(of_one, None, first, unroll=unroll)[1]
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), found)


def _activate_features_first(layer: Layer, x: jax.Array) -> jax.Array:
    """The activation where features are the first axis."""
    return layer.activate(x) if layer.elementwise else jnp.moveaxis(layer.activate(jnp.moveaxis(x, 0, -1)), -1, 0)


@jax.custom_jvp
def feature_product(kernel: jax.Array, h: jax.Array) -> jax.Array:
    """(K, M) and (K, E) → (M, E); XLA is 1.1 times as fast on a CPU where the transpose is no part of the product.

    >>> feature_product(jnp.ones((3, 2)), jnp.ones((3, 4))).shape
    (2, 4)
    """
    found: jax.Array = jax.lax.optimization_barrier(kernel.T) @ h
    return found


@feature_product.defjvp
def _feature_product_jvp(
    at: tuple[jax.Array, jax.Array], change: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    return feature_product(*at), change[0].T @ at[1] + at[0].T @ change[1]


def _receiver_and_sender_parts(layer: Layer, x: jax.Array, counts: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The first layer's receiver and sender part, computed once per particle, and the counts of the senders.

    (B, P, F) and (B, P) → (H, B, P), (H, B, S) and (B, S). S is P, filled up for vector units with senders of count 0.
    """
    features, fill = x.shape[-1], -x.shape[1] % _VECTOR
    received = jnp.einsum("bpf,fh->hbp", x, layer.kernel[:features])
    sent = jnp.einsum("bpf,fh->hbp", jnp.pad(x, ((0, 0), (0, fill), (0, 0))), layer.kernel[features:])
    return received, sent, jnp.pad(counts, ((0, 0), (0, fill)))


def _incoming_messages(
    layers: Sequence[Layer], received: jax.Array, sent: jax.Array, receivers: jax.Array, counts: jax.Array
) -> jax.Array:
    """The sum of messages to each of the R `receivers`: (H, B, R), (H, B, S), (R,) and (B, S) → (D, B, R).

    Features first and edges last, so that each layer is one product of a small matrix with a wide one.
    """
    h = received[..., :, None] + sent[..., None, :]
    edges, h = h.shape[1:], h.reshape(len(h), -1)
    # The first bias only here, or XLA moves the reshape behind the activation and computes that in two passes.
    h = _activate_features_first(layers[0], h + layers[0].bias[:, None])
    for layer in layers[1:]:
        h = _activate_features_first(layer, feature_product(layer.kernel, h) + layer.bias[:, None])
    itself = receivers[:, None] == jnp.arange(edges[-1])
    h = h * weights(counts[:, None, :], itself).reshape(-1).astype(h.dtype)
    # A product with ones: XLA's weighted reduction is up to six times slower on a CPU.
    return h.reshape(-1, *edges) @ jnp.ones(edges[-1], h.dtype)

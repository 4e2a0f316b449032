"""Relevance of the messages between the particles of a jet in interaction and graph networks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.choices import PairForm
from hepjax.errors import InputError
from hepjax.evaluation.explanation.gradients import logits_of_class
from hepjax.types import Sequences

if TYPE_CHECKING:
    from flax import linen as nn

    from hepjax.types import Array, PyTree


class Messages(NamedTuple):
    """Messages between the particles of N jets, [jet, receiver, sender]; 0 where there is no message."""

    relevance: np.ndarray
    """(N, P, P) products of the messages and the gradients of the class's logit, summed over D_E."""
    size: np.ndarray
    """(N, P, P) Euclidean norms of the messages."""


def message_relevance(
    network: nn.Module,
    params: PyTree,
    model_state: PyTree,
    inputs: Any,
    class_index: int | Array,
    mask: np.ndarray | None = None,
) -> tuple[Messages, ...]:
    """Computes the first-order contribution of each message to the logit of a class.

    A particle of an interaction network receives the sum of its messages, so that its row adds up to that sum times its
    gradient. In a graph network with attention, the relevance includes the effect of a message on the weights.

    Args:
      network: an `InteractionNetwork` or a `GraphNetwork`.
      params: parameters of the network.
      model_state: other variables of the network.
      inputs: input of the network: `Sequences`, or a `GraphsTuple` of N jets, optionally followed by padding.
      class_index: one class index for all jets, or (N,) indices.
      mask: (N, P) bool, the particles of the graphs' jets in the order of the nodes; not needed for `Sequences`.

    Returns:
      The messages of each round; an interaction network has one round.

    Raises:
      InputError: the network has no messages, the mask does not fit, or the class does not exist.

    >>> from hepjax.models import InteractionNetwork, initialize
    >>> jets = Sequences(jnp.ones((2, 4, 3)), jnp.arange(4) < jnp.array([[4], [2]]))
    >>> network = InteractionNetwork(outputs=5)
    >>> (messages,) = message_relevance(network, *initialize(network, jax.random.key(0), jets), jets, class_index=4)
    >>> np.count_nonzero(messages.size, axis=(1, 2)).tolist()  # n (n - 1)
    [12, 2]
    """
    if isinstance(inputs, Sequences) and hasattr(network, "form"):
        network = network.clone(form=PairForm.SEGMENTS)  # the only form with a separate message for each pair
    variables = {"params": params, **model_state}

    def perturbations(inputs: Any) -> PyTree:
        state = network.apply(variables, inputs, train=False, mutable=["perturbations"])[1]
        return state.get("perturbations", {})

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(perturbations, inputs))
    names = sorted((name for name in zeros if name.startswith("messages")), key=lambda name: (len(name), name))
    if not names:
        raise InputError(
            f"network: expected one that passes messages, an InteractionNetwork or GraphNetwork, "
            f"found {type(network).__name__}"
        )

    def total(change: PyTree, inputs: Any) -> tuple[jax.Array, list[jax.Array]]:
        perturbed = {**variables, "perturbations": change}
        logits, state = network.apply(perturbed, inputs, train=False, mutable=["intermediates"])
        messages = [state["intermediates"][name][0] for name in names]
        return logits_of_class(jnp.asarray(logits), class_index).sum(), messages

    def relevance_and_size(change: PyTree, inputs: Any) -> list[tuple[jax.Array, jax.Array]]:
        slopes, messages = jax.grad(total, has_aux=True)(change, inputs)
        pairs = zip(messages, (slopes[name] for name in names), strict=True)
        return [((x * slope).sum(-1), jnp.sqrt((x**2).sum(-1))) for x, slope in pairs]

    if isinstance(inputs, Sequences):
        # Padding receives messages too, but a masked network ignores them.
        receives = np.asarray(inputs.mask) | (not getattr(network, "masked", True))
        to_matrix = partial(_message_matrix_of_pairs, receives)
    else:
        to_matrix = partial(_message_matrix_of_edges, inputs, mask)
    return tuple(Messages(*map(to_matrix, pair)) for pair in jax.jit(relevance_and_size)(zeros, inputs))


def _message_matrix_of_pairs(mask: np.ndarray, x: jax.Array) -> np.ndarray:
    """Arranges (N·P·P,) numbers of all pairs of slots as (N, P, P)."""
    jets, slots = mask.shape
    return np.where(mask[:, :, None] & mask[:, None, :], np.asarray(x).reshape(jets, slots, slots), 0)


def _message_matrix_of_edges(graph: Any, mask: np.ndarray | None, x: jax.Array) -> np.ndarray:
    """Arranges the numbers of all edges as (N, P, P)."""
    mask = np.zeros((0, 0), bool) if mask is None else np.asarray(mask)
    n_node, n_edge = np.asarray(graph.n_node)[: len(mask)], np.asarray(graph.n_edge)[: len(mask)]
    if len(mask) == 0 or not np.array_equal(mask.sum(axis=1), n_node):
        raise InputError(
            f"mask: expected (N, P), True for the {', '.join(map(str, np.asarray(graph.n_node)[:3]))} … nodes of the "
            f"graphs, found shape {mask.shape}; give the mask of the particles that the graphs were made of"
        )
    jet, slot = np.nonzero(mask)
    ends = [np.asarray(end)[: n_edge.sum()] for end in (graph.receivers, graph.senders)]
    matrix = np.zeros((*mask.shape, mask.shape[1]), np.float32)
    matrix[jet[ends[0]], slot[ends[0]], slot[ends[1]]] = np.asarray(x)[: n_edge.sum()]
    return matrix

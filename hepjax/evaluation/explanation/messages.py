"""Relevance of the messages between the particles of a jet: of edges, of nearest neighbors, and of attention."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from hepjax.choices import PairForm
from hepjax.errors import InputError
from hepjax.evaluation.explanation.gradients import logits_of_class

if TYPE_CHECKING:
    from collections.abc import Callable

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
    gradient. In a graph network with attention, the relevance includes the effect of a message on the weights. The
    messages of a ParticleNet are what its neighbors send, those of a transformer the weights of attention, a head each.

    Args:
      network: an `InteractionNetwork`, a `GraphNetwork`, a `ParticleNet` or a `ParticleTransformer`.
      params: parameters of the network.
      model_state: other variables of the network.
      inputs: of the network: `Sequences`, `ParticleInputs`, or a `GraphsTuple` of N jets, padding may follow.
      class_index: one class index for all jets, or (N,) indices.
      mask: (N, P) bool, the particles of the graphs' jets in the order of the nodes; not needed for others.

    Returns:
      The messages of each round; a round is a layer or a block.

    Raises:
      InputError: the network has no messages, the mask does not fit, or the class does not exist.

    >>> from hepjax.models import InteractionNetwork, initialize
    >>> from hepjax.types import Sequences
    >>> jets = Sequences(jnp.ones((2, 4, 3)), jnp.arange(4) < jnp.array([[4], [2]]))
    >>> network = InteractionNetwork(outputs=5)
    >>> (messages,) = message_relevance(network, *initialize(network, jax.random.key(0), jets), jets, class_index=4)
    >>> np.count_nonzero(messages.size, axis=(1, 2)).tolist()  # n (n - 1)
    [12, 2]
    """
    if hasattr(network, "form") and not hasattr(inputs, "n_node"):
        network = network.clone(form=PairForm.SEGMENTS)  # the only form with a separate message for each pair
    variables = {"params": params, **model_state}

    def perturbations(inputs: Any) -> PyTree:
        state = network.apply(variables, inputs, train=False, mutable=["perturbations"])[1]
        return state.get("perturbations", {})

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(perturbations, inputs))
    paths = sorted((path for path in _by_path(zeros) if path[-1].startswith("messages")), key=_in_order)
    if not paths:
        raise InputError(
            f"network: expected one that passes messages, such as an InteractionNetwork or a ParticleTransformer, "
            f"found {type(network).__name__}"
        )

    def total(change: PyTree, inputs: Any) -> tuple[jax.Array, PyTree]:
        perturbed = {**variables, "perturbations": change}
        logits, state = network.apply(perturbed, inputs, train=False, mutable=["intermediates"])
        return logits_of_class(jnp.asarray(logits), class_index).sum(), state["intermediates"]

    def relevance_and_size(change: PyTree, inputs: Any) -> list[tuple[jax.Array, jax.Array, Any]]:
        slopes, seen = jax.grad(total, has_aux=True)(change, inputs)
        slopes, seen = _by_path(slopes), _by_path(seen)
        rounds = ((slopes[path], seen[path][0], seen.get((*path[:-1], "neighbors"))) for path in paths)
        return [((x * slope).sum(-1), jnp.sqrt((x**2).sum(-1)), near) for slope, x, near in rounds]

    if hasattr(inputs, "n_node"):
        to_matrix: Callable[..., np.ndarray] = partial(_message_matrix_of_edges, inputs, mask)
    else:
        # Padding receives messages too, but a masked network ignores them.
        receives = np.asarray(inputs.mask) | (not getattr(network, "masked", True))
        to_matrix = partial(_message_matrix_of_pairs, receives)
    rounds = jax.jit(relevance_and_size)(zeros, inputs)
    return tuple(Messages(*(to_matrix(x, near and near[0]) for x in pair)) for *pair, near in rounds)


def _by_path(tree: PyTree) -> dict[tuple[str, ...], Any]:
    """Names of modules and of what they give → what it is."""
    flat: dict[tuple[str, ...], Any] = flatten_dict(tree)
    return flat


def _in_order(path: tuple[str, ...]) -> list[tuple[int, str]]:
    """Round 10 comes after round 9."""
    return [(len(name), name) for name in path]


def _message_matrix_of_pairs(mask: np.ndarray, x: jax.Array, near: tuple[jax.Array, jax.Array] | None) -> np.ndarray:
    """Arranges numbers of all pairs of slots, or of each slot and its neighbors, as (N, P, P)."""
    jets, slots = mask.shape
    if near is not None:
        places, exist = (np.asarray(each) for each in near)
        matrix = np.zeros((jets, places.shape[1], places.shape[1]), np.float32)
        np.put_along_axis(matrix, places, np.where(exist, np.asarray(x), 0), axis=2)
        return np.where(mask[:, :, None] & mask[:, None, :], matrix[:, :slots, :slots], 0)
    return np.where(mask[:, :, None] & mask[:, None, :], np.asarray(x).reshape(jets, slots, slots), 0)


def _message_matrix_of_edges(graph: Any, mask: np.ndarray | None, x: jax.Array, _: object) -> np.ndarray:
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

"""What the particles of a jet tell each other: the messages of interaction and graph networks, and what they do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.choices import PairForm
from hepjax.errors import InputError
from hepjax.evaluation.explanation.gradients import of_class
from hepjax.types import Sequences

if TYPE_CHECKING:
    from flax import linen as nn

    from hepjax.types import Array, PyTree


class Messages(NamedTuple):
    """The messages between the particles of N jets, [jet, receiver, sender]; 0 where there is none."""

    relevance: np.ndarray
    """(N, P, P) message times the gradient of the class's logit with respect to it, summed over D_E."""
    size: np.ndarray
    """(N, P, P) the Euclidean norm of the message."""


def message_relevance(
    network: nn.Module,
    params: PyTree,
    model_state: PyTree,
    inputs: Any,
    which: int | Array,
    mask: np.ndarray | None = None,
) -> tuple[Messages, ...]:
    """How much each message adds to a class's logit, to first order.

    Of the messages of an interaction network a particle hears only the sum, so its row adds up to that sum times its
    gradient. Where a graph network weighs messages by attention, relevance counts what a message does to the weights.

    Args:
      network: an `InteractionNetwork` or a `GraphNetwork`.
      params: its parameters.
      model_state: its other variables.
      inputs: what it takes: `Sequences`, or a `GraphsTuple` of N jets, of which padding may follow.
      which: a class index for all jets, or (N,) one for each.
      mask: (N, P) bool, the particles of the graphs' jets in the order of the nodes; not needed for `Sequences`.

    Returns:
      The messages of each round; of an interaction network there is one.

    Raises:
      InputError: the network has no messages, the mask does not fit, or there is no such class.

    >>> from hepjax.models import InteractionNetwork, initialize
    >>> jets = Sequences(jnp.ones((2, 4, 3)), jnp.arange(4) < jnp.array([[4], [2]]))
    >>> network = InteractionNetwork(outputs=5)
    >>> (found,) = message_relevance(network, *initialize(network, jax.random.key(0), jets), jets, which=4)
    >>> np.count_nonzero(found.size, axis=(1, 2)).tolist()  # n (n - 1)
    [12, 2]
    """
    if isinstance(inputs, Sequences) and hasattr(network, "form"):
        network = network.clone(form=PairForm.SEGMENTS)  # the one that has a message of its own for each pair
    variables = {"params": params, **model_state}

    def start(inputs: Any) -> PyTree:
        found = network.apply(variables, inputs, train=False, mutable=["perturbations"])[1]
        return found.get("perturbations", {})

    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(start, inputs))
    names = sorted((name for name in nothing if name.startswith("messages")), key=lambda name: (len(name), name))
    if not names:
        raise InputError(
            f"network: expected one that passes messages, an InteractionNetwork or GraphNetwork, "
            f"found {type(network).__name__}"
        )

    def total(change: PyTree, inputs: Any) -> tuple[jax.Array, list[jax.Array]]:
        opened = {**variables, "perturbations": change}
        logits, seen = network.apply(opened, inputs, train=False, mutable=["intermediates"])
        return of_class(jnp.asarray(logits), which).sum(), [seen["intermediates"][name][0] for name in names]

    def weighed(change: PyTree, inputs: Any) -> list[tuple[jax.Array, jax.Array]]:
        slopes, messages = jax.grad(total, has_aux=True)(change, inputs)
        pairs = zip(messages, (slopes[name] for name in names), strict=True)
        return [((x * slope).sum(-1), jnp.sqrt((x**2).sum(-1))) for x, slope in pairs]

    if isinstance(inputs, Sequences):
        # Padding hears messages too; where it takes no part, nobody hears of them.
        there = np.asarray(inputs.mask) | (not getattr(network, "masked", True))
        place = partial(_of_pairs, there)
    else:
        place = partial(_of_edges, inputs, mask)
    return tuple(Messages(*map(place, found)) for found in jax.jit(weighed)(nothing, inputs))


def _of_pairs(there: np.ndarray, x: jax.Array) -> np.ndarray:
    """(N·P·P,) over all pairs of slots → (N, P, P)."""
    jets, slots = there.shape
    return np.where(there[:, :, None] & there[:, None, :], np.asarray(x).reshape(jets, slots, slots), 0)


def _of_edges(graph: Any, mask: np.ndarray | None, x: jax.Array) -> np.ndarray:
    """(edges,) → (N, P, P)."""
    mask = np.zeros((0, 0), bool) if mask is None else np.asarray(mask)
    n_node, n_edge = np.asarray(graph.n_node)[: len(mask)], np.asarray(graph.n_edge)[: len(mask)]
    if len(mask) == 0 or not np.array_equal(mask.sum(axis=1), n_node):
        raise InputError(
            f"mask: expected (N, P), True for the {', '.join(map(str, np.asarray(graph.n_node)[:3]))} … nodes of the "
            f"graphs, found shape {mask.shape}; give the mask of the particles that the graphs were made of"
        )
    jet, slot = np.nonzero(mask)
    ends = [np.asarray(end)[: n_edge.sum()] for end in (graph.receivers, graph.senders)]
    found = np.zeros((*mask.shape, mask.shape[1]), np.float32)
    found[jet[ends[0]], slot[ends[0]], slot[ends[1]]] = np.asarray(x)[: n_edge.sum()]
    return found

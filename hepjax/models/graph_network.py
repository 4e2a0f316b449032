"""Message passing on graphs, composed with jraph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import jax
import jax.numpy as jnp
import jraph
from flax import linen as nn

from hepjax.choices import Activation
from hepjax.models.bounds import at_least, at_most, below, each_value, not_empty
from hepjax.models.layers.activations import Activate, ActivationLike, units
from hepjax.models.layers.empty_jets import uniform_where_empty
from hepjax.models.layers.inspection import sow_for_inspection
from hepjax.models.mlp import MLP
from hepjax.models.model import GraphModel
from hepjax.models.registry import register

if TYPE_CHECKING:
    from collections.abc import Callable


@register("graph-network")
class GraphNetwork(GraphModel):
    """Rounds of message passing on a graph of particles (arXiv:1806.01261).

    Its algorithm 1 and then a classifier. In each round every edge learns from its two ends and the jet, every node
    from the edges it receives and the jet, and the jet, which is jraph's globals, from the sums over its nodes and
    edges. Each round has parameters of its own. The first starts from an embedding of the features, one layer each;
    missing ones, None or of width 0, are left out. The layers of the rounds are normalized before their activation
    (arXiv:1607.06450): sums over particles would grow from round to round.
    """

    rounds: Annotated[int, at_least(1), at_most(1000)] = 2
    """Rounds of message passing."""
    edge: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (32, 32)
    """Widths of the layers that update edges."""
    node: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (32, 32)
    """Widths of the layers that update nodes."""
    jet: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (32, 32)
    """Widths of the layers that update the jet as a whole."""
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (32,)
    """Widths of the classifier's hidden layers."""
    attention: bool = False
    """Weigh messages by learned attention, a softmax of scores (arXiv:1710.10903)."""
    dropout: Annotated[float, at_least(0), below(1)] = 0.0
    """Probability of dropping a unit of the classifier while training."""
    activation: ActivationLike = Activation.RELU
    """Activation after every layer but the last."""

    @nn.compact
    def __call__(self, graph: jraph.GraphsTuple, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns the outputs of every graph.

        Args:
          graph: G graphs with nodes (N, F) and, where there are any, edges (E, D) and globals (G, H); with padding as
            `jraph.pad_with_graphs` has it, or without.
          mask: changes nothing here: one graph does not see another.
          train: True draws dropout from the rng `dropout`.

        Returns:
          (G, outputs), those of padding graphs included; 0 for a graph without nodes.
        """
        del mask
        graph = jraph.GraphMapFeatures(
            embed_edge_fn=lambda edges: self._dense_layers_of_parts("embed_edge", self.edge[-1:], edges, norm=False),
            embed_node_fn=lambda nodes: self._dense_layers_of_parts("embed_node", self.node[-1:], nodes, norm=False),
            embed_global_fn=lambda jets: self._dense_layers_of_parts("embed_jet", self.jet[-1:], jets, norm=False),
        )(graph)
        for i in range(self.rounds):
            graph = self._message_passing_round(i)(graph)
        classifier = MLP(
            hidden=self.hidden,
            outputs=self.outputs,
            activation=self.activation,
            dropout=self.dropout,
            name="classifier",
        )
        return uniform_where_empty(classifier(graph.globals, train=train), graph.n_node > 0)

    def _message_passing_round(self, i: int) -> Callable[[jraph.GraphsTuple], jraph.GraphsTuple]:
        def scores(edges: jax.Array, *_: Any) -> jax.Array:
            return nn.Dense(1, name=f"attention_{i}")(edges)

        network: Callable[[jraph.GraphsTuple], jraph.GraphsTuple] = jraph.GraphNetwork(
            # What a node sends is left out, as in the paper's algorithm 1.
            update_edge_fn=lambda *parts: sow_for_inspection(
                self, f"messages_{i}", self._dense_layers_of_parts(f"edge_{i}", self.edge, *parts)
            ),
            update_node_fn=lambda node, _, *parts: self._dense_layers_of_parts(f"node_{i}", self.node, node, *parts),
            update_global_fn=lambda *parts: self._dense_layers_of_parts(f"jet_{i}", self.jet, *parts),
            attention_logit_fn=scores if self.attention else None,
            attention_reduce_fn=(lambda edges, weights: edges * weights) if self.attention else None,
        )
        return network

    def _dense_layers_of_parts(
        self, name: str, widths: tuple[int, ...], *parts: jax.Array | None, norm: bool = True
    ) -> Any:
        """Dense layers on what there is of the parts; None where there is nothing."""
        there = [part for part in parts if part is not None and part.shape[-1]]
        return _Layers(widths, self.activation, norm, name=name)(jnp.concatenate(there, axis=-1)) if there else None


class _Layers(nn.Module):
    """Dense layers, each activated, the last too; with a norm, each is normalized before."""

    widths: tuple[int, ...]
    activation: ActivationLike
    norm: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.widths:
            x = nn.Dense(units(self.activation, width))(x)
            x = nn.LayerNorm()(x) if self.norm else x
            x = Activate(activation=self.activation)(x)
        return x

"""Message passing on graphs, composed with jraph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jraph
from flax import linen as nn

from hepjax.choices import Activation
from hepjax.models.layers.activations import Activate, units
from hepjax.models.layers.empty_jets import uniform_where_empty
from hepjax.models.layers.inspection import shown
from hepjax.models.mlp import MLP

if TYPE_CHECKING:
    from collections.abc import Callable


class GraphNetwork(nn.Module):
    """Rounds of updates of edges, nodes and whole jets (arXiv:1806.01261, algorithm 1), then a classifier.

    In each round every edge learns from its two ends and the jet, every node from the edges it receives and the jet,
    and the jet from the sums over its nodes and edges. Each round has parameters of its own. The first starts from an
    embedding of the features, one layer each; missing ones, None or of width 0, are left out. The layers of the rounds
    are normalised before their activation (arXiv:1607.06450): sums over particles would grow from round to round.

    Attributes:
      rounds: of message passing.
      edge: the widths of the layers that update edges.
      node: the widths of the layers that update nodes.
      jet: the widths of the layers that update the jet, which are jraph's globals.
      hidden: the widths of the classifier's hidden layers.
      attention: weigh the messages to each node by a softmax of learned scores (arXiv:1710.10903).
      classes: C.
      activation: a name, or any function of one array.
      dropout: the probability of dropping a hidden unit of the classifier while training.
    """

    rounds: int = 2
    edge: tuple[int, ...] = (32, 32)
    node: tuple[int, ...] = (32, 32)
    jet: tuple[int, ...] = (32, 32)
    hidden: tuple[int, ...] = (32,)
    attention: bool = False
    classes: int = 5
    activation: Activation | Callable[[Any], Any] = Activation.RELU
    dropout: float = 0.0

    @nn.compact
    def __call__(self, graph: jraph.GraphsTuple, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Answers every graph.

        Args:
          graph: G graphs with nodes (N, F) and, where there are any, edges (E, D) and globals (G, H); with padding as
            `jraph.pad_with_graphs` has it, or without.
          mask: changes nothing here: one graph does not see another.
          train: True draws dropout from the rng `dropout`.

        Returns:
          (G, C) logits, those of padding graphs included; 0 for a graph without nodes.
        """
        del mask
        graph = jraph.GraphMapFeatures(
            embed_edge_fn=lambda edges: self._layers("embed_edge", self.edge[-1:], edges, norm=False),
            embed_node_fn=lambda nodes: self._layers("embed_node", self.node[-1:], nodes, norm=False),
            embed_global_fn=lambda jets: self._layers("embed_jet", self.jet[-1:], jets, norm=False),
        )(graph)
        for i in range(self.rounds):
            graph = self._round(i)(graph)
        logits = MLP(self.hidden, self.classes, self.activation, self.dropout, name="classifier")(
            graph.globals, train=train
        )
        return uniform_where_empty(logits, graph.n_node > 0)

    def _round(self, i: int) -> Callable[[jraph.GraphsTuple], jraph.GraphsTuple]:
        def scores(edges: jax.Array, *_: Any) -> jax.Array:
            return nn.Dense(1, name=f"attention_{i}")(edges)

        network: Callable[[jraph.GraphsTuple], jraph.GraphsTuple] = jraph.GraphNetwork(
            # What a node sends is left out, as in the paper's algorithm 1.
            update_edge_fn=lambda *parts: shown(self, f"messages_{i}", self._layers(f"edge_{i}", self.edge, *parts)),
            update_node_fn=lambda node, _, *parts: self._layers(f"node_{i}", self.node, node, *parts),
            update_global_fn=lambda *parts: self._layers(f"jet_{i}", self.jet, *parts),
            attention_logit_fn=scores if self.attention else None,
            attention_reduce_fn=(lambda edges, weights: edges * weights) if self.attention else None,
        )
        return network

    def _layers(self, name: str, widths: tuple[int, ...], *parts: jax.Array | None, norm: bool = True) -> Any:
        """Dense layers on what there is of the parts; None where there is nothing."""
        there = [part for part in parts if part is not None and part.shape[-1]]
        return _Layers(widths, self.activation, norm, name=name)(jnp.concatenate(there, axis=-1)) if there else None


class _Layers(nn.Module):
    """Dense layers, each activated, the last too; with a norm, each is normalised before."""

    widths: tuple[int, ...]
    activation: Activation | Callable[[Any], Any]
    norm: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.widths:
            x = nn.Dense(units(self.activation, width))(x)
            x = nn.LayerNorm()(x) if self.norm else x
            x = Activate(self.activation)(x)
        return x

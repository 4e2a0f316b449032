"""The graph network: a round by hand, symmetries, padding, and what features it may lack."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest

from hepjax import models
from hepjax.models import GraphNetwork

F, D, C = 3, 2, 4
SIZES = {"edge": (6, 5), "node": (6, 4), "jet": (7,), "hidden": (8,), "outputs": C}
ATTENTION = pytest.mark.parametrize("attention", [False, True], ids=["sum", "attention"])


def network(**changes):
    return GraphNetwork(**{**SIZES, **changes})


@pytest.fixture
def graph(rng):
    """Graphs of 4, 1, 0 and 3 nodes; the first node receives nothing."""
    senders, receivers = [0, 1, 2, 3, 0, 5, 6, 7], [1, 2, 1, 1, 3, 6, 5, 5]
    return jraph.GraphsTuple(
        nodes=rng.normal(size=(8, F)).astype(np.float32),
        edges=rng.normal(size=(8, D)).astype(np.float32),
        senders=np.array(senders, np.int32),
        receivers=np.array(receivers, np.int32),
        globals=rng.normal(size=(4, 1)).astype(np.float32),
        n_node=np.array([4, 1, 0, 3], np.int32),
        n_edge=np.array([5, 0, 0, 3], np.int32),
    )


def start(model, inputs):
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype) * 0.5, shapes["params"])


def answer(model, params, inputs):
    return jax.jit(models.make_apply(model))(params, {}, inputs, None, None)[0]


def layers(params, *parts):
    x = np.concatenate(parts)
    for i in range(sum(name.startswith("Dense") for name in params)):
        x = x @ params[f"Dense_{i}"]["kernel"] + params[f"Dense_{i}"]["bias"]
        if f"LayerNorm_{i}" in params:
            norm = params[f"LayerNorm_{i}"]
            x = (x - x.mean()) / np.sqrt(x.var() + 1e-6) * norm["scale"] + norm["bias"]
        x = np.maximum(x, 0)
    return x


def oracle(params, graph, rounds, attention):
    """Node by node and edge by edge, in float64 (arXiv:1806.01261, algorithm 1)."""
    params = jax.tree.map(np.float64, params)
    nodes = [layers(params["embed_node"], np.float64(x)) for x in graph.nodes]
    edges = [layers(params["embed_edge"], np.float64(x)) for x in graph.edges]
    jets = [layers(params["embed_jet"], np.float64(x)) for x in graph.globals]
    of_node, of_edge = (np.repeat(np.arange(len(jets)), counts) for counts in (graph.n_node, graph.n_edge))
    ends = list(zip(graph.senders, graph.receivers, strict=True))
    for i in range(rounds):
        edges = [
            layers(params[f"edge_{i}"], edges[e], nodes[s], nodes[r], jets[of_edge[e]]) for e, (s, r) in enumerate(ends)
        ]
        if attention:
            dense = params[f"attention_{i}"]
            scores = [np.exp((x @ dense["kernel"] + dense["bias"])[0]) for x in edges]
            totals = [sum(scores[o] for o, (_, other) in enumerate(ends) if other == r) for _, r in ends]
            edges = [x * score / total for x, score, total in zip(edges, scores, totals, strict=True)]
        none = np.zeros(SIZES["edge"][-1])
        nodes = [
            layers(
                params[f"node_{i}"],
                x,
                sum((edges[e] for e, (_, r) in enumerate(ends) if r == n), none),
                jets[of_node[n]],
            )
            for n, x in enumerate(nodes)
        ]
        jets = [
            layers(
                params[f"jet_{i}"],
                sum((x for n, x in enumerate(nodes) if of_node[n] == j), np.zeros(SIZES["node"][-1])),
                sum((x for e, x in enumerate(edges) if of_edge[e] == j), none),
                jet,
            )
            for j, jet in enumerate(jets)
        ]
    head = params["classifier"]
    hidden = np.maximum(np.stack(jets) @ head["Dense_0"]["kernel"] + head["Dense_0"]["bias"], 0)
    return (hidden @ head["Dense_1"]["kernel"] + head["Dense_1"]["bias"]) * (graph.n_node > 0)[:, None]


@ATTENTION
def test_is_the_loop(graph, attention):
    model = network(attention=attention)
    params = start(model, graph)
    found = answer(model, params, graph)
    np.testing.assert_allclose(found, oracle(params, graph, 2, attention), rtol=1e-4, atol=1e-5)
    assert not found[2].any()


@ATTENTION
def test_padding_changes_nothing(graph, attention):
    model = network(attention=attention)
    params = start(model, graph)
    found = answer(model, params, jraph.pad_with_graphs(graph, 60, 50, 7))
    chex.assert_shape(found, (7, C))
    chex.assert_tree_all_finite(found)
    np.testing.assert_allclose(found[:4], answer(model, params, graph), rtol=1e-5, atol=1e-5)
    assert not found[5:].any()


@ATTENTION
def test_order_of_nodes_and_edges(graph, rng, attention):
    model = network(attention=attention)
    params = start(model, graph)
    nodes = np.concatenate([rng.permutation(4), [4], 5 + rng.permutation(3)])
    edges = np.concatenate([rng.permutation(5), 5 + rng.permutation(3)])
    place = np.argsort(nodes).astype(np.int32)
    turned = graph._replace(
        nodes=graph.nodes[nodes],
        edges=graph.edges[edges],
        senders=place[graph.senders[edges]],
        receivers=place[graph.receivers[edges]],
    )
    np.testing.assert_allclose(answer(model, params, turned), answer(model, params, graph), rtol=1e-5, atol=1e-5)


@ATTENTION
def test_graphs_do_not_see_each_other(graph, attention):
    model = network(attention=attention)
    params = start(model, graph)
    apply = models.make_apply(model)
    gradient = jax.jit(jax.grad(lambda g: apply(params, {}, g, None, None)[0][3].sum(), allow_int=True))(graph)
    assert gradient.nodes[5:].any()
    assert gradient.edges[5:].any()
    assert not gradient.nodes[:5].any()
    assert not gradient.edges[:5].any()
    assert not gradient.globals[:3].any()
    chex.assert_tree_all_finite((gradient.nodes, gradient.edges))


@ATTENTION
def test_gradients_are_finite_in_padding(graph, attention):
    model = network(attention=attention, rounds=1)
    padded = jraph.pad_with_graphs(graph, 20, 20, 6)
    params = start(model, padded)
    apply = models.make_apply(model)
    gradient = jax.jit(jax.grad(lambda p: apply(p, {}, padded, None, None)[0].sum()))(params)
    chex.assert_tree_all_finite(gradient)


@pytest.mark.parametrize("lacking", [None, 0], ids=["None", "width 0"])
def test_without_features_of_edges_and_jets(graph, lacking):
    def without(x):
        return None if lacking is None else x[:, :0]

    bare = graph._replace(edges=without(graph.edges), globals=without(graph.globals))
    model = network()
    params = start(model, bare)
    assert {"embed_edge", "embed_jet"}.isdisjoint(params)
    found = answer(model, params, bare)
    chex.assert_shape(found, (4, C))
    chex.assert_tree_all_finite(found)


def test_edges_matter(graph):
    model = network(rounds=1)
    params = start(model, graph)
    fewer = graph._replace(
        edges=graph.edges[1:], senders=graph.senders[1:], receivers=graph.receivers[1:],
        n_edge=graph.n_edge - np.array([1, 0, 0, 0], np.int32),
    )  # fmt: skip
    found, after = answer(model, params, graph), answer(model, params, fewer)
    assert not np.allclose(found[0], after[0])
    np.testing.assert_allclose(found[1:], after[1:], rtol=1e-5, atol=1e-5)


def test_parameters_do_not_depend_on_sizes(graph):
    larger = jraph.pad_with_graphs(graph, 50, 70, 9)
    chex.assert_trees_all_equal(start(network(), graph), start(network(), larger))


def test_dropout_draws_from_the_key(graph):
    model = network(dropout=0.5)
    apply = jax.jit(models.make_apply(model))
    params = start(model, graph)
    one, other = (apply(params, {}, graph, None, jax.random.key(i))[0] for i in range(2))
    assert not jnp.allclose(one, other)

"""Hidden features of every kind of network, and their correlations against NumPy and SciPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hepjax import InputError, models
from hepjax.choices import Norm
from hepjax.evaluation.explanation import hidden_features, pearson, spearman
from hepjax.inputs import build_graph
from hepjax.types import Sequences

B, P, F = 6, 5, 3


@pytest.fixture
def jets(rng):
    """Jets of 0 to 5 particles."""
    mask = np.arange(P) < np.array([[5], [3], [1], [4], [2], [0]])
    return Sequences(np.where(mask[..., None], rng.normal(size=(B, P, F)), 0).astype(np.float32), mask)


def table(jets):
    return jets.values[:, 0]


def image(jets):
    return np.repeat(np.repeat(jets.values, 2, 1), 3, 2)[..., None]


def graph(jets):
    return jax.jit(build_graph)(jets.values, jets.mask)


# The network, its input, and the widths of its layers; the last is read by the classifier's last dense layer.
KINDS = {
    "mlp": (models.MLP(hidden=(8, 7), outputs=5), table, [8, 7]),
    "mlp with batch norm": (models.MLP(hidden=(8, 7), norm=Norm.BATCH, outputs=5), table, [8, 7]),
    "convnet": (models.ConvNet(filters=(4,), kernels=(3,), hidden=(6,), outputs=5), image, [4, 6]),
    "convnet with batch norm": (
        models.ConvNet(filters=(4,), kernels=(3,), hidden=(6,), norm=Norm.BATCH, outputs=5),
        image,
        [4, 6],
    ),
    "convnet1d": (models.ConvNet1D(filters=(4,), kernels=(3,), hidden=(6,), outputs=5), lambda jets: jets, [4, 6]),
    "lstm": (models.LSTM(units=(4,), hidden=(6,), outputs=5), lambda jets: jets, [4, 6]),
    "gru": (models.GRU(units=(4, 3), hidden=(6,), outputs=5), lambda jets: jets, [4, 3, 6]),
    "deep sets": (models.DeepSets(particle=(7, 4), hidden=(6, 5), outputs=5), lambda jets: jets, [7, 4, 6, 5]),
    "interaction network": (
        models.InteractionNetwork(edge=(7, 4), node=(6, 3), hidden=(5, 6), outputs=5),
        lambda jets: jets,
        [3, 5, 6],
    ),
    "graph network": (
        models.GraphNetwork(rounds=1, edge=(5,), node=(4,), jet=(6,), hidden=(7,), attention=True, outputs=5),
        graph,
        [4, 6, 5, 4, 6, 7],  # embedded nodes and jet; edges, nodes and jet of the round
    ),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def start(network, inputs):
    shapes = jax.eval_shape(network.init, jax.random.key(0), inputs)
    rng = np.random.default_rng(1)
    made = jax.tree.map(lambda leaf: (0.5 * rng.normal(size=leaf.shape) ** 2).astype(leaf.dtype), shapes)
    return made.pop("params"), made


def last_dense(tree):
    """The dense layer that gives the logits."""
    name = next((name for name in ("MLP_0", "classifier") if name in tree), None)
    if name:
        return last_dense(tree[name])
    return tree[max(name for name in tree if name.startswith("Dense"))]


def test_the_last_is_what_the_classes_are_read_from(kind, jets):
    network, look, widths = kind
    inputs = look(jets)
    params, state = start(network, inputs)
    result = hidden_features(network, params, state, inputs)
    assert [x.shape[1] for x in result.values()] == widths
    rows = len(inputs.n_node) if hasattr(inputs, "n_node") else B
    assert {len(x) for x in result.values()} == {rows}
    head = last_dense(params)
    logits = [*result.values()][-1] @ head["kernel"] + head["bias"]
    expected = jax.jit(models.make_apply(network))(params, state, inputs, jnp.ones(B, bool), None)[0]
    present = np.asarray(inputs.n_node if hasattr(inputs, "n_node") else jets.mask.sum(1)) > 0
    np.testing.assert_allclose(logits[present], expected[present], rtol=1e-4, atol=1e-5)


def test_particles_are_averaged_over_those_there_are(jets):
    network = models.DeepSets(particle=(7, 4), hidden=(6,), outputs=5)
    params, _ = start(network, jets)
    result = hidden_features(network, params, {}, jets)
    y = jets.values
    for i in (0, 1):
        y = np.maximum(y @ params[f"Dense_{i}"]["kernel"] + params[f"Dense_{i}"]["bias"], 0)
        for jet, mask in enumerate(jets.mask):
            expected = y[jet, mask].mean(0) if mask.any() else np.zeros(y.shape[-1])
            np.testing.assert_allclose(result[f"Activate_{i}"][jet], expected, rtol=1e-5, atol=1e-6)


def test_nodes_of_a_graph_are_averaged_as_particles(jets):
    network = models.InteractionNetwork(edge=(7, 4), node=(6, 3), hidden=(5,), outputs=5)
    params, _ = start(network, jets)
    listed, result = (hidden_features(network, params, {}, x) for x in (jets, graph(jets)))
    assert list(listed) == list(result)
    for name, x in listed.items():
        np.testing.assert_allclose(result[name][:B], x, rtol=1e-4, atol=1e-6)


def test_edges_are_averaged_by_the_jet_of_their_receiver(jets):
    network = models.GraphNetwork(rounds=1, edge=(5,), node=(4,), jet=(6,), hidden=(7,), outputs=5)
    x = graph(jets)
    params, _ = start(network, x)
    result = hidden_features(network, params, {}, x)["edge_0/Activate_0"]
    _, observed = jax.jit(lambda x: network.apply({"params": params}, x, capture_intermediates=True))(x)
    edges = np.asarray(observed["intermediates"]["edge_0"]["Activate_0"]["__call__"][0])
    first = np.cumsum([0, *x.n_edge])
    for jet in range(B):
        selected = edges[first[jet] : first[jet + 1]]
        np.testing.assert_allclose(
            result[jet], selected.mean(0) if len(selected) else np.zeros(5), rtol=1e-5, atol=1e-6
        )


def test_pixels_are_averaged(jets):
    network = models.ConvNet(filters=(4,), kernels=(3,), hidden=(6,), outputs=5)
    params, _ = start(network, image(jets))
    _, observed = network.apply({"params": params}, image(jets), capture_intermediates=True)
    expected = np.asarray(observed["intermediates"]["Activate_0"]["__call__"][0]).mean((1, 2))
    result = hidden_features(network, params, {}, image(jets))["Activate_0"]
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_no_hidden_layer(jets):
    network = models.Logistic(outputs=5)
    params, _ = start(network, table(jets))
    with pytest.raises(InputError, match="network: Logistic has no hidden layer; say with layers="):
        hidden_features(network, params, {}, table(jets))
    result = hidden_features(network, params, {}, table(jets), layers=lambda module: module.name == "Dense_0")
    np.testing.assert_allclose(result["Dense_0"], network.apply({"params": params}, table(jets)), rtol=1e-5, atol=1e-6)


def test_sizes_that_say_too_little(jets):
    one = build_graph(jets.values[:, :1], jets.mask[:, :1])  # as many graphs as nodes
    network = models.GraphNetwork(rounds=1, edge=(5,), node=(4,), jet=(6,), hidden=(7,), outputs=5)
    params, _ = start(network, one)
    with pytest.raises(InputError, match="inputs: expected different numbers of graphs, nodes and edges"):
        hidden_features(network, params, {}, one)


class TestCorrelations:
    def test_numpy_and_scipy(self, rng):
        hidden = np.maximum(rng.normal(size=(200, 4)), 0)  # with many ties
        observables = np.column_stack([np.exp(hidden[:, 0]), rng.integers(0, 9, 200), rng.normal(size=200)])
        expected = np.corrcoef(hidden, observables, rowvar=False)[:4, 4:]
        np.testing.assert_allclose(pearson(hidden, observables), expected, rtol=1e-12, atol=1e-14)
        ranked = stats.spearmanr(hidden, observables).statistic[:4, 4:]
        np.testing.assert_allclose(spearman(hidden, observables), ranked, rtol=1e-12, atol=1e-14)
        assert spearman(hidden, observables)[0, 0] == pytest.approx(1, abs=1e-12)

    def test_constants_are_nan_and_nothing_else_is(self, rng):
        hidden = rng.normal(size=(50, 3)).astype(np.float32)
        hidden[:, 1] = 0.1
        observables = np.column_stack([hidden[:, 0], np.full(50, 80.4), 1e-9 * hidden[:, 2]])
        for correlation in (pearson, spearman):
            result = correlation(hidden, observables)
            np.testing.assert_array_equal(np.isnan(result), [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
            assert result[[0, 2], [0, 2]] == pytest.approx(1)

    @pytest.mark.parametrize(
        "hidden, observables, words",
        [
            (np.ones(3), np.ones((3, 1)), r"hidden: expected \(N, columns\).*found shape \(3,\)"),
            (np.ones((1, 1)), np.ones((1, 1)), "hidden: expected .* of two jets or more"),
            (np.ones((3, 1)), np.ones((4, 1)), "observables: expected those of 3 jets, as hidden has, found 4"),
            (np.ones((2, 2)), np.array([[1, 2], [1, np.nan]]), "observables: expected finite numbers.*column 1"),
            (np.array([[np.inf], [1]]), np.ones((2, 1)), "hidden: expected finite numbers.*column 0"),
        ],
    )
    def test_refused(self, hidden, observables, words):
        for correlation in (pearson, spearman):
            with pytest.raises(InputError, match=words):
                correlation(hidden, observables)

"""The interaction network: its three forms, against a loop over edges and against published answers."""

from __future__ import annotations

import itertools
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest

from hepjax import models
from hepjax.choices import Activation, PairForm, Readout
from hepjax.inputs import build_graph
from hepjax.models import InteractionNetwork
from hepjax.models.layers import pairs
from hepjax.types import Sequences

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "jedinet"
B, P, F, C = 5, 6, 3, 4
SIZES = {"edge": (7, 5), "node": (6, 3), "hidden": (8,), "outputs": C, "activation": Activation.ELU, "particles": None}
FORMS = pytest.mark.parametrize("form", PairForm)


def network(**changes):
    return InteractionNetwork(**{**SIZES, **changes})


@pytest.fixture
def jets(rng):
    """Jets of 6, 4, 1, 2 and no particles, with NaN in the padding."""
    mask = np.arange(P) < np.array([[6], [4], [1], [2], [0]])
    values = rng.normal(size=(B, P, F)).astype(np.float32)
    return Sequences(np.where(mask[..., None], values, np.float32(np.nan)), mask)


def zeros_for_nan(jets):
    return Sequences(np.where(jets.mask[..., None], jets.values, np.float32(0)), jets.mask)


def start(model, inputs):
    """Parameters, all random: biases too, which training starts at zero."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype) * 0.5, shapes["params"])


def answer(model, params, inputs):
    return jax.jit(models.make_apply(model))(params, {}, inputs, None, None)[0]


def oracle(params, jets, *, masked=True, flatten=False):
    """Edge by edge, in float64 (arXiv:1908.05318, section 4); ELU."""

    def layers(part, x, last):
        names = sorted(params[part])
        for name in names:
            x = x @ np.float64(params[part][name]["kernel"]) + np.float64(params[part][name]["bias"])
            x = np.where(x > 0, x, np.expm1(np.minimum(x, 0))) if last or name != names[-1] else x
        return x

    logits = []
    for values, mask in zip(*jets, strict=True):
        count = int(mask.sum()) if masked else len(mask)
        x, messages = np.float64(values[:count]), np.zeros((count, SIZES["edge"][-1]))
        for receiver, sender in itertools.permutations(range(count), 2):
            messages[receiver] += layers("edge_network", np.concatenate([x[receiver], x[sender]]), last=True)
        outputs = np.zeros((len(mask), SIZES["node"][-1]))
        outputs[:count] = layers("node_network", np.concatenate([x, messages], axis=1), last=True)
        read = outputs.ravel() if flatten else outputs.sum(0)
        logits.append(layers("classifier", read, last=False) * (count > 0))
    return np.stack(logits)


class TestOracle:
    @FORMS
    def test_masked(self, jets, form):
        """In float64; a jet without particles gets zeros."""
        with jax.enable_x64(True):
            params = jax.tree.map(np.float64, start(network(), jets))
            found = answer(network(form=form), params, Sequences(np.float64(jets.values), jets.mask))
            assert found.dtype == np.float64
            np.testing.assert_allclose(found, oracle(params, jets), rtol=1e-12, atol=1e-12)
            assert not found[-1].any()

    @FORMS
    def test_flattened(self, jets, form):
        model = network(form=form, readout=Readout.FLATTEN)
        params = start(model, jets)
        expected = oracle(params, jets, flatten=True)
        np.testing.assert_allclose(answer(model, params, jets), expected, rtol=1e-4, atol=1e-5)

    @FORMS
    def test_published(self, jets, form):
        """Padding takes part as particles of zeros."""
        jets = zeros_for_nan(jets)
        model = network(form=form, masked=False)
        params = start(model, jets)
        expected = oracle(params, jets, masked=False)
        np.testing.assert_allclose(answer(model, params, jets), expected, rtol=1e-4, atol=1e-5)
        assert not np.allclose(expected, oracle(params, jets), rtol=0.1)

    @FORMS
    @pytest.mark.parametrize("slots", [30, 150])
    def test_amount_of_padding(self, jets, form, slots):
        params = start(network(), jets)
        longer = Sequences(*(np.pad(x, [(0, 0), (0, slots - P), (0, 0)][: x.ndim]) for x in jets))
        expected = oracle(params, jets)
        np.testing.assert_allclose(answer(network(form=form), params, longer), expected, rtol=1e-5, atol=1e-5)

    @FORMS
    def test_order_of_particles(self, jets, form):
        params = start(network(), jets)
        turned = Sequences(jets.values[:, ::-1], jets.mask[:, ::-1])
        expected = oracle(params, jets)
        np.testing.assert_allclose(answer(network(form=form), params, turned), expected, rtol=1e-5, atol=1e-5)

    @FORMS
    def test_one_slot(self, jets, form):
        one = Sequences(zeros_for_nan(jets).values[:, :1], jets.mask[:, :1])
        params = start(network(), one)
        expected = oracle(params, one)
        np.testing.assert_allclose(answer(network(form=form), params, one), expected, rtol=1e-5, atol=1e-5)


class TestForms:
    @pytest.mark.parametrize(
        "activations",
        [(Activation.SELU, Activation.PRELU, Activation.RELU), (Activation.MAXOUT, jax.nn.softmax, jnp.sin)],
        ids=["elementwise", "of a whole layer"],
    )
    def test_gradients_agree(self, jets, activations):
        """Also with respect to the inputs, beside NaN in the padding."""
        weights = np.random.default_rng(2).normal(size=(B, C))
        params = start(network(activation=activations), jets)

        def gradients(form):
            apply = models.make_apply(network(form=form, activation=activations))

            def loss(params, values):
                return (weights * apply(params, {}, Sequences(values, jets.mask), None, None)[0]).sum()

            return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, jets.values)

        dense, receivers, segments = (gradients(form) for form in PairForm)
        chex.assert_tree_all_finite(dense)
        assert not dense[1][1][~jets.mask].any()
        chex.assert_trees_all_close(dense, receivers, rtol=1e-5, atol=1e-5)
        chex.assert_trees_all_close(dense, segments, rtol=1e-5, atol=1e-5)

    def test_one_kernel_receiver_first(self, jets):
        """The tree does not depend on the form, and the first rows of f_R's kernel belong to the receiver."""
        trees = [start(network(form=form), jets) for form in PairForm]
        chex.assert_trees_all_equal(*trees)
        chex.assert_shape(trees[0]["edge_network"]["Dense_0"]["kernel"], (2 * F, 7))
        assert set(trees[0]) == {"edge_network", "node_network", "classifier"}

    @pytest.mark.parametrize("shape, form", [((32, 30), PairForm.DENSE), ((128, 30), PairForm.RECEIVERS)])
    def test_the_shape_chooses(self, shape, form):
        def program(form):
            jets = Sequences(jax.ShapeDtypeStruct((*shape, F), jnp.float32), jax.ShapeDtypeStruct(shape, bool))
            model = network(form=form)
            params = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), jets)
            return str(jax.make_jaxpr(model.apply)(params, jets))

        assert program(None) == program(form)
        assert program(None) != program(PairForm.SEGMENTS)


@pytest.fixture
def trimmed(jets):
    """The jets with one slot more, and filled up to 12 slots by padding that is not zero; the rest of it is NaN."""
    padding = np.float32([0.3, -0.2, 0.5])
    full = np.where(jets.mask[..., None], jets.values, padding)
    full = np.concatenate([full, np.tile(padding, (B, 12 - P, 1))], axis=1)
    mask = np.arange(12) < jets.mask.sum(1, keepdims=True)
    first = mask[:, : P + 1].sum(1)[:, None] >= np.arange(P + 1)
    return Sequences(np.where(first[..., None], full[:, : P + 1], np.nan), mask[:, : P + 1]), Sequences(full, mask)


class TestSlots:
    @FORMS
    @pytest.mark.parametrize("readout", Readout)
    def test_one_slot_of_padding_stands_for_all(self, trimmed, form, readout):
        """In float64, with gradients: what all slots give, and in one form what the loop over edges gives."""
        model = network(form=form, readout=readout, masked=False, particles=12, activation=Activation.SELU)
        weights = np.random.default_rng(2).normal(size=(B, C))

        def found(params, values, mask):
            logits = models.make_apply(model)(params, {}, Sequences(values, mask), None, None)[0]
            return (weights * logits).sum(), logits

        with jax.enable_x64(True):
            (few, mask), full = (Sequences(np.float64(x.values), x.mask) for x in trimmed)
            params = jax.tree.map(np.float64, start(model, full))
            run = jax.jit(jax.value_and_grad(found, argnums=(0, 1), has_aux=True))
            ((_, logits), (gradient, by_few)), ((_, expected), (wanted, by_full)) = (
                run(params, few, mask),
                run(params, *full),
            )
            chex.assert_trees_all_close((logits, gradient), (expected, wanted), rtol=1e-11, atol=1e-11)
            np.testing.assert_allclose(by_few[mask], by_full[full.mask], rtol=1e-11, atol=1e-11)

    @FORMS
    def test_against_a_loop_over_edges(self, trimmed, form):
        few, full = trimmed
        for readout in Readout:
            model = network(form=form, readout=readout, masked=False, particles=12)
            params = start(model, full)
            expected = oracle(params, full, masked=False, flatten=readout is Readout.FLATTEN)
            np.testing.assert_allclose(answer(model, params, few), expected, rtol=1e-5, atol=1e-4)

    @FORMS
    def test_a_full_jet_needs_no_padding(self, jets, form):
        """Six slots, one jet of six; the others' padding has all its slots."""
        jets = zeros_for_nan(jets)
        params = start(network(), jets)
        expected = answer(network(form=form, masked=False), params, jets)
        found = answer(network(form=form, masked=False, particles=P), params, jets)
        np.testing.assert_array_equal(found, expected)

    def test_flattened_without_padding(self, jets):
        """Where padding does not take part, trimming needs no slot of it."""
        model = network(readout=Readout.FLATTEN, particles=12)
        longer = Sequences(*(np.pad(x, [(0, 0), (0, 12 - P), (0, 0)][: x.ndim]) for x in jets))
        params = start(model, longer)
        np.testing.assert_allclose(
            answer(model, params, jets), oracle(params, longer, flatten=True), rtol=1e-4, atol=1e-5
        )

    def test_too_many(self, jets):
        with pytest.raises(ValueError, match="particles: 5 are fewer than the input's 6"):
            start(network(particles=5), jets)


class TestTransformed:
    @pytest.mark.parametrize("form", [PairForm.DENSE, PairForm.RECEIVERS])
    def test_a_batch_divided_among_devices(self, rng, form):
        """The same answer and gradients; each device keeps its jets to itself."""
        mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
        jets = Sequences(rng.normal(size=(8, P, F)).astype(np.float32), np.arange(P) < rng.integers(1, P + 1, (8, 1)))
        apply = models.make_apply(network(form=form))
        params = start(network(), jets)

        def loss(params, jets):
            logits = apply(params, {}, jets, None, None)[0]
            return jnp.square(logits).sum(), logits

        step = jax.jit(jax.value_and_grad(loss, has_aux=True))
        divided = jax.device_put(jets, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data")))
        chex.assert_trees_all_close(step(params, divided), step(params, jets), rtol=1e-4, atol=1e-4)
        program = step.lower(params, divided).compile().as_text()
        assert "all-reduce" in program
        assert not {word for word in ("all-gather", "all-to-all", "collective-permute") if word in program}

    @pytest.mark.parametrize("form", [PairForm.DENSE, PairForm.RECEIVERS])
    def test_an_ensemble(self, jets, form):
        model = network(form=form)
        members = [jax.tree.map(lambda x, i=i: x * (1 + i), start(model, jets)) for i in range(3)]
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *members)
        found = jax.vmap(lambda params: answer(model, params, jets))(stacked)
        expected = jnp.stack([answer(model, params, jets) for params in members])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


class TestGraphs:
    def test_of_all_pairs(self, jets):
        graph = build_graph(jnp.asarray(jets.values), jnp.asarray(jets.mask))
        params = start(network(), jets)
        chex.assert_trees_all_equal_shapes(params, start(network(), graph))
        found = answer(network(), params, graph)
        chex.assert_shape(found, (B + 1, C))
        np.testing.assert_allclose(found[:B], answer(network(), params, jets), rtol=1e-5, atol=1e-5)

    def test_of_some_pairs_with_features(self, jets, rng):
        """A graph without padding, edge by edge."""
        nodes, edges = rng.normal(size=(5, F)).astype(np.float32), rng.normal(size=(3, 2)).astype(np.float32)
        graph = jraph.GraphsTuple(
            nodes=nodes, edges=edges, globals=None, senders=np.array([1, 0, 4]), receivers=np.array([0, 2, 3]),
            n_node=np.array([3, 2]), n_edge=np.array([2, 1]),
        )  # fmt: skip
        params = start(network(), graph)
        chex.assert_shape(params["edge_network"]["Dense_0"]["kernel"], (2 * F + 2, 7))
        found = answer(network(), params, graph)
        moved = answer(network(), params, graph._replace(edges=edges + np.array([[0], [0], [1]], np.float32)))
        np.testing.assert_array_equal(found[0], moved[0])
        assert not np.allclose(found[1], moved[1])

    @pytest.mark.parametrize(
        "changes, words",
        [
            ({"form": PairForm.DENSE}, "SEGMENTS"),
            ({"form": PairForm.RECEIVERS}, "SEGMENTS"),
            ({"readout": Readout.FLATTEN}, "readout"),
            ({"masked": False}, "masked"),
        ],
    )
    def test_what_needs_sequences(self, jets, changes, words):
        graph = build_graph(jnp.asarray(jets.values), jnp.asarray(jets.mask))
        with pytest.raises(ValueError, match=words):
            start(network(**changes), graph)

    def test_an_array_is_refused(self, jets):
        with pytest.raises(TypeError, match="Sequences or a GraphsTuple"):
            network().init(jax.random.key(0), jets.values)


@pytest.mark.parametrize("name", ["elu", "selu"])
def test_quick_activations(name):
    """Value and slope, whole and one by one; no NaN where the exponential would overflow."""
    x = np.float32([-np.inf, -100, -1.5, -1e-3, 0, 1e-3, 1.5, 100, 1e30])
    found, expected = (jax.value_and_grad(getattr(module, name)) for module in (pairs, jax.nn))
    np.testing.assert_allclose(jax.vmap(found)(x), jax.vmap(expected)(x), rtol=1e-6, atol=3e-7)
    whole = jax.vjp(getattr(pairs, name), x)[1](np.ones_like(x))[0]
    np.testing.assert_allclose(whole, jax.vmap(expected)(x)[1], rtol=1e-6, atol=3e-7)


def published(part, arrays):
    return {
        f"Dense_{i}": {"kernel": arrays[f"{part}{i + 1}.weight"].T, "bias": arrays[f"{part}{i + 1}.bias"]}
        for i in range(3)
    }


@pytest.mark.skipif(not REFERENCE.exists(), reason="needs the published parameters of JEDI-net as arrays")
@FORMS
def test_published_weights(form):
    arrays, golden = (np.load(REFERENCE / f"IN_150_withSumO{end}.npz") for end in ("", "_golden"))
    count = 35 if form is PairForm.RECEIVERS else 4
    inputs, logits = golden["inputs"][:count], golden["logits"][:count]
    params = {
        "edge_network": published("fr", arrays),
        "node_network": published("fo", arrays),
        "classifier": published("fc", arrays),
    }
    sizes = {"edge": (50, 25, 14), "node": (50, 25, 12), "hidden": (50, 25), "outputs": 5}
    model = InteractionNetwork(**sizes, activation=Activation.SELU, masked=False, particles=150, form=form)
    mask = inputs[..., 3] > 0
    length = mask.sum(1).max() + 1
    assert length < 120
    for slots in (150, length):
        found = answer(model, params, Sequences(inputs[:, :slots], mask[:, :slots]))
        np.testing.assert_allclose(found, logits, rtol=1e-4)
    assert sum(x.size for x in jax.tree.leaves(params)) == 8_481

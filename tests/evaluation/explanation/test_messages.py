"""Messages between particles: against a slow loop, against what the network sums up, and against differences."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from hepjax import InputError, models
from hepjax.choices import Activation, PairForm, Readout
from hepjax.evaluation.explanation import message_relevance
from hepjax.inputs import build_graph
from hepjax.models import GraphNetwork, InteractionNetwork, graph_network, interaction_network
from hepjax.types import ParticleInputs, Sequences

B, P, F, C = 4, 5, 3, 4
WHICH = np.array([1, 3, 0, 2])
SIZES = {"edge": (7, 6), "node": (6, 3), "hidden": (8,), "outputs": C, "activation": Activation.ELU, "particles": None}


@pytest.fixture
def jets(rng):
    """Jets of 5, 3, 1 and no particles, with NaN in the padding."""
    mask = np.arange(P) < np.array([[5], [3], [1], [0]])
    values = rng.normal(size=(B, P, F)).astype(np.float32)
    return Sequences(np.where(mask[..., None], values, np.float32(np.nan)), mask)


@pytest.fixture
def graph(jets):
    return jax.jit(build_graph)(np.where(jets.mask[..., None], jets.values, 0), jets.mask)


def start(network, inputs):
    shapes = jax.eval_shape(network.init, jax.random.key(0), inputs)
    assert set(shapes) == {"params"}  # a perturbation of the batch's shape would be trained along
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: (0.5 * rng.normal(size=leaf.shape)).astype(leaf.dtype), shapes["params"])


def layers(part, x):
    for name in sorted(part):
        x = x @ np.float64(part[name]["kernel"]) + np.float64(part[name]["bias"])
        x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
    return x


def loop(params, jets):
    """(B, P, P, D_E) messages [receiver, sender], pair by pair in float64."""
    result = np.zeros((*jets.mask.shape, jets.mask.shape[1], SIZES["edge"][-1]))
    for jet, receiver, sender in np.argwhere(jets.mask[:, :, None] & jets.mask[:, None, :]):
        if receiver != sender:
            ends = np.concatenate([jets.values[jet, receiver], jets.values[jet, sender]])
            result[jet, receiver, sender] = layers(params["edge_network"], np.float64(ends))
    return result


class TestInteractionNetwork:
    @pytest.mark.parametrize("form", [None, PairForm.DENSE, PairForm.SEGMENTS])
    def test_size_is_that_of_a_slow_loop(self, jets, form):
        network = InteractionNetwork(**SIZES, form=form)
        params = start(network, jets)
        (result,) = message_relevance(network, params, {}, jets, WHICH)
        expected = np.linalg.norm(loop(params, jets), axis=-1)
        np.testing.assert_allclose(result.size, expected, rtol=1e-5, atol=1e-6)
        assert not result.size[:, np.arange(P), np.arange(P)].any()
        assert not result.relevance[result.size == 0].any()
        assert np.count_nonzero(result.relevance) == 5 * 4 + 3 * 2

    def test_their_sum_is_what_the_node_network_sees(self, jets):
        """Its outputs, from the loop's sums, are those that the network shows."""
        network = InteractionNetwork(**SIZES)
        params = start(network, jets)
        _, observed = network.apply({"params": params}, jets, mutable=["intermediates"])
        x = np.where(jets.mask[..., None], jets.values, 0)
        expected = layers(params["node_network"], np.concatenate([x, loop(params, jets).sum(2)], axis=-1))
        np.testing.assert_allclose(
            np.where(jets.mask[..., None], observed["intermediates"]["outputs"][0], 0),
            np.where(jets.mask[..., None], expected, 0),
            rtol=1e-4,
            atol=1e-5,
        )

    @pytest.mark.parametrize("readout", Readout)
    def test_relevance_by_differences(self, jets, readout):
        """The loop's messages, and the logit when one of them grows by a small share."""
        network = InteractionNetwork(**SIZES, readout=readout)
        params = start(network, jets)
        (result,) = message_relevance(network, params, {}, jets, WHICH)
        messages = loop(params, jets)
        x = np.where(jets.mask[..., None], np.float64(jets.values), 0)

        def logits(messages):
            outputs = layers(params["node_network"], np.concatenate([x, messages.sum(2)], axis=-1))
            outputs = np.where(jets.mask[..., None], outputs, 0)
            y = outputs.sum(1) if readout is Readout.SUM else outputs.reshape(B, -1)
            first, last = (params["classifier"][f"Dense_{i}"] for i in (0, 1))
            return layers({"Dense_0": first}, y) @ np.float64(last["kernel"]) + np.float64(last["bias"])

        for jet, receiver, sender in np.argwhere(result.size > 0):
            up, down = messages.copy(), messages.copy()
            up[jet, receiver, sender] *= 1 + 1e-5
            down[jet, receiver, sender] *= 1 - 1e-5
            expected = (logits(up) - logits(down))[jet, WHICH[jet]] / 2e-5
            assert result.relevance[jet, receiver, sender] == pytest.approx(expected, rel=1e-3, abs=1e-5)

    def test_particles_keep_their_messages_in_any_order(self, jets):
        network = InteractionNetwork(**SIZES)
        params = start(network, jets)
        order = np.array([[2, 0, 4, 1, 3], [1, 2, 0, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
        turned = Sequences(np.take_along_axis(jets.values, order[..., None], 1), jets.mask)
        (result,), (other,) = (message_relevance(network, params, {}, x, WHICH) for x in (jets, turned))
        for before, after in zip(result, other, strict=True):
            moved = np.stack([x[np.ix_(o, o)] for x, o in zip(before, order, strict=True)])
            np.testing.assert_allclose(moved, after, rtol=1e-4, atol=1e-5)

    def test_a_graph_of_all_pairs_says_the_same(self, jets, graph):
        network = InteractionNetwork(**SIZES)
        params = start(network, jets)
        (listed,), (result,) = (message_relevance(network, params, {}, x, WHICH, jets.mask) for x in (jets, graph))
        np.testing.assert_allclose(result.relevance, listed.relevance, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(result.size, listed.size, rtol=1e-5, atol=1e-6)

    def test_padding_that_takes_part_sends(self, jets):
        network = InteractionNetwork(**SIZES, masked=False)
        filled = jets._replace(values=np.where(jets.mask[..., None], jets.values, 0))
        (result,) = message_relevance(network, start(network, filled), {}, filled, 0)
        assert np.count_nonzero(result.size, axis=(1, 2)).tolist() == [P * (P - 1)] * B
        assert result.relevance[3].any()


class TestGraphNetwork:
    def test_relevance_by_differences(self, jets, graph):
        with jax.enable_x64(True):
            wide = graph._replace(nodes=np.float64(graph.nodes), globals=np.float64(graph.globals))
            network = GraphNetwork(rounds=2, edge=(6, 5), node=(4,), jet=(5,), hidden=(6,), attention=True, outputs=C)
            params = jax.tree.map(np.float64, start(network, wide))
            result = message_relevance(network, params, {}, wide, WHICH, jets.mask)
            assert len(result) == 2
            jet, slot = np.nonzero(jets.mask)

            @jax.jit
            def answer(change):
                variables = {"params": params, "perturbations": change}
                return network.apply(variables, wide, mutable=["intermediates"])

            nothing = {f"messages_{i}": np.zeros((len(graph.senders), 5)) for i in (0, 1)}
            sent = {name: np.asarray(x[0]) for name, x in answer(nothing)[1]["intermediates"].items()}
            for i, messages in enumerate(result):
                assert np.count_nonzero(messages.size) == 5 * 4 + 3 * 2
                for edge in (0, 7, 19, 20, 25):
                    change = jax.tree.map(np.copy, nothing)
                    change[f"messages_{i}"][edge] = 1e-6 * sent[f"messages_{i}"][edge]
                    up, down = answer(change)[0], answer(jax.tree.map(np.negative, change))[0]
                    receiver, sender = graph.receivers[edge], graph.senders[edge]
                    of = jet[receiver], slot[receiver], slot[sender]
                    expected = float((up - down)[of[0], WHICH[of[0]]]) / 2e-6
                    assert messages.relevance[of] == pytest.approx(expected, rel=1e-4, abs=1e-7)
                    length = np.linalg.norm(sent[f"messages_{i}"][edge])
                    assert messages.size[of] == pytest.approx(length, rel=1e-6)

    def test_only_neighbours_have_messages(self, jets):
        values = np.where(jets.mask[..., None], jets.values, 0)
        graph = build_graph(values, jets.mask, points=values[..., :2], neighbors=2)
        network = GraphNetwork(rounds=1, edge=(5,), node=(4,), jet=(5,), hidden=(6,), outputs=C)
        (result,) = message_relevance(network, start(network, graph), {}, graph, 0, jets.mask)
        assert (result.size > 0).sum(2)[jets.mask].tolist() == [2] * 8 + [0]
        assert (result.size > 0).sum((1, 2)).tolist() == [10, 6, 0, 0]

    @pytest.mark.parametrize("spoil", [lambda mask: None, lambda mask: mask[:, :2], lambda mask: mask[::-1]])
    def test_the_mask_must_fit(self, jets, graph, spoil):
        network = GraphNetwork(rounds=1, edge=(5,), node=(4,), jet=(5,), hidden=(6,), outputs=C)
        with pytest.raises(InputError, match=r"mask: expected \(N, P\), True for the 5, 3, 1"):
            message_relevance(network, start(network, graph), {}, graph, 0, spoil(jets.mask))


def variables_of(network, inputs):
    variables = jax.jit(network.init)(jax.random.key(0), inputs)
    return variables["params"], {name: value for name, value in variables.items() if name != "params"}


class TestNeighborsAndAttention:
    def test_neighbors_of_a_particle_net(self, jets):
        network = models.ParticleNet(blocks=(4, 5, 6), neighbors=3, hidden=(), outputs=C)
        inputs = ParticleInputs(*jets, points=np.where(jets.mask[..., None], jets.values[..., :2], 0))
        rounds = message_relevance(network, *variables_of(network, inputs), inputs, WHICH)
        assert len(rounds) == 3
        points = np.float64(inputs.points[0])
        distance = np.linalg.norm(points[:, None] - points, axis=-1) + 9 * np.eye(P)
        nearest = distance <= np.sort(distance, axis=1)[:, 2:3]
        # A ReLU may have made a message 0.
        assert not rounds[0].size[0][~nearest].any()
        assert np.count_nonzero(rounds[0].size[0]) > P
        assert not any(each.size[2:].any() for each in rounds)  # one particle, or none

    def test_attention_of_a_transformer(self, jets):
        network = models.ParticleTransformer(embed=(6,), pair_embed=(), heads=1, layers=11, class_layers=1, outputs=C)
        inputs = ParticleInputs(*jets)
        rounds = message_relevance(network, *variables_of(network, inputs), inputs, WHICH)
        assert len(rounds) == 11
        for each in rounds:
            np.testing.assert_allclose(each.size.sum(axis=2), jets.mask, atol=1e-6)
            assert np.count_nonzero(each.relevance[1]) == 9
        # Blocks in their order: the relevance of scaling all weights of a block is a derivative of the logit.
        assert not np.allclose(rounds[1].size, rounds[10].size)


def test_a_network_without_messages(jets):
    network = models.DeepSets(particle=(7, 4), hidden=(6,), outputs=5)
    with pytest.raises(InputError, match=r"network: expected one that passes messages.*found DeepSets"):
        message_relevance(network, start(network, jets), {}, jets, 0)


@pytest.mark.parametrize("network", [InteractionNetwork(**SIZES, form=PairForm.SEGMENTS), GraphNetwork(outputs=C)])
def test_a_training_holds_nothing_of_them(network, jets, graph):
    """No variables, and the operations of a network that shows nothing."""
    inputs = jets if isinstance(network, InteractionNetwork) else graph
    params = start(network, inputs)

    def variables_and_operations():
        apply = models.make_apply(network)
        program, shapes = jax.make_jaxpr(lambda x: apply(params, {}, x, None, jax.random.key(0)), return_shape=True)(
            inputs
        )
        return shapes[1], [str(each.primitive) for each in program.eqns]

    result = variables_and_operations()
    assert result[0] == {}
    with pytest.MonkeyPatch.context() as patch:
        for module in (interaction_network, graph_network):
            patch.setattr(module, "sow_for_inspection", lambda _, __, x: x)
        assert variables_and_operations() == result
        patch.setattr(module, "sow_for_inspection", lambda _, __, x: x + 1)
        patch.setattr(interaction_network, "sow_for_inspection", lambda _, __, x: x + 1)
        assert variables_and_operations() != result

"""Gradient × input: exact cases, differences, padding and order."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError, models
from hepjax.evaluation.explanation import by_particle, gradient_times_input
from hepjax.inputs import build_graph, draw, image_columns
from hepjax.types import Sequences

B, P, F, C = 4, 6, 3, 5


@pytest.fixture
def jets(rng):
    """Jets of 6, 3, 1 and no particles."""
    mask = np.arange(P) < np.array([[6], [3], [1], [0]])
    return Sequences(np.where(mask[..., None], rng.normal(size=(B, P, F)), 0).astype(np.float32), mask)


def logits_of(network, x, biases=True):
    """The network with random parameters, as a function of its input."""
    shapes = jax.eval_shape(network.init, jax.random.key(0), x)["params"]
    rng = np.random.default_rng(1)

    def number(path, leaf):
        size = 0 if path[-1].key == "bias" and not biases else 0.4
        return (size * rng.normal(size=leaf.shape)).astype(np.float32)

    params = jax.tree_util.tree_map_with_path(number, shapes)
    return lambda x: network.apply({"params": params}, x)


def image(rng):
    return (rng.exponential(size=(B, 8, 8, 1)) * (rng.random((B, 8, 8, 1)) < 0.3)).astype(np.float32)


def test_a_linear_network_is_weight_times_input(rng):
    x, weight = rng.normal(size=(B, F)).astype(np.float32), rng.normal(size=(F, C)).astype(np.float32)
    which = np.array([4, 0, 2, 2])
    result = gradient_times_input(lambda x: x @ weight + 7, x, which)
    np.testing.assert_allclose(result, x * weight[:, which].T, rtol=1e-6)
    np.testing.assert_allclose(gradient_times_input(lambda x: x @ weight, x, 3), x * weight[:, 3], rtol=1e-6)


@pytest.mark.parametrize(
    "network, look",
    [
        (models.MLP(hidden=(9, 8), outputs=5), lambda jets, _: jets.values[:, 0]),
        (models.ConvNet(filters=(4,), kernels=(3,), hidden=(6,), outputs=5), lambda _, rng: image(rng)),
        (models.DeepSets(particle=(7, 4), hidden=(6,), outputs=5), lambda jets, _: jets),
    ],
    ids=["mlp", "convnet", "deep sets"],
)
@pytest.mark.parametrize("which", [0, np.array([1, 4, 0, 2])], ids=["one class", "each its own"])
def test_without_biases_the_sum_is_the_logit(network, look, which, jets, rng):
    x = look(jets, rng)
    logits = logits_of(network, x, biases=False)
    result = gradient_times_input(logits, x, which)
    assert result.shape == (x.values if isinstance(x, Sequences) else x).shape
    expected = np.asarray(logits(x))[np.arange(B), which]
    assert np.abs(expected[:3]).min() > 1e-3
    np.testing.assert_allclose(result.reshape(B, -1).sum(1), expected, rtol=1e-4, atol=1e-6)


NETWORKS = pytest.mark.parametrize(
    "network",
    [
        models.DeepSets(particle=(7, 4), hidden=(6,), outputs=5),
        models.InteractionNetwork(edge=(7, 4), node=(6, 3), hidden=(5,), outputs=5),
        models.GRU(units=(4,), hidden=(6,), outputs=5),
        models.ConvNet1D(filters=(4,), kernels=(3,), hidden=(6,), outputs=5),
    ],
    ids=lambda network: type(network).__name__,
)


class TestParticles:
    @NETWORKS
    def test_differences(self, network, jets):
        with jax.enable_x64(True):
            wide = Sequences(np.float64(jets.values), jets.mask)
            logits = jax.jit(logits_of(network, wide))
            result = gradient_times_input(logits, wide, 2)
            assert result.dtype == np.float64
            step = 1e-6
            for jet, slot, column in [(0, 0, 0), (0, 5, 2), (1, 2, 1), (2, 0, 0)]:
                up, down = (wide.values.copy() for _ in range(2))
                up[jet, slot, column] += step
                down[jet, slot, column] -= step
                slope = (logits(wide._replace(values=up)) - logits(wide._replace(values=down)))[jet, 2] / (2 * step)
                assert result[jet, slot, column] == pytest.approx(
                    float(slope) * wide.values[jet, slot, column], rel=1e-5, abs=1e-9
                )

    @NETWORKS
    def test_padding_gets_0_whatever_it_holds(self, network, jets):
        logits = logits_of(network, jets)
        result = gradient_times_input(logits, jets, 1)
        assert np.abs(result).sum((1, 2))[:2].all()
        spoilt = Sequences(np.where(jets.mask[..., None], jets.values, np.float32(np.nan)), jets.mask)
        again = gradient_times_input(logits, spoilt, 1)
        for each in (result, again):
            assert not each[~jets.mask].any()
            np.testing.assert_array_equal(each, result)

    def test_particles_keep_their_relevance_in_any_order(self, jets, rng):
        order = np.argsort(np.where(jets.mask, rng.random((B, P)), 2), axis=1)
        turned = Sequences(np.take_along_axis(jets.values, order[..., None], 1), jets.mask)
        for network in (
            models.DeepSets(particle=(7, 4), hidden=(6,), outputs=5),
            models.InteractionNetwork(edge=(7, 4), node=(6, 3), hidden=(5,), outputs=5),
        ):
            logits = logits_of(network, jets)
            result, other = (gradient_times_input(logits, x, 2).sum(-1) for x in (jets, turned))
            np.testing.assert_allclose(np.take_along_axis(result, order, 1), other, rtol=1e-4, atol=1e-5)

    def test_graphs_say_what_sequences_say(self, jets):
        """The interaction network runs on both; padding graphs do not matter."""
        network = models.InteractionNetwork(edge=(7, 4), node=(6, 3), hidden=(5,), outputs=5)
        logits = logits_of(network, jets)
        which = np.array([1, 4, 0, 2])
        listed = gradient_times_input(logits, jets, which)
        nodes = gradient_times_input(logits, jax.jit(build_graph)(*jets), which)
        np.testing.assert_allclose(by_particle(nodes, jets.mask), listed, rtol=1e-4, atol=1e-5)


def test_a_drawn_image_has_relevance_on_its_pixels_only(jets, rng):
    columns = image_columns()
    inside = Sequences(np.where(jets.mask[..., None], rng.random((B, P, 3)) * [0.1, 0.1, 9], 0), jets.mask)
    picture = jnp.log1p(draw(inside, columns=columns, pixels=8, size=0.03))
    result = gradient_times_input(
        logits_of(models.ConvNet(filters=(4,), kernels=(3,), hidden=(6,), outputs=5), picture), picture, 0
    )
    assert result.shape == (B, 8, 8, 1)
    assert np.count_nonzero(result) > 5
    assert not result[np.asarray(picture) == 0].any()


def test_a_shift_of_all_logits_can_be_taken_away(jets):
    """Then the classes' shares add up to nothing."""
    x = jets.values[:, 0]
    logits = logits_of(models.MLP(hidden=(9,), outputs=5), x)

    def centered(x):
        y = logits(x)
        return y - y.mean(-1, keepdims=True)

    total = sum(gradient_times_input(centered, x, c) for c in range(C))
    np.testing.assert_allclose(total, 0, atol=1e-5)


@pytest.mark.parametrize("which", [5, -1, np.array([0, 0, 0, 9]), np.zeros(5, int), 1.5])
def test_no_such_class(which):
    with pytest.raises(InputError, match="class_index: expected a class from 0 to 4"):
        gradient_times_input(lambda x: x, np.ones((4, 5), np.float32), which)


def test_refused():
    with pytest.raises(InputError, match=r"logits: expected \(N, C\), found shape \(4,\)"):
        gradient_times_input(lambda x: x.sum(-1), np.ones((4, 5), np.float32), 0)
    with pytest.raises(InputError, match="nodes: expected one for each of 3 particles, found 2"):
        by_particle(np.ones(2), np.ones((1, 3), bool))

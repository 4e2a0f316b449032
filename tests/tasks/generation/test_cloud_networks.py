"""The network of both flows: its errors, its average, padding; and what it keeps of its training jets."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError
from hepjax.models import CloudVelocity
from hepjax.tasks import generation
from hepjax.tasks.generation import cloud_networks, cloud_preparation
from hepjax.tasks.generation.networks import AVERAGE, PREPARATION

CLASSES = ("q", "t", "h")
MODEL = CloudVelocity(particles=5, totals=(4,), width=4, summary=2, layers=1, frequencies=1)


def draw(count, rng, classes=2):
    mask = np.arange(5) < rng.integers(1, 6, (count, 1))
    share = -np.sort(-rng.uniform(0.01, 0.15, (count, 5)), axis=1)
    values = np.concatenate([rng.normal(0, 0.1, (count, 5, 2)), share[..., None]], axis=-1)
    pt = rng.uniform(900, 1100, count)
    return generation.Clouds(np.where(mask[..., None], values, 0), mask, pt, np.arange(count) % classes)


@pytest.fixture(scope="module")
def case():
    """A network with its variables, and inputs."""
    inputs = generation.cloud_inputs(draw(60, np.random.default_rng(1)))
    network = cloud_networks.make_network(MODEL, len(CLASSES))
    variables = dict(jax.jit(network.init)(jax.random.key(0), inputs))
    arrays = cloud_preparation.fit_arrays(inputs, CLASSES)
    shapes = [jax.tree.map(jnp.shape, x) for x in (arrays, variables[PREPARATION]["arrays"])]
    assert shapes[0] == dict(shapes[1])
    return network, variables | {PREPARATION: {"arrays": arrays}}, inputs


def take(inputs, rows):
    return jax.tree.map(lambda x: x[rows], inputs)


def test_errors_of_a_jet_do_not_depend_on_its_batch(case):
    network, variables, inputs = case
    apply = jax.jit(network.apply)
    whole = apply(variables, inputs)
    assert whole.shape == (60, 1)
    np.testing.assert_allclose(apply(variables, take(inputs, slice(7, 20))), whole[7:20], rtol=1e-5)
    # Of networks that predict nothing they are those of lines of noise and standardized data, 2 for each flow.
    blank = variables | {AVERAGE: jax.tree.map(np.zeros_like, variables[AVERAGE])}
    assert float(apply(blank, inputs).mean()) == pytest.approx(4, abs=0.6)


def test_other_classes_have_no_error(case):
    network, variables, inputs = case
    others = inputs._replace(condition=inputs.condition * np.array([0, 1, 1, 1], "f4") - np.array([1, 0, 0, 0], "f4"))
    assert np.isnan(jax.jit(network.apply)(variables, others)).all()


def test_training_moves_the_average_and_evaluation_sees_it_alone(case):
    network, variables, inputs = case
    moved = jax.tree.map(lambda x: np.asarray(x) + 1, variables["params"])
    state = [name for name in variables if name != "params"]
    apply, trained = jax.jit(network.apply), jax.jit(partial(network.apply, train=True, mutable=state))
    errors, after = trained(variables | {"params": moved}, inputs, rngs={"dropout": jax.random.key(1)})
    assert np.isfinite(errors).all()
    assert after[AVERAGE]["steps"] == 1
    for old, new, average in zip(
        *map(jax.tree.leaves, (variables[AVERAGE]["params"], moved, after[AVERAGE]["params"])), strict=True
    ):
        np.testing.assert_allclose(average, new, rtol=1e-6)  # the first step takes all of it
        assert not np.array_equal(old, new)
    ignored = apply(variables | {"params": jax.tree.map(lambda x: x * np.nan, moved)}, inputs)
    np.testing.assert_array_equal(ignored, apply(variables, inputs))


def test_both_flows_learn_and_padding_leaves_gradients_finite(case):
    network, variables, inputs = case
    padded = jax.tree.map(lambda x: np.concatenate([x, np.zeros_like(x[:3])]), inputs)
    rest = {name: x for name, x in variables.items() if name != "params"}

    def loss(params):
        rngs = {"dropout": jax.random.key(2)}
        errors, _ = network.apply({"params": params, **rest}, padded, train=True, rngs=rngs, mutable=list(rest))
        return jnp.mean(jnp.where(jnp.arange(63) < 60, errors[:, 0], 0))

    grads = jax.jit(jax.grad(loss))(variables["params"])
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))
    for flow in ("network", "totals"):
        assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(grads[flow])) > 0


def test_numbers_of_particles_and_pt_are_drawn_together_from_jets_of_the_class(case):
    _, variables, inputs = case
    arrays = variables[PREPARATION]["arrays"]
    labels = np.arange(4000) % 2
    like = cloud_preparation.draw_templates(arrays, labels, CLASSES, 2)
    known = {
        (int(label), np.float32(pt)): count
        for (label, pt, *_), count in zip(inputs.condition, inputs.values.mask.sum(axis=1), strict=True)
    }
    for label, pt, count in zip(labels, like.pt, like.mask.sum(axis=1), strict=True):
        assert known[int(label), np.float32(pt)] == count
    assert len({*like.pt}) == 60
    again, other = (cloud_preparation.draw_templates(arrays, labels, CLASSES, seed).pt for seed in (2, 3))
    np.testing.assert_array_equal(again, like.pt)
    assert not np.array_equal(other, like.pt)
    with pytest.raises(InputError, match="labels: h was not among the training jets"):
        cloud_preparation.draw_templates(arrays, np.array([0, 2]), CLASSES, 0)


def test_few_jets_of_a_class_are_refused(rng):
    with pytest.raises(InputError, match=r"classes: expected 10 jets or more of each .* found 7 of q, 7 of t"):
        cloud_preparation.fit_arrays(generation.cloud_inputs(draw(14, rng)), CLASSES)

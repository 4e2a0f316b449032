"""Deep sets against their equation, one particle after another in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import models
from hepjax.choices import Activation, Norm
from hepjax.types import Sequences


def drawn(model, inputs, rng):
    """Parameters of the right shapes; without compiling the start, and with biases that are not 0."""
    shapes = jax.eval_shape(lambda: models.initialize(model, jax.random.key(0), inputs))
    return jax.tree.map(lambda a: jnp.asarray(0.4 * rng.normal(size=a.shape), a.dtype), shapes)


@pytest.fixture
def jets(rng):
    mask = np.arange(6) < np.array([6, 1, 0, 3, 5])[:, None]
    values = np.where(mask[..., None], rng.normal(size=(5, 6, 3)), np.nan)
    return Sequences(jnp.asarray(values, jnp.float32), jnp.asarray(mask))


def affine(layer, x):
    return x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)


def test_equation(jets, rng):
    model = models.DeepSets(particle=(4, 3), hidden=(5,), activation=Activation.TANH, outputs=5)
    params, _ = drawn(model, jets, rng)
    head = params["MLP_0"]
    found = jax.jit(model.apply)({"params": params}, jets)
    for logits, values, length in zip(found, jets.values, jets.lengths, strict=True):
        total = np.zeros(3)
        for x in np.asarray(values[:length], np.float64):
            total += np.tanh(affine(params["Dense_1"], np.tanh(affine(params["Dense_0"], x))))
        answer = affine(head["Dense_1"], np.tanh(affine(head["Dense_0"], total)))
        np.testing.assert_allclose(logits, answer if length else np.zeros(5), atol=2e-6)


def test_batch_statistics_count_particles_and_jets(jets):
    model = models.DeepSets(particle=(4,), hidden=(3,), norm=Norm.BATCH, outputs=5)
    params, state = models.initialize(model, jax.random.key(0), jets)
    mask = np.array([True, True, True, True, False])
    _, after = jax.jit(models.make_apply(model))(params, state, jets, mask, jax.random.key(0))
    counted = np.asarray(jets.mask) & mask[:, None]
    answers = affine(params["Dense_0"], np.asarray(jets.values, np.float64)[counted])
    found = after["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(found["mean"], answers.mean(0), atol=1e-5)
    np.testing.assert_allclose(found["var"], answers.var(0), atol=1e-4)

    normal = np.maximum((answers - answers.mean(0)) / np.sqrt(answers.var(0) + 1e-5), 0)
    owners = np.nonzero(counted)[0]
    sums = np.array([normal[owners == jet].sum(0) for jet in np.unique(owners)])
    expected = affine(params["MLP_0"]["Dense_0"], sums).mean(0)
    np.testing.assert_allclose(after["batch_stats"]["MLP_0"]["BatchNorm_0"]["mean"], expected, atol=1e-4)


def test_more_particles_give_a_larger_sum(rng):
    """A sum, not a mean: a jet with every particle twice is another jet."""
    model = models.DeepSets(particle=(4,), hidden=(), outputs=5)
    values = jnp.asarray(rng.normal(size=(1, 3, 2)), jnp.float32)
    once, twice = (Sequences(jnp.tile(values, (1, n, 1)), jnp.ones((1, 3 * n), bool)) for n in (1, 2))
    params, _ = drawn(model, once, rng)
    params["MLP_0"]["Dense_0"]["bias"] *= 0
    one, two = (model.apply({"params": params}, jets) for jets in (once, twice))
    np.testing.assert_allclose(2 * one, two, rtol=1e-5)
    assert jnp.any(one != 0)

"""Recurrent networks against their equations, written as loops in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import models
from hepjax.choices import Activation, Norm
from hepjax.types import Sequences


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def affine(layer, x):
    return x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer.get("bias", 0.0), np.float64)


def lstm(p, particles, width):
    c, h, states = np.zeros(width), np.zeros(width), []
    for x in particles:
        i, f, g, o = (affine(p[f"i{gate}"], x) + affine(p[f"h{gate}"], h) for gate in "ifgo")
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def gru(p, particles, width):
    h, states = np.zeros(width), []
    for x in particles:
        r, z = (sigmoid(affine(p[f"i{gate}"], x) + affine(p[f"h{gate}"], h)) for gate in "rz")
        n = np.tanh(affine(p["in"], x) + r * affine(p["hn"], h))
        h = (1 - z) * n + z * h
        states.append(h)
    return np.array(states)


LOOPS = {models.LSTM: (lstm, "OptimizedLSTMCell"), models.GRU: (gru, "GRUCell")}


def by_hand(params, model, particles):
    """One jet of true particles, layer by layer."""
    loop, name = LOOPS[type(model)]
    cells = iter(params[f"{name}_{i}"] for i in range(99))
    y = np.asarray(particles, np.float64)
    for width in model.units:
        forward = loop(next(cells), y, width)
        last = forward[-1]
        if model.bidirectional:
            backward = loop(next(cells), y[::-1], width)[::-1]
            forward, last = np.concatenate([forward, backward], 1), np.append(last, backward[0])
        y = forward
    return affine(params["MLP_0"]["Dense_0"], last)


def drawn(model, inputs, rng):
    """Parameters of the right shapes; without compiling the start, and with biases that are not 0."""
    shapes = jax.eval_shape(lambda: models.initialize(model, jax.random.key(0), inputs))
    return jax.tree.map(lambda a: jnp.asarray(0.4 * rng.normal(size=a.shape), a.dtype), shapes)


@pytest.fixture
def jets(rng):
    lengths = np.array([6, 1, 3, 5])
    mask = np.arange(6) < lengths[:, None]
    values = np.where(mask[..., None], rng.normal(size=(4, 6, 3)), np.nan)
    return Sequences(jnp.asarray(values, jnp.float32), jnp.asarray(mask))


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one direction", "both directions"])
@pytest.mark.parametrize("network", LOOPS)
def test_equations(network, bidirectional, jets, rng):
    model = network(units=(4, 5), bidirectional=bidirectional, hidden=(), outputs=5)
    params, _ = drawn(model, jets, rng)
    found = jax.jit(model.apply)({"params": params}, jets)
    for logits, values, length in zip(found, jets.values, jets.lengths, strict=True):
        np.testing.assert_allclose(logits, by_hand(params, model, values[:length]), atol=2e-6)


def size(model, columns=16, particles=50):
    jets = Sequences(jnp.zeros((1, particles, columns)), jnp.ones((1, particles), bool))
    params, _ = jax.eval_shape(lambda: models.initialize(model, jax.random.key(0), jets))
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_published_size():
    """The GRU tagger of arXiv:1908.05318, table 4, has 15,575 parameters.

    Its reset gate acts before the recurrent product, which then needs no bias of its own: 50 fewer.
    """
    assert size(models.GRU(units=(50,), hidden=(40, 40, 40), dropout=0.22, outputs=5)) == 15_575 + 50


@pytest.mark.parametrize("network, gates", [(models.LSTM, 4), (models.GRU, 3)])
def test_size_does_not_depend_on_the_slots(network, gates):
    model = network(units=(8,), hidden=(), outputs=5)
    extra = 8 if network is models.GRU else 0
    for particles in (30, 150):
        assert size(model, 16, particles) == gates * (16 * 8 + 8 * 8 + 8) + extra + 8 * 5 + 5


def test_dropout_acts_between_layers(jets, rng):
    model = models.GRU(units=(4, 4), hidden=(), dropout=0.5, outputs=5)
    params, state = drawn(model, jets, rng)
    apply = jax.jit(models.make_apply(model))
    one, other, fixed = (
        apply(params, state, jets, jnp.ones(4, bool), key)[0] for key in (*map(jax.random.key, range(2)), None)
    )
    assert not jnp.allclose(one, other)
    assert not jnp.allclose(one, fixed)


@pytest.mark.parametrize(
    "model",
    [
        models.GRU(units=(4,), hidden=(), outputs=5),
        models.LSTM(units=(4,), bidirectional=True, hidden=(), outputs=5),
        models.DeepSets(particle=(4,), hidden=(4,), outputs=5),
        models.ConvNet1D(filters=(4,), kernels=(3,), norm=Norm.LAYER, activation=Activation.GELU, outputs=5),
    ],
    ids=lambda model: type(model).__name__,
)
def test_full_lists_and_single_slots(model, rng):
    """No padding at all, and room for one pooling window only."""
    jets = Sequences(jnp.asarray(rng.normal(size=(3, 2, 3)), jnp.float32), jnp.ones((3, 2), bool))
    params, state = drawn(model, jets, rng)
    logits, _ = jax.jit(models.make_apply(model))(params, state, jets, jnp.ones(3, bool), None)
    assert logits.shape == (3, 5)
    assert jnp.isfinite(logits).all()
    assert (logits != 0).any()

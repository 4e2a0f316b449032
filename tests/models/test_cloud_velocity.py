"""The velocity network of clouds: its equation in float64, the order of particles, padding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import models
from hepjax.choices import Activation
from hepjax.types import Conditioned, Sequences

MODEL = models.CloudVelocity(width=5, summary=3, layers=2, frequencies=2, activation=Activation.TANH)


@pytest.fixture(scope="module")
def jets():
    rng = np.random.default_rng(5)
    mask = np.arange(6) < np.array([6, 1, 4])[:, None]
    values = np.where(mask[..., None], rng.normal(size=(3, 6, 3)), np.nan).astype(np.float32)
    return Conditioned(Sequences(values, mask), rng.uniform(size=(3, 4)).astype(np.float32))


@pytest.fixture(scope="module")
def apply(jets):
    """The function of inputs, with parameters that are not 0."""
    rng = np.random.default_rng(6)
    shapes = jax.eval_shape(lambda: MODEL.init(jax.random.key(0), jets))
    variables = jax.tree.map(lambda a: jnp.asarray(0.4 * rng.normal(size=a.shape), a.dtype), shapes)
    return variables, jax.jit(lambda inputs: MODEL.apply(variables, inputs))


def affine(layers, x):
    layer = next(layers)
    return x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer.get("bias", 0.0), np.float64)


def test_equation(jets, apply):
    variables, found = apply
    p = variables["params"]
    for answer, values, there, condition in zip(found(jets), *jets.values, jets.condition, strict=True):
        layers = (p[f"Dense_{i}"] for i in range(len(p)))
        turns = np.pi * np.arange(1, 3) * np.float64(condition[0])
        told = np.concatenate([np.cos(turns), np.sin(turns), condition[1:]])
        h = affine(layers, values[there].astype(np.float64))
        h, cloud = np.tanh(h + affine(layers, told)), np.zeros(3)
        for _ in range(2):
            y = np.tanh(affine(layers, np.concatenate([h.mean(0), h.sum(0) / 32, cloud, told])))
            cloud = np.tanh(affine(layers, y) + cloud)
            # Flax numbers layers as they are made: the outer one of a line before what it is given.
            outer, own, shared = next(layers), next(layers), next(layers)
            inner = affine(iter([own]), h) + affine(iter([shared]), np.concatenate([cloud, told]))
            h = np.tanh(affine(iter([outer]), np.tanh(inner)) + h)
        np.testing.assert_allclose(answer[there], affine(layers, h), atol=3e-6)
        assert (np.asarray(answer)[~there] == 0).all()
        assert next(layers, None) is None


def test_particles_in_another_order_move_in_that_order(jets, apply, rng):
    _, found = apply
    order = rng.permutation(6)
    turned = jets._replace(values=Sequences(jets.values.values[:, order], jets.values.mask[:, order]))
    assert not np.array_equal(order, np.arange(6))
    np.testing.assert_allclose(found(turned), np.asarray(found(jets))[:, order], atol=1e-6)


def test_padding_takes_no_part(jets, apply):
    _, found = apply
    more = Sequences(*(np.pad(x, [(0, 0), (0, 3)] + [(0, 0)] * (x.ndim - 2)) for x in jets.values))
    np.testing.assert_allclose(np.asarray(found(jets._replace(values=more)))[:, :6], found(jets), atol=1e-6)


def test_gradients_are_finite(jets, apply):
    variables, _ = apply
    one = jets._replace(values=jets.values._replace(mask=jets.values.mask & (np.arange(3)[:, None] != 1)))
    grads = jax.jit(jax.grad(lambda v: jnp.sum(MODEL.apply(v, one) ** 2)))(variables)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))

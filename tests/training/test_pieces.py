"""A batch in pieces gives the step of the whole batch, whatever the loss, with less memory."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import models, training
from hepjax.choices import Norm
from hepjax.training import losses
from hepjax.types import Batch

F, C = 4, 3


def made(rng, rows):
    x = rng.normal(size=(rows, F)).astype(np.float32)
    weights = rng.uniform(0.5, 2, rows).astype(np.float32)
    weights[-5:] = 0
    return Batch(x, rng.integers(C, size=rows).astype(np.int32), weights)


def take_step(data, pieces, *, norm=Norm.NONE, loss=losses.categorical_cross_entropy):
    model = models.MLP(hidden=(6, 5), outputs=C, norm=norm)
    optimizer = training.make_optimizer("sgd", optax.constant_schedule(0.5))
    key, apply = jax.random.key(1), models.make_apply(model)
    state = training.start(*models.initialize(model, key, data.inputs[:1]), optimizer, key).state
    step = training.make_train_step(apply, loss, optimizer, losses.make_penalty({2: 0.1}), pieces=pieces)
    return jax.jit(step)(state, data)


def coupled(outputs, targets, weights):
    """A loss that is no mean over examples."""
    entropy = losses.categorical_cross_entropy(outputs, targets, weights, class_weights=jnp.array([1.0, 3.0, 0.5]))
    return entropy + jnp.sum((weights @ outputs) ** 2) / jnp.sum(weights) ** 2


@pytest.mark.parametrize("rows, pieces, loss", [(24, 4, coupled), (23, 5, losses.categorical_cross_entropy)])
def test_the_step_is_the_same(rng, rows, pieces, loss):
    """Batches that the pieces cannot share alike too, and a piece without any example."""
    data = made(rng, rows)
    if pieces == 4:
        data = data._replace(weights=np.where(np.arange(rows) % 4 == 2, 0, data.weights))
    whole, in_pieces = (take_step(data, n, loss=loss) for n in (1, pieces))
    chex.assert_trees_all_close(in_pieces[0].params, whole[0].params, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(in_pieces[1], whole[1], rtol=1e-4, atol=1e-6)


def test_a_piece_is_normalized_by_its_own_statistics(rng):
    """Of pieces that are alike the step is that of one, and a piece without examples changes no average."""
    part = made(rng, 12)._replace(weights=np.ones(12, np.float32))
    twice = jax.tree.map(lambda x: np.repeat(x, 2, axis=0), part)
    alone, both = take_step(part, 1, norm=Norm.BATCH)[0], take_step(twice, 2, norm=Norm.BATCH)[0]
    chex.assert_trees_all_close(both.params, alone.params, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(both.model_state["batch_stats"], alone.model_state["batch_stats"], rtol=1e-4, atol=1e-5)
    padded = twice._replace(weights=np.tile([1, 0], 12).astype(np.float32))
    half = take_step(padded, 2, norm=Norm.BATCH)[0]
    chex.assert_trees_all_close(half.model_state, alone.model_state, rtol=1e-4, atol=1e-5)
    chex.assert_tree_all_finite(half.params)


def test_memory_falls():
    """Of a network whose activations are larger than its parameters."""
    model = models.MLP(hidden=(64,) * 4, outputs=C)
    optimizer, apply = training.make_optimizer("sgd", optax.constant_schedule(0.5)), models.make_apply(model)
    key, rows = jax.random.key(0), 8192
    data = Batch(jnp.zeros((rows, F)), jnp.zeros(rows, jnp.int32), jnp.ones(rows))
    state = training.start(*models.initialize(model, key, data.inputs[:1]), optimizer, key).state

    def memory(pieces):
        step = training.make_train_step(apply, losses.categorical_cross_entropy, optimizer, pieces=pieces)
        return jax.jit(step).lower(state, data).compile().memory_analysis().temp_size_in_bytes

    assert memory(16) < memory(1) / 4

"""Moving averages of parameters: against sums by hand, resumed, and of several trainings."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import models, training
from hepjax.choices import Norm, Optimizer
from hepjax.inputs import batching
from hepjax.training import losses
from hepjax.training.averaging import average_over_steps, averaged
from hepjax.types import Batch

N, F, C, DECAY = 120, 4, 3, 0.8


@pytest.fixture
def data(rng):
    x = rng.normal(size=(N, F)).astype(np.float32)
    return Batch(x, (x @ rng.normal(size=(F, C))).argmax(1).astype(np.int32), np.ones(N, np.float32))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_is_the_weighted_mean_of_all_steps(rng, decay):
    values = rng.normal(size=(9, 2))
    average = {"w": jnp.full(2, 7.0), "n": jnp.zeros((), jnp.int32), "fixed": jnp.float32(0.1)}
    for step, x in enumerate(values, 1):
        new = {"w": jnp.asarray(x, jnp.float32), "n": jnp.int32(step), "fixed": jnp.float32(0.1)}
        average = average_over_steps(average, new, jnp.int32(step), decay)
    weights = decay ** np.arange(8.0, -1, -1)
    np.testing.assert_allclose(average["w"], weights @ values / weights.sum(), rtol=1e-5, atol=1e-6)
    assert average["n"] == 9
    assert average["fixed"] == np.float32(0.1)


def set_up(data, optimizer):
    model = models.MLP(hidden=(5,), outputs=C, norm=Norm.BATCH)
    apply, key, loss = models.make_apply(model), jax.random.key(3), losses.categorical_cross_entropy
    first = training.start(*models.initialize(model, key, data.inputs[:1]), optimizer, key, average=True)
    step = training.make_train_step(apply, loss, optimizer, average=DECAY)
    return first, step, training.make_eval_step(apply, loss)


def test_averages_are_validated_and_kept_and_go_on(data, tmp_path):
    optimizer = training.make_optimizer(Optimizer.SGD, optax.constant_schedule(0.5))
    first, step, evaluate = set_up(data, optimizer)
    programs = training.compile_here(step, evaluate)

    def fit(start, epochs):
        return training.fit(
            start,
            batching.make_windows(data, batch_size=40, seed=0, steps=3),
            lambda: batching.eval_batches(data, batch_size=N),
            programs,
            epochs=epochs,
            schedule=optax.constant_schedule(0.5),
        )

    done = fit(first, 2)
    by_hand, states, average = first.state, [], None
    for epoch in (1, 2):
        for window in batching.make_windows(data, batch_size=40, seed=0, steps=3)(epoch):
            for examples in window.examples[:, 0]:
                by_hand, _ = jax.jit(step)(by_hand, jax.tree.map(lambda x, rows=examples: x[rows], data))
                states.append((by_hand.params, by_hand.model_state))
    weights = DECAY ** np.arange(len(states) - 1.0, -1, -1)
    average = jax.tree.map(lambda *x: np.tensordot(weights / weights.sum(), np.stack(x), 1), *states)
    chex.assert_trees_all_close(done.state.average, average, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(done.state.params, by_hand.params, rtol=1e-4, atol=1e-5)
    last = averaged(done.state)
    assert last.params is done.state.average[0]
    np.testing.assert_allclose(done.history[1].val_loss, evaluate(last, data).loss / N, rtol=1e-5)
    assert done.history[1].val_loss < done.history[0].val_loss
    chex.assert_trees_all_equal((done.best.params, done.best.model_state), done.state.average)
    training.save_ensemble(tmp_path / "last.msgpack", fit(first, 1))
    again = fit(training.restore_ensemble(tmp_path / "last.msgpack", set_up(data, optimizer)[0]), 2)
    chex.assert_trees_all_equal(again.state.average, done.state.average)


def test_without_averages_nothing_changes(data):
    optimizer = training.make_optimizer(Optimizer.SGD, optax.constant_schedule(0.5))
    state = training.start({"w": jnp.ones(2)}, {}, optimizer, jax.random.key(0)).state
    assert averaged(state) is state

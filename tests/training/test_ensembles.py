"""Many trainings at once are what each would be alone."""

from __future__ import annotations

import chex
import jax
import numpy as np
import pytest

from hepjax import models, training
from hepjax.choices import Norm, Optimizer, Schedule
from hepjax.inputs import batching
from hepjax.training import losses
from hepjax.types import Batch, Sequences, Window

C = 3


@pytest.fixture
def data(rng):
    mask = np.arange(16) < rng.integers(1, 17, 90)[:, None]
    values = (rng.normal(size=(90, 16, 2)) * mask[..., None]).astype(np.float32)
    return Batch(Sequences(values, mask), rng.integers(C, size=90).astype(np.int32), np.ones(90, np.float32))


def set_up(data, keys):
    network = models.DeepSets(particle=(6,), hidden=(4,), outputs=C, norm=Norm.BATCH, dropout=0.1)
    schedule = training.make_schedule(Schedule.CONSTANT, 0.02, steps=1)
    # Adam would blow up the rounding of gradients that are zero, those of biases before the batch's normalisation.
    optimizer = training.make_optimizer(Optimizer.SGD, schedule, momentum=0.9, own_rate=True)
    apply, loss = models.make_apply(network), losses.categorical_cross_entropy
    few = jax.tree.map(lambda x: x[:1], data.inputs)
    drawn = [models.initialize(network, key, few) for key in keys]
    step = training.make_train_step(apply, loss, optimizer)
    return drawn, optimizer, schedule, training.over_window(step), training.make_eval_step(apply, loss)


@pytest.mark.parametrize("lengths", [(), (8, 16)])
def test_each_member_is_trained_as_it_would_be_alone(data, lengths):
    """They have different numbers of jets, so that some have empty batches."""
    keys = jax.random.split(jax.random.key(0), 3)
    drawn, optimizer, schedule, run, evaluate = set_up(data, keys)
    buckets = batching.Buckets(lengths)
    rows = [np.arange(70), np.arange(20, 60), np.arange(50, 90)]
    val = [np.arange(70, 90), np.arange(10), np.arange(11)]
    shared = batching.share(data, buckets)
    steps, windows = batching.member_windows(shared, rows, batch_size=16, seed=4, steps=3)
    assert steps >= 5
    stacked = jax.tree.map(lambda *x: np.stack(x), *drawn)
    many = training.start_many(*stacked, optimizer, keys, 3)
    programs = [jax.jit(f) for f in training.over_members(run, evaluate)]
    window, places = batching.member_rows(shared, val, 8)
    for i, own in enumerate(val):
        assert sorted(places[:, i][places[:, i] >= 0]) == own.tolist()
    done = training.fit_many(many, windows, window, programs, epochs=3, schedule=schedule)
    for i in range(3):

        def alone(epoch, i=i):
            return (w._replace(rows=w.rows[:, i]) for w in windows(epoch))

        part = jax.tree.map(lambda x, i=i: x[val[i]], data)
        one = training.fit(
            training.start(*drawn[i], optimizer, keys[i]),
            alone,
            lambda part=part: [part],
            training.Programs(jax.jit(run), jax.jit(evaluate)),
            epochs=3,
            schedule=schedule,
        )
        own = jax.tree.map(lambda x, i=i: x[i], (done.state.params, done.state.model_state, done.best.params))
        chex.assert_trees_all_close(
            own, (one.state.params, one.state.model_state, one.best.params), rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose([r[1:5] for r in done.members[i].history], [r[1:5] for r in one.history], rtol=1e-4)
        assert int(done.state.step[i]) == int(one.state.step)


def test_every_row_of_a_member_comes_once_an_epoch(data):
    rows = [np.arange(70), np.arange(20, 60), np.arange(0)]
    shared = batching.share(data, batching.Buckets((8, 16)))
    _, windows = batching.member_windows(shared, rows, batch_size=16, seed=4, steps=4)
    seen = [[], [], []]
    shapes = set()
    for window in windows(2):
        shapes.add(window.rows.shape)
        for which, step in zip(window.which, window.rows, strict=True):
            for member, own in enumerate(step):
                seen[member] += shared.rows[which][own[own >= 0]].tolist() if which < 2 else []
    assert [sorted(some) for some in seen] == [some.tolist() for some in rows]
    assert len(shapes) == 1


def test_own_learning_rates(data):
    keys = jax.random.split(jax.random.key(0), 2)
    drawn, optimizer, _, run, _ = set_up(data, keys[:1])
    stacked = jax.tree.map(lambda x: np.stack([x, x]), drawn[0])
    many = training.start_many(*stacked, optimizer, jax.numpy.stack([keys[0]] * 2), 2)
    state = many.state._replace(opt_state=training.with_rates(many.state.opt_state, np.array([1.0, 0.5], np.float32)))
    shared = batching.share(data)
    _, windows = batching.member_windows(shared, [np.arange(16)] * 2, batch_size=16, seed=0, steps=1)
    window = next(windows(1))
    window = Window(window.data, window.which, np.repeat(window.rows[:, :1], 2, axis=1))
    new, _ = jax.jit(training.over_members(run, lambda *_: None)[0])(state, window)
    change = jax.tree.map(lambda a, b: np.asarray(a) - b, new.params, stacked[0])
    for leaf in jax.tree.leaves(change):
        np.testing.assert_allclose(leaf[1], leaf[0] / 2, rtol=1e-4, atol=1e-6)

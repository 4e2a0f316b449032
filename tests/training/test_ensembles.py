"""Each of several trainings at once is what it would be alone."""

from __future__ import annotations

import re
from functools import partial

import chex
import jax
import numpy as np
import pytest

from hepjax import models, training
from hepjax.choices import Norm, Optimizer, Schedule
from hepjax.inputs import batching
from hepjax.training import losses
from hepjax.types import Batch, Sequences

C = 3


@pytest.fixture
def data(rng):
    mask = np.arange(16) < rng.integers(1, 17, 90)[:, None]
    values = (rng.normal(size=(90, 16, 2)) * mask[..., None]).astype(np.float32)
    return Batch(Sequences(values, mask), rng.integers(C, size=90).astype(np.int32), np.ones(90, np.float32))


def set_up(data, keys):
    network = models.DeepSets(particle=(6,), hidden=(4,), outputs=C, norm=Norm.BATCH, dropout=0.1)
    schedule = training.make_schedule(Schedule.CONSTANT, 0.02, steps=1)
    # Adam would blow up the rounding of gradients that are zero, those of biases before the batch's normalization.
    optimizer = training.make_optimizer(Optimizer.SGD, schedule, momentum=0.9, peak=1.0)
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
    ensemble = training.start(*stacked, optimizer, keys, members=3)
    programs = training.Programs(*map(jax.jit, training.over_members(run, evaluate)))
    window, places = batching.member_rows(shared, val, 8)
    for i, own in enumerate(val):
        assert sorted(places[:, i][places[:, i] >= 0]) == own.tolist()
    done = training.fit(ensemble, windows, lambda: [window], programs, epochs=3, schedule=schedule)
    for i in range(3):

        def alone(epoch, i=i):
            return (w._replace(examples=w.examples[:, i]) for w in windows(epoch))

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
        shapes.add(window.examples.shape)
        for bucket, step in zip(window.bucket, window.examples, strict=True):
            for member, own in enumerate(step):
                seen[member] += shared.rows[bucket][own[own >= 0]].tolist() if bucket < 2 else []
    assert [sorted(some) for some in seen] == [some.tolist() for some in rows]
    assert len(shapes) == 1


def test_own_learning_rates(data):
    keys = jax.random.split(jax.random.key(0), 2)
    drawn, optimizer, schedule, run, _ = set_up(data, keys[:1])
    stacked = jax.tree.map(lambda x: np.stack([x, x]), drawn[0])
    state = training.start(*stacked, optimizer, jax.numpy.stack([keys[0]] * 2), members=2).state
    state = state._replace(opt_state=training.with_rates(state.opt_state, np.array([1.0, 0.5], np.float32)))
    shared = batching.share(data)
    _, windows = batching.member_windows(shared, [np.arange(16)] * 2, batch_size=16, seed=0, steps=1)
    window = next(windows(1))
    window = window._replace(examples=np.repeat(window.examples[:, :1], 2, axis=1))
    new, _ = jax.jit(training.over_members(run, lambda *_: None)[0])(state, window)
    change = jax.tree.map(lambda a, b: np.asarray(a) - b, new.params, stacked[0])
    for leaf in jax.tree.leaves(change):
        np.testing.assert_allclose(leaf[1], leaf[0] / 2, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(training.learning_rates(schedule, new), [0.02, 0.01], rtol=1e-6)


def three_at_once(data, rows):
    """Three members, each with rows of its own to train on, that are validated on all."""
    keys = jax.random.split(jax.random.key(0), 3)
    drawn, optimizer, schedule, run, evaluate = set_up(data, keys)
    ensemble = training.start(*jax.tree.map(lambda *x: np.stack(x), *drawn), optimizer, keys, members=3)
    shared = batching.share(data)
    _, windows = batching.member_windows(shared, rows, batch_size=16, seed=4, steps=2)
    window, _ = batching.member_rows(shared, [np.arange(89)] * 3, 90)
    programs = training.Programs(*map(jax.jit, training.over_members(run, evaluate)))
    return partial(training.fit, train=windows, val=lambda: [window], programs=programs, schedule=schedule), ensemble


class TestDivergence:
    """The last jet is infinite: a member that is trained on it diverges."""

    @pytest.fixture
    def spoilt(self, data):
        data.inputs.mask[89, 0] = True
        data.inputs.values[89, 0] = np.inf
        return data

    def test_the_others_go_on_as_if_it_were_not_there(self, spoilt, tmp_path):
        fit, start = three_at_once(spoilt, [np.arange(60), np.arange(30, 90), np.arange(20, 80)])
        done = fit(start, epochs=4)
        words = done.members[1].divergence
        assert re.fullmatch(r"at step \d: the loss is nan and the largest gradient nan, in .+", words)
        assert done.members[1].history == ()
        fit, start = three_at_once(spoilt, [np.arange(60), np.arange(30, 89), np.arange(20, 80)])
        good = fit(start, epochs=4)
        for i in (0, 2):
            assert done.members[i].divergence == ""
            assert [row[:5] for row in done.members[i].history] == [row[:5] for row in good.members[i].history]
            chex.assert_trees_all_equal(*(training.member_of(some.state, i).params for some in (done, good)))
        last_good = training.member_of(done.state, 1)
        assert int(last_good.step) == int(re.search(r"step (\d)", words)[1]) - 1
        chex.assert_tree_all_finite(last_good.params)

    def test_going_on_from_a_file_is_bitwise_the_same(self, spoilt, tmp_path):
        fit, start = three_at_once(spoilt, [np.arange(60), np.arange(30, 90), np.arange(20, 80)])
        straight, half = fit(start, epochs=4), fit(start, epochs=2)
        training.save_ensemble(tmp_path / "last.msgpack", half)
        resumed = fit(training.restore_ensemble(tmp_path / "last.msgpack", start), epochs=4)
        chex.assert_trees_all_equal(resumed.state.params, straight.state.params)
        chex.assert_trees_all_equal(resumed.best.params, straight.best.params)
        assert [p.divergence for p in resumed.members] == [p.divergence for p in straight.members]

    def test_where_all_diverge_the_error_says_so(self, spoilt):
        fit, start = three_at_once(spoilt, [np.arange(74, 90)] * 3)
        with pytest.raises(training.DivergedError, match="all 3 trainings diverged, the first at step 1") as caught:
            fit(start, epochs=2)
        chex.assert_trees_all_equal(caught.value.state.params, start.state.params)

    def test_a_member_that_stops_early_keeps_its_state(self, data):
        rows = [np.arange(60), np.arange(30, 89), np.arange(20, 80)]
        fit, start = three_at_once(data, rows)
        stops = start._replace(members=(start.members[0]._replace(epochs_without_improvement=9), *start.members[1:]))
        done = fit(stops, epochs=2, patience=9)
        chex.assert_trees_all_equal(*(training.member_of(some.state, 0).params for some in (done, start)))
        assert [int(step) > 0 for step in done.state.step] == [False, True, True]

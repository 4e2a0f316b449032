"""Step, loop, optimizers, schedules, stopping: against optax by hand and closed forms."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import InputError, models, training
from hepjax.choices import Norm, Optimizer, Schedule
from hepjax.inputs import batching
from hepjax.training import losses
from hepjax.training.stopping import watch_validation_loss
from hepjax.types import Batch, Epoch, Progress

N, F, C = 200, 4, 3


@pytest.fixture
def data(rng):
    x = rng.normal(size=(N, F)).astype(np.float32)
    return Batch(x, (x @ rng.normal(size=(F, C))).argmax(1).astype(np.int32), np.ones(N, np.float32))


def set_up(data, model=None, optimizer=None, penalty=None, loss=losses.categorical_cross_entropy):
    model = model or models.Logistic(outputs=C)
    optimizer = optimizer or training.make_optimizer(Optimizer.SGD, optax.constant_schedule(0.5))
    key, apply = jax.random.key(7), models.make_apply(model)
    progress = training.start(*models.initialize(model, key, data.inputs[:1]), optimizer, key)
    step = training.make_train_step(apply, loss, optimizer, penalty or losses.make_penalty({}))
    return progress, step, training.make_eval_step(apply, loss)


def run(data, progress, step, evaluate, epochs, batch_size=64, **options):
    return training.fit(
        progress,
        batching.make_windows(data, batch_size=batch_size, seed=0, steps=2),
        lambda: batching.eval_batches(data, batch_size=90),
        training.compile_here(step, evaluate),
        epochs=epochs,
        **{"schedule": optax.constant_schedule(0.5), **options},
    )


class TestStep:
    def test_is_gradient_descent(self, data):
        progress, step, _ = set_up(data, penalty=losses.make_penalty({2: 0.1}))
        new, metrics = jax.jit(step)(progress.state, data)

        def objective(params):
            logits = data.inputs @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
            value = optax.softmax_cross_entropy_with_integer_labels(logits, data.targets).mean()
            return value + 0.1 * (params["Dense_0"]["kernel"] ** 2).sum()

        params = progress.state.params
        expected = jax.tree.map(lambda p, g: p - 0.5 * g, params, jax.grad(objective)(params))
        chex.assert_trees_all_close(new.params, expected, rtol=1e-5, atol=1e-6)
        penalty = 0.1 * (params["Dense_0"]["kernel"] ** 2).sum()
        np.testing.assert_allclose(metrics.loss, objective(params) - penalty, rtol=1e-5)
        assert new.step == 1

    def test_padding_changes_nothing(self, data):
        progress, step, _ = set_up(data)
        padded = jax.tree.map(lambda x: np.concatenate([x, np.zeros((50, *x.shape[1:]), x.dtype)]), data)
        step = jax.jit(step)
        chex.assert_trees_all_close(
            step(progress.state, data)[0].params, step(progress.state, padded)[0].params, rtol=1e-5, atol=1e-6
        )

    def test_weights_are_copies(self, data):
        progress, step, _ = set_up(data)
        twice = jax.tree.map(lambda x: np.concatenate([x, x[:50]]), data)
        weighted = data._replace(weights=np.where(np.arange(N) < 50, 2, 1).astype(np.float32))
        step = jax.jit(step)
        chex.assert_trees_all_close(
            step(progress.state, twice)[0].params, step(progress.state, weighted)[0].params, rtol=1e-5, atol=1e-6
        )

    def test_weights_of_opposite_sign_cancel(self, data):
        """Adam does not see the size of a gradient, by which a pair of jets lowers it."""
        progress, step, _ = set_up(
            data, optimizer=training.make_optimizer(Optimizer.ADAM, optax.constant_schedule(0.1))
        )
        added = jax.tree.map(lambda x: np.concatenate([x, x[:50], x[:50]]), data)
        added = added._replace(weights=np.concatenate([np.ones(N + 50), -np.ones(50)]).astype(np.float32))
        (plain, alone), (new, metrics) = (jax.jit(step)(progress.state, batch) for batch in (data, added))
        chex.assert_trees_all_close(new.params, plain.params, rtol=1e-3, atol=1e-4)
        assert float(metrics.weight) == N
        assert float(metrics.size) == N + 100
        np.testing.assert_allclose(metrics.loss * metrics.size, alone.loss * alone.size, rtol=1e-5)

    def test_evaluation_of_negative_weights_is_a_weighted_mean(self, data):
        progress, _, evaluate = set_up(data)
        signs = data._replace(weights=np.where(np.arange(N) % 4, 1, -1).astype(np.float32))
        whole, of_each = evaluate(progress.state, signs), evaluate(progress.state, data).outputs
        losses_of_jets = optax.softmax_cross_entropy_with_integer_labels(of_each, data.targets)
        np.testing.assert_allclose(
            whole.loss / whole.weight, np.average(losses_of_jets, weights=signs.weights), rtol=1e-4
        )

    def test_evaluation_sums(self, data):
        progress, _, evaluate = set_up(data)
        whole = jax.jit(evaluate)(progress.state, data)
        halves = [evaluate(progress.state, jax.tree.map(lambda x, s=s: x[s], data)) for s in (slice(70), slice(70, N))]
        chex.assert_trees_all_close(whole[:3], jax.tree.map(jnp.add, *(half[:3] for half in halves)), rtol=1e-5)
        chex.assert_trees_all_close(whole.outputs, jnp.concatenate([half.outputs for half in halves]), rtol=1e-5)
        logits = data.inputs @ progress.state.params["Dense_0"]["kernel"]
        assert int(whole.correct) == int((logits.argmax(1) == data.targets).sum())


class TestFit:
    def test_learns(self, data):
        progress, step, evaluate = set_up(data)
        done = run(data, progress, step, evaluate, epochs=30)
        assert done.history[-1].val_accuracy > 0.93
        assert done.history[-1].val_loss < 0.5 * done.history[0].val_loss
        assert [row.epoch for row in done.history] == list(range(1, 31))

    @pytest.mark.parametrize("batch_size", [64, 45])
    def test_one_trace_for_training_and_one_for_evaluation(self, data, batch_size):
        progress, step, evaluate = set_up(data)
        chex.clear_trace_counter()
        step, evaluate = (chex.assert_max_traces(f, n=1) for f in (step, evaluate))
        done = run(data, progress, step, evaluate, epochs=3, batch_size=batch_size)
        jax.jit(evaluate)(done.state, next(batching.eval_batches(data, batch_size=90)))

    def test_steps_that_fill_up_a_window_change_nothing(self, data):
        """Five steps: in one window of five, and in two of three, the last of which is none."""
        model = models.MLP(hidden=(8,), outputs=C, norm=Norm.BATCH, dropout=0.2)
        progress, step, evaluate = set_up(data, model, training.make_optimizer(Optimizer.ADAM, lambda _: 0.01))

        def fit(steps):
            return training.fit(
                progress,
                batching.make_windows(data, batch_size=45, seed=0, steps=steps),
                lambda: batching.eval_batches(data, batch_size=90),
                training.compile_here(step, evaluate),
                epochs=2,
                schedule=lambda _: 0.01,
            )

        whole, filled = fit(5), fit(4)
        assert int(filled.state.step) == int(whole.state.step) == 10
        chex.assert_trees_all_close(filled.state.params, whole.state.params, rtol=1e-5, atol=1e-6)
        chex.assert_trees_all_close(filled.state.model_state, whole.state.model_state, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(filled.history[1][:5], whole.history[1][:5], rtol=1e-5)

    @pytest.mark.parametrize("norm", [Norm.NONE, Norm.BATCH])
    def test_stopping_and_going_on_is_bitwise_the_same(self, data, tmp_path, norm):
        """Dropout, batch averages, optimizer state and a plateau schedule included."""
        schedule = optax.cosine_decay_schedule(0.01, 24)
        optimizer = training.make_optimizer(
            Optimizer.ADAMW, schedule, weight_decay=0.01, clip_norm=1.0, plateau_patience=1, steps_per_epoch=4
        )
        model = models.MLP(hidden=(8, 8), outputs=C, dropout=0.3, norm=norm)
        progress, step, evaluate = set_up(data, model, optimizer)
        straight = run(data, progress, step, evaluate, epochs=6, schedule=schedule)
        half = run(data, progress, step, evaluate, epochs=3, schedule=schedule)
        training.save_ensemble(tmp_path / "last.msgpack", half)
        again, step, evaluate = set_up(data, model, optimizer)
        back = training.restore_ensemble(tmp_path / "last.msgpack", again)
        resumed = run(data, back, step, evaluate, epochs=6, schedule=schedule)
        chex.assert_trees_all_equal(resumed.state.params, straight.state.params)
        chex.assert_trees_all_equal(resumed.state.opt_state, straight.state.opt_state)
        chex.assert_trees_all_equal(resumed.best.params, straight.best.params)
        assert [row[:5] for row in resumed.history] == [row[:5] for row in straight.history]

    def test_seed_decides_dropout(self, data):
        model = models.MLP(hidden=(8,), outputs=C, dropout=0.5)
        a, step, evaluate = set_up(data, model)
        b = a._replace(state=a.state._replace(key=jax.random.key(8)))
        losses_ = [run(data, p, step, evaluate, epochs=1).history[0].train_loss for p in (a, a, b)]
        assert losses_[0] == losses_[1]
        assert losses_[0] != losses_[2]

    def test_divergence_names_step_and_gradient_and_keeps_the_last_good_state(self, data):
        progress, step, evaluate = set_up(data)
        first_epoch = run(data, progress, step, evaluate, epochs=1)
        spoilt = data._replace(inputs=data.inputs.copy())
        first, second = next(iter(batching.make_windows(data, batch_size=64, seed=0, steps=2)(2))).examples[:, 0]
        spoilt.inputs[second[0]] = np.inf  # the second step of the second epoch
        with pytest.raises(
            training.DivergedError, match=r"at step 6: the loss is nan .* gradient nan, in Dense_0/"
        ) as caught:
            run(spoilt, first_epoch, step, evaluate, epochs=3)
        good = caught.value.state
        assert int(good.step) == 5
        chex.assert_tree_all_finite(good.params)
        expected, _ = step(first_epoch.state, jax.tree.map(lambda x: x[first], data))
        chex.assert_trees_all_close(good.params, expected.params, rtol=1e-5, atol=1e-6)
        chex.assert_tree_all_finite(first_epoch.state.params)  # not donated away

    def test_a_step_that_blows_parameters_up_is_not_taken(self, data):
        """The loss and the gradients of that step are finite still."""
        optimizer = training.make_optimizer(Optimizer.SGD, optax.constant_schedule(3e38))
        progress, step, evaluate = set_up(data._replace(inputs=100 * data.inputs), optimizer=optimizer)
        with pytest.raises(training.DivergedError, match=r"at step 1: the loss is [0-9]") as caught:
            run(data._replace(inputs=100 * data.inputs), progress, step, evaluate, epochs=2)
        chex.assert_trees_all_equal(caught.value.state.params, progress.state.params)

    def test_best_is_restored_and_patience_stops(self, data, rng):
        """A validation set with random labels: its loss rises from the start."""
        progress, step, evaluate = set_up(data)
        val = data._replace(targets=rng.integers(C, size=N).astype(np.int32))
        done = training.fit(
            progress,
            batching.make_windows(data, batch_size=64, seed=0),
            lambda: batching.eval_batches(val, batch_size=N),
            training.compile_here(step, evaluate),
            epochs=50,
            schedule=optax.constant_schedule(0.5),
            patience=4,
        )
        val_losses = [row.val_loss for row in done.history]
        assert len(done.history) == int(np.argmin(val_losses)) + 1 + 4
        assert done.members[0].best_loss == min(val_losses)
        np.testing.assert_allclose(evaluate(done.best, val).loss / N, min(val_losses), rtol=1e-5)


def test_minimum_change():
    progress = Progress()
    for epoch, loss in enumerate([1.0, 0.95, 0.91, 0.89, 0.889], 1):
        progress = watch_validation_loss(progress, Epoch(epoch, 0, loss, 0, 0, 0, 0), 0.1)
    # 0.89 undercuts 1.0 by more than 0.1, 0.889 does not undercut 0.89
    assert progress.epochs_without_improvement == 1
    assert progress.best_loss == 0.889  # the best is the lowest all the same
    assert training.should_stop(progress, 1)
    assert not training.should_stop(progress, 2)
    assert not training.should_stop(progress, None)


class TestOptimizers:
    @pytest.mark.parametrize("kind", [kind for kind in Optimizer if kind is not Optimizer.OWN])
    def test_every_one_trains(self, kind, data):
        rate = {Optimizer.ADADELTA: 5.0, Optimizer.FROMAGE: 0.05, Optimizer.LARS: 20.0}.get(kind, 0.02)
        optimizer = training.make_optimizer(kind, optax.constant_schedule(rate))
        progress, step, _ = set_up(data, optimizer=optimizer)
        step, state = jax.jit(step), progress.state
        first = step(state, data)[1].loss
        for _ in range(30):
            state, metrics = step(state, data)
        assert metrics.loss < first

    def test_one_of_ones_own_has_no_name_to_be_made_by(self):
        with pytest.raises(InputError, match="given itself"):
            training.make_optimizer(Optimizer.OWN, optax.constant_schedule(0.1))

    def test_are_optaxs(self, data):
        schedule = optax.constant_schedule(0.1)
        pairs = [
            (training.make_optimizer(Optimizer.SGD, schedule, momentum=0.9), optax.sgd(0.1, momentum=0.9)),
            (
                training.make_optimizer(Optimizer.ADAMW, schedule, weight_decay=0.2),
                optax.adamw(0.1, weight_decay=0.2, mask=lambda p: {"Dense_0": {"kernel": True, "bias": False}}),
            ),
            (
                training.make_optimizer(Optimizer.ADAM, schedule, clip_norm=0.01),
                optax.chain(optax.clip_by_global_norm(0.01), optax.adam(0.1)),
            ),
        ]
        for ours, theirs in pairs:
            states = [set_up(data, optimizer=optax.with_extra_args_support(o)) for o in (ours, theirs)]
            ends = []
            for progress, step, _ in states:
                state = progress.state
                for _ in range(3):
                    state, _ = step(state, data)
                ends.append(state.params)
            chex.assert_trees_all_close(*ends)

    @pytest.mark.parametrize("kind", [Optimizer.ADAMW, Optimizer.LION, Optimizer.LARS, Optimizer.ADADELTA])
    def test_weight_decay_spares_biases(self, kind):
        optimizer = training.make_optimizer(kind, optax.constant_schedule(0.1), weight_decay=0.5)
        params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
        updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params, value=0.0)
        assert (updates["bias"] == 0).all()
        assert (updates["kernel"] < 0).all()

    @pytest.mark.parametrize("kind, option", [(Optimizer.ADAM, "momentum"), (Optimizer.SGD, "weight_decay")])
    def test_options_it_lacks_are_refused(self, kind, option):
        with pytest.raises(InputError, match=f"{option}: {kind.value} has none"):
            training.make_optimizer(kind, optax.constant_schedule(0.1), **{option: 0.5})

    def test_plateau_lowers_the_rate(self, data):
        schedule = optax.constant_schedule(0.5)
        optimizer = training.make_optimizer(Optimizer.SGD, schedule, plateau_patience=2, steps_per_epoch=4)

        def constant(outputs, targets, weights):
            return 1 + 0 * losses.categorical_cross_entropy(outputs, targets, weights)

        progress, step, evaluate = set_up(data, optimizer=optimizer, loss=constant)
        done = run(data, progress, step, evaluate, epochs=7)
        rates = [row.learning_rate for row in done.history]
        np.testing.assert_allclose(rates, [0.5, 0.5, 0.05, 0.05, 0.005, 0.005, 0.0005], rtol=1e-5)


class TestSchedules:
    def test_shapes(self):
        kinds = (Schedule.CONSTANT, Schedule.COSINE, Schedule.ONE_CYCLE)
        constant, cosine, cycle = (training.make_schedule(kind, 0.1, steps=100) for kind in kinds)
        steps = np.arange(101)
        np.testing.assert_allclose([constant(s) for s in steps], 0.1)
        np.testing.assert_allclose([cosine(s) for s in steps], 0.05 * (1 + np.cos(np.pi * steps / 100)), atol=1e-7)
        rates = np.array([cycle(s) for s in steps])
        assert rates.argmax() == 30
        assert rates.max() == pytest.approx(0.1)
        assert rates[0] < 0.005
        assert rates[-1] < 1e-5

    def test_warm_up(self):
        schedule = training.make_schedule(Schedule.COSINE, 0.1, steps=100, warmup_steps=20)
        np.testing.assert_allclose([schedule(s) for s in (0, 10, 20, 60, 100)], [0, 0.05, 0.1, 0.05, 0], atol=1e-7)

    @pytest.mark.parametrize("kind, warmup", [(Schedule.ONE_CYCLE, 5), (Schedule.COSINE, 100), (Schedule.COSINE, -1)])
    def test_refused(self, kind, warmup):
        with pytest.raises(ValueError, match="warmup_steps"):
            training.make_schedule(kind, 0.1, steps=100, warmup_steps=warmup)


class TestCheckpoints:
    TREE = {"w": np.arange(3.0), "n": 4, "x": (np.float32(2.5), {"k": np.array(1, np.int32)})}  # noqa: RUF012

    def test_there_and_back(self, tmp_path):
        path, tree = tmp_path / "a.msgpack", {**self.TREE, "key": jax.random.key(5)}
        training.save(path, tree)
        back = training.restore(path, {**self.TREE, "key": jax.random.key(0)})
        assert jax.random.key_data(back.pop("key")).tolist() == jax.random.key_data(tree.pop("key")).tolist()
        chex.assert_trees_all_equal(back, tree)
        assert [p.name for p in tmp_path.iterdir()] == ["a.msgpack"]

    def test_full_disk_keeps_the_old_one(self, tmp_path, monkeypatch):
        path = tmp_path / "a.msgpack"
        training.save(path, self.TREE)

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(InputError, match=r"a.msgpack: cannot be written \(No space"):
            training.save(path, {**self.TREE, "n": 5})
        monkeypatch.undo()
        assert training.restore(path, self.TREE)["n"] == 4
        assert [p.name for p in tmp_path.iterdir()] == ["a.msgpack"]

    @pytest.mark.parametrize(
        "spoil, words",
        [
            (lambda data: data[:-5], "damaged"),
            (lambda data: data[:60] + b"\x00" + data[61:], "damaged"),
            (lambda data: b"hepjax checkpoint 9\n" + data[20:], "upgrade"),
            (lambda data: b"", "upgrade"),
        ],
    )
    def test_damage_is_refused(self, tmp_path, spoil, words):
        path = tmp_path / "a.msgpack"
        training.save(path, self.TREE)
        path.write_bytes(spoil(path.read_bytes()))
        with pytest.raises(InputError, match=words):
            training.restore(path, self.TREE)

    @pytest.mark.parametrize("other", [{"w": np.arange(4.0)}, {"w": np.arange(3.0), "v": 1.0}])
    def test_another_model_is_refused(self, tmp_path, other):
        training.save(tmp_path / "a.msgpack", {"w": np.arange(3.0)})
        with pytest.raises(InputError, match="another model"):
            training.restore(tmp_path / "a.msgpack", other)

    def test_a_training_of_an_older_hepjax_cannot_go_on(self, tmp_path):
        ensemble = training.start({"w": jnp.zeros(3)}, {}, optax.sgd(0.1), jax.random.key(0))
        training.save(tmp_path / "last.msgpack", ({"epoch": 1, "state": 0}, np.zeros((1, 8))))
        with pytest.raises(InputError, match=r"last.msgpack: an older hepjax wrote it.*start a new run"):
            training.restore_ensemble(tmp_path / "last.msgpack", ensemble)

    def test_shapes_are_template_enough(self, tmp_path):
        training.save(tmp_path / "a.msgpack", {"w": np.arange(3, dtype=np.float32)})
        shapes = jax.eval_shape(lambda: {"w": jnp.zeros(3)})
        assert training.restore(tmp_path / "a.msgpack", shapes)["w"].tolist() == [0, 1, 2]

    @pytest.mark.parametrize(
        "other", [{"w": jnp.zeros(3, jnp.int32)}, {"w": "text"}, {"w": np.float16([1, 2, 3])}, [1, 2, 3], 5]
    )
    def test_other_types_are_refused(self, tmp_path, other):
        training.save(tmp_path / "a.msgpack", other)
        with pytest.raises(InputError, match=r"a\.msgpack: (holds another model|damaged)"):
            training.restore(tmp_path / "a.msgpack", {"w": np.zeros(3, np.float32)})

    def test_another_training_is_refused(self, tmp_path):
        path, one, two = tmp_path / "a.msgpack", "ab" * 32, "cd" * 32
        training.save(path, self.TREE, one)
        assert training.restore(path, self.TREE, one)["n"] == training.restore(path, self.TREE)["n"] == 4
        for other in (two, ""):
            with pytest.raises(InputError, match="of another training"):
                training.restore(path, self.TREE, other)

    def test_missing(self, tmp_path):
        with pytest.raises(InputError, match="no such checkpoint"):
            training.restore(tmp_path / "a.msgpack", {})

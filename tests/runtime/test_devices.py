"""One step on any number of devices is the step on one; several processes have their own tests."""

from __future__ import annotations

import dataclasses

import chex
import jax
import numpy as np
import pytest

from hepjax import InputError, models, runtime, training
from hepjax.choices import Norm, Optimizer, Schedule, Strategy
from hepjax.runs import options, records, run_folder, train
from hepjax.training import losses
from hepjax.types import Batch, Sequences, Window

pytestmark = pytest.mark.usefixtures("many_devices", "brief")

STEPS, BATCH, C = 5, 16, 3
NETWORKS = {
    "mlp": models.MLP(hidden=(8,), outputs=C),
    "gru": models.GRU(units=(4,), hidden=(4,), outputs=C),
    "interaction": models.InteractionNetwork(edge=(6, 4), node=(4,), hidden=(4,), outputs=C),
    "convnet": models.ConvNet(filters=(2,), kernels=(3,), hidden=(4,), outputs=C),
}


def jets(name, rng, count=48):
    mask = np.arange(6) < rng.integers(1, 7, count)[:, None]
    inputs = {
        "mlp": rng.normal(size=(count, 4)).astype(np.float32),
        "convnet": rng.normal(size=(count, 8, 8, 1)).astype(np.float32),
    }.get(name, Sequences((rng.normal(size=(count, 6, 3)) * mask[..., None]).astype(np.float32), mask))
    return Batch(inputs, rng.integers(C, size=count).astype(np.int32), rng.uniform(0.5, 2, count).astype(np.float32))


def programs(name, devices, data, kind=Optimizer.ADAM, **options):
    network, key = NETWORKS[name], jax.random.key(0)
    schedule = training.make_schedule(Schedule.CONSTANT, 0.05, steps=10)
    optimizer = training.make_optimizer(kind, schedule, clip_norm=1.0)
    apply, loss = models.make_apply(network), losses.categorical_cross_entropy
    drawn = models.initialize(network, key, jax.tree.map(lambda x: x[:1], data.inputs))
    state = training.start(*drawn, optimizer, key, average="average" in options)
    step = training.make_train_step(apply, loss, optimizer, losses.make_penalty({2: 0.1}), axis=devices.axis, **options)
    evaluate = training.make_eval_step(apply, loss, axis=devices.axis)
    run, evaluate = runtime.compile_on(devices, training.over_window(step), evaluate)
    return runtime.place_state(devices, state.state), run, evaluate


def window(data, count, rows):
    """(STEPS, BATCH) row numbers, -1 for none → the same batches, their rows dealt out to `count` devices."""
    own = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), data)
    share, each = BATCH // count, len(data.targets) // count
    dealt = rows.reshape(len(rows), count, share)
    return Window((own,), np.zeros(len(rows), np.int32), np.where(dealt < 0, -1, dealt % each).astype(np.int32))


def batches_of(rng, count=48, most=8):
    """Rows that each of up to `most` devices can serve from its own share; the last batch is mostly padding."""
    each = count // most
    rows = np.concatenate([each * i + rng.integers(each, size=(STEPS, BATCH // most)) for i in range(most)], axis=1)
    rows[-1, 5:] = -1
    return rows


# Each strategy and each network, but not all pairs.
@pytest.mark.parametrize(
    "name, strategy",
    [
        *(("mlp", strategy) for strategy in Strategy),
        ("gru", Strategy.JIT),
        ("interaction", Strategy.PMAP),
        ("convnet", Strategy.JIT),
    ],
)
def test_any_number_of_devices_equals_one(name, strategy, rng):
    data, rows = jets(name, rng), batches_of(rng)
    found = []
    for count in (1, 2, 8) if name == "mlp" else (1, 8):
        devices = runtime.make_devices(count, strategy if count > 1 else Strategy.JIT)
        state, run, evaluate = programs(name, devices, data)
        state, metrics = run(state, runtime.place_window(devices, window(data, count, rows)))
        tested = evaluate(state, runtime.place_batch(devices, jax.tree.map(lambda x: x[:32], data)))
        found.append(jax.device_get((state.params, state.opt_state, metrics, tested)))
    for other in found[1:]:
        # The adaptive optimizer divides by tiny numbers at first; parameters agree to rounding of 1 all the same.
        chex.assert_trees_all_close(other[0], found[0][0], atol=1e-6, rtol=1e-6)
        chex.assert_trees_all_close(other[2:], found[0][2:], atol=1e-5, rtol=1e-5)
    assert found[0][2].weight[-1] < 0.5 * found[0][2].weight[0]


def test_pmap_needs_the_axis(rng):
    """Without it each device would take a step of its own: the test above can fail."""
    data, rows = jets("mlp", rng), batches_of(rng)
    devices = runtime.make_devices(4, Strategy.PMAP)
    state, _, _ = programs("mlp", devices, data)
    alone = programs("mlp", runtime.make_devices(1), data)
    step = training.make_train_step(
        models.make_apply(NETWORKS["mlp"]),
        losses.categorical_cross_entropy,
        training.make_optimizer(
            Optimizer.ADAM, training.make_schedule(Schedule.CONSTANT, 0.05, steps=10), clip_norm=1.0
        ),
        losses.make_penalty({2: 0.1}),
    )
    run, _ = runtime.compile_on(devices, training.over_window(step), lambda state, batch: None)
    wrong, _ = run(state, runtime.place_window(devices, window(data, 4, rows)))
    right, _ = alone[1](alone[0], runtime.place_window(runtime.make_devices(1), window(data, 1, rows)))
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(jax.device_get(wrong.params), jax.device_get(right.params), atol=1e-4)


def test_jets_that_are_normalised_together_are_seen_together(rng):
    """Batch statistics over all devices, as over one."""
    data, rows, network = jets("mlp", rng), batches_of(rng), models.MLP(hidden=(8,), outputs=C, norm=Norm.BATCH)
    ends = []
    for count in (1, 4):
        devices = runtime.make_devices(count, coupled=True)
        schedule = training.make_schedule(Schedule.CONSTANT, 0.05, steps=10)
        optimizer, key = training.make_optimizer(Optimizer.SGD, schedule), jax.random.key(0)
        start = training.start(*models.initialize(network, key, data.inputs[:1]), optimizer, key)
        apply, loss = models.make_apply(network), losses.categorical_cross_entropy
        step = training.make_train_step(apply, loss, optimizer, axis=devices.axis)
        run, _ = runtime.compile_on(devices, training.over_window(step), step)
        state, _ = run(
            runtime.place_state(devices, start.state), runtime.place_window(devices, window(data, count, rows))
        )
        ends.append(jax.device_get((state.params, state.model_state)))
    chex.assert_trees_all_close(*ends, atol=1e-6, rtol=1e-5)


def test_pieces_averages_and_slow_weights(rng):
    """As on one device, and divided among the devices where the optimizer's state is."""
    data, rows, ends = jets("mlp", rng), batches_of(rng, most=4), []
    for devices in (
        runtime.make_devices(1),
        runtime.make_devices(4),
        runtime.make_devices(4, shard_optimizer=True),
    ):
        state, run, _ = programs("mlp", devices, data, Optimizer.RANGER, pieces=2, average=0.9)
        state, metrics = run(state, runtime.place_window(devices, window(data, devices.everywhere, rows)))
        ends.append((state, jax.device_get((state.params, state.average, metrics.loss))))
    for _, other in ends[1:]:
        chex.assert_trees_all_close(other, ends[0][1], atol=1e-5, rtol=1e-5)
    slow = [x for x in jax.tree.leaves(ends[2][0].opt_state) if x.shape == (8, 3)]
    assert len(slow) == 3
    assert all(x.addressable_shards[0].data.shape == (2, 3) for x in slow)


def test_the_optimizers_state_is_divided_and_put_together_again(rng):
    data, rows = jets("mlp", rng), batches_of(rng)
    whole, divided = runtime.make_devices(4), runtime.make_devices(4, shard_optimizer=True)
    ends = []
    for devices in (whole, divided):
        state, run, _ = programs("mlp", devices, data)
        state, _ = run(state, runtime.place_window(devices, window(data, 4, rows)))
        ends.append(state)
    moments = [x for x in jax.tree.leaves(ends[1].opt_state) if x.shape == (8, 3)]
    assert len(moments) == 2
    assert all(x.addressable_shards[0].data.shape == (2, 3) for x in moments)
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(ends[1].params))
    together = runtime.whole(divided, ends[1])
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(together.opt_state))
    chex.assert_trees_all_close(
        *(jax.device_get((end.params, end.opt_state)) for end in (ends[0], together)), atol=1e-6, rtol=1e-5
    )


class TestRefused:
    @pytest.mark.parametrize(
        "options, words",
        [
            ({"count": 9}, r"--devices.count: there are 8 cpu devices, found 9"),
            ({"count": 0}, r"--devices.count"),
            ({"count": 2, "strategy": Strategy.PMAP, "shard_optimizer": True}, "shard-optimizer needs jit"),
        ],
    )
    def test_devices(self, options, words):
        with pytest.raises(InputError, match=words):
            runtime.make_devices(**options)

    @pytest.mark.parametrize(
        "changes, words",
        [
            ({"batch_size": 11, "devices": options.Devices(count=4)}, "4 devices cannot share 11 jets alike; give 12"),
            (
                {"model": models.MLP(norm=Norm.BATCH), "devices": options.Devices(2, Strategy.PMAP)},
                "normalization over the batch needs jit, found pmap",
            ),
        ],
    )
    def test_runs(self, jet_file, tmp_path, changes, words):
        chosen = options.Experiment(**{"model": models.MLP(), "data": (jet_file(count=100),), **changes})
        with pytest.raises(InputError, match=words):
            train.run(dataclasses.replace(chosen, out=tmp_path / "run"))
        assert not (tmp_path / "run").exists()

    def test_a_run_that_nobody_counts(self):
        with pytest.raises(InputError, match="--coordinator: needs --processes and --process"):
            runtime.connect("localhost:1234")


def test_a_launcher_on_several_machines_must_name_the_first(monkeypatch):
    for name, value in {"RANK": "1", "SIZE": "4", "LOCAL_SIZE": "2"}.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)
    with pytest.raises(InputError, match="several machines; give host:port"):
        runtime.connect()


@pytest.mark.parametrize(
    "given, expected",
    [
        ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4"}, {}),
        (
            {f"OMPI_COMM_WORLD_{name}": value for name, value in (("RANK", "1"), ("SIZE", "2"), ("LOCAL_SIZE", "2"))},
            {"num_processes": 2, "process_id": 1},
        ),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_NTASKS": "4"}, None),  # an interactive allocation: one process
        ({}, None),
    ],
)
def test_launchers(monkeypatch, given, expected):
    calls = []
    monkeypatch.setattr("jax.distributed.initialize", lambda **options: calls.append(options))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    runtime.connect()
    assert len(calls) == (expected is not None)
    if calls:
        address = calls[0].pop("coordinator_address", "localhost:")
        assert address.startswith("localhost:")
        timeouts = {name: calls[0].pop(name) for name in ("initialization_timeout", "heartbeat_timeout_seconds")}
        assert max(timeouts.values()) <= 120
        assert timeouts["heartbeat_timeout_seconds"] < 60
        assert calls[0] == expected


@pytest.mark.parametrize(
    "chosen", [options.Devices(4), options.Devices(4, Strategy.PMAP), options.Devices(2, shard_optimizer=True)]
)
def test_whole_runs_learn_alike_and_go_on_on_other_devices(jet_file, tmp_path, chosen):
    """Other devices deal jets out in another order, so losses agree in size only."""
    path = jet_file(count=300)
    small = options.Experiment(
        models.MLP(hidden=(4,)), (path,), out=tmp_path / "run", epochs=2, batch_size=32, devices=chosen
    )
    _, metrics = train.run(small)
    assert sum(metrics["jets"].values()) == 60
    one = dataclasses.replace(small, out=tmp_path / "one", devices=options.Devices(1))
    assert train.run(one)[1]["loss"] == pytest.approx(metrics["loss"], rel=0.05)
    longer = dataclasses.replace(
        run_folder.resumable_experiment(tmp_path / "run"), epochs=3, devices=options.Devices(1)
    )
    train.run(longer)
    assert len(records.read_history(tmp_path / "run" / "history.csv")) == 3

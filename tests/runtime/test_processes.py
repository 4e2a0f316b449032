"""Runs of several real processes on this machine: each reads its own rows, one writes, all end together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from hepjax import InputError, models, read_jets, runtime
from hepjax.cli import parsing
from hepjax.data.datasets import hls4ml
from hepjax.runs import records, run_folder, train, trained_jets

MODEL = ["mlp", "--hidden", "8", "--norm", "layer"]
PATIENCE = 60
"""Seconds in which the others must have noticed that a process is gone."""


@pytest.fixture
def path(jet_file):
    """600 jets of five classes; the mean of one feature tells which."""
    found = jet_file(count=600, chunk=50)
    with h5py.File(found, "r+") as file:
        file[hls4ml.JETS][:, hls4ml.JET_COLUMNS.index("j_mass_mmdt")] += 3 * (np.arange(600) % 5)
    return found


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def begin(count, *arguments, launcher=False):
    """Starts `hepjax train` as so many processes, as a user or as mpirun would."""
    port, started = free_port(), []
    for i in range(count):
        own = [] if launcher else ["--coordinator", f"localhost:{port}", "--processes", str(count), "--process", str(i)]
        names = {"RANK": i, "SIZE": count, "LOCAL_SIZE": count} if launcher else {}
        environment = os.environ | {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in names.items()}
        command = [sys.executable, "-m", "hepjax", "train", *map(str, arguments), *own]
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        )
    return started


def finish(processes, seconds=120):
    """(status, standard output, standard error) of each."""
    ends = []
    try:
        for process in processes:
            out, error = process.communicate(timeout=seconds)
            ends.append((process.returncode, out, error))
    finally:
        for process in processes:
            process.kill()
    return ends


def arguments(path, out, epochs=3, *more):
    return ["--data", path, "--out", out, "--epochs", epochs, "--batch-size", 60, *more, *MODEL]


def alone(*words):
    """Trains in this process."""
    train.run(parsing.parse(["train", *map(str, words)]))


def test_several_processes_train_and_one_writes(path, tmp_path, brief):
    out, other = tmp_path / "run", tmp_path / "alone"
    with h5py.File(path, "r+") as file:  # each process has seen one half of these jets, which are there twice
        file[hls4ml.JETS][-60:] = file[hls4ml.JETS][:60]
    ends = finish(begin(2, *arguments(path, out), launcher=True))  # as mpirun starts them
    assert [status for status, _, _ in ends] == [0, 0], ends
    assert "epoch 3/3" in ends[0][1]
    assert not [line for _, output, _ in ends[1:] for line in output.splitlines() if not line.startswith("[Gloo]")]
    assert run_folder.read_experiment(out)[1]["jets"] == {"train": 360, "val": 120, "test": 120}
    alone(*arguments(path, other))
    several, one = (records.read_history(folder / "history.csv")[-1] for folder in (out, other))
    assert several.val_loss == pytest.approx(one.val_loss, rel=0.05)
    fingerprints = [run_folder.read_experiment(folder)[1]["fingerprint"] for folder in (out, other)]
    assert fingerprints[0] == fingerprints[1]
    trained = [trained_jets.read(folder, None) for folder in (out, other)]
    np.testing.assert_array_equal(trained[0].hashes, trained[1].hashes)
    found, expected = (json.loads((folder / "metrics.json").read_text())["trained_on"] for folder in (out, other))
    assert found == expected
    assert found["test"]["jets"] > 5
    assert "test jets" in "".join(ends[0][1:])
    assert "test jets" not in "".join(ends[1][1:])
    alone("--resume", *arguments(path, out, 4))  # on with another number of processes
    assert len(records.read_history(out / "history.csv")) == 4


def test_a_lost_process_ends_the_others_with_a_clear_error(path, tmp_path, brief):
    out, streamed = tmp_path / "run", ("--patience", 100_000, "--memory", 1e-5)
    processes = begin(2, *arguments(path, out, 100_000, *streamed))
    wait_for(lambda: (out / "history.csv").exists() and len(records.read_history(out / "history.csv")) > 2, processes)
    processes[1].send_signal(signal.SIGKILL)
    lost = time.monotonic()
    (status, _, error), _ = finish(processes, PATIENCE)
    assert time.monotonic() - lost < PATIENCE
    assert status not in {0, -signal.SIGKILL}
    assert "another process of this run has ended" in error
    assert "--resume" in error
    done = len(records.read_history(out / "history.csv"))
    alone("--resume", *arguments(path, out, done + 1, *streamed))
    assert len(records.read_history(out / "history.csv")) == done + 1


def test_bad_input_of_one_process_ends_all(path, tmp_path):
    """The second half of the file is damaged: one process sees it."""
    out = tmp_path / "run"
    with h5py.File(path, "r+") as file:
        file[hls4ml.JETS][550, 3] = np.nan
    ends = finish(begin(2, *arguments(path, out)), PATIENCE)
    assert ends[1][0] == 2
    assert "NaN" in ends[1][2]
    assert ends[0][0] not in {0, None}
    assert not out.exists()


def wait_for(condition, processes, seconds=100):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (0,), (0, 2)])
def test_rows_of_others_come_bit_by_bit_also_where_there_are_none(monkeypatch, rng, shape):
    x = rng.normal(size=shape)
    monkeypatch.setattr("jax.process_count", lambda: 2)
    monkeypatch.setattr("jax.experimental.multihost_utils.process_allgather", lambda own: np.stack([own, own]))
    np.testing.assert_array_equal(runtime.gather(x), np.concatenate([x, x]))


def test_each_process_reads_its_own_rows(path, monkeypatch):
    from hepjax.inputs import load_subsets, open_files, pipelines
    from hepjax.tasks.classification import Classification

    pipeline = pipelines.make_pipeline(models.MLP(), 5, hls4ml.HLS4ML)
    opened, task = open_files.open_split_files((path,)), Classification()
    seen = {}
    for i in range(3):
        monkeypatch.setattr("hepjax.runtime.processes.process", lambda i=i: (i, 3))
        rows = []
        read = lambda jets, some, rows=rows: rows.append(some) or pipeline.load(jets, some)  # noqa: E731
        found = load_subsets.load_subsets(opened, pipeline._replace(load=read), task.read, seed=0, memory=4.0)
        seen[i] = np.concatenate([part.rows for part in found[:3]])
        assert {(some.start, some.stop) for some in rows} <= {(200 * i, 200 * (i + 1))}
    assert sorted(np.concatenate(list(seen.values()))) == list(range(len(read_jets(path))))


@pytest.mark.parametrize(
    "coordinator",
    ["garbage", "127.0.0.1:99999", "127.0.0.1:0", ":29500", "host:", "no.such.host.invalid:29500", "a b:1"],
)
def test_an_address_that_nobody_can_have_is_refused_at_once(coordinator):
    with pytest.raises(InputError, match="--coordinator"):
        runtime.connect(coordinator, 2, 0)


@pytest.mark.parametrize("process", [-1, 2])
def test_a_process_that_is_not_among_them_is_refused_at_once(process):
    with pytest.raises(InputError, match=f"--process: expected 0 to 1, .* found {process}"):
        runtime.connect("127.0.0.1:29500", 2, process)


@pytest.mark.parametrize(
    "error, seconds, words",
    [
        (ValueError("coordinator_address should be defined."), 2.0, "JAX finds no cluster here that it knows, such as"),
        (RuntimeError("DEADLINE_EXCEEDED: barrier"), 120.4, "did not find each other within 120 s; is the address"),
        (RuntimeError("UNAVAILABLE:\n refused"), 3.2, "joined, which was known after 3 s; .*UNAVAILABLE: refused"),
    ],
)
def test_what_happened_is_said(monkeypatch, error, seconds, words):
    clock = iter((10.0, 10.0 + seconds))

    def fail(**_):
        raise error

    monkeypatch.setattr("jax.distributed.initialize", fail)
    monkeypatch.setattr("hepjax.runtime.processes.time.monotonic", lambda: next(clock))
    with pytest.raises(InputError, match=f"^--cluster: .*{words}"):
        runtime.connect(cluster=True)

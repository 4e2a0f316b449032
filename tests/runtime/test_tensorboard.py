"""The history for TensorBoard, read back as TensorBoard reads it."""

from __future__ import annotations

import builtins
import dataclasses

import pytest

from hepjax import InputError, models
from hepjax.runs import options, records, run_folder, train
from hepjax.runtime.tensorboard import write_tensorboard_events
from hepjax.types import Epoch

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="the events need tensorboard"
)


def read(folder):
    found = accumulator.EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def row(epoch, loss):
    return Epoch(epoch, loss, loss + 1, 0.5, 1e-3, 2.0, 100.0)


def test_a_run_and_its_resume_are_read_back(jet_file, tmp_path):
    chosen = options.Experiment(
        models.Logistic(), (jet_file(count=100),), out=tmp_path / "run", epochs=2, patience=None, tensorboard=True
    )
    train.run(chosen)
    train.run(dataclasses.replace(run_folder.resumable_experiment(chosen.out), epochs=3, tensorboard=True))
    history, found = records.read_history(chosen.out / "history.csv"), read(chosen.out / "tensorboard")
    assert len(history) == 3
    for name, tag in (("train_loss", "loss/train"), ("val_loss", "loss/validation"), ("waiting", "speed/waiting")):
        assert found[tag] == [(one.epoch, pytest.approx(getattr(one, name))) for one in history]
    assert {"accuracy/validation", "learning_rate", "speed/jets_per_second"} < set(found)


def test_each_epoch_is_on_the_disk_at_once_and_what_is_not_finite_is_left_out(tmp_path):
    with write_tensorboard_events(tmp_path, 0) as after:
        after(row(1, 0.5))
        assert read(tmp_path)["loss/train"] == [(1, 0.5)]
        after(row(2, float("nan")))
        assert read(tmp_path)["loss/train"] == [(1, 0.5)]
        assert len(read(tmp_path)["learning_rate"]) == 2


def test_epochs_that_a_killed_run_left_are_forgotten(tmp_path):
    with write_tensorboard_events(tmp_path, 0) as after:
        for epoch in (1, 2, 3):
            after(row(epoch, float(epoch)))
    with write_tensorboard_events(tmp_path, 1) as after:
        after(row(2, 20.0))
    assert read(tmp_path)["loss/train"] == [(1, 1.0), (2, 20.0)]


def test_without_tensorboard_nothing_is_started(jet_file, tmp_path, monkeypatch):
    original = builtins.__import__

    def without(name, *rest):
        if name.startswith("tensorboard"):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    chosen = options.Experiment(models.Logistic(), (jet_file(count=100),), out=tmp_path / "run", tensorboard=True)
    with pytest.raises(InputError, match=r"--tensorboard: needs TensorBoard; pip install 'hepjax\[tensorboard\]'"):
        train.run(chosen)
    assert not chosen.out.exists()

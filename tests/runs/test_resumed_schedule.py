"""A training that goes on for more epochs: its learning rate does not jump unless that is asked for."""

from __future__ import annotations

import logging
import re

import pytest

from hepjax import InputError, models
from hepjax.choices import Schedule
from hepjax.cli import parsing
from hepjax.runs import options, records, resumed_schedule, stored, train

RECORD = {"jets": {"train": 1000}}


def made(schedule=Schedule.COSINE, epochs=3, **optimizer):
    chosen = options.Optimization(learning_rate=0.1, schedule=schedule, **optimizer)
    return options.Experiment(models.MLP(), epochs=epochs, batch_size=10, optimizer=chosen)


@pytest.mark.parametrize("schedule", [Schedule.COSINE, Schedule.COSINE_RESTARTS, Schedule.ONE_CYCLE])
def test_a_schedule_is_not_stretched_in_silence(schedule):
    with pytest.raises(InputError, match=r"from (\S+) to (\S+) after epoch 3") as found:
        resumed_schedule.check_schedule(made(schedule, 6), made(schedule), RECORD)
    old, new = map(float, re.search(r"from (\S+) to (\S+) after", str(found.value)).groups())
    assert old < 1e-4
    assert new > 1e-2
    assert "--optimizer.schedule-epochs 3 keeps" in str(found.value)
    if schedule is Schedule.COSINE:
        assert new == pytest.approx(0.05, rel=0.02)  # half way down


def test_a_late_decay_is_not_undone_in_silence():
    flat = Schedule.FLAT_THEN_DECAY
    with pytest.raises(InputError, match=r"from 0\.001 to 0\.1 after epoch 10"):
        resumed_schedule.check_schedule(made(flat, 20), made(flat, 10), RECORD)


@pytest.mark.parametrize("asked, words", [(3, "stays 2.7e-06"), (6, "goes from 2.7e-06 to 0.05"), (4, "goes over 4")])
def test_what_is_asked_for_is_said(caplog, asked, words):
    caplog.set_level(logging.INFO, logger="hepjax")
    resumed_schedule.check_schedule(made(epochs=6, schedule_epochs=asked), made(), RECORD)
    assert words in caplog.text


@pytest.mark.parametrize("schedule", [Schedule.CONSTANT, Schedule.PLATEAU])
def test_a_schedule_without_an_end_goes_on(schedule, caplog):
    resumed_schedule.check_schedule(made(schedule, 6), made(schedule), RECORD)
    assert not caplog.text


def test_the_rate_of_the_end_is_kept(jet_file, tmp_path):
    path, out = jet_file(count=100), tmp_path / "run"
    words = ["train", "logistic", "--epochs", "2", "--batch-size", "20", "--optimizer.schedule", "cosine"]
    train.run(parsing.parse([*words, "--data", str(path), "--out", str(out)]))
    again = ["train", "--out", str(out), "--resume", "--epochs", "4"]
    with pytest.raises(InputError, match="schedule was made for 2 epochs"):
        train.run(parsing.parse(again))
    assert len(stored.open_run(out).history) == 2
    train.run(parsing.parse([*again, "--optimizer.schedule-epochs", "2"]))
    rates = [row.learning_rate for row in records.read_history(out / "history.csv")]
    assert rates[0] > rates[1] == rates[2] == rates[3] > 0
    train.run(parsing.parse([*again[:-1], "5"]))  # the schedule has ended: nothing jumps
    assert records.read_history(out / "history.csv")[4].learning_rate == rates[1]

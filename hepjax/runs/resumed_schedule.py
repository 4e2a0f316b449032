"""The learning rate of a training that goes on for more epochs than it was begun for."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from hepjax import training
from hepjax.choices import Schedule
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepjax.runs.options import Experiment

_WITH_AN_END = (Schedule.COSINE, Schedule.COSINE_RESTARTS, Schedule.FLAT_THEN_DECAY, Schedule.ONE_CYCLE)
"""Schedules whose rate at a step depends on how many there will be."""

log = logging.getLogger("hepjax")


def check_schedule(given: Experiment, saved: Experiment, record: Mapping[str, Any]) -> None:
    """Refuses to stretch a schedule over more epochs unless that is asked for, and logs the learning rate.

    Args:
      given: the options to go on with.
      saved: those of the run.
      record: what its experiment.json holds.

    Raises:
      InputError: the learning rate would jump.
    """
    chosen, before, after = given.optimizer, schedule_length(saved), schedule_length(given)
    kind = chosen.schedule
    if kind not in _WITH_AN_END or (before, saved.epochs) == (after, given.epochs):
        return
    old, new = (_rate_at(each, saved.epochs, record) for each in (saved, given))
    option = "--optimizer.schedule-epochs"
    if before == after:
        log.info(
            "the %s schedule ends after %d epochs; from then on the learning rate stays %.2g", kind.value, after, old
        )
    elif chosen.schedule_epochs is None:
        raise InputError(
            f"--epochs {given.epochs}: the {kind.value} schedule was made for {before} epochs, and stretching it would "
            f"take the learning rate from {old:.2g} to {new:.2g} after epoch {saved.epochs}; {option} {before} keeps "
            f"the rate of its end, {option} {given.epochs} stretches it"
        )
    else:
        log.info(
            "the %s schedule goes over %d epochs now, not %d: the learning rate after epoch %d goes from %.2g to %.2g",
            kind.value, after, before, saved.epochs, old, new,
        )  # fmt: skip


def schedule_length(experiment: Experiment) -> int:
    """Returns over how many epochs the schedule of an experiment goes.

    >>> from hepjax.runs.options import Experiment
    >>> schedule_length(Experiment(epochs=7))
    7
    """
    asked = experiment.optimizer.schedule_epochs
    return experiment.epochs if asked is None else asked


def _rate_at(experiment: Experiment, epochs: int, record: Mapping[str, Any]) -> float:
    """Returns the learning rate of the last step of some epochs."""
    jets = record.get("jets", {}).get("train", 1)
    steps = math.ceil(jets / (experiment.batch_size or jets))
    chosen = experiment.optimizer
    schedule = training.make_schedule(
        chosen.schedule,
        experiment.learning_rate,
        steps=steps * schedule_length(experiment),
        warmup_steps=int(chosen.warmup_epochs * steps),
        steps_per_epoch=steps,
    )
    return float(schedule(min(epochs, schedule_length(experiment)) * steps - 1))

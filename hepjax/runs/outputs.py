"""What a run leaves on disk besides its options: checkpoints, figures of merit, pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np

from hepjax import report, runtime, training
from hepjax.data import atomic_files
from hepjax.data.dataset import to_json
from hepjax.errors import InputError, writing
from hepjax.runs import predictions, run_folder
from hepjax.runs.log import log_to
from hepjax.runtime.profiling import trace_epoch
from hepjax.runtime.tensorboard import write_events
from hepjax.training.decorrelation import without_adversary
from hepjax.types import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hepjax.inputs.batching import Split
    from hepjax.inputs.subsets import Parts
    from hepjax.models import Cost
    from hepjax.runs.options import Experiment
    from hepjax.runs.predictions import Predictions
    from hepjax.training import Many
    from hepjax.types import Epoch, PyTree, Scaling

T = TypeVar("T")


def save_progress(folder: Path, progress: Progress, scaling: Scaling) -> None:
    """The best model first, then the training: whatever a kill leaves, both fit together again after a resume.

    Args:
      folder: of the run.
      progress: after an epoch.
      scaling: of the model's input.
    """
    best, params = progress.best, without_adversary(progress.best.params)
    training.save(folder / "checkpoints" / "best.msgpack", (params, best.model_state, scaling))
    training.save_progress(folder / "checkpoints" / "last.msgpack", progress)
    run_folder.write_history(folder, progress.history)


def save_many(folder: Path, many: Many) -> None:
    """Saves many trainings, to go on from.

    Args:
      folder: of the run.
      many: after an epoch.
    """
    training.save_many(folder / "checkpoints" / "last.msgpack", many)


def facts(jets: Parts, cost: Cost) -> dict[str, Any]:
    """What experiment.json tells besides the options.

    Args:
      jets: what is trained and measured on.
      cost: of the model.

    Returns:
      Classes, jets, cost, a fingerprint of the data, devices.
    """
    return {
        "classes": jets.dataset.classes,
        "dataset": to_json(jets.dataset),
        "jets": dict(zip(jets.split._fields, jets.counts, strict=True)),
        "cost": cost._asdict(),
        "fingerprint": jets.fingerprint,
        "devices": [str(device) for device in jax.devices()],
    }


def open_run(
    experiment: Experiment, jets: Parts, found: dict[str, Any], start: T, save: Callable[[Path, T], None]
) -> tuple[Path, T]:
    """The run folder, new or to be gone on with, and where the training stands; the first process makes it.

    Args:
      experiment: the options.
      jets: what is trained and measured on.
      found: from `facts`.
      start: a `Progress`, or `Many`, before the first epoch.
      save: writes one into a run folder.

    Returns:
      The folder and the training.

    Raises:
      InputError: the folder cannot be used, or holds a run on other jets; nothing new is left behind.
    """
    if experiment.resume and experiment.out is not None:
        saved, record = run_folder.read_experiment(experiment.out)
        if record["fingerprint"] != found["fingerprint"]:
            raise InputError(f"--resume: the jets are not those that {experiment.out} was trained on; start a new run")
        restore: Any = training.restore_progress if isinstance(start, Progress) else training.restore_many
        progress = restore(experiment.out / "checkpoints" / "last.msgpack", start)
        if saved.epochs != experiment.epochs and runtime.is_first():
            longer = dataclasses.replace(saved, epochs=experiment.epochs)
            run_folder.write_experiment(experiment.out, longer, found | {"command": record["command"]})
        return experiment.out, progress
    if not runtime.is_first():
        return experiment.out or Path(), start
    folder = run_folder.create(experiment)
    try:
        run_folder.write_experiment(folder, experiment, found)
        _write_split(folder, jets.split)
        save(folder, start)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, start


@contextlib.contextmanager
def watching(folder: Path, experiment: Experiment, done: int) -> Iterator[Callable[[Epoch], None]]:
    """Logs into log.txt too, and traces an epoch or writes events if that is asked for; the first process does so.

    Args:
      folder: of the run.
      experiment: the options.
      done: the epochs done before.

    Yields:
      The function to call with its row of the history after each epoch.
    """
    if not runtime.is_first():
        yield lambda _: None
        return
    lines = logging.FileHandler(folder / "log.txt")
    lines.setFormatter(logging.Formatter("%(asctime)s  %(message)s"))
    with contextlib.ExitStack() as stack:
        stack.enter_context(log_to(lines))
        watchers: list[Callable[[Epoch], None]] = []
        if experiment.tensorboard:
            watchers.append(stack.enter_context(write_events(folder / "tensorboard", done)))
        if experiment.profile:
            trace = stack.enter_context(trace_epoch(folder / "profile", done, experiment.epochs))
            watchers.append(lambda row: trace(row.epoch))

        def after(row: Epoch) -> None:
            for watcher in watchers:
                watcher(row)

        yield after


def _write_split(folder: Path, split: Split) -> None:
    with writing(folder / "split.npz"):
        np.savez(folder / "split.npz", **split._asdict())


def how_to_go_on(folder: Path) -> str:
    """What an interrupted user is told.

    >>> how_to_go_on(Path("runs/mlp-1"))
    'the last whole epoch is saved; go on with: hepjax train --out runs/mlp-1 --resume'
    """
    return f"the last whole epoch is saved; go on with: hepjax train --out {folder} --resume"


def write_member(
    experiment: Experiment,
    found: dict[str, Any],
    split: Split,
    model: tuple[PyTree, PyTree, Scaling],
    history: Sequence[Epoch],
    metrics: dict[str, Any],
    test: Predictions,
) -> None:
    """Writes one of many trainings as a run folder of its own, which can be used as any other.

    Args:
      experiment: its options; its folder is `out`.
      found: from `facts`.
      split: the rows in the files of its training, validation and test jets.
      model: the parameters, other variables and scaling.
      history: its epochs.
      metrics: its figures of merit.
      test: its answers to its test jets.
    """
    folder = experiment.out or Path()
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    run_folder.write_experiment(folder, experiment, found)
    _write_split(folder, split)
    training.save(folder / "checkpoints" / "best.msgpack", model)
    run_folder.write_history(folder, history)
    _write_measured(folder, test, metrics)


def write_metrics(folder: Path, test: Predictions, metrics: dict[str, Any]) -> None:
    """Writes test.h5, metrics.json and the pictures of the scores.

    Args:
      folder: of the run.
      test: the answers to the test jets.
      metrics: their figures of merit.
    """
    _write_measured(folder, test, metrics)
    scores = test.measured()
    report.save(report.roc_figure(scores), folder / "roc.png")
    report.save(report.confusion_figure(scores), folder / "confusion.png")
    report.save(report.scores_figure(scores), folder / "scores.png")


def _write_measured(folder: Path, test: Predictions, metrics: dict[str, Any]) -> None:
    new = folder / ".test.h5"  # a run that goes on measures anew: the old answers stay until the new ones are whole
    new.unlink(missing_ok=True)
    predictions.write_predictions(new, test)
    new.replace(folder / "test.h5")
    atomic_files.write_text(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")

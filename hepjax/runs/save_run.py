"""What a run leaves on disk besides its options: checkpoints, figures of merit, pictures."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import report, runtime, training
from hepjax.data import atomic_files
from hepjax.data.dataset_json import dataset_to_json
from hepjax.errors import InputError, errors_of_writing
from hepjax.runs import locks, predictions, run_folder, stored, trained_jets
from hepjax.runs.log import log_to_handler
from hepjax.runs.setup import take_saved_model
from hepjax.runtime.profiling import trace_epoch
from hepjax.runtime.tensorboard import write_tensorboard_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hepjax.inputs.batching import Split
    from hepjax.inputs.jet_hashes import TrainedJets
    from hepjax.inputs.load_subsets import Splits
    from hepjax.models import Cost
    from hepjax.runs.ensembles import Member
    from hepjax.runs.options import Experiment
    from hepjax.tasks import Predictions, Task
    from hepjax.types import Ensemble, Epoch, TrainState


class Opened(NamedTuple):
    """A run folder that a training goes on in."""

    folder: Path
    ensemble: Ensemble
    """The trainings as far as they have come."""
    identity: str
    """Of the training, which its files have; "" of one that an older hepjax began."""


def save_trainings(folder: Path, ensemble: Ensemble, task: Task, identity: str) -> None:
    """Saves the trainings of a run after an epoch, to go on from.

    The best model of a single training comes first: whatever a kill leaves, both fit together again after a resume.

    Args:
      folder: of the run.
      ensemble: whole, as each process can read it.
      task: that is learned.
      identity: of the training.
    """
    if not ensemble.stacked:
        training.save(folder / stored.BEST, take_saved_model(task, ensemble.best), identity)
    training.save_ensemble(folder / stored.LAST, ensemble, identity)
    if not ensemble.stacked:
        run_folder.write_history(folder, ensemble.history)


def save_last_good_states(folder: Path, ensemble: Ensemble, members: Sequence[Member], identity: str) -> None:
    """Saves the last good state of each training that diverged, in its own folder.

    Args:
      folder: of the run.
      ensemble: whole, as each process can read it.
      members: the trainings; a single one has the folder of the run.
      identity: of the training.
    """
    for i, (member, progress) in enumerate(zip(members, ensemble.members, strict=True)):
        if progress.divergence:
            checkpoints = folder / member.name / "checkpoints"
            checkpoints.mkdir(parents=True, exist_ok=True)
            training.save(checkpoints / "last_good.msgpack", training.member_of(ensemble.state, i), identity)


def gather_run_metadata(jets: Splits, cost: Cost, members: Sequence[Member], task: Task) -> dict[str, Any]:
    """Gathers what experiment.json says besides the options.

    Args:
      jets: what is trained and measured on.
      cost: of the model.
      members: the trainings.
      task: that is learned.

    Returns:
      Classes, dataset, the columns of predictions, jets, cost, a fingerprint of the data, devices; of several trainings
      their names.
    """
    counts = jets.counts if len(members) == 1 else [len(numbers) for numbers in members[0][1:4]]
    metadata = {
        "classes": jets.dataset.classes,
        "dataset": dataset_to_json(jets.dataset),
        "outputs": task.columns(jets.dataset),
        "jets": dict(zip(jets.split._fields, counts, strict=True)),
        "cost": cost._asdict(),
        "fingerprint": jets.fingerprint,
        "devices": [str(device) for device in jax.devices()],
    }
    return metadata if len(members) == 1 else metadata | {"members": [member.name for member in members]}


@contextlib.contextmanager
def opened(
    experiment: Experiment,
    jets: Splits,
    trained: TrainedJets,
    metadata: dict[str, Any],
    start: Ensemble,
    saved: tuple[Experiment, dict[str, Any]] | None = None,
) -> Iterator[Opened]:
    """Opens the run folder, new or to be gone on with, inside a `with`; the first process makes and locks a new one.

    Args:
      experiment: the options.
      jets: what is trained and measured on.
      trained: the training jets.
      metadata: from `gather_run_metadata`.
      start: the trainings before the first epoch.
      saved: of a run that goes on, its options and what experiment.json holds.

    Yields:
      The folder, and the trainings as far as they have come.

    Raises:
      InputError: the folder cannot be used, or holds a run on other jets; nothing new is left behind.
    """
    if saved is not None:
        yield _go_on(experiment, trained, metadata, start, saved)
        return
    if not runtime.is_first():
        yield Opened(experiment.out or Path(), start, "")
        return
    folder = run_folder.create_run_folder(experiment)
    with locks.locked(folder):
        try:
            identity = run_folder.write_experiment(folder, experiment, metadata)
            _write_split_file(folder, jets.split)
            trained_jets.write(folder, trained, identity)
            save_trainings(folder, start, experiment.task, identity)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        yield Opened(folder, start, identity)


def _go_on(
    experiment: Experiment,
    trained: TrainedJets,
    metadata: dict[str, Any],
    start: Ensemble,
    saved: tuple[Experiment, dict[str, Any]],
) -> Opened:
    """Reads how far the run has come; it is not finished any more then."""
    folder = experiment.out or Path()
    run = stored.open_run(folder, saved)
    if run.record["fingerprint"] != metadata["fingerprint"]:
        raise InputError(f"--resume: the jets are not those that {folder} was trained on; start a new run")
    identity = run.record.get("identity")
    ensemble = training.restore_ensemble(folder / stored.LAST, start, identity)
    if runtime.is_first():
        remove_leftovers(folder)
        if run.trained is None:  # an older hepjax began the run
            trained_jets.write(folder, trained, identity or "")
        epochs = (experiment.epochs, experiment.optimizer.schedule_epochs)
        run_folder.change_record(folder, {"files": None}, epochs, run.record)
    return Opened(folder, ensemble, identity or "")


def remove_leftovers(folder: Path) -> None:
    """Deletes what killed processes left half written in a run folder, which nobody else may be writing to.

    Args:
      folder: of the run, locked.
    """
    for pattern in ("", "*/", "*/checkpoints/"):
        for path in (*folder.glob(f"{pattern}.*.[0-9]*.part"), *folder.glob(f"{pattern}.test.h5")):
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def watch_training(folder: Path, experiment: Experiment, done: int) -> Iterator[Callable[[Epoch], None]]:
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
    lines = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    lines.setFormatter(logging.Formatter("%(asctime)s  %(message)s"))
    with contextlib.ExitStack() as stack:
        stack.enter_context(log_to_handler(lines))
        watchers: list[Callable[[Epoch], None]] = []
        if experiment.tensorboard:
            watchers.append(stack.enter_context(write_tensorboard_events(folder / "tensorboard", done)))
        if experiment.profile:
            trace = stack.enter_context(trace_epoch(folder / "profile", done, experiment.epochs))
            watchers.append(lambda row: trace(row.epoch))

        def after_epoch(row: Epoch) -> None:
            for watcher in watchers:
                watcher(row)

        yield after_epoch


def _write_split_file(folder: Path, split: Split) -> None:
    with errors_of_writing(folder / "split.npz"):
        np.savez(folder / "split.npz", **split._asdict())


def how_to_resume_text(folder: Path) -> str:
    """Tells an interrupted user how to go on.

    >>> how_to_resume_text(Path("runs/mlp-1"))
    'the last whole epoch is saved; go on with: hepjax train --out runs/mlp-1 --resume'
    """
    return f"the last whole epoch is saved; go on with: hepjax train --out {folder} --resume"


def write_member_folder(
    experiment: Experiment,
    metadata: dict[str, Any],
    split: Split,
    best: TrainState,
    history: Sequence[Epoch],
    metrics: dict[str, Any] | None,
    test: Predictions | None,
    *,
    trained: TrainedJets,
) -> None:
    """Writes one of several trainings as a run folder of its own, which can be used as any other.

    Args:
      experiment: its options; its folder is `out`.
      metadata: from `gather_run_metadata`, with the name of the `member`, and how it `diverged`.
      split: the rows in the files of its training, validation and test jets.
      best: its state of the lowest validation loss.
      history: its epochs.
      metrics: its figures of merit; None where it diverged.
      test: its predictions for its test jets; None where it diverged.
      trained: its training jets.
    """
    folder = experiment.out or Path()
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    identity = run_folder.write_experiment(folder, experiment, metadata)
    _write_split_file(folder, split)
    trained_jets.write(folder, trained, identity)
    training.save(folder / stored.BEST, take_saved_model(experiment.task, best), identity)
    run_folder.write_history(folder, history)
    if metrics is not None and test is not None:
        _write_measured_files(folder, experiment.task, test, metrics)
    run_folder.seal(folder, stored.finished_files(experiment, metadata))


def write_test_results(folder: Path, task: Task, test: Predictions, metrics: dict[str, Any]) -> None:
    """Writes test.h5, metrics.json and the pictures of the predictions.

    Args:
      folder: of the run.
      task: that was learned.
      test: the predictions for the test jets.
      metrics: their figures of merit.
    """
    _write_measured_files(folder, task, test, metrics)
    for name, figure in task.pictures(test).items():
        report.save(figure, folder / name)


def _write_measured_files(folder: Path, task: Task, test: Predictions, metrics: dict[str, Any]) -> None:
    new = folder / ".test.h5"  # a run that goes on measures anew: the old file stays until the new one is whole
    new.unlink(missing_ok=True)
    predictions.write_predictions(new, test, task)
    new.replace(folder / "test.h5")
    task.write(folder, test)
    atomic_files.write_text(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")

"""Trained models side by side, on the same jets."""

from __future__ import annotations

import logging
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.inputs import open_files
from hepjax.runs import predict, predictions, records, run_folder, stored, trained_jets
from hepjax.runs.predict import KnownJets
from hepjax.tasks import TASKS, default_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hepjax.tasks import Predictions, Task

log = logging.getLogger("hepjax")


class Comparison(NamedTuple):
    """Several models on the same jets."""

    metrics: list[dict[str, Any]]
    """Of each model the figures of merit with their intervals, and how many test jets it was trained on."""
    differences: list[dict[str, Any]]
    """What each model but the first has more than the first; see `Task.compare`."""
    jets: int
    """How many jets they were measured on."""
    task: Task
    """That all have learned."""


def compare_models(
    sources: Sequence[Path],
    data: Sequence[Path] = (),
    *,
    dataset: str | None = None,
    allow_external: bool = False,
    where: str = "",
    show: Callable[[int], None] | None = None,
) -> Comparison:
    """Compares models on the same jets.

    Args:
      sources: two or more run folders, folders that `hepjax evaluate` made, or, with `data`, exported files.
      data: files of jets with targets, to be predicted anew; none takes the jets that are in the test parts of all
        runs.
      dataset: as in `taggers.open_tagger_jets`.
      allow_external: the same.
      where: the same.
      show: called with the number of jets predicted since the last call.

    Returns:
      The comparison.

    Raises:
      InputError: there are fewer than two, they are of different tasks, or they have no test jets in common; or a file
        is there twice.
    """
    if len(sources) < 2:
        raise InputError(f"hepjax compare: expected two runs or more, found {len(sources)}")
    if data:
        log.info("predicting %s", open_files.file_names_text(data))
        known = [
            predict.predict_known_targets(
                source, data, show, dataset=dataset, allow_external=allow_external, where=where
            )
            for source in sources
        ]
    else:
        known = [_read_test_predictions(source) for source in sources]
    task = known[0].task
    for source, (_, _, trained_on) in zip(sources, known, strict=True):
        trained_jets.tell(str(source), trained_on)
    for (other, each, _), source in zip(known[1:], sources[1:], strict=True):
        if type(other) is not type(task):
            names = [TASKS.name_of(type(of)) for of in (other, task)]
            raise InputError(
                f"{source}: has learned {names[0]}, and {sources[0]} {names[1]}; compare models of the same task"
            )
        if problem := task.comparison_problem(known[0].predictions, other, each):
            raise InputError(f"{source}, beside {sources[0]}: {problem}")
    predicted = [each.predictions for each in known]
    if not data:
        predicted = _predictions_of_common_jets(predicted, sources)
    metrics = [of.task.evaluate(each) | of.trained_on for of, each in zip(known, predicted, strict=True)]
    return Comparison(
        metrics, [task.compare(predicted[0], each) for each in predicted[1:]], len(predicted[0].values), task
    )


def _read_test_predictions(source: Path) -> KnownJets:
    if run_folder.is_run_folder(source):
        run = stored.open_run(source)
        task, test, metrics = run.experiment.task, stored.predictions_of(run), stored.metrics_of(run)
    else:
        task, test = _read_scores(source)
        path = source / "metrics.json"
        metrics = records.read_metrics(path, task.figures) if path.is_file() else {}
    if test is None:
        raise InputError(f"{source}: has no test.h5, the answers to its test jets; give --data, or train again")
    if test.rows is None:
        raise InputError(f"{source}: does not say which jets its scores are of; give --data and the taggers themselves")
    return KnownJets(task, test, trained_jets.of_test_part(metrics))


def _read_scores(source: Path) -> tuple[Task, Predictions | None]:
    """Reads a file of predictions, or the folder that `hepjax evaluate` made."""
    path = source / "test.h5" if source.is_dir() else source
    task = predictions.read_task(path) if path.is_file() else default_task()
    return task, predictions.read_predictions(path, task) if path.is_file() else None


def _predictions_of_common_jets(predicted: Sequence[Predictions], sources: Sequence[Path]) -> list[Predictions]:
    """The predictions of the jets that all have predicted, in one order; that they are the same jets is looked at."""
    rows = [np.asarray(each.rows) for each in predicted]
    shared = reduce(np.intersect1d, rows)
    chosen = [
        each.take(np.argsort(r)[np.searchsorted(np.sort(r), shared)]) for each, r in zip(predicted, rows, strict=True)
    ]
    for each, source in zip(chosen[1:], sources[1:], strict=True):
        if not len(shared) or not _are_same_jets(chosen[0], each):
            raise InputError(f"{source}: its test jets are not those of {sources[0]}; give files for both by --data")
    most = max(map(len, rows))
    if len(shared) < most:
        log.warning("%d jets are in all test parts, of up to %d; --data compares on other files", len(shared), most)
    return chosen


def _are_same_jets(a: Predictions, b: Predictions) -> bool:
    same = np.array_equal(np.asarray(a.targets), np.asarray(b.targets)) and a.observables.keys() == b.observables.keys()
    return same and all(
        np.array_equal(a.observables[name], b.observables[name], equal_nan=True) for name in a.observables
    )

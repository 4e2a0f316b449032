"""A trained model, or predictions that it made, measured on jets whose targets are known."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.data import atomic_files
from hepjax.errors import InputError
from hepjax.inputs import open_files
from hepjax.runs import predict, predictions, save_run, trained_jets
from hepjax.types.short_repr import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hepjax.runs.taggers import Predictor
    from hepjax.tasks import Predictions, Task
    from hepjax.types import Jets

log = logging.getLogger("hepjax")


class Evaluation(NamedTuple):
    """Figures of merit on some jets."""

    metrics: dict[str, Any]
    """With their intervals."""
    task: Task
    """That they are of."""

    def __repr__(self) -> str:
        """Shows arrays by their shapes."""
        return short_repr(self)


def evaluate_model(
    source: Path,
    data: Sequence[Path] = (),
    out: Path | None = None,
    *,
    calibrated: bool = False,
    dataset: str | None = None,
    allow_external: bool = False,
    where: str = "",
    show: Callable[[int], None] | None = None,
) -> Evaluation:
    """Measures a trained model on jets whose targets are known.

    Args:
      source: a run folder, a file that `hepjax export` made, or predictions of such jets, by `hepjax predict`.
      data: files of jets, other than those it was trained on; none for predictions.
      out: a new folder for metrics.json, test.h5 and the pictures; None writes nothing.
      calibrated: as in `taggers.load`.
      dataset: as in `taggers.open_tagger_jets`.
      allow_external: the same.
      where: the same.
      show: called with the number of jets predicted since the last call.

    Returns:
      The figures of merit, and the task.

    Raises:
      InputError: the source, the files or `out` are not usable, or a file is there twice.
    """
    atomic_files.check_new(out)
    trained_on: dict[str, Any] = {}
    if predictions.is_file(source):
        if data:
            raise InputError(f"--data: {source} holds scores already, which need no jets; leave --data out")
        task, name = predictions.read_task(source), str(source)
        test = predictions.read_predictions(source, task)
    elif not data:
        raise InputError("--data: expected files of labeled jets, other than those it was trained on; found none")
    else:
        task, test, trained_on = predict.predict_known_targets(
            source, data, show, calibrated=calibrated, dataset=dataset, allow_external=allow_external, where=where
        )
        name = open_files.file_names_text(data)
    return _measure(task, test, trained_on, name, out)


def evaluate_jets(predictor: Predictor, jets: Jets, out: Path | None = None) -> Evaluation:
    """Measures a trained model on jets whose targets are known.

    Args:
      predictor: the model.
      jets: lazy, or in memory.
      out: as in `evaluate_model`.

    Returns:
      The figures of merit, and the task.

    Raises:
      InputError: the jets have no targets, or `out` exists.
    """
    atomic_files.check_new(out)
    return _measure(*predict.predict_jets_with_targets(predictor, jets, "jets"), "jets", out)


def _measure(task: Task, test: Predictions, trained_on: dict[str, Any], name: str, out: Path | None) -> Evaluation:
    """Measures predictions of jets with a name, and writes the results."""
    if test.targets is not None:
        task.check_targets({"test": test.targets}, test.columns, name)
        if test.weights is not None:
            task.check_weights({"test": test.weights}, {"test": test.targets}, test.columns, name)
    metrics = task.evaluate(test) | trained_on
    trained_jets.tell(name, trained_on)
    for words in task.remarks(test):
        log.warning("%s: %s", name, words)
    if out is not None:
        with atomic_files.new_folder(out) as new:
            save_run.write_test_results(new, task, test, metrics)
    return Evaluation(metrics, task)

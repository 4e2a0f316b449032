"""A trained model's predictions of files of jets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.data import cut_flow, rows_of_files
from hepjax.errors import InputError
from hepjax.inputs import open_files
from hepjax.runs import predictions, taggers, trained_jets
from hepjax.tasks import Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hepjax.runs.taggers import Predictor
    from hepjax.tasks import Task
    from hepjax.types import Jets


class KnownJets(NamedTuple):
    """A trained model's predictions of jets whose targets are known."""

    task: Task
    """That they are of."""
    predictions: Predictions
    """With what goes with them."""
    trained_on: dict[str, Any]
    """The entry of metrics.json on jets that the model was trained on; empty where none is known to be."""


def predict_files(
    source: Path,
    data: Sequence[Path],
    out: Path,
    show: Callable[[int], None] | None = None,
    *,
    calibrated: bool = False,
    dataset: str | None = None,
    allow_external: bool = False,
    where: str = "",
) -> int:
    """Writes a trained model's predictions, row for row in the files' order; of a selection also their `rows` there.

    Args:
      source: a run folder, or a file that `hepjax export` made.
      data: files of jets, with targets or without; none is the sample that comes with hepjax.
      out: a new HDF5 file with the predictions (N, K), and the targets where known, named as the task's layout says.
      show: called with the number of jets done since the last call.
      calibrated: as in `taggers.load`.
      dataset: as in `taggers.open_tagger_jets`.
      allow_external: the same.
      where: the same.

    Returns:
      The number of jets.

    Raises:
      InputError: the source, the files or `out` are not usable.
    """
    predictor = taggers.load(source, calibrated=calibrated)
    predictor.task.check_prediction(predictor.pipeline.network)
    jets = taggers.open_tagger_jets(predictor, data, dataset, allow_external=allow_external, where=where)
    blocks = _watched_blocks(predictor, jets, show)
    rows = rows_of_files(jets) if cut_flow(jets) else None
    predictions.write_blocks(out, blocks, jets=len(jets), columns=predictor.outputs, task=predictor.task, rows=rows)
    return len(jets)


def _watched_blocks(
    predictor: Predictor, jets: Jets, show: Callable[[int], None] | None, look: Callable[[Any], None] = lambda _: None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    for block in taggers.predict_jets_in_blocks(predictor, jets, look):
        yield block
        if show is not None:
            show(len(block[0]))


def predict_known_targets(
    source: Path,
    data: Sequence[Path],
    show: Callable[[int], None] | None = None,
    *,
    calibrated: bool = False,
    dataset: str | None = None,
    allow_external: bool = False,
    where: str = "",
) -> KnownJets:
    """Predicts jets whose targets are known, and holds them once: ten million of five classes take 200 MB.

    Args:
      source: a run folder, or a file that `hepjax export` made.
      data: files of jets.
      show: as in `predict_files`.
      calibrated: as in `taggers.load`.
      dataset: as in `taggers.open_tagger_jets`.
      allow_external: the same.
      where: the same.

    Returns:
      The predictions, and what goes with them. Jets that the model was trained on are told in the log.

    Raises:
      InputError: the source or the files are not usable, a file is there twice, or the jets have no targets.
    """
    open_files.check_files_differ({"data": data})
    predictor = taggers.load(source, calibrated=calibrated)
    jets = taggers.open_tagger_jets(predictor, data, dataset, allow_external=allow_external, where=where)
    return predict_jets_with_targets(predictor, jets, open_files.file_names_text(data), show)


def predict_jets_with_targets(
    predictor: Predictor, jets: Jets, name: str, show: Callable[[int], None] | None = None
) -> KnownJets:
    """Predicts jets whose targets are known.

    Args:
      predictor: a trained model.
      jets: lazy, or in memory.
      name: of the jets, for messages.
      show: as in `predict_files`.

    Returns:
      The predictions, and what goes with them.

    Raises:
      InputError: the jets have no targets.
    """
    task = predictor.task
    first = task.read(jets, slice(0, 0))
    if first is None:
        raise InputError(f"{name}: no {task.layout.targets}, so nothing can be measured; use hepjax predict")
    values = np.empty((len(jets), len(predictor.outputs)), np.float32)
    targets = np.empty((len(jets), *first.shape[1:]), first.dtype)
    row, counts = 0, (0, 0)

    def look(inputs: Any) -> None:
        nonlocal counts
        compared, equal = trained_jets.count(predictor.trained, inputs)
        counts = counts[0] + compared, counts[1] + equal

    for block, known in _watched_blocks(predictor, jets, show, look):
        values[row : row + len(block)] = block
        targets[row : row + len(block)] = known
        row += len(block)
    everything = np.arange(len(jets))
    observables = task.read_observables(jets, everything, predictor.pipeline)
    weights = None if jets.weights is None else np.asarray(jets.weights[everything], np.float64)
    predictions = Predictions(values, targets, predictor.outputs, rows_of_files(jets), observables, weights)
    trained_on = trained_jets.evaluated(predictor.trained, len(jets), counts)
    return KnownJets(task, task.complete(predictions, lambda: predictor.networks, 0), trained_on)

"""Trains what an `Experiment` asks for, and puts trained taggers to use: results on disk."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import evaluation, report, runtime, training
from hepjax.data import atomic_files
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.inputs import pipelines, subsets
from hepjax.runs import options, outputs, predictions, run_folder, taggers
from hepjax.runs.ensembles import diverged_members
from hepjax.runs.measure import measure
from hepjax.runs.predictions import Predictions
from hepjax.runs.setup import make_setup
from hepjax.runtime.tensorboard import check_installed
from hepjax.types import Ensemble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hepjax.runs.options import Experiment
    from hepjax.runs.setup import TrainingSetup
    from hepjax.types import Epoch, Progress

__all__ = ["answers", "evaluate", "predict", "run"]

log = logging.getLogger("hepjax")


def run(experiment: Experiment, show: Callable[[Progress], None] | None = None) -> tuple[Path, dict[str, Any]]:
    """Trains a tagger, or several at once, measures it on the test part, and leaves everything in a run folder.

    Args:
      experiment: what to do.
      show: called after each epoch, with the progress of the training that has gone furthest.

    Returns:
      The run folder, and the figures of merit on the test part.

    Raises:
      InputError: bad data or options; nothing is written then.
      DivergedError: the loss of each training is not finite; the last good states are in checkpoints/last_good.msgpack,
        of several trainings in each one's own folder.
    """
    options.check(experiment)
    if experiment.tensorboard:
        check_installed()
    experiment = run_folder.absolute(experiment)
    if experiment.resume:
        run_folder.check_resumable(experiment)
    else:
        atomic_files.check_new(experiment.out, "add --resume to go on with that run, or give another name")
    recipe = pipelines.make_recipe(experiment.model, len(hls4ml.CLASSES))
    with runtime.ends_together():
        jets = subsets.load(experiment, recipe, hls4ml.CLASSES)
        setup = make_setup(experiment, recipe, jets, hls4ml.CLASSES)
        metadata = outputs.metadata_of(jets, setup.cost, setup.members)
        folder, ensemble = outputs.open_run(experiment, jets, metadata, setup.start)
        with outputs.watching(folder, experiment, ensemble.furthest.epoch) as after:
            ensemble = _train(experiment, folder, ensemble, setup, after, show)
            return folder, measure(experiment, folder, ensemble, jets, setup, metadata)


def _train(
    experiment: Experiment,
    folder: Path,
    ensemble: Ensemble,
    setup: TrainingSetup,
    after: Callable[[Epoch], None],
    show: Callable[[Progress], None] | None,
) -> Ensemble:
    known = diverged_members(setup.members, ensemble.members)

    def save(ensemble: Ensemble, write: Callable[..., None], *further: Any) -> None:
        state, best = runtime.whole(setup.devices, (ensemble.state, ensemble.best))
        if runtime.is_first():
            write(folder, Ensemble(state, best, ensemble.members), *further)

    def on_epoch(ensemble: Ensemble) -> None:
        nonlocal known
        save(ensemble, outputs.save)
        diverged = diverged_members(setup.members, ensemble.members)
        for name in diverged.keys() - known.keys():
            save(ensemble, outputs.save_last_good, setup.members)
            log.warning("%s diverged %s; the others go on", name, diverged[name])
        known = diverged
        log.info("%s", _epoch_line(ensemble, experiment.epochs))
        after(ensemble.history[-1])
        if show is not None:
            show(ensemble.furthest)

    log.info("%s: %s", run_folder.model_name(experiment.model), report.cost_line(*setup.cost))
    if ensemble.stacked:
        log.info("%d trainings at once on %d devices, into %s", len(setup.members), setup.devices.everywhere, folder)
    else:
        log.info("training on %d jets, into %s", len(setup.members[0].train), folder)
    state, best = (runtime.place_state(setup.devices, state) for state in (ensemble.state, ensemble.best))
    try:
        return setup.fit(ensemble._replace(state=state, best=best), on_epoch=on_epoch)
    except training.DivergedError as error:
        save(error.ensemble, outputs.save_last_good, setup.members)
        log.info("%s", error)
        raise
    except KeyboardInterrupt:
        raise KeyboardInterrupt(outputs.how_to_go_on(folder)) from None


def _epoch_line(ensemble: Ensemble, epochs: int) -> str:
    histories = [progress.history for progress in ensemble.members if not progress.divergence]
    line = (
        report.epoch_line(histories[0][-1], epochs) if len(histories) == 1 else report.members_line(histories, epochs)
    )
    diverged = len(ensemble.members) - len(histories)
    return f"{line}  {diverged} diverged" if diverged else line


def evaluate(
    source: Path, data: Sequence[Path] = (), out: Path | None = None, *, calibrated: bool = False
) -> dict[str, Any]:
    """Measures a tagger on labelled jets.

    Args:
      source: a run folder, a file that `hepjax export` made, or scores of labelled jets, by `hepjax predict`.
      data: files of jets, other than those it was trained on; none for scores.
      out: a new folder for metrics.json, test.h5 and the pictures; None writes nothing.
      calibrated: as in `taggers.load`.

    Returns:
      The figures of merit and their intervals.

    Raises:
      InputError: the source, the files or `out` are not usable.
    """
    atomic_files.check_new(out)
    if predictions.is_file(source):
        if data:
            raise InputError(f"--data: {source} holds scores already, which need no jets; leave --data out")
        test, name = predictions.read_predictions(source), str(source)
    elif not data:
        raise InputError("--data: expected files of labelled jets, other than those it was trained on; found none")
    else:
        test, name = answers(source, data, calibrated=calibrated), subsets.names(data)
    scores = test.measured()
    subsets.check_two_classes(np.unique(scores.labels).tolist(), test.classes, name)
    metrics = evaluation.measure(scores)
    for words in evaluation.remarks(scores):
        log.warning("%s: %s", name, words)
    if out is not None:
        with atomic_files.new_folder(out) as new:
            outputs.write_metrics(new, test, metrics)
    return metrics


def answers(source: Path, data: Sequence[Path], *, calibrated: bool = False) -> Predictions:
    """A tagger's scores of labelled jets, held once: ten million take 200 MB.

    Args:
      source: a run folder, or a file that `hepjax export` made.
      data: files of jets.
      calibrated: as in `taggers.load`.

    Returns:
      The scores, and what goes with them.

    Raises:
      InputError: the source or the files are not usable, or the jets have no labels.
    """
    tagger = taggers.load(source, calibrated=calibrated)
    jets = taggers.open_jets(tagger, data)
    if jets.labels is None:
        raise InputError(f"{subsets.names(data)}: no labels, so nothing can be measured; use hepjax predict")
    scores, labels = np.empty((len(jets), len(tagger.classes)), np.float32), np.empty(len(jets), np.int32)
    row = 0
    for block, known in taggers.score_blocks(tagger, jets):
        scores[row : row + len(block)] = block
        labels[row : row + len(block)] = np.asarray(known)
        row += len(block)
    rows = np.arange(len(jets))
    return Predictions(scores, labels, tagger.classes, rows, subsets.observables(jets, rows, hls4ml.BINNED))


def predict(
    source: Path,
    data: Sequence[Path],
    out: Path,
    show: Callable[[int], None] | None = None,
    *,
    calibrated: bool = False,
) -> int:
    """Writes a tagger's scores, row for row in the files' order.

    Args:
      source: a run folder, or a file that `hepjax export` made.
      data: files of jets, labelled or not; none is the sample that comes with hepjax.
      out: a new HDF5 file with `scores` (N, C), and `labels` (N,) where known.
      show: called with the number of jets done since the last call.
      calibrated: as in `taggers.load`.

    Returns:
      The number of jets.

    Raises:
      InputError: the source, the files or `out` are not usable.
    """
    tagger = taggers.load(source, calibrated=calibrated)
    jets = taggers.open_jets(tagger, data)

    def watched() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for block in taggers.score_blocks(tagger, jets):
            yield block
            if show is not None:
                show(len(block[0]))

    predictions.write_scores(out, watched(), jets=len(jets), classes=tagger.classes)
    return len(jets)

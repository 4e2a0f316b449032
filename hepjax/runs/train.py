"""The one room where the stages meet: an `Experiment` in, results on disk."""

from __future__ import annotations

import dataclasses
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hepjax import evaluation, report, runtime, training
from hepjax.data import atomic_files
from hepjax.data.dataset import binned_columns
from hepjax.errors import InputError
from hepjax.inputs import pipelines, subsets
from hepjax.models.registry import MODELS
from hepjax.runs import ensembles, options, outputs, predictions, run_folder, taggers
from hepjax.runs.predictions import Predictions
from hepjax.runs.setup import make_plan
from hepjax.runtime.tensorboard import check_installed
from hepjax.tasks.classification import decorrelation
from hepjax.types import Progress, Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hepjax.inputs.subsets import Part, Parts
    from hepjax.runs.options import Experiment
    from hepjax.runs.setup import Plan
    from hepjax.types import Scaling

__all__ = ["answers", "evaluate", "predict", "run"]

log = logging.getLogger("hepjax")


def run(experiment: Experiment, show: Callable[[Progress], None] | None = None) -> tuple[Path, dict[str, Any]]:
    """Trains a tagger, measures it on the test part, and leaves everything in a run folder.

    Args:
      experiment: what to do.
      show: called after each epoch.

    Returns:
      The run folder, and the figures of merit on the test part.

    Raises:
      InputError: bad data or options; nothing is written then.
      DivergedError: the loss is not finite; the last good state is in checkpoints/last_good.msgpack.
    """
    options.check(experiment)
    if experiment.tensorboard:
        check_installed()
    jets = subsets.check_labelled(subsets.open_jets(experiment.data, dataset=experiment.dataset), experiment.data)
    experiment = dataclasses.replace(
        run_folder.absolute(experiment),
        model=pipelines.resolve(experiment.model, jets.dataset),
        insensitive=decorrelation.resolve(experiment.insensitive, jets.dataset),
    )
    if experiment.resume:
        run_folder.check_resumable(experiment)
    else:
        atomic_files.check_new(experiment.out, "add --resume to go on with that run, or give another name")
    pipeline = pipelines.make_pipeline(experiment.model, len(jets.classes), jets.dataset)
    with runtime.ends_together():
        if ensembles.is_many(experiment):
            return ensembles.run(experiment, pipeline, jets, show)
        parts = subsets.load(experiment, pipeline, jets)
        plan = make_plan(experiment, pipeline, parts, parts.dataset.classes)
        found, save = outputs.facts(parts, plan.cost), partial(outputs.save_progress, scaling=parts.scaling)
        folder, progress = outputs.open_run(experiment, parts, found, plan.start, save)
        state, best = (runtime.place_state(plan.devices, state) for state in (progress.state, progress.best))
        progress = progress._replace(state=state, best=best)
        return folder, _train(experiment, folder, progress, parts, plan, show)


def _train(
    experiment: Experiment,
    folder: Path,
    progress: Progress,
    jets: Parts,
    plan: Plan,
    show: Callable[[Progress], None] | None,
) -> dict[str, Any]:
    def on_epoch(progress: Progress) -> None:
        _save(folder, progress, jets.scaling, plan)
        log.info("%s", report.epoch_line(progress.history[-1], experiment.epochs))
        after(progress.history[-1])
        if show is not None:
            show(progress)

    with outputs.watching(folder, experiment, progress.epoch) as after:
        log.info("%s: %s", MODELS.name_of(experiment.model), report.cost_line(*plan.cost))
        log.info("training on %d jets, into %s", jets.counts[0], folder)
        try:
            progress = plan.fit(progress, on_epoch=on_epoch)
        except training.DivergedError as error:
            state = runtime.whole(plan.devices, error.state)
            if runtime.is_first():
                training.save(folder / "checkpoints" / "last_good.msgpack", state)
            log.info("%s", error)
            raise
        except KeyboardInterrupt:
            raise KeyboardInterrupt(outputs.how_to_go_on(folder)) from None
        return _measure(experiment, folder, progress, jets, plan)


def evaluate(
    source: Path,
    data: Sequence[Path] = (),
    out: Path | None = None,
    *,
    calibrated: bool = False,
    dataset: str | None = None,
) -> dict[str, Any]:
    """Measures a tagger on labelled jets.

    Args:
      source: a run folder, a file that `hepjax export` made, or scores of labelled jets, by `hepjax predict`.
      data: files of jets, other than those it was trained on; none for scores.
      out: a new folder for metrics.json, test.h5 and the pictures; None writes nothing.
      calibrated: as in `taggers.load`.
      dataset: as in `taggers.open_jets`.

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
        test, name = answers(source, data, calibrated=calibrated, dataset=dataset), subsets.names(data)
    scores = test.measured()
    subsets.check_two_classes(np.unique(scores.labels).tolist(), test.classes, name)
    metrics = evaluation.measure(scores)
    for words in evaluation.remarks(scores):
        log.warning("%s: %s", name, words)
    if out is not None:
        with atomic_files.new_folder(out) as new:
            outputs.write_metrics(new, test, metrics)
    return metrics


def answers(source: Path, data: Sequence[Path], *, calibrated: bool = False, dataset: str | None = None) -> Predictions:
    """A tagger's scores of labelled jets, held once: ten million take 200 MB.

    Args:
      source: a run folder, or a file that `hepjax export` made.
      data: files of jets.
      calibrated: as in `taggers.load`.
      dataset: as in `taggers.open_jets`.

    Returns:
      The scores, and what goes with them.

    Raises:
      InputError: the source or the files are not usable, or the jets have no labels.
    """
    tagger = taggers.load(source, calibrated=calibrated)
    jets = taggers.open_jets(tagger, data, dataset)
    if jets.labels is None:
        raise InputError(f"{subsets.names(data)}: no labels, so nothing can be measured; use hepjax predict")
    scores, labels = np.empty((len(jets), len(tagger.classes)), np.float32), np.empty(len(jets), np.int32)
    row = 0
    for block, known in taggers.score_blocks(tagger, jets):
        scores[row : row + len(block)] = block
        labels[row : row + len(block)] = np.asarray(known)
        row += len(block)
    rows = np.arange(len(jets))
    return Predictions(
        scores, labels, tagger.classes, rows, subsets.observables(jets, rows, binned_columns(jets.dataset))
    )


def predict(
    source: Path,
    data: Sequence[Path],
    out: Path,
    show: Callable[[int], None] | None = None,
    *,
    calibrated: bool = False,
    dataset: str | None = None,
) -> int:
    """Writes a tagger's scores, row for row in the files' order.

    Args:
      source: a run folder, or a file that `hepjax export` made.
      data: files of jets, labelled or not; none is the sample that comes with hepjax.
      out: a new HDF5 file with `scores` (N, C), and `labels` (N,) where known.
      show: called with the number of jets done since the last call.
      calibrated: as in `taggers.load`.
      dataset: as in `taggers.open_jets`.

    Returns:
      The number of jets.

    Raises:
      InputError: the source, the files or `out` are not usable.
    """
    tagger = taggers.load(source, calibrated=calibrated)
    jets = taggers.open_jets(tagger, data, dataset)

    def watched() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for block in taggers.score_blocks(tagger, jets):
            yield block
            if show is not None:
                show(len(block[0]))

    predictions.write_scores(out, watched(), jets=len(jets), classes=tagger.classes)
    return len(jets)


def _save(folder: Path, progress: Progress, scaling: Scaling, plan: Plan) -> None:
    state, best = runtime.whole(plan.devices, (progress.state, progress.best))
    if runtime.is_first():
        outputs.save_progress(folder, progress._replace(state=state, best=best), scaling)


def _measure(experiment: Experiment, folder: Path, progress: Progress, jets: Parts, plan: Plan) -> dict[str, Any]:
    classes = jets.dataset.classes
    val, test = (_scores(plan, progress, part, classes) for part in (jets.val, jets.test))
    verdict = _verdict(experiment, progress, len(classes))
    metrics = {
        **evaluation.measure(test),
        "calibration": evaluation.calibration_figures(val, test),
        "best_epoch": getattr(evaluation.best_epoch(progress.history), "epoch", None),
        "verdict": verdict,
    }
    found = Predictions(
        np.asarray(test.scores),
        np.asarray(test.labels),
        test.classes,
        runtime.gather(jets.test.rows),
        subsets.observables(jets.test.jets, jets.test.rows, binned_columns(jets.dataset)),
    )
    if runtime.is_first():
        outputs.write_metrics(folder, found, metrics)
        report.save(report.history_figure(progress.history), folder / "history.png")
    log.info("%s", verdict["words"])
    return metrics


def _verdict(experiment: Experiment, progress: Progress, classes: int) -> dict[str, str]:
    if decorrelation.is_contest(experiment.insensitive):
        words = (
            "Trained against an adversary: training and validation loss are of two kinds and say nothing of the fit."
        )
        return {"kind": "contest", "words": words}
    found = evaluation.verdict(progress.history, chance_loss=float(np.log(classes)))
    return {"kind": found.kind.value, "words": found.words}


def _scores(plan: Plan, progress: Progress, part: Part, classes: tuple[str, ...]) -> Scores:
    probabilities = jax.device_get(jax.nn.softmax(plan.score(progress.best, part)))
    return Scores(probabilities, runtime.gather(part.labels), None, classes)

"""The one room where the stages meet: an `Experiment` in, results on disk."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import (
    evaluation,
    losses,
    many,
    models,
    options,
    parallel,
    parts,
    predictions,
    recipes,
    report,
    results,
    runs,
    schema,
    training,
)
from hepjax.errors import InputError
from hepjax.plan import make_plan, make_scorer
from hepjax.types import Progress, Scaling, Scores, TrainState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hepjax.options import Experiment
    from hepjax.parts import Part, Parts
    from hepjax.plan import Plan
    from hepjax.recipes import Recipe
    from hepjax.types import Jets

__all__ = ["Tagger", "evaluate", "load", "predict", "run"]

log = logging.getLogger("hepjax")


class Tagger(NamedTuple):
    """A trained tagger in use."""

    experiment: Experiment
    classes: tuple[str, ...]
    recipe: Recipe
    """How jets are read for it."""
    scores: Callable[[Any], np.ndarray]
    """What `recipe.read` gives of N jets → (N, C) float32 class probabilities."""


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
    experiment = runs.absolute(experiment)
    if experiment.resume:
        runs.check_resumable(experiment)
    else:
        runs.check_new(experiment.out, "add --resume to go on with that run, or give another name")
    recipe = recipes.make_recipe(experiment.model, len(schema.CLASSES))
    with parallel.ends_together():
        if many.is_many(experiment):
            return many.run(experiment, recipe, show)
        jets = parts.load(experiment, recipe, schema.CLASSES)
        plan = make_plan(experiment, recipe, jets, len(schema.CLASSES))
        found, save = results.facts(jets, plan.cost), partial(results.save_progress, scaling=jets.scaling)
        folder, progress = results.open_run(experiment, jets, found, plan.start, save)
        state, best = (parallel.place_state(plan.devices, state) for state in (progress.state, progress.best))
        progress = progress._replace(state=state, best=best)
        return folder, _train(experiment, folder, progress, jets, plan, show)


def _load_many(folders: Sequence[Path], experiment: Experiment) -> Tagger:
    if experiment.rates:
        return load(min(folders, key=lambda folder: min(row.val_loss for row in runs.read_history(folder))))
    taggers = [load(folder) for folder in folders]
    first = taggers[0]

    def scores(inputs: Any) -> np.ndarray:
        mean: np.ndarray = np.mean([tagger.scores(inputs) for tagger in taggers], axis=0)
        return mean

    return Tagger(experiment, first.classes, first.recipe, scores)


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
        after(progress.epoch)
        if show is not None:
            show(progress)

    with results.watching(folder, experiment, progress.epoch) as after:
        log.info("%s: %s", runs.model_name(experiment.model), report.cost_line(*plan.cost))
        log.info("training on %d jets, into %s", jets.counts[0], folder)
        try:
            progress = plan.fit(progress, on_epoch=on_epoch)
        except training.DivergedError as error:
            state = parallel.whole(plan.devices, error.state)
            if parallel.is_first():
                training.save(folder / "checkpoints" / "last_good.msgpack", state)
            log.info("%s", error)
            raise
        except KeyboardInterrupt:
            raise KeyboardInterrupt(results.how_to_go_on(folder)) from None
        return _measure(folder, progress, jets.test, plan)


def evaluate(folder: Path, data: Sequence[Path], out: Path | None = None) -> dict[str, Any]:
    """Measures the tagger of a run folder on labelled jets.

    Args:
      folder: of the run.
      data: files of jets, other than those it was trained on.
      out: a new folder for metrics.json and the pictures; None writes nothing.

    Returns:
      The figures of merit.

    Raises:
      InputError: the folder, the files or `out` are not usable.
    """
    runs.check_new(out)
    tagger = load(folder)
    jets = _open_jets(tagger, data)
    if jets.labels is None:
        raise InputError(f"{parts.names(data)}: no labels, so nothing can be measured; use hepjax predict")
    blocks = list(_score(tagger, jets))
    scores = Scores(
        scores=np.concatenate([block for block, _ in blocks]),
        labels=np.concatenate([labels for _, labels in blocks if labels is not None]),
        weights=np.ones(len(jets)),
        classes=tagger.classes,
    )
    parts.check_two_classes(np.unique(scores.labels).tolist(), tagger.classes, data)
    metrics = evaluation.figures_of_merit(scores)
    if out is not None:
        with runs.new_folder(out) as new:
            results.write_metrics(new, scores, metrics)
    return metrics


def predict(folder: Path, data: Sequence[Path], out: Path, show: Callable[[int], None] | None = None) -> int:
    """Writes the scores of a run folder's tagger, row for row in the files' order.

    Args:
      folder: of the run.
      data: files of jets, labelled or not; none is the sample that comes with hepjax.
      out: a new HDF5 file with `scores` (N, C), and `labels` (N,) where known.
      show: called with the number of jets done since the last call.

    Returns:
      The number of jets.

    Raises:
      InputError: the folder, the files or `out` are not usable.
    """
    tagger = load(folder)
    jets = _open_jets(tagger, data)

    def watched() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for block in _score(tagger, jets):
            yield block
            if show is not None:
                show(len(block[0]))

    predictions.write_scores(out, watched(), jets=len(jets), classes=tagger.classes)
    return len(jets)


def load(folder: Path) -> Tagger:
    """Reads the best model of a run folder; of folds or an ensemble all, which answer with their mean probability.

    Args:
      folder: of the run.

    Returns:
      The tagger.

    Raises:
      InputError: the folder is not a run's, is damaged, or comes from a newer hepjax.
    """
    experiment, record = runs.read_experiment(folder)
    if "members" in record:
        return _load_many([folder / name for name in record["members"]], experiment)
    classes = tuple(record["classes"])
    recipe = recipes.make_recipe(experiment.model, len(classes))
    key = jax.random.key(0)
    template = (*recipes.initialise(recipe, key), recipes.blank_scaling(recipe))
    params, model_state, scaling = training.restore(folder / "checkpoints" / "best.msgpack", template)
    apply = recipes.make_apply(recipe, scaling, experiment.precision)
    cost = models.cost(apply, params, model_state, recipe.example)
    eval_step = training.make_eval_step(apply, losses.categorical_cross_entropy)
    state = TrainState(params, model_state, (), np.zeros((), np.int32), key)
    logits = make_scorer(recipe, eval_step, state, cost)
    return Tagger(experiment, classes, recipe, lambda inputs: jax.device_get(jax.nn.softmax(logits(inputs))))


def _save(folder: Path, progress: Progress, scaling: Scaling, plan: Plan) -> None:
    state, best = parallel.whole(plan.devices, (progress.state, progress.best))
    if parallel.is_first():
        results.save_progress(folder, progress._replace(state=state, best=best), scaling)


def _measure(folder: Path, progress: Progress, test: Part, plan: Plan) -> dict[str, Any]:
    logits, labels = plan.score(progress.best, test), parallel.gather(test.labels)
    scores = Scores(jax.device_get(jax.nn.softmax(logits)), labels, np.ones(len(labels)), schema.CLASSES)
    verdict = evaluation.verdict(progress.history, chance_loss=float(np.log(len(schema.CLASSES))))
    metrics = {
        **evaluation.figures_of_merit(scores),
        "best_epoch": getattr(evaluation.best_epoch(progress.history), "epoch", None),
        "verdict": {"kind": verdict.kind.value, "words": verdict.words},
    }
    if parallel.is_first():
        results.write_metrics(folder, scores, metrics)
        report.save(report.history_figure(progress.history), folder / "history.png")
    log.info("%s", verdict.words)
    return metrics


def _open_jets(tagger: Tagger, files: Sequence[Path]) -> Jets:
    jets = parts.open_jets(files, tagger.recipe)
    if jets.classes != tagger.classes:
        raise InputError(
            f"{parts.names(files)}: the jets' classes are {', '.join(jets.classes)}, "
            f"those of the tagger {', '.join(tagger.classes)}; give jets of the same classes"
        )
    return jets


def _score(tagger: Tagger, jets: Jets) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    for inputs, labels in parts.blocks(jets, tagger.recipe):
        yield tagger.scores(inputs), labels

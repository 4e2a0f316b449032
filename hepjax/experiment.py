"""The one room where the stages meet: an `Experiment` in, results on disk."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import batches, evaluation, losses, models, options, predictions, readers, report, runs, training
from hepjax.console import log_to
from hepjax.errors import InputError, writing
from hepjax.options import Experiment
from hepjax.representations import apply_scaling, fit_scaling, tabular
from hepjax.types import Batch, Jets, Progress, Scaling, Schedule, Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from flax import linen as nn

    from hepjax.types import PyTree

__all__ = ["Experiment", "Tagger", "evaluate", "load", "predict", "run"]

_BLOCK = 8192
"""Jets that are evaluated at once."""
_ROWS = 100_000
"""Jets that are read at once for predictions."""

log = logging.getLogger("hepjax")


class Tagger(NamedTuple):
    """A trained tagger in use."""

    experiment: Experiment
    classes: tuple[str, ...]
    inputs: Callable[[Jets, slice], np.ndarray]
    """(jets, rows) → (N, F), what the model reads of these rows, not yet scaled."""
    scores: Callable[[np.ndarray], np.ndarray]
    """(N, F) inputs → (N, C) float32 class probabilities."""


class _Parts(NamedTuple):
    """The jets of an experiment, represented but not scaled."""

    train: Batch
    val: Batch
    test: Batch
    split: batches.Split
    classes: tuple[str, ...]


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
    parts = _load(experiment)
    scaling = fit_scaling(parts.train.inputs)
    train, val, test = (part._replace(inputs=apply_scaling(scaling, part.inputs)) for part in parts[:3])
    parts = parts._replace(train=train, val=val, test=test)
    start, apply, fit = _prepare(experiment, parts)
    folder, progress = _open(experiment, parts, start)

    def on_epoch(progress: Progress) -> None:
        _save(folder, progress, scaling)
        log.info("%s", report.epoch_line(progress.history[-1], experiment.epochs))
        if show is not None:
            show(progress)

    if not progress.epoch:
        _save_first(folder, progress, scaling)
    lines = logging.FileHandler(folder / "log.txt")
    lines.setFormatter(logging.Formatter("%(asctime)s  %(message)s"))
    with log_to(lines):
        log.info("training on %d jets, into %s", len(parts.train.targets), folder)
        try:
            progress = fit(progress, on_epoch=on_epoch)
        except training.DivergedError as error:
            training.save(folder / "checkpoints" / "last_good.msgpack", error.state)
            log.info("%s", error)
            raise
        except KeyboardInterrupt:
            words = f"the last whole epoch is saved; go on with: hepjax train --out {folder} --resume"
            raise KeyboardInterrupt(words) from None
        return folder, _measure(folder, progress, parts, apply)


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
    tagger, jets = load(folder), _open_jets(data)
    if jets.labels is None:
        raise InputError(f"{_names(data)}: no labels, so nothing can be measured; use hepjax predict")
    blocks = list(_score(tagger, jets))
    scores = Scores(
        scores=np.concatenate([block for block, _ in blocks]),
        labels=np.concatenate([labels for _, labels in blocks if labels is not None]),
        weights=np.ones(len(jets)),
        classes=tagger.classes,
    )
    _check_two_classes(np.unique(scores.labels).tolist(), tagger.classes, data)
    metrics = evaluation.figures_of_merit(scores)
    if out is not None:
        with runs.new_folder(out) as new:
            _write_results(new, scores, metrics)
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
    tagger, jets = load(folder), _open_jets(data or None)

    def watched() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for block in _score(tagger, jets):
            yield block
            if show is not None:
                show(len(block[0]))

    predictions.write_scores(out, watched(), jets=len(jets), classes=tagger.classes)
    return len(jets)


def load(folder: Path) -> Tagger:
    """Reads the best model of a run folder.

    Args:
      folder: of the run.

    Returns:
      The tagger.

    Raises:
      InputError: the folder is not a run's, is damaged, or comes from a newer hepjax.
    """
    experiment, record = runs.read_experiment(folder)
    classes, features = tuple(record["classes"]), experiment.model.features
    model = _build(experiment.model, len(classes))
    params, model_state = models.initialise(model, jax.random.key(0), jnp.zeros((1, len(features))))
    blank = Scaling(np.zeros(len(features), np.float32), np.ones(len(features), np.float32))
    saved = training.restore(folder / "checkpoints" / "best.msgpack", (params, model_state, blank))
    scores = _scorer(models.make_apply(model), *saved[:2])
    return Tagger(
        experiment=experiment,
        classes=classes,
        inputs=lambda jets, rows: tabular(jets, features, rows=rows),
        scores=lambda x: scores(apply_scaling(saved[2], x)),
    )


def _load(experiment: Experiment) -> _Parts:
    """Reads and splits the jets, and refuses parts that cannot be trained on or measured."""
    own = (bool(experiment.val), bool(experiment.test))
    fractions = {
        (False, False): (0.6, 0.2, 0.2),
        (True, False): (0.8, 0.0, 0.2),
        (False, True): (0.8, 0.2, 0.0),
        (True, True): (1.0, 0.0, 0.0),
    }[own]
    whole, classes = _read(experiment, experiment.data)
    split = batches.split(len(whole.targets), seed=experiment.seed, fractions=fractions)
    parts = {name: Batch(*(x[rows] for x in whole)) for name, rows in zip(split._fields, split, strict=True)}
    for name, files in (("val", experiment.val), ("test", experiment.test)):
        if files:
            parts[name], _ = _read(experiment, files)
    present = np.unique(np.concatenate([part.targets for part in parts.values()])).tolist()
    _check_two_classes(present, classes, experiment.data)
    for name, part in parts.items():
        batches.check_classes(np.asarray(part.targets), present, name, classes)
    return _Parts(**parts, split=split, classes=classes)


def _read(experiment: Experiment, files: Sequence[Path]) -> tuple[Batch, tuple[str, ...]]:
    jets = _open_jets(files or None)
    if jets.labels is None:
        raise InputError(f"{_names(files)}: no labels, so nothing can be learnt; give labelled jets")
    x, labels = tabular(jets, experiment.model.features), np.asarray(jets.labels)
    return Batch(x, labels, np.ones(len(labels), np.float32)), jets.classes


def _open_jets(files: Sequence[Path] | None) -> Jets:
    """The files' jets, with as many particles as all of them keep."""
    paths = readers.list_files(files)
    return readers.read_jets(paths, particles=min(readers.read_header(path).slots for path in paths))


def _names(files: Sequence[Path]) -> str:
    """The files, for a message."""
    return ", ".join(map(str, files[:3])) + (", …" if len(files) > 3 else "") if files else "the embedded sample"


def _check_two_classes(present: Sequence[int], classes: Sequence[str], files: Sequence[Path]) -> None:
    if len(present) < 2:
        only = classes[present[0]]
        raise InputError(f"{_names(files)}: all jets are of class {only}; give jets of two classes or more")


def _build(model: options.Model, classes: int) -> nn.Module:
    if isinstance(model, options.Logistic):
        return models.Logistic(classes=classes, degree=model.degree)
    return models.MLP(model.hidden, classes, model.activation, model.dropout, model.norm)


def _prepare(experiment: Experiment, parts: _Parts) -> tuple[Progress, models.Apply, Callable[..., Progress]]:
    """Model, loss and optimizer put together: where to start, the model's function, and `fit` but for its start."""
    chosen, count = experiment.optimizer, len(parts.train.targets)
    batch_size = min(experiment.batch_size or count, count)
    per_epoch = -(-count // batch_size)
    schedule = training.make_schedule(
        chosen.schedule,
        chosen.learning_rate,
        steps=per_epoch * experiment.epochs,
        warmup_steps=int(chosen.warmup_epochs * per_epoch),
    )
    optimizer = training.make_optimizer(
        chosen.name,
        schedule,
        momentum=chosen.momentum,
        weight_decay=chosen.weight_decay,
        clip_norm=chosen.clip_norm,
        plateau_patience=chosen.plateau_patience if chosen.schedule is Schedule.PLATEAU else None,
        steps_per_epoch=per_epoch,
    )
    model = _build(experiment.model, len(parts.classes))
    init_key, key = jax.random.split(jax.random.key(experiment.seed))
    params, model_state = models.initialise(model, init_key, parts.train.inputs[:1])
    weights = losses.balanced_class_weights(parts.train.targets, len(parts.classes)) if experiment.balance else None
    apply, loss = models.make_apply(model), partial(losses.categorical_cross_entropy, class_weights=weights)
    fit = partial(
        training.fit,
        train=lambda epoch: batches.train_blocks(parts.train, batch_size=batch_size, seed=experiment.seed, epoch=epoch),
        val=lambda: batches.eval_batches(parts.val, batch_size=min(_BLOCK, len(parts.val.targets))),
        train_step=training.make_train_step(apply, loss, optimizer, losses.make_penalty(dict(chosen.penalties))),
        eval_step=training.make_eval_step(apply, loss),
        epochs=experiment.epochs,
        schedule=schedule,
        patience=experiment.patience,
        min_change=experiment.min_change,
    )
    return training.start(params, model_state, optimizer, key), apply, fit


def _fingerprint(parts: _Parts) -> int:
    crc = 0
    for part in parts[:3]:
        crc = zlib.crc32(part.targets.tobytes(), zlib.crc32(part.inputs.tobytes(), crc))
    return crc


def _open(experiment: Experiment, parts: _Parts, start: Progress) -> tuple[Path, Progress]:
    """The run folder, new or to be gone on with, and where the training stands."""
    found = {
        "classes": parts.classes,
        "jets": dict(zip(parts.split._fields, (len(part.targets) for part in parts[:3]), strict=True)),
        "data_crc32": _fingerprint(parts),
        "devices": [str(device) for device in jax.devices()],
    }
    if experiment.resume and experiment.out is not None:
        saved, record = runs.read_experiment(experiment.out)
        if record["data_crc32"] != found["data_crc32"]:
            raise InputError(f"--resume: the jets are not those that {experiment.out} was trained on; start a new run")
        progress = training.restore_progress(experiment.out / "checkpoints" / "last.msgpack", start)
        if saved.epochs != experiment.epochs:
            longer = dataclasses.replace(saved, epochs=experiment.epochs)
            runs.write_experiment(experiment.out, longer, found | {"command": record["command"]})
        return experiment.out, progress
    folder = runs.create(experiment)
    runs.write_experiment(folder, experiment, found)
    with writing(folder / "split.npz"):
        np.savez(folder / "split.npz", **parts.split._asdict())
    return folder, start


def _save(folder: Path, progress: Progress, scaling: Scaling) -> None:
    """The best model first, then the training: whatever a kill leaves, both fit together again after a resume."""
    best = progress.best
    training.save(folder / "checkpoints" / "best.msgpack", (best.params, best.model_state, scaling))
    training.save_progress(folder / "checkpoints" / "last.msgpack", progress)
    runs.write_history(folder, progress.history)


def _save_first(folder: Path, progress: Progress, scaling: Scaling) -> None:
    """Saves the start of a training; a folder that cannot hold it is not left behind."""
    try:
        _save(folder, progress, scaling)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _measure(folder: Path, progress: Progress, parts: _Parts, apply: models.Apply) -> dict[str, Any]:
    score = _scorer(apply, progress.best.params, progress.best.model_state)
    scores = Scores(score(parts.test.inputs), parts.test.targets, parts.test.weights, parts.classes)
    verdict = evaluation.verdict(progress.history, chance_loss=float(np.log(len(parts.classes))))
    metrics = {
        **evaluation.figures_of_merit(scores),
        "best_epoch": getattr(evaluation.best_epoch(progress.history), "epoch", None),
        "verdict": {"kind": verdict.kind.value, "words": verdict.words},
    }
    _write_results(folder, scores, metrics)
    report.save(report.history_figure(progress.history), folder / "history.png")
    log.info("%s", verdict.words)
    return metrics


def _write_results(folder: Path, scores: Scores, metrics: dict[str, Any]) -> None:
    runs.write_text(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    report.save(report.roc_figure(scores), folder / "roc.png")
    report.save(report.confusion_figure(scores), folder / "confusion.png")
    report.save(report.scores_figure(scores), folder / "scores.png")


def _scorer(apply: models.Apply, params: PyTree, model_state: PyTree) -> Callable[[np.ndarray], np.ndarray]:
    """(N, F) scaled inputs → (N, C) probabilities, in blocks of one shape."""
    probabilities = jax.jit(lambda x, mask: jax.nn.softmax(apply(params, model_state, x, mask, None)[0]))

    def score(x: np.ndarray) -> np.ndarray:
        ones = Batch(x, np.zeros(len(x), np.int32), np.ones(len(x), np.float32))
        blocks = [probabilities(b.inputs, b.weights > 0) for b in batches.eval_batches(ones, batch_size=_BLOCK)]
        return np.concatenate(jax.device_get(blocks))[: len(x)]

    return score


def _score(tagger: Tagger, jets: Jets) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    for start in range(0, len(jets), _ROWS):
        rows = slice(start, start + _ROWS)
        yield tagger.scores(tagger.inputs(jets, rows)), None if jets.labels is None else np.asarray(jets.labels[rows])

"""Many trainings at once: the folds of a cross-validation, the models of an ensemble, or learning rates to choose from.

They are one program, mapped over its members, whose states are divided among the devices.
"""

from __future__ import annotations

import dataclasses
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import evaluation, models, report, runtime, training
from hepjax import inputs as representations
from hepjax.choices import Strategy
from hepjax.data.dataset import binned_columns
from hepjax.errors import InputError
from hepjax.inputs import batching, pipelines, subsets
from hepjax.models.registry import MODELS
from hepjax.runs import outputs, run_folder, setup
from hepjax.runs.predictions import Predictions
from hepjax.runtime.compilation import watch_traces
from hepjax.training.decorrelation import without_adversary
from hepjax.types import Batch, Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.runs.options import Experiment
    from hepjax.training import Many
    from hepjax.types import Epoch, Jets, Progress, PyTree, Scaling, Window

_SCALING = "scaling"
"""Where each member keeps its scaling, among the model's other variables."""
_ALONE: dict[str, Any] = {"folds": None, "ensemble": None, "rates": (), "sizes": ()}
"""The options of one training."""

log = logging.getLogger("hepjax")


class Member(NamedTuple):
    """One of the trainings."""

    name: str
    train: np.ndarray
    """(n,) the rows to train on, and so the others."""
    val: np.ndarray
    test: np.ndarray
    rate: float
    """The learning rate."""


def is_many(experiment: Experiment) -> bool:
    """Whether an experiment asks for several trainings at once.

    >>> from hepjax.runs.options import Experiment
    >>> is_many(Experiment()), is_many(Experiment(folds=5))
    (False, True)
    """
    return bool(experiment.folds or experiment.ensemble or experiment.rates or experiment.sizes)


def choose_members(experiment: Experiment, split: Sequence[np.ndarray]) -> list[Member]:
    """The trainings that an experiment asks for.

    Args:
      experiment: the options.
      split: the training, validation and test rows of one training.

    Returns:
      The members. Of k folds, each is tested once; the next one validates, the others are trained on. Of several sizes
      the jets of a smaller one are among those of a larger one.

    Raises:
      InputError: there are fewer jets to train on than a size asks for.
    """
    (train, val, test), rate = split, experiment.optimizer.learning_rate
    if experiment.folds:
        order = np.random.default_rng(experiment.seed).permutation(np.concatenate(split))
        folds = [np.sort(fold) for fold in np.array_split(order, experiment.folds)]
        turns = [np.roll(np.arange(len(folds)), -i) for i in range(len(folds))]
        rest = [np.sort(np.concatenate([folds[j] for j in others])) for _, _, *others in turns]
        return [Member(f"fold-{i + 1}", rest[i], folds[turn[1]], folds[i], rate) for i, turn in enumerate(turns)]
    if experiment.ensemble:
        return [Member(f"model-{i + 1}", train, val, test, rate) for i in range(experiment.ensemble)]
    if experiment.rates:
        return [Member(f"rate-{rate:g}", train, val, test, rate) for rate in experiment.rates]
    if max(experiment.sizes) > len(train):
        raise InputError(f"--sizes: there are {len(train)} jets to train on, found {max(experiment.sizes)}; give fewer")
    order = np.random.default_rng(experiment.seed).permutation(train)
    return [Member(f"size-{size}", np.sort(order[:size]), val, test, rate) for size in experiment.sizes]


class _Plan(NamedTuple):
    """Trainings that are ready to start."""

    members: list[Member]
    devices: runtime.Devices
    cost: models.Cost
    start: Many
    fit: Callable[..., Many]
    """`training.fit_many` but for where to start."""
    score: Callable[[Many, str], list[Scores]]
    """The scores of each member on its rows of this name."""


def run(
    experiment: Experiment, pipeline: InputPipeline, opened: Jets, show: Callable[[Progress], None] | None = None
) -> tuple[Path, dict[str, Any]]:
    """Trains all members, measures each, and leaves everything in a run folder.

    Args:
      experiment: what to do, checked.
      pipeline: of its model.
      opened: the jets to train on.
      show: called after each epoch, with the progress of the member that has gone furthest.

    Returns:
      The run folder; and the figures of merit, of folds their mean, of an ensemble those of its mean probability, of
      learning rates those of the best; with those of each member and, but for learning rates, their spread.

    Raises:
      InputError: bad data or options; nothing is written then.
      DivergedError: a member's loss is not finite.
    """
    jets = subsets.load(experiment, pipeline, opened)
    made = _make_plan(experiment, pipeline, jets)
    found = outputs.facts(jets, made.cost) | {"members": [member.name for member in made.members]}
    found["jets"] = dict(zip(jets.split._fields, map(len, made.members[0][1:4]), strict=True))
    folder, many = outputs.open_run(experiment, jets, found, made.start, outputs.save_many)

    def on_epoch(many: Many) -> None:
        outputs.save_many(folder, many)
        log.info("%s", report.members_line([one.history for one in many.members], experiment.epochs))
        furthest = max(many.members, key=lambda one: one.epoch)
        after(furthest.history[-1])
        if show is not None:
            show(furthest)

    with outputs.watching(folder, experiment, max(one.epoch for one in many.members)) as after:
        log.info("%s: %s", MODELS.name_of(experiment.model), report.cost_line(*made.cost))
        log.info("%d trainings at once on %d devices, into %s", len(made.members), made.devices.everywhere, folder)
        state, best = (runtime.place_members(made.devices, state) for state in (many.state, many.best))
        try:
            many = made.fit(many._replace(state=state, best=best), on_epoch=on_epoch)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(outputs.how_to_go_on(folder)) from None
        return folder, _measure(folder, experiment, jets, found, made, many)


def _make_plan(experiment: Experiment, pipeline: InputPipeline, jets: subsets.Parts) -> _Plan:
    data = _together(experiment, jets)
    members = choose_members(experiment, np.split(np.arange(len(data.targets)), np.cumsum(jets.counts[:2])))
    _check(experiment, members, np.asarray(data.targets), jets.dataset.classes)
    devices, count = runtime.member_devices(len(members), experiment.devices.count)
    # What fills up the devices has no jets.
    rows = {name: [getattr(one, name) for one in members] for name in ("train", "val", "test")}
    padded = {name: some + [np.arange(0)] * (count - len(members)) for name, some in rows.items()}
    params, model_state, keys = _draw(experiment, pipeline, count)
    scalings = [_scaling(pipeline, data, some) for some in rows["train"]]
    one: tuple[PyTree, PyTree] = jax.tree.map(lambda x: x[0], (without_adversary(params), model_state))
    cost = models.cost(pipelines.make_apply(pipeline, scalings[0]), *one, pipeline.example)
    lengths = np.concatenate([part.lengths for part in jets[:3]])
    rounds = setup.BACKWARD * experiment.epochs * len(members)
    shared = batching.share(data, setup.choose_buckets(pipeline, lengths, experiment.lengths, rounds, cost))
    size = min(experiment.batch_size or len(rows["train"][0]), len(rows["train"][0]))
    steps, windows = batching.member_windows(
        shared,
        padded["train"],
        batch_size=size,
        seed=experiment.seed,
        steps=setup.window_steps(cost, size * len(members)),
    )
    schedule, optimizer = setup.make_optimizer(experiment, steps, own_rate=True)
    own = setup.make_steps(
        experiment, _scaled_apply(pipeline, experiment), optimizer, np.asarray(data.targets), jets.dataset.classes
    )
    run_windows, evaluate = training.over_members(training.over_window(own[0]), own[1])
    programs = runtime.compile_members(
        devices, watch_traces(run_windows, "training"), watch_traces(evaluate, "evaluation", shapes=2)
    )
    stacked = jax.tree.map(lambda *x: np.stack(x), *scalings, *scalings[:1] * (count - len(members)))
    start = training.start_many(params, {**model_state, _SCALING: stacked}, optimizer, keys, len(members))
    rates = np.array([one.rate for one in members] + [0.0] * (count - len(members)), np.float32)
    state = start.state._replace(
        opt_state=training.with_rates(start.state.opt_state, rates / experiment.optimizer.learning_rate)
    )
    size = min(max(setup.block_size(cost) // len(members), 1), max(map(len, rows["test"])))
    resident = runtime.place_shared(devices, batching.member_rows(shared, padded["val"], size)[0])

    def place(window: Window) -> Window:
        return runtime.place_shared(devices, window._replace(data=resident.data))

    fit = partial(
        training.fit_many,
        train=lambda epoch: map(place, windows(epoch)),
        val=resident,
        programs=programs,
        epochs=experiment.epochs,
        schedule=schedule,
        patience=experiment.patience,
        min_change=experiment.min_change,
    )

    def score(many: Many, name: str) -> list[Scores]:
        window, found = batching.member_rows(shared, padded[name], size)
        logits = jax.device_get(programs[1](many.best, place(window)).outputs)
        return [_scores(logits[i], found[:, i], data, some, jets.dataset.classes) for i, some in enumerate(rows[name])]

    return _Plan(members, devices, cost, start._replace(state=state, best=state), fit, score)


def _scores(logits: np.ndarray, found: np.ndarray, data: Batch, rows: np.ndarray, classes: tuple[str, ...]) -> Scores:
    """(K, B, C) logits of the (K, B) rows found, in the order of the rows asked for."""
    there = found >= 0
    order = np.argsort(found[there])
    probabilities = jax.device_get(jax.nn.softmax(logits[there][order]))
    return Scores(probabilities, np.asarray(data.targets)[np.sort(rows)], None, classes)


def _draw(experiment: Experiment, pipeline: InputPipeline, count: int) -> tuple[PyTree, PyTree, jax.Array]:
    """The members' parameters, other variables and keys, each from a seed of its own."""
    seeds = jax.vmap(partial(jax.random.fold_in, jax.random.key(experiment.seed)))(np.arange(count))
    keys = jax.vmap(jax.random.split)(seeds)
    return *jax.jit(jax.vmap(partial(setup.draw, experiment, pipeline)))(keys[:, 0]), keys[:, 1]


def _scaling(pipeline: InputPipeline, data: Batch, rows: np.ndarray) -> Scaling:
    return representations.scaling_of([pipeline.statistics(jax.tree.map(lambda x: x[rows], data.inputs))])


def _scaled_apply(pipeline: InputPipeline, experiment: Experiment) -> models.Apply:
    """The function of the model, which finds the scaling, each member's own, among its other variables."""

    def apply(
        params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        scaling = model_state[_SCALING]
        rest = {name: value for name, value in model_state.items() if name != _SCALING}
        own = pipelines.make_apply(pipeline, scaling, experiment.precision)
        logits, rest = own(params, rest, inputs, mask, key)
        return logits, {**rest, _SCALING: scaling}

    return apply


def _together(experiment: Experiment, jets: subsets.Parts) -> Batch:
    """All jets, in the order of the parts."""
    data = [part.data for part in jets[:3] if part.data is not None]
    if len(data) < 3:
        raise InputError(f"--memory: trainings at once need all jets in it, found {experiment.memory} GB; give more")
    together: Batch = jax.tree.map(lambda *x: np.concatenate(x), *data)
    return together


def _check(experiment: Experiment, members: Sequence[Member], labels: np.ndarray, classes: Sequence[str]) -> None:
    if experiment.devices.strategy is not Strategy.JIT or experiment.devices.shard_optimizer:
        raise InputError("--devices: of many trainings at once each device has some whole; leave all but --count out")
    present = np.unique(labels).tolist()
    for member in members:
        for name in ("train", "val", "test"):
            rows = getattr(member, name)
            batching.check_classes(labels[rows], present, f"{name} part of {member.name}", classes)


def _measure(
    folder: Path, experiment: Experiment, jets: subsets.Parts, found: dict[str, Any], made: _Plan, many: Many
) -> dict[str, Any]:
    scores, alone = made.score(many, "test"), {key: value for key, value in found.items() if key != "members"}
    metrics, tests = [evaluation.measure(some) for some in scores], _tests(jets, made.members, scores)
    best_params, best_state = jax.device_get((many.best.params, many.best.model_state))
    rows = np.concatenate([part.rows for part in jets[:3]])
    for i, (member, progress) in enumerate(zip(made.members, many.members, strict=True)):
        params, model_state = jax.tree.map(lambda x, i=i: x[i], (best_params, best_state))
        scaling = model_state.pop(_SCALING)
        own = dataclasses.replace(
            experiment,
            **_ALONE,
            out=folder / member.name,
            optimizer=dataclasses.replace(experiment.optimizer, learning_rate=member.rate),
        )
        split = batching.Split(*(rows[some] for some in member[1:4]))
        epoch = getattr(evaluation.best_epoch(progress.history), "epoch", None)
        outputs.write_member(
            own,
            alone | {"jets": dict(zip(split._fields, map(len, split), strict=True))},
            split,
            (without_adversary(params), model_state, scaling),
            progress.history,
            metrics[i] | {"best_epoch": epoch},
            tests[i],
        )
    best = choose(experiment, [one.history for one in many.members])
    test, whole = _answer(experiment, tests, metrics, best, lambda: made.score(many, "val"))
    whole["members"] = {member.name: some for member, some in zip(made.members, metrics, strict=True)}
    words = _words(experiment, made.members, whole, best)
    whole["verdict"] = {"kind": "many", "words": words}
    outputs.write_metrics(folder, test, whole)
    run_folder.write_history(folder, many.members[best].history)
    report.save(report.history_figure(many.members[best].history), folder / "history.png")
    if experiment.sizes:
        report.save(report.learning_curve_figure(experiment.sizes, metrics), folder / "learning_curve.png")
    log.info("%s", words)
    return whole


def choose(experiment: Experiment, histories: Sequence[Sequence[Epoch]]) -> int:
    """The number of the training that stands for all.

    Args:
      experiment: the options.
      histories: of each training.

    Returns:
      Of several sizes the largest, otherwise the one with the lowest validation loss.
    """
    if experiment.sizes:
        return int(np.argmax(experiment.sizes))
    return int(np.argmin([min(row.val_loss for row in history) for history in histories]))


def _tests(jets: subsets.Parts, members: Sequence[Member], scores: Sequence[Scores]) -> list[Predictions]:
    """The answers of each member to its test jets."""
    found = [subsets.observables(part.jets, part.rows, binned_columns(jets.dataset)) for part in jets[:3]]
    observables = {name: np.concatenate([some[name] for some in found]) for name in found[0]}
    rows = np.concatenate([part.rows for part in jets[:3]])
    return [
        Predictions(
            np.asarray(some.scores),
            np.asarray(some.labels),
            some.classes,
            rows[member.test],
            {name: values[member.test] for name, values in observables.items()},
        )
        for member, some in zip(members, scores, strict=True)
    ]


def _answer(
    experiment: Experiment,
    tests: Sequence[Predictions],
    metrics: Sequence[dict[str, Any]],
    best: int,
    val: Callable[[], list[Scores]],
) -> tuple[Predictions, dict[str, Any]]:
    """What stands for all members: answers to the test jets, and figures of merit."""
    mean, spread = evaluation.mean_and_spread(metrics)
    if experiment.folds:
        test = _pooled(tests)
        pooled = evaluation.figures_of_merit(test.measured())
        intervals = evaluation.fold_intervals(mean, spread, experiment.folds)
        counted = {key: pooled[key] for key in ("jets", "effective_jets", "bounds")}
        return test, pooled | mean | counted | {"spread": spread, "intervals": intervals}
    if experiment.ensemble:
        test = tests[0]._replace(scores=np.mean([some.scores for some in tests], axis=0))
        known = val()
        together = known[0]._replace(scores=np.mean([some.scores for some in known], axis=0))
        return test, {
            **evaluation.measure(test.measured()),
            "calibration": evaluation.calibration_figures(together, test.measured()),
            "spread": spread,
            "bias_and_variance": evaluation.bias_and_variance([some.measured() for some in tests]),
        }
    chosen = evaluation.calibration_figures(val()[best], tests[best].measured())
    return tests[best], metrics[best] | {"calibration": chosen}


def _pooled(tests: Sequence[Predictions]) -> Predictions:
    """The answers of all folds, each to its own jets."""
    first = tests[0]
    return first._replace(
        scores=np.concatenate([some.scores for some in tests]),
        labels=np.concatenate([some.labels for some in tests if some.labels is not None]),
        rows=np.concatenate([some.rows for some in tests if some.rows is not None]),
        observables={name: np.concatenate([some.observables[name] for some in tests]) for name in first.observables},
    )


def _words(experiment: Experiment, members: Sequence[Member], metrics: dict[str, Any], best: int) -> str:
    if experiment.rates:
        return f"The best of {len(members)} learning rates is {members[best].rate:g}"
    if experiment.sizes:
        return f"The figures are those of {len(members[best].train):,} training jets, the most of {len(members)} sizes"
    mean = np.mean([some["accuracy"] for some in metrics["members"].values()])
    together = f", together {metrics['accuracy']:.4f}" if experiment.ensemble else ""
    return f"{len(members)} trainings: accuracy {mean:.4f} ± {metrics['spread']['accuracy']:.4f}{together}"

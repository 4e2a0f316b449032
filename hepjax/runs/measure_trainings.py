"""Measures what was trained, on the test jets: each training, and what stands for all."""

from __future__ import annotations

import dataclasses
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import evaluation, report, runtime, training
from hepjax.errors import InputError
from hepjax.inputs import batching
from hepjax.runs import run_folder, save_run, stored, trained_jets
from hepjax.runs.dominating_jets import find_dominating_jets
from hepjax.runs.ensembles import ALONE, asks_for_ensemble, choose_best_member, diverged_members, ensemble_verdict_text
from hepjax.runs.setup import take_saved_model
from hepjax.tasks import Predictions, TrainedNetwork, packing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hepjax.inputs.load_subsets import Splits, Subset
    from hepjax.runs.options import Experiment
    from hepjax.runs.setup import TrainingSetup
    from hepjax.runs.trained_jets import Examined
    from hepjax.tasks import Task
    from hepjax.types import Ensemble, Progress, TrainState

log = logging.getLogger("hepjax")


def measure_trainings(
    experiment: Experiment,
    run: save_run.Opened,
    jets: Splits,
    setup: TrainingSetup,
    metadata: dict[str, Any],
    *,
    examined: Examined,
) -> dict[str, Any]:
    """Measures all trainings that did not diverge, and writes figures of merit, predictions and pictures.

    Args:
      experiment: the options.
      run: its folder, and the trainings at their end, one of which at least did not diverge.
      jets: what they were trained and are measured on.
      setup: of the trainings.
      metadata: of experiment.json, from `save_run.gather_run_metadata`.
      examined: the training jets among those that it is measured on.

    Returns:
      The figures of merit of metrics.json: of folds their mean, of an ensemble those of its mean probability, of
      learning rates those of the best; with those of each member and, but for learning rates, their spread.

    Raises:
      InputError: too few members are left for a mean; each is in its folder still.
    """
    folder, ensemble, _ = run
    together, diverged = asks_for_ensemble(experiment), diverged_members(setup.members, ensemble.members)
    good = [i for i, progress in enumerate(ensemble.members) if not progress.divergence]
    members, progress = [setup.members[i] for i in good], [ensemble.members[i] for i in good]
    references = _references_of_members(experiment.task, jets, setup, ensemble)
    _save_references(experiment, run, setup, references)
    all_tests = _predict_members(experiment, jets, setup, ensemble, references, "test", observed=True)
    complete = partial(_complete_predictions, experiment, setup, ensemble)
    tests = [complete(all_tests[i], [i]) for i in good]
    metrics = [experiment.task.evaluate(test) for test in tests]
    noted = [each | trained_jets.metric(examined.members[i].overlaps) for i, each in zip(good, metrics, strict=True)]
    if together:
        _write_member_folders(
            experiment,
            folder,
            ensemble,
            jets,
            setup,
            metadata,
            references=references,
            measured=dict(zip(good, zip(noted, tests, strict=True), strict=True)),
            examined=examined,
        )
        _check_enough_members(experiment, len(members), diverged)

    def val() -> list[Predictions]:
        predictions = _predict_members(experiment, jets, setup, ensemble, references, "val")
        return [predictions[i] for i in good]

    best = choose_best_member(experiment, good, [row.history for row in progress])
    test, whole = _figures_for_all_members(experiment, tests, metrics, best, val, partial(complete, members=good))
    if together:
        whole["members"] = {member.name: figures for member, figures in zip(members, noted, strict=True)}
        if diverged:
            whole["diverged"] = diverged
        words = ensemble_verdict_text(experiment, members, whole, best, diverged)
        whole["verdict"] = {"kind": "many", "words": words}
    else:
        whole |= {
            "best_epoch": _best_epoch_of_member(progress[best]),
            "verdict": experiment.task.verdict(progress[best].history, test.columns),
        }
    whole |= trained_jets.metric(examined.overlaps)
    doubts = [jets.far_values] if jets.far_values else []
    doubts += find_dominating_jets(experiment.task, jets, setup, ensemble, good)
    whole["verdict"] = evaluation.add_doubts(whole["verdict"], doubts)
    if runtime.is_first():
        save_run.write_test_results(folder, experiment.task, test, whole)
        run_folder.write_history(folder, progress[best].history)
        report.save(report.history_figure(progress[best].history), folder / "history.png")
        _draw_learning_curve(experiment, folder, good, metrics)
        run_folder.seal(folder, stored.finished_files(experiment, metadata))
    log.info("%s", whole["verdict"]["words"])
    return whole


def _draw_learning_curve(
    experiment: Experiment, folder: Path, good: Sequence[int], metrics: Sequence[dict[str, Any]]
) -> None:
    """Draws the learning curve of the sizes whose training did not diverge, where there are several."""
    if experiment.sizes and len(good) > 1:
        sizes = [experiment.sizes[i] for i in good]
        if (curve := experiment.task.learning_curve(sizes, metrics)) is not None:
            report.save(curve, folder / "learning_curve.png")


def _references_of_members(task: Task, jets: Splits, setup: TrainingSetup, ensemble: Ensemble) -> list[dict[str, Any]]:
    """Computes the task's references from each member's outputs for its training jets."""
    if not task.reference_names:
        return [{} for _ in setup.members]
    outputs = task.outputs(jets.dataset)
    weights = np.concatenate([runtime.gather(part.event_weights) for part in jets[:3]])
    packed = [setup.predict(ensemble.best, name) for name in ("train", "val")]
    references: list[dict[str, Any]] = []
    for member, *of_member in zip(setup.members, *packed, strict=True):
        train, val = (
            packing.unpack_statistics_of_outputs(jnp.asarray(x), outputs, task.statistics_names)[0] for x in of_member
        )
        of_parts = (weights[member.train], weights[member.val])
        references.append(task.references(np.asarray(train), np.asarray(val), of_parts))
    return references


def _save_references(
    experiment: Experiment,
    run: save_run.Opened,
    setup: TrainingSetup,
    references: Sequence[dict[str, Any]],
) -> None:
    """Saves the network of a single training once more, with what was computed after the training."""
    if run.ensemble.stacked or not experiment.task.reference_names:
        return
    best = runtime.whole(setup.devices, run.ensemble.best)
    if runtime.is_first():
        saved = take_saved_model(experiment.task, _references_of_training(best, references[0]))
        training.save(run.folder / stored.BEST, saved, run.identity)


def _references_of_training(state: TrainState, references: dict[str, np.ndarray]) -> TrainState:
    return state._replace(model_state=packing.add_references(state.model_state, references))


def _predict_members(
    experiment: Experiment,
    jets: Splits,
    setup: TrainingSetup,
    ensemble: Ensemble,
    references: Sequence[dict[str, Any]],
    name: str,
    *,
    observed: bool = False,
) -> list[Predictions]:
    """Predicts the test or validation jets of each member; `observed` keeps what is known of the jets beside them."""
    # Folds take their jets from all parts, other members from one.
    parts: Sequence[Subset] = jets[:3] if experiment.folds else (getattr(jets, name),)
    first = 0 if experiment.folds else sum(jets.counts[: jets._fields.index(name)])
    task, columns = experiment.task, experiment.task.columns(jets.dataset)
    targets, rows = (np.concatenate([runtime.gather(getattr(p, of)) for p in parts]) for of in ("targets", "rows"))
    of_parts = [task.read_observables(p.jets, p.rows, setup.pipeline) for p in parts if observed and p.jets is not None]
    weighted = any(p.known_weights is not None for p in parts)
    weights = np.concatenate([runtime.gather(p.event_weights) for p in parts]).astype(np.float64) if weighted else None
    observables = {key: np.concatenate([part[key] for part in of_parts]) for part in of_parts[:1] for key in part}
    predictions = []
    for member, packed, known in zip(setup.members, setup.predict(ensemble.best, name), references, strict=True):
        chosen = getattr(member, name) - first
        plain, statistics = packing.unpack_statistics_of_outputs(
            packed, task.outputs(jets.dataset), task.statistics_names
        )
        values = np.asarray(jax.device_get(task.predict(plain, {**statistics, **known})))
        kept = {key: column[chosen] for key, column in observables.items()}
        of_jets = None if weights is None else weights[chosen]
        predictions.append(Predictions(values, targets[chosen], columns, rows[chosen], kept, of_jets))
    return predictions


def _complete_predictions(
    experiment: Experiment, setup: TrainingSetup, ensemble: Ensemble, predictions: Predictions, members: Sequence[int]
) -> Predictions:
    """Adds to predictions what takes the networks of some members."""

    def read_networks() -> list[TrainedNetwork]:
        best, networks = jax.device_get(runtime.whole(setup.devices, ensemble.best)), []
        for i in members:
            state = training.member_of(best, i) if ensemble.stacked else best
            params, model_state, scaling = take_saved_model(experiment.task, state)
            model_state, statistics = packing.split_target_statistics(model_state)
            networks.append(
                TrainedNetwork(setup.pipeline, params, model_state, scaling, experiment.precision, statistics)
            )
        return networks

    return experiment.task.complete(predictions, read_networks, experiment.seed)


def _write_member_folders(
    experiment: Experiment,
    folder: Path,
    ensemble: Ensemble,
    jets: Splits,
    setup: TrainingSetup,
    metadata: dict[str, Any],
    *,
    references: Sequence[dict[str, Any]],
    measured: dict[int, Any],
    examined: Examined,
) -> None:
    """Writes each of several trainings as a run folder of its own, and which of them diverged."""
    rows, best = np.concatenate([part.rows for part in jets[:3]]), jax.device_get(ensemble.best)
    alone = {key: value for key, value in metadata.items() if key != "members"}
    diverged = diverged_members(setup.members, ensemble.members)
    for i, (member, progress) in enumerate(zip(setup.members, ensemble.members, strict=True)):
        split = batching.Split(*(rows[numbers] for numbers in member[1:4]))
        metrics, test = measured.get(i, (None, None))
        save_run.write_member_folder(
            dataclasses.replace(
                experiment,
                **ALONE,
                out=folder / member.name,
                optimizer=dataclasses.replace(experiment.optimizer, learning_rate=member.rate),
            ),
            alone
            | {"jets": dict(zip(split._fields, map(len, split), strict=True)), "member": member.name}
            | ({"diverged": {member.name: diverged[member.name]}} if member.name in diverged else {}),
            split,
            _references_of_training(training.member_of(best, i), references[i]),
            progress.history,
            None if metrics is None else metrics | {"best_epoch": _best_epoch_of_member(progress)},
            test,
            trained=examined.members[i].trained,
        )
    if diverged:
        run_folder.change_record(folder, {"diverged": diverged})


def _check_enough_members(experiment: Experiment, good: int, diverged: dict[str, str]) -> None:
    least = 3 if experiment.folds else 2 if experiment.ensemble else 1
    if good < least:
        lost = "; ".join(f"{name} diverged {words}" for name, words in diverged.items())
        raise InputError(
            f"{good} of {good + len(diverged)} trainings are left, too few for a mean: {lost}; lower the learning "
            "rate, clip gradients, or look for extreme values; each is in a folder of its own"
        )


def _figures_for_all_members(
    experiment: Experiment,
    tests: Sequence[Predictions],
    metrics: Sequence[dict[str, Any]],
    best: int,
    val: Callable[[], list[Predictions]],
    complete: Callable[[Predictions], Predictions],
) -> tuple[Predictions, dict[str, Any]]:
    """Chooses or averages the predictions for test jets, and the figures of merit, that stand for all members."""
    task = experiment.task
    mean: dict[str, Any] = {}
    spread: dict[str, Any] = {}
    if len(metrics) > 1:
        mean, spread = evaluation.mean_and_spread(
            [{key: value for key, value in each.items() if key != "intervals"} for each in metrics]
        )
    if experiment.folds:
        test = _pool_fold_predictions(tests)
        pooled = task.evaluate(test)
        intervals = evaluation.fold_intervals(mean, spread, experiment.folds, trainings=len(tests))
        counted = {key: pooled[key] for key in task.not_averaged()}
        return test, pooled | mean | counted | {"spread": spread, "intervals": intervals}
    if experiment.ensemble:
        test, of_val = (_combine_member_predictions(task, predictions) for predictions in (tests, val()))
        test = complete(test)
        return test, {
            **task.evaluate(test),
            **task.validate(of_val, test),
            "spread": spread,
            **task.ensemble_figures(tests),
        }
    return tests[best], metrics[best] | task.validate(val()[best], tests[best])


def _combine_member_predictions(task: Task, predictions: Sequence[Predictions]) -> Predictions:
    together = np.stack([of_member.values for of_member in predictions])
    return predictions[0]._replace(values=np.asarray(task.combine(together)))


def _pool_fold_predictions(tests: Sequence[Predictions]) -> Predictions:
    """Joins the predictions of all folds, each for its own jets."""
    first = tests[0]
    weights = [test.weights for test in tests if test.weights is not None]
    return first._replace(
        values=np.concatenate([test.values for test in tests]),
        targets=np.concatenate([test.targets for test in tests if test.targets is not None]),
        rows=np.concatenate([test.rows for test in tests if test.rows is not None]),
        weights=np.concatenate(weights) if weights else None,
        observables={name: np.concatenate([test.observables[name] for test in tests]) for name in first.observables},
        additions={name: np.concatenate([test.additions[name] for test in tests]) for name in first.additions},
    )


def _best_epoch_of_member(progress: Progress) -> int | None:
    return getattr(evaluation.best_epoch(progress.history), "epoch", None)

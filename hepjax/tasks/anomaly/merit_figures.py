"""Figures of merit of anomaly scores, for metrics.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import evaluation
from hepjax.choices import AnomalyLoss
from hepjax.errors import InputError
from hepjax.tasks.anomaly.scores import as_classifier_scores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepjax.tasks.anomaly.options import AnomalyOptions
    from hepjax.tasks.task_types import Predictions
    from hepjax.types import Scores


def anomaly_kinds(task: AnomalyOptions, predictions: Predictions) -> tuple[str, ...]:
    """Lists the kinds of anomalies among jets: each class that has some, and all together, such as w+z+t.

    Args:
      task: the options.
      predictions: with targets.

    Returns:
      The kinds; none where all jets are background, or none are.
    """
    present = _present_anomaly_classes(task, _anomaly_targets(predictions))
    background, anomalies = (tuple(n for n in names if n in present) for names in (task.background, task.anomalies))
    if not background:
        return ()
    return (*anomalies, "+".join(anomalies)) if len(anomalies) > 1 else anomalies


def scores_of(task: AnomalyOptions, predictions: Predictions) -> dict[str, dict[str, Scores]]:
    """Returns each anomaly score as that of a classifier of background and anomalies.

    Args:
      task: the options.
      predictions: with targets.

    Returns:
      Kind of anomalies → score → what `evaluation.anomaly_figures` takes.
    """
    targets = _anomaly_targets(predictions)
    present = _present_anomaly_classes(task, targets)
    background = [name for name in task.background if name in present]
    names = (*task.background, *task.anomalies)
    return {
        kind: {
            column: as_classifier_scores(
                predictions.values[:, i], targets, names, kind.split("+"), background, predictions.weights
            )
            for i, column in enumerate(predictions.columns)
        }
        for kind in anomaly_kinds(task, predictions)
    }


def measure_anomaly_scores(task: AnomalyOptions, predictions: Predictions) -> dict[str, Any]:
    """Computes the loss of background jets, and the figures of merit of all scores.

    Args:
      task: the options.
      predictions: with targets.

    Returns:
      `loss`; `test_jets` of each class; `anomalies`: kind → score → AUC and rejections; `intervals` of 68 % with the
      same keys; and `bounds` on rejections, at 95 %.
    """
    targets = _anomaly_targets(predictions)
    names = (*task.background, *task.anomalies) or ("all",)
    loss, near = _background_loss(task, predictions, targets)
    figures = {
        kind: {column: evaluation.anomaly_figures(scores) for column, scores in of_kind.items()}
        for kind, of_kind in scores_of(task, predictions).items()
    }
    return {
        "loss": loss,
        "test_jets": {name: int((targets == number).sum()) for number, name in enumerate(names)},
        "anomalies": _take_anomaly_jets(figures, "value"),
        "bounds": _take_anomaly_jets(figures, "bound"),
        "intervals": {"loss": near, "anomalies": _take_anomaly_jets(figures, "interval")},
    }


def comparison_problem(task: AnomalyOptions, own: Predictions, other_task: AnomalyOptions, other: Predictions) -> str:
    """Returns why two models cannot be compared, or "": their classes differ, or they have no score in common.

    Args:
      task: the options of the first model.
      own: its scores.
      other_task: the options of the second one.
      other: its scores.
    """
    for option, first, second in (
        ("--background", task.background, other_task.background),
        ("--anomalies", task.anomalies, other_task.anomalies),
    ):
        if first != second:
            return f"{option} was {', '.join(second) or 'none'}, not {', '.join(first) or 'none'}; train with the same"
    if not {*own.columns} & {*other.columns}:
        return f"has the scores {', '.join(other.columns)}, not {', '.join(own.columns)}; compare models with the same"
    return ""


def compare(task: AnomalyOptions, first: Predictions, second: Predictions) -> dict[str, Any]:
    """Compares the scores that two models have in common, on the same jets.

    Args:
      task: the options of the first model.
      first: with targets.
      second: of the same jets in the same order.

    Returns:
      `loss` of background jets, None where the losses are not of one kind; and `anomalies`: kind → score → `auc` and
      `background_rejection_at_0.5`; each a `Difference`, or None where too few jets are left.
    """
    both = (scores_of(task, first), scores_of(task, second))
    anomalies = {
        kind: {
            column: evaluation.compare_scores(scores, both[1][kind][column])["classes"][scores.classes[1]]
            for column, scores in of_kind.items()
            if column in both[1][kind]
        }
        for kind, of_kind in both[0].items()
    }
    loss = None
    if first.columns == second.columns:  # which tell whether codes are distributions
        name, inside = _loss_column(task), _background(task, _anomaly_targets(first))
        values = [x.values[inside, x.columns.index(name)].astype(np.float64) for x in (second, first)]
        weights = np.ones(len(values[0])) if first.weights is None else first.weights[inside]
        loss = evaluation.mean_difference(values[0] - values[1], weights)
    return {"loss": loss, "anomalies": anomalies}


def join_anomaly_figures(metrics: Mapping[str, Any]) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Puts values, intervals and bounds together again.

    Args:
      metrics: what metrics.json holds.

    Returns:
      Kind of anomalies → score → what `evaluation.anomaly_figures` returns.
    """
    intervals = (metrics.get("intervals") or {}).get("anomalies") or {}
    bounds = metrics.get("bounds") or {}
    result: dict[str, Any] = {}
    for kind, of_kind in metrics["anomalies"].items():
        result[kind] = {}
        for column, values in of_kind.items():
            near, least = (x.get(kind, {}).get(column, {}) for x in (intervals, bounds))
            result[kind][column] = {
                key: {"value": value, "interval": near.get(key)} | ({"bound": least[key]} if key in least else {})
                for key, value in values.items()
            }
    return result


def _background_loss(
    task: AnomalyOptions, predictions: Predictions, targets: np.ndarray
) -> tuple[float, list[float] | None]:
    """The mean loss of background jets, and its 68 % interval."""
    inside = _background(task, targets)
    values = predictions.values[inside, predictions.columns.index(_loss_column(task))].astype(np.float64)
    if not len(values):
        raise InputError(
            f"scores: no jet of the background, {', '.join(task.background)}, so nothing can be measured; give jets "
            "that have some"
        )
    weights = np.ones(len(values)) if predictions.weights is None else predictions.weights[inside]
    low, high = evaluation.mean_interval(values, weights)
    interval = [float(low), float(high)] if np.isfinite(low) else None
    return float(np.average(values, weights=weights)), interval


def _loss_column(task: AnomalyOptions) -> str:
    return "negative_elbo" if task.loss is AnomalyLoss.NEGATIVE_ELBO else "reconstruction_error"


def _background(task: AnomalyOptions, targets: np.ndarray) -> np.ndarray:
    """Returns (n,) bool, the jets of the background."""
    inside: np.ndarray = (targets >= 0) & (targets < max(len(task.background), 1))
    return inside


def _take_anomaly_jets(figures: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {
        kind: {
            column: {name: figure[key] for name, figure in of_score.items() if key in figure}
            for column, of_score in of_kind.items()
        }
        for kind, of_kind in figures.items()
    }


def _present_anomaly_classes(task: AnomalyOptions, targets: np.ndarray) -> list[str]:
    names = (*task.background, *task.anomalies)
    return [name for number, name in enumerate(names) if (targets == number).any()]


def _anomaly_targets(predictions: Predictions) -> np.ndarray:
    if predictions.targets is None:
        raise InputError("scores: no labels, so nothing can be measured; give scores of labeled jets")
    return np.asarray(predictions.targets, np.int32)

"""Figures of merit of regression: predictions in columns to `hepjax.evaluation.Estimates`, and what they lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import evaluation
from hepjax.choices import RegressionLoss
from hepjax.errors import InputError
from hepjax.evaluation import Estimates, InBins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.tasks.regression.options import RegressionOptions
    from hepjax.tasks.task_types import Predictions


def regression_estimates(task: RegressionOptions, predictions: Predictions) -> Estimates:
    """Returns predictions with their truths, widths and quantiles apart.

    Args:
      task: whose columns they have.
      predictions: with targets.

    Raises:
      InputError: the targets are not known, or there are other columns.
    """
    values, targets = predictions.values, predictions.targets
    names, count = task.target, len(task.target)
    if targets is None:
        raise InputError(
            f"predictions: no {', '.join(names)}, so nothing can be measured; give predictions of jets with the targets"
        )
    shared: dict[str, Any] = {"truth": targets, "names": names, "weights": predictions.weights}
    if task.loss is RegressionLoss.GAUSSIAN:
        return Estimates(predicted=values[:, :count], widths=values[:, count:], **shared)
    if task.loss is RegressionLoss.QUANTILES:
        quantiles = values.reshape(len(values), count, -1)
        middle = quantiles[:, :, task.quantiles.index(0.5)]
        return Estimates(predicted=middle, quantiles=quantiles, levels=task.quantiles, **shared)
    return Estimates(predicted=values, **shared)


def regression_losses_per_jet(task: RegressionOptions, estimates: Estimates) -> np.ndarray:
    """Computes what each jet adds to the loss, of targets in units of their spread among these jets.

    Args:
      task: says which loss.
      estimates: predictions and truths.

    Returns:
      (N, D) float64.
    """
    truth, predicted = (np.asarray(x, np.float64) for x in (estimates.truth, estimates.predicted))
    mean = np.average(truth, axis=0, weights=estimates.weights)
    spread = np.sqrt(np.maximum(np.average((truth - mean) ** 2, axis=0, weights=estimates.weights), 0))
    spread = np.where(spread > 0, spread, 1.0)
    residual = (truth - predicted) / spread
    if task.loss is RegressionLoss.HUBER:
        size, delta = np.abs(residual), task.huber_delta
        return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))
    if estimates.widths is not None:
        width = np.asarray(estimates.widths, np.float64) / spread
        return np.asarray(0.5 * np.log(2 * np.pi) + np.log(width) + 0.5 * (residual / width) ** 2)
    if estimates.quantiles is not None:
        levels = np.asarray(estimates.levels)
        below = (truth[..., None] - estimates.quantiles) / spread[:, None]
        return np.asarray(np.maximum(levels * below, (levels - 1) * below).mean(axis=-1))
    return residual**2


def measure_regression(task: RegressionOptions, predictions: Predictions) -> dict[str, Any]:
    """Computes all figures of merit, and bias and resolution in bins.

    Args:
      task: the options.
      predictions: with targets.

    Returns:
      What `evaluation.regression_figures` gives, and `in_bins`: target to `relative`, whether residuals are divided by
      the truth, and `observables`: "true TARGET" and each observable to lists of edges, jets, bias, resolution and
      their intervals; None stands in bins of fewer than ten jets.
    """
    estimates = regression_estimates(task, predictions)
    bins = {}
    for name in task.target:
        observables, relative = residuals_in_bins(task, predictions, name)
        bins[name] = {
            "relative": relative,
            "observables": {key: _arrays_to_json(each) for key, each in observables.items()},
        }
    return evaluation.regression_figures(estimates, regression_losses_per_jet(task, estimates)) | {"in_bins": bins}


def residuals_in_bins(task: RegressionOptions, predictions: Predictions, name: str) -> tuple[dict[str, InBins], bool]:
    """Computes bias and resolution in bins of the truth and of each observable but the target.

    Args:
      task: the options.
      predictions: with targets.
      name: of the target.

    Returns:
      "true TARGET" or the observable to its bins, and whether residuals are divided by the truth.
    """
    estimates, d = regression_estimates(task, predictions), task.target.index(name)
    truth, predicted = (np.asarray(x[:, d], np.float64) for x in (estimates.truth, estimates.predicted))
    ratio = evaluation.relative_residuals(predicted, truth)
    inside, residuals = (np.ones(len(truth), bool), predicted - truth) if ratio is None else ratio
    weights = None if estimates.weights is None else np.asarray(estimates.weights)[inside]
    over = {f"true {name}": truth} | {
        key: np.asarray(values, np.float64) for key, values in predictions.observables.items() if key != name
    }
    count = int(np.clip(len(residuals) / 40, 1, 8))
    return {
        key: evaluation.bias_and_resolution_in_bins(residuals, values[inside], weights=weights, bins=count)
        for key, values in over.items()
        if np.isfinite(values).all()
    }, ratio is not None


def compare_regression_figures(task: RegressionOptions, first: Predictions, second: Predictions) -> dict[str, Any]:
    """Compares two sets of predictions of the same jets.

    Args:
      task: the options of both.
      first: with targets.
      second: the same jets in the same order.
    """
    a, b = (regression_estimates(task, each) for each in (first, second))
    return evaluation.compare_regressions(a, b, regression_losses_per_jet(task, a), regression_losses_per_jet(task, b))


def regression_ensemble_figures(task: RegressionOptions, members: Sequence[Predictions]) -> dict[str, Any]:
    """Takes the squared error of members apart, in units of the spread of the truth.

    Args:
      task: the options.
      members: predictions of the same jets.
    """
    estimates = [regression_estimates(task, each) for each in members]
    truth = np.asarray(estimates[0].truth, np.float64)
    spread = np.where(truth.std(axis=0) > 0, truth.std(axis=0), 1.0)
    predicted = np.stack([np.asarray(each.predicted, np.float64) / spread for each in estimates])
    parts = evaluation.squared_error_parts(predicted, truth / spread, estimates[0].weights)
    return {"bias_and_variance": parts}


def _arrays_to_json(bins: InBins) -> dict[str, Any]:
    """Turns figures into lists, with None for what is not known."""
    return {name: _regression_bins_to_json(values) for name, values in bins._asdict().items()}


def _regression_bins_to_json(values: np.ndarray) -> list[Any]:
    return [
        _regression_bins_to_json(value)
        if isinstance(value, np.ndarray)
        else float(value)
        if np.isfinite(value)
        else None
        for value in values
    ]

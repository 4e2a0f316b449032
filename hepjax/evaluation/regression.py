"""Figures of merit of predicted numbers: bias, resolution, pulls and coverage, with 68 % intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import checked_weights
from hepjax.evaluation.comparison import Difference, mean_difference, two_sided
from hepjax.evaluation.intervals import (
    FEWEST,
    REPLICATES,
    binomial_interval,
    effective_count,
    effective_trials,
    mean_interval,
)
from hepjax.evaluation.residuals import bias_and_resolution, checked_numbers, core_quantiles, relative_residuals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Interval = list[float] | None


class Estimates(NamedTuple):
    """Predicted and true values of D targets of N jets, in the targets' units."""

    predicted: NDArray[Any]
    """(N, D) float."""
    truth: NDArray[Any]
    """(N, D) float."""
    names: tuple[str, ...]
    """The D targets."""
    widths: NDArray[Any] | None = None
    """(N, D) float above 0, the learned standard deviations; None where none were learned."""
    quantiles: NDArray[Any] | None = None
    """(N, D, Q) float, the learned quantiles; None where none were learned."""
    levels: tuple[float, ...] = ()
    """The Q levels of the quantiles, between 0 and 1."""
    weights: NDArray[Any] | None = None
    """(N,) float, not negative; None is 1 for each jet."""


def regression_figures(estimates: Estimates, losses: Any) -> dict[str, Any]:
    """Measures predicted numbers.

    Args:
      estimates: predictions and truths.
      losses: (N, D) what each jet adds to the mean loss.

    Returns:
      test_jets, loss, `targets` (target to its figures) and `intervals` of loss and targets: [low, high] that hold 68 %
      by bootstrap, or None below ten jets. Of each target: bias, the median of predicted - true; resolution, half of
      the central 68 % interval of that; relative_bias and relative_resolution, the same of (predicted - true) / true of
      the jets with a positive truth, None where more than 1 % have none; root_mean_squared_error and
      mean_absolute_error; truth_spread, the standard deviation of the truth, which is the root mean squared error of
      predicting the mean; explained_variance, 1 - (root_mean_squared_error / truth_spread)²; loss. Where a width is
      learned: pull_mean and pull_resolution of (predicted - true) / width, coverage_68 and coverage_95, the shares of
      truths within one and two widths. Where quantiles are learned: `coverage`, level to the share of truths below.

    Raises:
      InputError: arrays do not fit each other, are not finite, or are empty.

    >>> truth = np.linspace(10, 20, 50)[:, None]
    >>> figures = regression_figures(Estimates(truth + 1, truth, ("j_mass",)), np.ones((50, 1)))
    >>> figures["targets"]["j_mass"]["bias"], figures["targets"]["j_mass"]["root_mean_squared_error"]
    (1.0, 1.0)
    """
    checked = check_estimates(estimates)
    each = np.asarray(losses, np.float64)
    if each.shape != checked.truth.shape:
        raise InputError(f"losses: expected shape {checked.truth.shape}, one a jet and target, found {each.shape}")
    rng = np.random.default_rng(0)
    loss, interval = _mean_with_interval(each.mean(axis=1), checked.weights)
    targets, intervals = {}, {}
    for d, name in enumerate(checked.names):
        pairs = _regression_target_figures(checked, d, each[:, d], rng)
        targets[name], intervals[name] = _split_values_and_intervals(pairs)
    return {
        "test_jets": len(checked.truth),
        "loss": loss,
        "targets": targets,
        "intervals": {"loss": interval, "targets": intervals},
    }


def compare_regressions(first: Estimates, second: Estimates, first_losses: Any, second_losses: Any) -> dict[str, Any]:
    """Compares two sets of predictions of the same jets, so that the luck of the jets cancels.

    Args:
      first: the predictions to compare with.
      second: the others, of the same jets in the same order.
      first_losses: (N, D) what each jet adds to the mean loss.
      second_losses: the same of the others.

    Returns:
      loss, and `targets`: target to mean_squared_error and resolution; each a `Difference`, what the second has more.
      Of resolutions the error is from 200 samples of jets, drawn for both together.

    Raises:
      InputError: the jets are not the same, or the predictions are not sound.

    >>> truth = np.linspace(10, 20, 50)[:, None]
    >>> a, b = (Estimates(truth + shift, truth, ("j_mass",)) for shift in (2.0, 1.0))
    >>> compare_regressions(a, b, np.full((50, 1), 4.0), np.ones((50, 1)))["loss"].value
    -3.0
    """
    a, b = check_estimates(first), check_estimates(second)
    weights = [np.ones(len(one.truth)) if one.weights is None else one.weights for one in (a, b)]
    if a.names != b.names or a.truth.shape != b.truth.shape or (a.truth != b.truth).any():
        raise InputError("truth: expected the same jets and targets for both; predict one set of jets with both")
    if (weights[0] != weights[1]).any():
        raise InputError("weights: expected the same for both; predict one set of jets with both")
    w, rng = weights[0], np.random.default_rng(0)
    losses = [np.asarray(each, np.float64).mean(axis=1) for each in (first_losses, second_losses)]
    targets = {}
    for d, name in enumerate(a.names):
        residuals = [one.predicted[:, d] - one.truth[:, d] for one in (a, b)]
        targets[name] = {
            "mean_squared_error": mean_difference(residuals[1] ** 2 - residuals[0] ** 2, w),
            "resolution": _resolution_differences(residuals[0], residuals[1], w, rng),
        }
    return {"loss": mean_difference(losses[1] - losses[0], w), "targets": targets}


def squared_error_parts(members: Any, truth: Any, weights: Any = None) -> dict[str, float]:
    """Takes the mean squared error of an ensemble's members apart, as `bias_and_variance` does the Brier score.

    Args:
      members: (M, N, D) predictions of M trainings, M at least 2; divided by the spread of each target where D > 1.
      truth: (N, D), likewise.
      weights: (N,) of any sign, with a positive sum; None is 1.

    Returns:
      squared_error: the members' mean; bias_and_noise and variance, which add up to it; members, M.

    Raises:
      InputError: there are fewer than two members, or shapes do not fit.

    >>> squared_error_parts([[[1.0]], [[3.0]]], [[2.0]])
    {'squared_error': 1.0, 'bias_and_noise': -1.0, 'variance': 2.0, 'members': 2.0}
    """
    p, y = np.asarray(members, np.float64), np.asarray(truth, np.float64)
    if p.ndim != 3 or len(p) < 2 or p.shape[1:] != y.shape:
        raise InputError(f"members: expected shape (M, N, D) of two or more trainings, found {p.shape} for {y.shape}")
    w = checked_weights(weights, len(y), signed=True)
    error, variance = (
        float(np.average(squares.mean(axis=(0, 2)), weights=w)) for squares in ((p - y) ** 2, (p - p.mean(axis=0)) ** 2)
    )
    variance *= len(p) / (len(p) - 1)
    return {
        "squared_error": error,
        "bias_and_noise": error - variance,
        "variance": variance,
        "members": float(len(p)),
    }


def check_estimates(estimates: Estimates) -> Estimates:
    """Returns the same estimates in float64, once they are known to be sound.

    Args:
      estimates: predictions and truths.

    Raises:
      InputError: arrays do not fit each other, are not finite, or are empty.
    """
    predicted, truth = (checked_numbers(name, getattr(estimates, name), 2) for name in ("predicted", "truth"))
    if predicted.shape != truth.shape or truth.shape[1] != len(estimates.names):
        raise InputError(
            f"predicted: expected shape (N, {len(estimates.names)}), one column a target, found {predicted.shape} "
            f"for truths of {truth.shape}"
        )
    widths = None if estimates.widths is None else checked_numbers("widths", estimates.widths, 2)
    quantiles = None if estimates.quantiles is None else checked_numbers("quantiles", estimates.quantiles, 3)
    if widths is not None and (widths.shape != truth.shape or (widths <= 0).any()):
        raise InputError(f"widths: expected shape {truth.shape} and numbers above 0, found {widths.shape}")
    if quantiles is not None and quantiles.shape != (*truth.shape, len(estimates.levels)):
        raise InputError(f"quantiles: expected shape {(*truth.shape, len(estimates.levels))}, found {quantiles.shape}")
    weights = None if estimates.weights is None else checked_weights(estimates.weights, len(truth), signed=True)
    return Estimates(
        predicted,
        truth,
        tuple(estimates.names),
        widths,
        quantiles,
        tuple(estimates.levels),
        weights,
    )


def _regression_target_figures(e: Estimates, d: int, losses: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """Computes each figure of a target, with its interval."""
    residual, truth, w = e.predicted[:, d] - e.truth[:, d], e.truth[:, d], e.weights
    absolute = bias_and_resolution(residual, w, rng=rng)
    relative = relative_residuals(e.predicted[:, d], truth)
    pairs: dict[str, Any] = {
        "bias": (absolute.bias, absolute.bias_interval),
        "resolution": (absolute.resolution, absolute.resolution_interval),
        "relative_bias": (None, None),
        "relative_resolution": (None, None),
    }
    if relative is not None:
        inside, values = relative
        core = bias_and_resolution(values, None if w is None else w[inside], rng=rng)
        pairs["relative_bias"] = (core.bias, core.bias_interval)
        pairs["relative_resolution"] = (core.resolution, core.resolution_interval)
    square, interval = _mean_with_interval(residual**2, w)
    spread = math.sqrt(max(np.average((truth - np.average(truth, weights=w)) ** 2, weights=w), 0.0))
    pairs["root_mean_squared_error"] = (
        math.sqrt(max(square, 0.0)),
        _map_estimates(interval, lambda x: math.sqrt(max(x, 0.0))),
    )
    pairs["mean_absolute_error"] = _mean_with_interval(np.abs(residual), w)
    pairs["truth_spread"] = spread, None
    explained = (lambda x: 1 - x / spread**2) if spread > 0 else None
    pairs["explained_variance"] = (
        (explained(square), None if interval is None else [explained(interval[1]), explained(interval[0])])
        if explained
        else (None, None)
    )
    pairs["loss"] = _mean_with_interval(losses, w)
    if e.widths is not None:
        pairs |= _pull_figures(residual / e.widths[:, d], w, rng)
    if e.quantiles is not None:
        below = truth[:, None] <= e.quantiles[:, d]
        pairs["coverage"] = {f"{level:g}": _covered_share(below[:, i], w) for i, level in enumerate(e.levels)}
    return pairs


def _pull_figures(pulls: Floats, w: Floats | None, rng: np.random.Generator) -> dict[str, Any]:
    core = bias_and_resolution(pulls, w, rng=rng)
    return {
        "pull_mean": _mean_with_interval(pulls, w),
        "pull_resolution": (core.resolution, core.resolution_interval),
        "coverage_68": _covered_share(np.abs(pulls) <= 1, w),
        "coverage_95": _covered_share(np.abs(pulls) <= 2, w),
    }


def _split_values_and_intervals(pairs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    values, intervals = {}, {}
    for key, pair in pairs.items():
        values[key], intervals[key] = _split_values_and_intervals(pair) if isinstance(pair, dict) else pair
    return values, intervals


def _mean_with_interval(values: Floats, w: Floats | None) -> tuple[float, Interval]:
    count = len(values) if w is None else effective_count(w)
    interval = [float(end) for end in mean_interval(values, w)] if count >= FEWEST else None
    return float(np.average(values, weights=w)), interval


def _map_estimates(interval: Interval, function: Any) -> Interval:
    return None if interval is None else [function(end) for end in interval]


def _covered_share(passed: NDArray[np.bool_], w: Floats | None) -> tuple[float, Interval]:
    """A weighted share with its Clopper-Pearson interval."""
    weights = np.ones(len(passed)) if w is None else w
    share = float(np.average(passed, weights=weights))
    taken = weights[passed]
    trials = effective_trials(taken.sum(), (taken**2).sum(), weights.sum(), (weights**2).sum())
    low, high = binomial_interval(np.clip(share, 0, 1) * trials, trials)
    return share, [float(low), float(high)] if effective_count(weights) >= FEWEST else None


def _resolution_differences(a: Floats, b: Floats, w: Floats, rng: np.random.Generator) -> Difference | None:
    if effective_count(w) < FEWEST:
        return None
    orders = [np.argsort(x, kind="stable") for x in (a, b)]

    def half(weights: Floats) -> list[float]:
        ends = [core_quantiles(x[order], weights[order]) for x, order in zip((a, b), orders, strict=True)]
        return [float(high - low) / 2 for low, _, high in ends]

    samples = np.array([half(w * rng.poisson(1, len(w))) for _ in range(REPLICATES)])
    first, second = half(w)
    error = float(np.std(samples[:, 1] - samples[:, 0], ddof=1))
    return Difference(second - first, error, two_sided(second - first, error))

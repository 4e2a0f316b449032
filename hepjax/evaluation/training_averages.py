"""Mean and spread of the figures of merit of several trainings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation.intervals import ONE_SIGMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def mean_and_spread(figures: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Computes the mean and the standard deviation, over trainings, of every figure of merit.

    Args:
      figures: results of `figures_of_merit` for two or more trainings.

    Returns:
      Two dictionaries of the same shape, with numbers only, for the keys that all trainings have; None where a training
      has no number. The spread is that of one training (n - 1 in the denominator), not the error of the mean.

    >>> mean_and_spread([{"loss": 0.5, "w": {"auc": 0.8}}, {"loss": 1.5, "w": {"auc": None}}])
    ({'loss': 1.0, 'w': {'auc': None}}, {'loss': 0.7071067811865476, 'w': {'auc': None}})
    """
    mean: dict[str, Any] = {}
    spread: dict[str, Any] = {}
    for key, value in figures[0].items():
        if any(key not in training for training in figures):
            continue
        values = [training[key] for training in figures]
        if isinstance(value, dict):
            mean[key], spread[key] = mean_and_spread(values)
        elif any(number is None for number in values):
            mean[key] = spread[key] = None
        elif isinstance(value, int | float):
            mean[key], spread[key] = float(np.mean(values)), float(np.std(values, ddof=1))
    return mean, spread


def fold_intervals(
    mean: Mapping[str, Any],
    spread: Mapping[str, Any],
    folds: int,
    level: float = ONE_SIGMA,
    *,
    trainings: int | None = None,
) -> dict[str, Any]:
    """Computes intervals of the means of a cross-validation.

    Trainings share jets, so that the spread over the root of their number underestimates the error. The variance is
    that of Nadeau and Bengio, spread² (1/m + n_test/n_train), where one of k folds is for testing, one for validation
    and k - 2 for training. Of the k trainings m are in the mean: fewer if some diverged, but each has learned from as
    many folds.

    Args:
      mean: mean of every figure of merit, from `mean_and_spread`.
      spread: standard deviation of one training, from `mean_and_spread`.
      folds: number of folds, k.
      level: confidence level of the intervals.
      trainings: number of trainings behind mean and spread, m; None means all k.

    Returns:
      A dictionary shaped like `mean`: [low, high], or None.

    Reference: C. Nadeau, Y. Bengio, Machine Learning 52 (2003) 239, equation 9.

    >>> low, high = fold_intervals({"auc": 0.9}, {"auc": 0.01}, 10)["auc"]
    >>> round(low, 4), round(high, 4)
    (0.895, 0.905)
    """
    from scipy.special import stdtrit

    m = folds if trainings is None else trainings
    half = float(stdtrit(m - 1, (1 + level) / 2)) * math.sqrt(1 / m + 1 / (folds - 2))
    intervals: dict[str, Any] = {}
    for key, value in mean.items():
        if isinstance(value, dict):
            intervals[key] = fold_intervals(value, spread[key], folds, level, trainings=trainings)
        elif isinstance(value, int | float):
            intervals[key] = [value - half * spread[key], value + half * spread[key]]
        else:
            intervals[key] = None
    return intervals

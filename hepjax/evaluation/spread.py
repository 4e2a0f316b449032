"""Figures of merit of several trainings → their mean and spread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation.intervals import ONE_SIGMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def mean_and_spread(found: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mean and the standard deviation, over trainings, of every figure of merit.

    Args:
      found: of each of two or more trainings, what `figures_of_merit` returns.

    Returns:
      Two dictionaries of the same shape, numbers only, of the keys that all
      have; None where a training has no number. The spread is that of one
      training (n - 1 in the denominator), not the error of the mean.

    >>> mean_and_spread([{"loss": 0.5, "w": {"auc": 0.8}}, {"loss": 1.5, "w": {"auc": None}}])
    ({'loss': 1.0, 'w': {'auc': None}}, {'loss': 0.7071067811865476, 'w': {'auc': None}})
    """
    mean: dict[str, Any] = {}
    spread: dict[str, Any] = {}
    for key, value in found[0].items():
        if any(key not in one for one in found):
            continue
        values = [one[key] for one in found]
        if isinstance(value, dict):
            mean[key], spread[key] = mean_and_spread(values)
        elif any(one is None for one in values):
            mean[key] = spread[key] = None
        elif isinstance(value, int | float):
            mean[key], spread[key] = float(np.mean(values)), float(np.std(values, ddof=1))
    return mean, spread


def fold_intervals(
    mean: Mapping[str, Any], spread: Mapping[str, Any], folds: int, level: float = ONE_SIGMA
) -> dict[str, Any]:
    """Intervals of the means of a cross-validation.

    Trainings share jets, so their spread over the root of their number is too small an error; the variance is that of
    Nadeau and Bengio, spread² (1/k + n_test/n_train), where of k folds one tests, one validates and k - 2 train.

    Args:
      mean: of every figure of merit, from `mean_and_spread`.
      spread: of one training, from there.
      folds: k.
      level: of the intervals.

    Returns:
      The shape of `mean`: [low, high], or None.

    Reference: C. Nadeau, Y. Bengio, Machine Learning 52 (2003) 239, equation 9.

    >>> low, high = fold_intervals({"auc": 0.9}, {"auc": 0.01}, 10)["auc"]
    >>> round(low, 4), round(high, 4)
    (0.895, 0.905)
    """
    from scipy.special import stdtrit

    half = float(stdtrit(folds - 1, (1 + level) / 2)) * math.sqrt(1 / folds + 1 / (folds - 2))
    found: dict[str, Any] = {}
    for key, value in mean.items():
        if isinstance(value, dict):
            found[key] = fold_intervals(value, spread[key], folds, level)
        elif isinstance(value, int | float):
            found[key] = [value - half * spread[key], value + half * spread[key]]
        else:
            found[key] = None
    return found

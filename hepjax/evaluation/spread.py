"""Figures of merit of several trainings → their mean and spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def mean_and_spread(found: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mean and the standard deviation, over trainings, of every figure of merit.

    Args:
      found: of each of two or more trainings, what `figures_of_merit` returns.

    Returns:
      Two dictionaries of the same shape, numbers only; None where a training has no number. The spread is that of one
      training (n - 1 in the denominator), not the error of the mean.

    >>> mean_and_spread([{"loss": 0.5, "w": {"auc": 0.8}}, {"loss": 1.5, "w": {"auc": None}}])
    ({'loss': 1.0, 'w': {'auc': None}}, {'loss': 0.7071067811865476, 'w': {'auc': None}})
    """
    mean: dict[str, Any] = {}
    spread: dict[str, Any] = {}
    for key, value in found[0].items():
        values = [one[key] for one in found]
        if isinstance(value, dict):
            mean[key], spread[key] = mean_and_spread(values)
        elif any(one is None for one in values):
            mean[key] = spread[key] = None
        elif isinstance(value, int | float):
            mean[key], spread[key] = float(np.mean(values)), float(np.std(values, ddof=1))
    return mean, spread

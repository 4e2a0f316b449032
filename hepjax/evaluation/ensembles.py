"""Decomposition of the error of ensemble members into bias and variance between trainings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import checked_class_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.types import Scores


def bias_and_variance(members: Sequence[Scores]) -> dict[str, float]:
    """Splits the members' mean Brier score into that of their mean probability and the variance around it.

    For the squared error this is exact for each jet: the mean of |p_m - y|² over M members is |p̄ - y|² plus the mean
    of |p_m - p̄|². The first part is bias² and noise, which averaging does not remove; the second is the gain of an
    ensemble. Because p̄ is the mean of M members only, the variance is multiplied by M / (M - 1), and the other part
    is reduced by the difference.

    Args:
      members: scores of two or more members, of the same jets.

    Returns:
      `brier`, the mean over members; `bias_and_noise` and `variance`, which add up to it; `members`, M.

    Raises:
      InputError: there are fewer than two members, or their jets differ.

    Reference: S. Geman, E. Bienenstock, R. Doursat, Neural Computation 4 (1992) 1, equation 3.1.

    >>> from hepjax.types import Scores
    >>> y = np.array([0])
    >>> parts = bias_and_variance([Scores(np.array([p]), y, None, ("q", "t")) for p in ([0.5, 0.5], [1.0, 0.0])])
    >>> parts["brier"], parts["variance"], parts["bias_and_noise"]
    (0.25, 0.25, 0.0)
    """
    if len(members) < 2:
        raise InputError(f"members: expected two or more, found {len(members)}")
    checked = [checked_class_scores(scores) for scores in members]
    labels, weights = checked[0].labels, checked[0].weights
    if any(len(member.labels) != len(labels) or (member.labels != labels).any() for member in checked):
        raise InputError("members: expected scores of the same jets, found other labels; score one set of jets")
    p = np.stack([member.p for member in checked]).astype(np.float64)
    truth = np.eye(len(checked[0].classes))[labels]

    def mean(squares: np.ndarray) -> float:
        return float(np.average(squares.sum(axis=-1).mean(axis=0), weights=weights))

    brier, variance = mean((p - truth) ** 2), mean((p - p.mean(axis=0)) ** 2) * len(p) / (len(p) - 1)
    return {"brier": brier, "bias_and_noise": brier - variance, "variance": variance, "members": float(len(p))}

"""What an ensemble tells of its members: how much of their error is scatter from one training to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._inputs import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.types import Scores


def bias_and_variance(members: Sequence[Scores]) -> dict[str, float]:
    """Takes the members' mean Brier score apart: that of their mean probability, and the variance about it.

    For the squared error this is exact, jet by jet: the mean of |p_m - y|² over M members is |p̄ - y|² plus the mean of
    |p_m - p̄|². The first part is bias² and noise, which no averaging removes; the second is what an ensemble saves. As
    p̄ is the mean of M members only, the variance is multiplied by M / (M - 1), and the rest lessened by as much.

    Args:
      members: two or more, of the same jets.

    Returns:
      brier: the members' mean; bias_and_noise and variance, which add up to it; members, M.

    Raises:
      InputError: there are fewer than two, or their jets differ.

    Reference: S. Geman, E. Bienenstock, R. Doursat, Neural Computation 4 (1992) 1, equation 3.1.

    >>> from hepjax.types import Scores
    >>> y = np.array([0])
    >>> found = bias_and_variance([Scores(np.array([p]), y, None, ("q", "t")) for p in ([0.5, 0.5], [1.0, 0.0])])
    >>> found["brier"], found["variance"], found["bias_and_noise"]
    (0.25, 0.25, 0.0)
    """
    if len(members) < 2:
        raise InputError(f"members: expected two or more, found {len(members)}")
    found = [checked(some) for some in members]
    labels, weights = found[0].labels, found[0].weights
    if any(len(some.labels) != len(labels) or (some.labels != labels).any() for some in found):
        raise InputError("members: expected scores of the same jets, found other labels; score one set of jets")
    p = np.stack([some.p for some in found]).astype(np.float64)
    truth = np.eye(len(found[0].classes))[labels]

    def mean(squares: np.ndarray) -> float:
        return float(np.average(squares.sum(axis=-1).mean(axis=0), weights=weights))

    brier, variance = mean((p - truth) ** 2), mean((p - p.mean(axis=0)) ** 2) * len(p) / (len(p) - 1)
    return {"brier": brier, "bias_and_noise": brier - variance, "variance": variance, "members": float(len(p))}

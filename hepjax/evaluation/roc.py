"""Exact ROC curves and the figures of merit computed from them."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import (
    CheckedScores,
    check_positive_sums,
    checked_class_scores,
    checked_flags,
    checked_scores,
    checked_weights,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.types import Scores

    Floats = NDArray[np.float64]


class RocCurve(NamedTuple):
    """A receiver operating characteristic: one point per distinct score, preceded by (0, 0)."""

    fpr: Floats
    """(K,) false-positive rates (background efficiencies), rising from 0 to 1."""
    tpr: Floats
    """(K,) true-positive rates (signal efficiencies), rising from 0 to 1."""
    thresholds: Floats
    """(K,) falling scores; jets with this score or more are selected. The first is infinite and selects no jet."""


def roc_curve(scores: Any, is_signal: Any, weights: Any = None) -> RocCurve:
    """Computes the exact ROC curve, in which jets of equal score form one step.

    Args:
      scores: (N,) finite scores of any scale, larger for signal.
      is_signal: (N,) bool, or zeros and ones.
      weights: (N,) jet weights; None means 1 for each. Jets of weight 0 are ignored. With negative ones, sums of
        weights over falling scores do not only rise; each is replaced by the value of `rising_sums`.

    Returns:
      A RocCurve with float64 arrays.

    Raises:
      InputError: shapes differ, scores are not finite, there is no signal or no background, or the weights of one
        add up to 0 or less.

    Reference: T. Fawcett, Pattern Recognition Letters 27 (2006) 861, algorithm 2.

    >>> curve = roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])
    >>> curve.fpr.tolist(), curve.tpr.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    s = checked_scores(scores)
    signal = checked_flags(is_signal, s.size)
    w = None if weights is None else checked_weights(weights, s.size, signed=True)
    if w is not None and (w < 0).any():
        check_positive_sums(w, signal.astype(int), ("background", "signal"))
    return _roc_curve_points(s, signal, w)


def auc(curve: RocCurve) -> float:
    """Computes the exact area under a ROC curve: the probability that signal scores above background, ties half.

    Args:
      curve: a RocCurve.

    Returns:
      The area in [0, 1], by the trapezoidal rule on all points. It is the (weighted) Mann-Whitney U statistic
      over its maximum.

    Reference: J. Hanley, B. McNeil, Radiology 143 (1982) 29, equation 1.

    >>> auc(roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]))
    0.875
    """
    return float(np.dot(np.diff(curve.fpr), curve.tpr[1:] + curve.tpr[:-1]) / 2)


def tpr_at_fpr(curve: RocCurve, fpr: float) -> float:
    """Returns the signal efficiency at a background efficiency, by linear interpolation on the ROC curve.

    Args:
      curve: a RocCurve.
      fpr: a false-positive rate in [0, 1].

    Returns:
      The true-positive rate there; where the curve is vertical, its upper end.

    Raises:
      InputError: if fpr is outside [0, 1].

    >>> tpr_at_fpr(roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]), 0.25)
    0.75
    """
    _require_rate_fraction(fpr, "fpr")
    last = len(curve.fpr) - 1
    i = min(int(np.searchsorted(curve.fpr, fpr, side="right")) - 1, last)
    if i == last:
        return float(curve.tpr[last])
    along = (fpr - curve.fpr[i]) / (curve.fpr[i + 1] - curve.fpr[i])
    return float(curve.tpr[i] + along * (curve.tpr[i + 1] - curve.tpr[i]))


def fpr_at_tpr(curve: RocCurve, tpr: float) -> float:
    """Returns the background efficiency at a signal efficiency, by linear interpolation on the ROC curve.

    Args:
      curve: a RocCurve.
      tpr: a true-positive rate in [0, 1].

    Returns:
      The false-positive rate there; where the curve is horizontal, its left end.

    Raises:
      InputError: if tpr is outside [0, 1].

    >>> fpr_at_tpr(roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]), 0.75)
    0.25
    """
    _require_rate_fraction(tpr, "tpr")
    i = int(np.searchsorted(curve.tpr, tpr, side="left"))
    if i == 0:
        return float(curve.fpr[0])
    along = (tpr - curve.tpr[i - 1]) / (curve.tpr[i] - curve.tpr[i - 1])
    return float(curve.fpr[i - 1] + along * (curve.fpr[i] - curve.fpr[i - 1]))


def background_rejection(curve: RocCurve, signal_efficiency: float) -> float:
    """Returns the background rejection 1/ε_B at a signal efficiency ε_S.

    Args:
      curve: a RocCurve.
      signal_efficiency: ε_S in [0, 1].

    Returns:
      1/ε_B, or infinity where no background passes (`figures_of_merit` writes that as None, JSON's null).

    Raises:
      InputError: if signal_efficiency is outside [0, 1].

    >>> background_rejection(roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]), 0.75)
    4.0
    """
    _require_rate_fraction(signal_efficiency, "signal_efficiency")
    background = fpr_at_tpr(curve, signal_efficiency)
    return 1 / background if background > 0 else math.inf


def class_curve(scores: Scores, name: str) -> RocCurve | None:
    """Computes the ROC curve of one class against all others, with its probability as the score.

    Args:
      scores: class probabilities, labels and weights.
      name: name of the class.

    Returns:
      The curve; None for a class without jets, or without jets of any other class.

    Raises:
      InputError: the class does not exist, scores are not class probabilities, or labels or weights do not fit them.

    >>> import numpy as np
    >>> from hepjax.types import Scores
    >>> class_curve(Scores(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]), None, ("q", "t")), "t").tpr.tolist()
    [0.0, 1.0, 1.0]
    """
    checked = checked_class_scores(scores)
    if name not in checked.classes:
        raise InputError(f"name: expected one of {', '.join(checked.classes)}, found {name!r}")
    return roc_curve_of_class(checked, checked.classes.index(name))


def class_curves(scores: Scores) -> dict[str, RocCurve | None]:
    """Computes the ROC curve of each class against all others, with its probability as the score.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      A mapping from class name to RocCurve; None for a class without jets, or without jets of any other class.

    Raises:
      InputError: scores are not class probabilities, or labels or weights do not fit them.

    >>> import numpy as np
    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> {name: auc(curve) for name, curve in class_curves(Scores(p, np.array([0, 1]), np.ones(2), ("q", "t"))).items()}
    {'q': 1.0, 't': 1.0}
    """
    checked = checked_class_scores(scores)
    return {name: roc_curve_of_class(checked, c) for c, name in enumerate(checked.classes)}


def pairwise_auc(scores: Scores) -> Floats:
    """Computes the AUC of each pair of classes, from the jets of these two classes only.

    The discriminant of a against b is p_a / (p_a + p_b), and 1/2 where both are 0.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      (C, C) float64, symmetric; NaN on the diagonal and where one of the two classes has no jets.

    Raises:
      InputError: scores are not class probabilities, or labels or weights do not fit them.

    Reference: D. Hand, R. Till, Machine Learning 45 (2001) 171.

    >>> import numpy as np
    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> pairwise_auc(Scores(p, np.array([0, 1]), np.ones(2), ("q", "t"))).tolist()
    [[nan, 1.0], [1.0, nan]]
    """
    checked = checked_class_scores(scores)
    matrix = np.full((len(checked.classes), len(checked.classes)), np.nan)
    for a, b in combinations(range(len(checked.classes)), 2):
        curve = roc_curve_of_arrays(*pair_discriminant(checked, a, b))
        if curve is not None:
            matrix[a, b] = matrix[b, a] = auc(curve)
    return matrix


def pair_discriminant(checked: CheckedScores, a: int, b: int) -> tuple[Floats, NDArray[np.bool_], Floats | None]:
    """Returns p_a / (p_a + p_b), the flags of class a, and the weights, for the jets of classes a and b."""
    both = np.flatnonzero((checked.labels == a) | (checked.labels == b))
    p_a, p_b = (checked.p[both, c].astype(np.float64) for c in (a, b))
    total = p_a + p_b
    discriminant = np.divide(p_a, total, out=np.full_like(total, 0.5), where=total > 0)
    return discriminant, checked.labels[both] == a, None if checked.weights is None else checked.weights[both]


def roc_curve_of_class(checked: CheckedScores, c: int) -> RocCurve | None:
    """Computes the ROC curve of class c against all others; None if either has no jets."""
    return roc_curve_of_arrays(checked.p[:, c], checked.labels == c, checked.weights)


def thin_curve(curve: RocCurve, points: int = 1000) -> RocCurve:
    """Reduces a curve to the points that a figure needs, since a million points take seconds to draw.

    Args:
      curve: a RocCurve.

      points: number of points along the true-positive rate, and along the logarithm of the false-positive rate.

    Returns:
      A subset of the points of the curve, with both ends.

    >>> thin_curve(roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])).tpr.tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    positive = curve.fpr[curve.fpr > 0][0]
    last = curve.fpr.size - 1
    at_tpr = np.searchsorted(curve.tpr, np.linspace(0, 1, points))
    at_fpr = np.searchsorted(curve.fpr, np.geomspace(positive, 1, points))
    chosen = np.unique(np.concatenate([at_tpr, at_fpr, [0, last]]).clip(max=last))
    return RocCurve(*(values[chosen] for values in curve))


def _roc_curve_points(s: NDArray[np.floating[Any]], signal: NDArray[np.bool_], w: Floats | None) -> RocCurve:
    if w is not None and not w.all():
        s, signal, w = s[w != 0], signal[w != 0], w[w != 0]
    for present, name in ((signal.any(), "signal"), (not signal.all(), "background")):
        if not present:
            raise InputError(f"is_signal: expected both kinds of jets with a weight, found no {name}")
    order = np.argsort(s)[::-1]
    s, signal = s[order], signal[order]
    ends = np.append(np.flatnonzero(s[1:] != s[:-1]), s.size - 1)  # the last jet of each distinct score
    if w is None or (w == w[0]).all():
        true = np.cumsum(signal, dtype=np.int64)[ends]
        false = ends + 1 - true  # counting in integers keeps unweighted curves exact
    else:
        w = w[order]
        true, false = (rising_sums(np.where(kind, w, 0.0), ends) for kind in (signal, ~signal))
    return RocCurve(
        np.concatenate([[0.0], false / false[-1]]),
        np.concatenate([[0.0], true / true[-1]]),
        np.concatenate([[np.inf], s[ends]], dtype=np.float64),
    )


def rising_sums(values: Floats, ends: NDArray[np.intp] | None = None) -> Floats:
    """Computes the cumulative sums of values, which rise to their total also where some values are negative.

    Rates of a true cut rise; sums of negative weights do not. Each sum is then replaced by the middle between the
    largest up to it and the smallest from it on, within 0 and the total. Of all rising functions this one is nearest to
    the sums in the largest distance, so that it is no farther from the truth than they are where they are farthest.

    Args:
      values: (N,), with a sum above 0.
      ends: (K,) rising places whose sums are wanted, the last among them; None is all.

    Reference: R. Barlow et al., Statistical Inference under Order Restrictions (1972), for isotonic regression.

    >>> rising_sums(np.array([1.0, 2.0, -1.0, 2.0])).tolist()
    [1.0, 2.5, 2.5, 4.0]
    """
    sums: Floats = np.cumsum(values) if ends is None else np.cumsum(values)[ends]
    if not (values < 0).any():
        return sums
    highest, lowest = np.maximum.accumulate(sums), np.minimum.accumulate(sums[::-1])[::-1]
    return np.asarray(np.clip((highest + lowest) / 2, 0.0, sums[-1]))


def roc_curve_of_arrays(s: NDArray[np.floating[Any]], signal: NDArray[np.bool_], w: Floats | None) -> RocCurve | None:
    """Computes `roc_curve` of arrays that passed the checks; None without signal or without background."""
    counted = signal if w is None else signal[w != 0]
    if not counted.any() or counted.all():
        return None
    return _roc_curve_points(s, signal, w)


def _require_rate_fraction(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{name}: expected an efficiency from 0 to 1, found {value}")

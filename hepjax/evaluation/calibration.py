"""Calibration of class probabilities: reliability curves, calibration errors and temperature scaling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import CheckedScores, checked_class_scores
from hepjax.evaluation.intervals import binomial_interval, effective_trials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from hepjax.types import Scores

    Floats = NDArray[np.float64]

BINS = 15
"""The default number of bins of equal width, as in most papers."""

COLDEST, HOTTEST = 0.02, 50.0
"""The range in which the best temperature is searched."""

_SMALLEST = float(np.finfo(np.float32).tiny)  # replaces a probability that underflowed to 0
_BLOCK = 2**13  # rows processed at a time: few enough for a processor's cache
_STEPS = 60  # of Newton's method or a bisection; a dozen are enough
_CLOSE = 1e-7  # where Newton's next step is the last: it doubles the digits


class Reliability(NamedTuple):
    """The accuracy of a tagger in B bins of its confidence."""

    edges: Floats
    """(B + 1,) bin edges; a jet on an edge is in the lower bin."""
    confidence: Floats
    """(B,) mean confidences; NaN in an empty bin, as are `accuracy`, `low` and `high`."""
    accuracy: Floats
    """(B,) weighted shares of correctly classified jets."""
    weights: Floats
    """(B,) sums of weights; 0 in an empty bin."""
    low: Floats
    """(B,) lower ends of the 68 % Clopper-Pearson intervals of the accuracy, from effective counts."""
    high: Floats
    """(B,) upper ends of these intervals."""


def reliability(scores: Scores, bins: int = BINS, of_class: str | None = None) -> Reliability:
    """Computes the accuracy of a tagger as a function of its confidence.

    Args:
      scores: class probabilities, labels and weights.
      bins: number of bins of equal width from 0 to 1.
      of_class: the class whose probability is compared with the share of its jets; None compares the largest
        probability of each jet with the share of jets that it classifies correctly.

    Returns:
      The reliability curve.

    Raises:
      InputError: scores are not valid, there are no bins, or the class does not exist.

    Reference: A. Niculescu-Mizil, R. Caruana, ICML 2005, section 4.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    >>> curve = reliability(Scores(p, np.array([0, 1, 1]), None, ("q", "t")), bins=2)
    >>> curve.confidence.round(3).tolist(), curve.accuracy.round(3).tolist()
    ([nan, 0.8], [nan, 0.667])
    """
    return _reliability_of_confidences(*_top_confidences(checked_class_scores(scores), of_class), bins)


def expected_calibration_error(scores: Scores, bins: int = BINS, of_class: str | None = None) -> float:
    """Computes the mean distance between accuracy and confidence over the bins of `reliability`.

    Args:
      scores: class probabilities, labels and weights.
      bins: number of bins; the error grows with it.
      of_class: class as in `reliability`.

    Returns:
      A number from 0 to 1. It is biased upward for few jets, see `calibration_noise`.

    Raises:
      InputError: for the reasons of `reliability`.

    Reference: C. Guo et al., arXiv:1706.04599, equation 3.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    >>> round(expected_calibration_error(Scores(p, np.array([0, 1, 1]), None, ("q", "t")), bins=2), 4)
    0.1333
    """
    curve = reliability(scores, bins, of_class)
    full = curve.weights > 0
    return float(np.average(np.abs(curve.accuracy - curve.confidence)[full], weights=curve.weights[full]))


def maximum_calibration_error(scores: Scores, bins: int = BINS, of_class: str | None = None) -> float:
    """Computes the largest distance between accuracy and confidence over the bins of `reliability`.

    Args:
      scores: class probabilities, labels and weights.
      bins: number of bins.
      of_class: class as in `reliability`.

    Returns:
      A number from 0 to 1; with few jets in a bin it is mostly noise.

    Raises:
      InputError: for the reasons of `reliability`.

    Reference: C. Guo et al., arXiv:1706.04599, section 2.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    >>> round(maximum_calibration_error(Scores(p, np.array([0, 1, 1]), None, ("q", "t")), bins=10), 4)
    0.8
    """
    curve = reliability(scores, bins, of_class)
    return float(np.nanmax(np.abs(curve.accuracy - curve.confidence)))


def calibration_noise(scores: Scores, bins: int = BINS, of_class: str | None = None) -> float:
    """Computes the expected calibration error that these jets would have if their probabilities were calibrated.

    Args:
      scores: class probabilities, labels and weights.
      bins: number of bins.
      of_class: class as in `reliability`.

    Returns:
      The mean error, for a Gaussian accuracy in each bin around the confidence: √(2/π) times its standard error.

    Raises:
      InputError: as in `reliability`.

    >>> from hepjax.types import Scores
    >>> p = np.tile([0.5, 0.5], (400, 1))
    >>> round(calibration_noise(Scores(p, np.arange(400) % 2, None, ("q", "t"))), 4)
    0.0199
    """
    confidence, _, w = _top_confidences(checked_class_scores(scores), of_class)
    numbers = _confidence_bin_numbers(confidence, bins)
    variance = np.bincount(numbers, w**2 * confidence * (1 - confidence), bins)
    return float(math.sqrt(2 / math.pi) * np.sqrt(variance).sum() / w.sum())


def brier_score(scores: Scores) -> float:
    """Computes the weighted mean squared distance between probabilities and truth.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      Σ_c (p_c - y_c)², y being 1 for the true class and 0 otherwise: from 0 to 2. For two classes it is twice the
      score of one of them.

    Raises:
      InputError: scores are not valid.

    Reference: G. Brier, Monthly Weather Review 78 (1950) 1.

    >>> from hepjax.types import Scores
    >>> brier_score(Scores(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0]), None, ("q", "t")))
    0.25
    """
    checked = checked_class_scores(scores)
    each = np.concatenate([(p**2).sum(axis=0) - 2 * of_truth + 1 for p, of_truth, _ in _probability_blocks(checked)])
    return float(np.average(each, weights=checked.weights))


def fit_temperature(scores: Scores) -> float:
    """Finds the temperature T at which softmax(log p / T) has the lowest cross-entropy.

    T above 1 means that the tagger was overconfident, T below 1 that it was underconfident. The cross-entropy is
    convex in 1/T, and Newton's method finds its minimum. The most probable class of a jet does not change.

    Args:
      scores: class probabilities, labels and weights of jets not used in training, such as the validation set.

    Returns:
      T, between 0.02 and 50.

    Raises:
      InputError: scores are not valid, or no temperature fits them: jets of one class only, equal probabilities for
        all classes, or the best T outside the range, as for scores that classify every jet correctly.

    Reference: C. Guo et al., arXiv:1706.04599, section 4.2.

    >>> from hepjax.types import Scores
    >>> p = np.tile([0.9, 0.1], (10, 1))
    >>> round(fit_temperature(Scores(p, np.arange(10) // 7, None, ("q", "t"))), 4)
    2.5932
    """
    checked = checked_class_scores(scores)
    if np.count_nonzero(checked.effective) < 2:
        raise InputError("scores: expected jets of two classes or more to fit a temperature, found one; give more jets")
    # The slope of the cross-entropy only rises with 1/T; where it is 0 is the best.
    low, high = 1 / HOTTEST, 1 / COLDEST
    slope, curvature = _temperature_slopes(checked, low)
    if slope >= 0:
        why = "are no better than a guess" if curvature > 0 else "are the same for all classes"
        raise InputError(f"scores: expected a best temperature up to {HOTTEST:g}, found none: they {why}; train first")
    if _temperature_slopes(checked, high)[0] <= 0:
        raise InputError(
            f"scores: expected a best temperature from {COLDEST:g}, found none: as good as every jet is called right; "
            "give more jets, of those that the training has not seen"
        )
    inverse, before = 1.0, math.inf
    for _ in range(_STEPS):
        slope, curvature = _temperature_slopes(checked, inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        following = inverse - slope / curvature if curvature > 0 else math.inf
        if abs(following - inverse) <= _CLOSE * inverse:
            return 1 / following
        # Where Newton's method leaves the range, or creeps along a tail, the range is halved.
        fast = low < following < high and abs(slope) < 0.3 * before
        inverse, before = (following, abs(slope)) if fast else (math.sqrt(low * high), math.inf)
    return 1 / inverse


def apply_temperature(probabilities: Any, temperature: float) -> NDArray[np.floating[Any]]:
    """Computes softmax(log p / T).

    Args:
      probabilities: (N, C) class probabilities; zeros are replaced by the smallest normal float32, 1.2e-38.
      temperature: T, above 0.

    Returns:
      (N, C) probabilities, in float32 if the input is float32, otherwise in float64.

    Raises:
      InputError: the temperature is not positive.

    >>> apply_temperature(np.array([[0.9, 0.1]]), 2.0).round(3).tolist()
    [[0.75, 0.25]]
    """
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature: expected a positive number, found {temperature}")
    p = np.asarray(probabilities)
    out = np.empty(p.shape, p.dtype if p.dtype == np.float32 else np.float64)
    for start in range(0, len(p), _BLOCK):
        rows = slice(start, start + _BLOCK)
        z = _log_probabilities(p[rows].T) / temperature
        q = np.exp(z - z.max(axis=0))
        out[rows] = (q / q.sum(axis=0)).T
    return out


def scale_scores(scores: Scores, temperature: float) -> Scores:
    """Applies a temperature to the probabilities of scores and keeps labels and weights.

    Args:
      scores: class probabilities, labels and weights.
      temperature: T, above 0.

    Returns:
      The scores with `apply_temperature` applied.

    Raises:
      InputError: the temperature is not positive.

    >>> from hepjax.types import Scores
    >>> scale_scores(Scores(np.array([[0.9, 0.1]]), np.array([0]), None, ("q", "t")), 2.0).scores.round(3).tolist()
    [[0.75, 0.25]]
    """
    return scores._replace(scores=apply_temperature(scores.scores, temperature))


def _top_confidences(checked: CheckedScores, of_class: str | None) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Returns (N,) confidences, flags of correctly classified jets, and weights."""
    if of_class is None:
        best = np.argmax(checked.p, axis=1)
        confidence = np.take_along_axis(checked.p, best[:, None], axis=1)[:, 0]
    else:
        if of_class not in checked.classes:
            raise InputError(f"of_class: expected one of {', '.join(checked.classes)}, found {of_class!r}")
        best = np.full(checked.labels.shape, checked.classes.index(of_class))
        confidence = checked.p[:, best[0]]
    w = np.ones(len(confidence)) if checked.weights is None else checked.weights
    return np.clip(confidence.astype(np.float64), 0, 1), best == checked.labels, w


def _confidence_bin_numbers(confidence: Floats, bins: int) -> NDArray[np.intp]:
    if bins < 1:
        raise InputError(f"bins: expected one or more, found {bins}")
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)


def _reliability_of_confidences(confidence: Floats, right: NDArray[np.bool_], w: Floats, bins: int) -> Reliability:
    numbers = _confidence_bin_numbers(confidence, bins)
    total, squares, confidence_sums, hits, hit_squares = (
        np.bincount(numbers, x, bins).astype(np.float64) for x in (w, w**2, w * confidence, w * right, w**2 * right)
    )
    with np.errstate(invalid="ignore"):
        full = np.where(total > 0, total, np.nan)  # negative weights may leave less than nothing, which has no rate
        accuracy, confidence = (np.clip(sums / full, 0, 1) for sums in (hits, confidence_sums))
    jets = effective_trials(hits, hit_squares, total, squares)
    low, high = binomial_interval(np.where(total > 0, accuracy, 0) * jets, jets)
    return Reliability(np.linspace(0, 1, bins + 1), confidence, accuracy, total, low, high)


def _probability_blocks(checked: CheckedScores) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yields blocks of n rows: (C, n) float64 probabilities, (n,) those of the true classes, and (n,) weights."""
    for start in range(0, len(checked.p), _BLOCK):
        rows = slice(start, start + _BLOCK)
        # Sums over few classes are fast along the first axis.
        p = np.array(checked.p[rows].T, dtype=np.float64, order="C")
        of_truth = np.take_along_axis(p, checked.labels[None, rows], axis=0)[0]
        yield p, of_truth, np.ones(p.shape[1]) if checked.weights is None else checked.weights[rows]


def _temperature_slopes(checked: CheckedScores, inverse: float) -> tuple[float, float]:
    """Computes the first and second derivatives of the cross-entropy with respect to 1/T."""
    slope = curvature = total = 0.0
    for p, of_truth, w in _probability_blocks(checked):
        largest = _log_probabilities(p.max(axis=0))
        z = _log_probabilities(p) - largest  # exactly 0 where all classes are alike
        q = np.exp(inverse * z)
        q /= q.sum(axis=0)
        mean = (q * z).sum(axis=0)
        slope += float(w @ (mean - (_log_probabilities(of_truth) - largest)))
        curvature += float(w @ (q * (z - mean) ** 2).sum(axis=0))
        total += float(w.sum())
    return slope / total, curvature / total


def _log_probabilities(p: NDArray[Any]) -> Floats:
    return np.asarray(np.log(np.maximum(p, _SMALLEST, dtype=np.float64)))

"""Are probabilities frequencies? Reliability, its errors, and the temperature that mends it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._inputs import Checked, checked
from hepjax.evaluation.intervals import binomial_interval, effective_trials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from hepjax.types import Scores

    Floats = NDArray[np.float64]

BINS = 15
"""Of equal width, as most papers take."""

COLDEST, HOTTEST = 0.02, 50.0
"""The temperatures between which the best is sought."""

_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability that underflowed to 0 is taken for this
_BLOCK = 2**13  # rows that are looked at at once: few enough for a processor's cache
_STEPS = 60  # of Newton's method or a bisection; a dozen are enough
_CLOSE = 1e-7  # where Newton's next step is the last: it doubles the digits


class Reliability(NamedTuple):
    """How often a tagger is right, in B bins of how sure it says it is."""

    edges: Floats
    """(B + 1,) of the bins; a jet on an edge is in the lower bin."""
    confidence: Floats
    """(B,) the mean of what it says; NaN in an empty bin, as are the next and the last two."""
    accuracy: Floats
    """(B,) the weighted share of jets of which it is right."""
    weights: Floats
    """(B,) sums of weights, 0 in an empty bin."""
    low: Floats
    """(B,) the accuracy's 68 % Clopper-Pearson interval, of effective counts for weighted jets."""
    high: Floats
    """(B,)."""


def reliability(scores: Scores, bins: int = BINS, of_class: str | None = None) -> Reliability:
    """How often a tagger is right, over how sure it says it is.

    Args:
      scores: class probabilities, labels and weights.
      bins: how many, of equal width from 0 to 1.
      of_class: the class whose probability is compared with the share of its jets; None compares the largest
        probability of each jet with how often it is that of the true class.

    Returns:
      The bins.

    Raises:
      InputError: for scores that are not sound, no bins, or a class that there is not.

    Reference: A. Niculescu-Mizil, R. Caruana, ICML 2005, section 4.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    >>> found = reliability(Scores(p, np.array([0, 1, 1]), None, ("q", "t")), bins=2)
    >>> found.confidence.round(3).tolist(), found.accuracy.round(3).tolist()
    ([nan, 0.8], [nan, 0.667])
    """
    return _reliability(*_said(checked(scores), of_class), bins)


def expected_calibration_error(scores: Scores, bins: int = BINS, of_class: str | None = None) -> float:
    """The mean distance of accuracy from confidence, over bins as in `reliability`.

    Args:
      scores: class probabilities, labels and weights.
      bins: how many; the error grows with them.
      of_class: as there.

    Returns:
      From 0 to 1. Few jets make it larger than the truth, see `calibration_noise`.

    Raises:
      InputError: as there.

    Reference: C. Guo et al., arXiv:1706.04599, equation 3.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    >>> round(expected_calibration_error(Scores(p, np.array([0, 1, 1]), None, ("q", "t")), bins=2), 4)
    0.1333
    """
    found = reliability(scores, bins, of_class)
    full = found.weights > 0
    return float(np.average(np.abs(found.accuracy - found.confidence)[full], weights=found.weights[full]))


def maximum_calibration_error(scores: Scores, bins: int = BINS, of_class: str | None = None) -> float:
    """The largest distance of accuracy from confidence, over bins as in `reliability`.

    Args:
      scores: class probabilities, labels and weights.
      bins: how many.
      of_class: as there.

    Returns:
      From 0 to 1; of few jets in a bin it is mostly noise.

    Raises:
      InputError: as there.

    Reference: C. Guo et al., arXiv:1706.04599, section 2.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    >>> round(maximum_calibration_error(Scores(p, np.array([0, 1, 1]), None, ("q", "t")), bins=10), 4)
    0.8
    """
    found = reliability(scores, bins, of_class)
    return float(np.nanmax(np.abs(found.accuracy - found.confidence)))


def calibration_noise(scores: Scores, bins: int = BINS, of_class: str | None = None) -> float:
    """The expected calibration error that these jets would show if their probabilities were frequencies.

    Args:
      scores: class probabilities, labels and weights.
      bins: how many.
      of_class: as in `reliability`.

    Returns:
      Its mean, in the approximation that a bin's accuracy is Gaussian about the confidence: √(2/π) of its error.

    Raises:
      InputError: as in `reliability`.

    >>> from hepjax.types import Scores
    >>> p = np.tile([0.5, 0.5], (400, 1))
    >>> round(calibration_noise(Scores(p, np.arange(400) % 2, None, ("q", "t"))), 4)
    0.0199
    """
    confidence, _, w = _said(checked(scores), of_class)
    place = _places(confidence, bins)
    variance = np.bincount(place, w**2 * confidence * (1 - confidence), bins)
    return float(math.sqrt(2 / math.pi) * np.sqrt(variance).sum() / w.sum())


def brier_score(scores: Scores) -> float:
    """The weighted mean, over jets, of the squared distance of the probabilities from the truth.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      Σ_c (p_c - y_c)², y being 1 for the true class and 0 otherwise: from 0 to 2. For two classes it is twice the
      score of one of them.

    Raises:
      InputError: for scores that are not sound.

    Reference: G. Brier, Monthly Weather Review 78 (1950) 1.

    >>> from hepjax.types import Scores
    >>> brier_score(Scores(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0]), None, ("q", "t")))
    0.25
    """
    found = checked(scores)
    each = np.concatenate([(p**2).sum(axis=0) - 2 * of_truth + 1 for p, of_truth, _ in _blocks(found)])
    return float(np.average(each, weights=found.weights))


def fit_temperature(scores: Scores) -> float:
    """The temperature T at which softmax(log p / T) has the lowest cross-entropy.

    Above 1 the tagger was too sure, below 1 not sure enough. The cross-entropy is convex in 1/T, and Newton's method
    finds its minimum. Which class is the most probable stays as it is.

    Args:
      scores: class probabilities, labels and weights, of jets that the training has not seen: the validation part.

    Returns:
      T, between 0.02 and 50.

    Raises:
      InputError: for scores that are not sound, or that no temperature fits: jets of one class only, probabilities that
        are the same for all classes, or the best T outside the range, as it is if every jet is called right.

    Reference: C. Guo et al., arXiv:1706.04599, section 4.2.

    >>> from hepjax.types import Scores
    >>> p = np.tile([0.9, 0.1], (10, 1))
    >>> round(fit_temperature(Scores(p, np.arange(10) // 7, None, ("q", "t"))), 4)
    2.5932
    """
    found = checked(scores)
    if np.count_nonzero(found.effective) < 2:
        raise InputError("scores: expected jets of two classes or more to fit a temperature, found one; give more jets")
    # The slope of the cross-entropy only rises with 1/T; where it is 0 is the best.
    low, high = 1 / HOTTEST, 1 / COLDEST
    slope, curvature = _slope(found, low)
    if slope >= 0:
        why = "are no better than a guess" if curvature > 0 else "are the same for all classes"
        raise InputError(f"scores: expected a best temperature up to {HOTTEST:g}, found none: they {why}; train first")
    if _slope(found, high)[0] <= 0:
        raise InputError(
            f"scores: expected a best temperature from {COLDEST:g}, found none: as good as every jet is called right; "
            "give more jets, of those that the training has not seen"
        )
    inverse, before = 1.0, math.inf
    for _ in range(_STEPS):
        slope, curvature = _slope(found, inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        following = inverse - slope / curvature if curvature > 0 else math.inf
        if abs(following - inverse) <= _CLOSE * inverse:
            return 1 / following
        # Where Newton's method leaves the range, or creeps along a tail, the range is halved.
        fast = low < following < high and abs(slope) < 0.3 * before
        inverse, before = (following, abs(slope)) if fast else (math.sqrt(low * high), math.inf)
    return 1 / inverse


def apply_temperature(probabilities: Any, temperature: float) -> NDArray[np.floating[Any]]:
    """softmax(log p / T).

    Args:
      probabilities: (N, C); zeros are taken for the smallest normal float32, 1.2e-38.
      temperature: T, above 0.

    Returns:
      (N, C) probabilities, in float32 if they were given so, otherwise in float64.

    Raises:
      InputError: for a temperature that is not positive.

    >>> apply_temperature(np.array([[0.9, 0.1]]), 2.0).round(3).tolist()
    [[0.75, 0.25]]
    """
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature: expected a positive number, found {temperature}")
    p = np.asarray(probabilities)
    out = np.empty(p.shape, p.dtype if p.dtype == np.float32 else np.float64)
    for start in range(0, len(p), _BLOCK):
        rows = slice(start, start + _BLOCK)
        z = _logs(p[rows].T) / temperature
        q = np.exp(z - z.max(axis=0))
        out[rows] = (q / q.sum(axis=0)).T
    return out


def scaled(scores: Scores, temperature: float) -> Scores:
    """The scores with `apply_temperature`; labels and weights stay.

    Args:
      scores: class probabilities, labels and weights.
      temperature: T, above 0.

    Returns:
      The scores.

    Raises:
      InputError: for a temperature that is not positive.

    >>> from hepjax.types import Scores
    >>> scaled(Scores(np.array([[0.9, 0.1]]), np.array([0]), None, ("q", "t")), 2.0).scores.round(3).tolist()
    [[0.75, 0.25]]
    """
    return scores._replace(scores=apply_temperature(scores.scores, temperature))


def _said(found: Checked, of_class: str | None) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """(N,) what the tagger said of each jet, whether it was right, and the jet's weight."""
    if of_class is None:
        best = np.argmax(found.p, axis=1)
        said = np.take_along_axis(found.p, best[:, None], axis=1)[:, 0]
    else:
        if of_class not in found.classes:
            raise InputError(f"of_class: expected one of {', '.join(found.classes)}, found {of_class!r}")
        best = np.full(found.labels.shape, found.classes.index(of_class))
        said = found.p[:, best[0]]
    w = np.ones(len(said)) if found.weights is None else found.weights
    return np.clip(said.astype(np.float64), 0, 1), best == found.labels, w


def _places(confidence: Floats, bins: int) -> NDArray[np.intp]:
    if bins < 1:
        raise InputError(f"bins: expected one or more, found {bins}")
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)


def _reliability(confidence: Floats, right: NDArray[np.bool_], w: Floats, bins: int) -> Reliability:
    place = _places(confidence, bins)
    total, squares, said, hits, hit_squares = (
        np.bincount(place, x, bins).astype(np.float64) for x in (w, w**2, w * confidence, w * right, w**2 * right)
    )
    with np.errstate(invalid="ignore"):
        accuracy = np.minimum(hits / total, 1)
        confidence = said / total
    jets = effective_trials(hits, hit_squares, total, squares)
    low, high = binomial_interval(np.where(total > 0, accuracy, 0) * jets, jets)
    return Reliability(np.linspace(0, 1, bins + 1), confidence, accuracy, total, low, high)


def _blocks(found: Checked) -> Iterator[tuple[Floats, Floats, Floats]]:
    """(C, n) some rows of p in float64, (n,) p of their true classes, and (n,) their weights."""
    for start in range(0, len(found.p), _BLOCK):
        rows = slice(start, start + _BLOCK)
        p = np.array(
            found.p[rows].T, dtype=np.float64, order="C"
        )  # sums over few classes are fast along the first axis
        of_truth = np.take_along_axis(p, found.labels[None, rows], axis=0)[0]
        yield p, of_truth, np.ones(p.shape[1]) if found.weights is None else found.weights[rows]


def _slope(found: Checked, inverse: float) -> tuple[float, float]:
    """The first and second derivative of the cross-entropy in 1/T, there."""
    slope = curvature = total = 0.0
    for p, of_truth, w in _blocks(found):
        largest = _logs(p.max(axis=0))
        z = _logs(p) - largest  # exactly 0 where all classes are alike
        q = np.exp(inverse * z)
        q /= q.sum(axis=0)
        mean = (q * z).sum(axis=0)
        slope += float(w @ (mean - (_logs(of_truth) - largest)))
        curvature += float(w @ (q * (z - mean) ** 2).sum(axis=0))
        total += float(w.sum())
    return slope / total, curvature / total


def _logs(p: NDArray[Any]) -> Floats:
    return np.asarray(np.log(np.maximum(p, _SMALLEST, dtype=np.float64)))

"""Bootstrap intervals of figures of merit at 68 % confidence."""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.evaluation._inputs import CheckedScores, checked_class_scores
from hepjax.evaluation.intervals import FEWEST, ONE_SIGMA
from hepjax.evaluation.metrics import FALSE_POSITIVE_RATES, SIGNAL_EFFICIENCIES, losses_per_jet
from hepjax.evaluation.roc import (
    RocCurve,
    auc,
    background_rejection,
    curve_of,
    fpr_at_tpr,
    pair_discriminant,
    thin_curve,
    tpr_at_fpr,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from hepjax.types import Scores

    Floats = NDArray[np.float64]
    Interval = list[float] | None

REPLICATES = 200
"""The number of bootstrap samples; it fixes the ends of an interval to a tenth of its half width."""

_POINTS = 400  # where a curve is cut, along each axis: the jets between two cuts are drawn together
_TAILS = (50 * (1 - ONE_SIGMA), 50 * (1 + ONE_SIGMA))


class Spectra(NamedTuple):
    """The jets behind a ROC curve, in K bins of falling score."""

    places: NDArray[np.int64]
    """(N,) bin number of each jet."""
    signal: NDArray[np.bool_]
    """(N,) bool, True for signal jets."""
    weights: Floats | None
    """(N,) jet weights; None means 1 for each jet."""
    bins: int
    """K, the number of bins."""

    def sums(self, power: int = 1, times: NDArray[Any] | None = None) -> tuple[Floats, Floats]:
        """Returns (K,) sums of powers of the weights, of signal and of background, with each jet counted `times`."""
        factors = [x for x in (None if self.weights is None else self.weights**power, times) if x is not None]
        each = math.prod(factors) if factors else None
        cells = np.bincount(2 * self.places + self.signal, each, 2 * self.bins).astype(np.float64)
        return cells[1::2], cells[::2]


def bootstrap_intervals(scores: Scores, metrics: Mapping[str, Any], *, seed: int = 0) -> dict[str, Any]:
    """Computes 68 % intervals of the figures of merit with the Poisson bootstrap.

    In each of 200 samples, the number of times that a jet counts is a Poisson number of mean 1. Jets of one kind and
    nearly equal score are drawn together: the number drawn out of n is Poisson with mean n, and weighted jets use a
    scaled Poisson number with the same mean and variance. The mean loss has its standard error, which is the limit of
    its bootstrap error.

    Args:
      scores: class probabilities, labels and weights.

      metrics: the result of `figures_of_merit` for these scores; each interval is centered on its number.
      seed: seed of the samples.

    Returns:
      A dictionary shaped like `metrics`, with `accuracy`, `loss`, `classes` and `pairwise_auc` only: [low, high], or
      None where there is no number, or fewer than ten effective jets of a class or of its background.

    Raises:
      InputError: scores are not class probabilities, or labels or weights do not fit them.

    Reference: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; for the Poisson numbers
    N. Chamandy et al., "Estimating uncertainty for massive data streams" (2012).

    >>> from hepjax.evaluation import figures_of_merit
    >>> from hepjax.types import Scores
    >>> p = np.repeat([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]], 20, axis=0)
    >>> jets = Scores(p, np.repeat([0, 1, 1], 20), None, ("q", "t"))
    >>> intervals = bootstrap_intervals(jets, figures_of_merit(jets))
    >>> intervals["accuracy"][0] < 2 / 3 < intervals["accuracy"][1]
    True
    """
    checked, rng = checked_class_scores(scores), np.random.default_rng(seed)
    each, counts = losses_per_jet(checked), checked.effective
    return {
        "accuracy": _of_accuracy(checked, metrics["accuracy"], rng),
        "loss": _about(metrics["loss"], standard_error(each, checked.weights), counts.sum()),
        "classes": {
            name: _of_class(checked, c, metrics["classes"][name], rng, min(counts[c], counts.sum() - counts[c]))
            for c, name in enumerate(checked.classes)
        },
        "pairwise_auc": _of_pairs(checked, metrics["pairwise_auc"], rng, counts),
    }


def spectra(s: NDArray[np.floating[Any]], signal: NDArray[np.bool_], w: Floats | None) -> Spectra | None:
    """Sorts jets into few enough bins of their score; None without signal or without background."""
    curve = curve_of(s, signal, w)
    if curve is None:
        return None
    at_fpr = np.searchsorted(curve.fpr, np.linspace(0, 1, _POINTS)).clip(max=curve.fpr.size - 1)
    rising = np.union1d(thin_curve(curve, _POINTS).thresholds, curve.thresholds[at_fpr])[:-1].astype(s.dtype)  # not ∞
    # A jet of weight 0 may lie below all thresholds; it adds nothing wherever it is put.
    places = len(rising) - np.searchsorted(rising, s, side="right").clip(min=1)
    return Spectra(places, signal, w, len(rising))


def curve_of_sums(signal: Floats, background: Floats) -> RocCurve:
    """Builds a ROC curve from (K,) sums of weights in bins of falling score; rates are NaN if a sum is 0."""
    rising = (np.concatenate([[0.0], np.cumsum(sums)]) for sums in (signal, background))
    tpr, fpr = (sums / (sums[-1] or np.nan) for sums in rising)
    return RocCurve(fpr, tpr, np.empty(0))


def _of_class(
    checked: CheckedScores, c: int, exact: Mapping[str, Any], rng: np.random.Generator, count: float
) -> dict[str, Interval]:
    jets = spectra(checked.p[:, c], checked.labels == c, checked.weights) if count >= FEWEST else None
    if jets is None:
        return dict.fromkeys(exact)
    functions = {key: function for key, function in figure_functions(exact).items() if exact[key] is not None}
    return dict.fromkeys(exact) | _intervals(jets, functions, exact, rng)


def figure_functions(exact: Mapping[str, Any]) -> dict[str, Callable[[RocCurve], float]]:
    """Returns the function of a ROC curve that computes each figure of merit of a class."""
    functions: dict[str, Callable[[RocCurve], float]] = {"auc": auc}
    functions |= {f"tpr_at_fpr_{x:g}": partial(tpr_at_fpr, fpr=x) for x in FALSE_POSITIVE_RATES}
    functions |= {
        f"background_rejection_at_{x:g}": partial(background_rejection, signal_efficiency=x)
        for x in SIGNAL_EFFICIENCIES
    }
    best = exact.get("max_significance_improvement_at")
    if best is not None:  # a new maximum in each sample would always favor upward fluctuations
        functions["max_significance_improvement"] = lambda curve: best / math.sqrt(fpr_at_tpr(curve, best) or math.nan)
    return functions


def _of_pairs(
    checked: CheckedScores, exact: Mapping[str, Mapping[str, Any]], rng: np.random.Generator, counts: Floats
) -> dict[str, dict[str, Interval]]:
    intervals: dict[str, dict[str, Interval]] = {a: {} for a in checked.classes}
    for (a, name), (b, other) in combinations(enumerate(checked.classes), 2):
        jets = spectra(*pair_discriminant(checked, a, b)) if min(counts[a], counts[b]) >= FEWEST else None
        interval = None if jets is None else _intervals(jets, {"auc": auc}, {"auc": exact[name][other]}, rng)["auc"]
        intervals[name][other] = intervals[other][name] = interval
    return {
        name: {other: intervals[name][other] for other in checked.classes if other != name} for name in checked.classes
    }


def _intervals(
    jets: Spectra,
    functions: Mapping[str, Callable[[RocCurve], float]],
    exact: Mapping[str, Any],
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Returns intervals around exact numbers from the scatter of bootstrap curves."""
    sums, squares = jets.sums(), jets.sums(2)
    samples = [_poisson_samples(rng, *moments) for moments in zip(sums, squares, strict=True)]
    curves = [curve_of_sums(*pair) for pair in zip(*samples, strict=True)]
    middle = curve_of_sums(*sums)
    return {
        key: _shifted([function(curve) for curve in curves], exact[key] - function(middle))
        for key, function in functions.items()
    }


def _poisson_samples(rng: np.random.Generator, sums: Floats, squares: Floats) -> Floats:
    """Draws (R, K) Poisson samples of (K,) sums of weights."""
    size = np.divide(squares, sums, out=np.ones_like(sums), where=sums > 0)
    return size * rng.poisson(sums / size, (REPLICATES, len(sums)))


def _shifted(values: list[float], by: float) -> Interval:
    low, high = np.percentile(values, _TAILS) + by if np.isfinite(values).all() else (math.nan, math.nan)
    return [float(low), float(high)] if math.isfinite(low) else None


def _of_accuracy(checked: CheckedScores, exact: float, rng: np.random.Generator) -> Interval:
    right = np.argmax(checked.p, axis=1) == checked.labels
    w = np.ones(len(right)) if checked.weights is None else checked.weights
    if checked.effective.sum() < FEWEST:
        return None
    samples = [
        _poisson_samples(rng, *(np.array([(w[rows] ** power).sum()]) for power in (1, 2)))[:, 0]
        for rows in (right, ~right)
    ]
    return _shifted(
        (samples[0] / np.maximum(samples[0] + samples[1], 1e-300)).tolist(), exact - float(np.average(right, weights=w))
    )


def standard_error(values: Floats, weights: Floats | None) -> float:
    """Returns the standard error of a weighted mean."""
    w = np.ones(len(values)) if weights is None else weights
    return float(np.sqrt((w**2 * (values - np.average(values, weights=w)) ** 2).sum()) / w.sum())


def _about(value: float, error: float, count: float) -> Interval:
    return [value - error, value + error] if count >= FEWEST else None

"""How sure a figure of merit is: 68 % intervals, from what other samples of jets would have given."""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.evaluation._inputs import Checked, checked
from hepjax.evaluation.intervals import FEWEST, ONE_SIGMA
from hepjax.evaluation.metrics import FALSE_POSITIVE_RATES, SIGNAL_EFFICIENCIES, costs
from hepjax.evaluation.roc import RocCurve, auc, background_rejection, curve_of, fpr_at_tpr, pair, thinned, tpr_at_fpr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from hepjax.types import Scores

    Floats = NDArray[np.float64]
    Interval = list[float] | None

REPLICATES = 200
"""Samples drawn; the ends of an interval are then known to a tenth of its half width."""

_POINTS = 400  # where a curve is cut, along each axis: the jets between two cuts are drawn together
_TAILS = (50 * (1 - ONE_SIGMA), 50 * (1 + ONE_SIGMA))


class Spectra(NamedTuple):
    """The jets of a curve in K bins of falling score."""

    places: NDArray[np.int64]
    """(N,) the bin of each jet."""
    signal: NDArray[np.bool_]
    """(N,) whether it is signal."""
    weights: Floats | None
    """(N,) its weight; None is 1."""
    bins: int
    """K."""

    def sums(self, power: int = 1, times: NDArray[Any] | None = None) -> tuple[Floats, Floats]:
        """(K,) sums of powers of the weights, each jet taken so many times, of signal and of background."""
        factors = [x for x in (None if self.weights is None else self.weights**power, times) if x is not None]
        each = math.prod(factors) if factors else None
        cells = np.bincount(2 * self.places + self.signal, each, 2 * self.bins).astype(np.float64)
        return cells[1::2], cells[::2]


def bootstrap_intervals(scores: Scores, metrics: Mapping[str, Any], *, seed: int = 0) -> dict[str, Any]:
    """68 % intervals of the figures of merit, by the Poisson bootstrap.

    In each of 200 samples every jet counts as often as a Poisson number of mean 1 says. Jets of one kind and nearly the
    same score are drawn together: of n the number is Poisson of mean n, and of weighted ones a scaled Poisson number
    with the same mean and variance. The mean loss has its standard error, which is what its bootstrap tends to.

    Args:
      scores: class probabilities, labels and weights.
      metrics: what `figures_of_merit` gives of them; each interval is about its number.
      seed: of the samples.

    Returns:
      The shape of `metrics`, of `accuracy`, `loss`, `classes` and `pairwise_auc` only: [low, high], or None where there
      is no number, or where there are fewer than ten jets, effectively, of a class or of all it is told from.

    Raises:
      InputError: for scores that are not class probabilities, or labels or weights that do not fit them.

    Reference: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; for the Poisson numbers
    N. Chamandy et al., "Estimating uncertainty for massive data streams" (2012).

    >>> from hepjax.evaluation import figures_of_merit
    >>> from hepjax.types import Scores
    >>> p = np.repeat([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]], 20, axis=0)
    >>> jets = Scores(p, np.repeat([0, 1, 1], 20), None, ("q", "t"))
    >>> found = bootstrap_intervals(jets, figures_of_merit(jets))
    >>> found["accuracy"][0] < 2 / 3 < found["accuracy"][1]
    True
    """
    found, rng = checked(scores), np.random.default_rng(seed)
    each, counts = costs(found), found.effective
    return {
        "accuracy": _of_accuracy(found, metrics["accuracy"], rng),
        "loss": _about(metrics["loss"], standard_error(each, found.weights), counts.sum()),
        "classes": {
            name: _of_class(found, c, metrics["classes"][name], rng, min(counts[c], counts.sum() - counts[c]))
            for c, name in enumerate(found.classes)
        },
        "pairwise_auc": _of_pairs(found, metrics["pairwise_auc"], rng, counts),
    }


def spectra(s: NDArray[np.floating[Any]], signal: NDArray[np.bool_], w: Floats | None) -> Spectra | None:
    """Sorts jets into few enough bins of their score; None without signal or without background."""
    curve = curve_of(s, signal, w)
    if curve is None:
        return None
    at_fpr = np.searchsorted(curve.fpr, np.linspace(0, 1, _POINTS)).clip(max=curve.fpr.size - 1)
    rising = np.union1d(thinned(curve, _POINTS).thresholds, curve.thresholds[at_fpr])[:-1].astype(s.dtype)  # not ∞
    # A jet of weight 0 may lie below all thresholds; it adds nothing wherever it is put.
    places = len(rising) - np.searchsorted(rising, s, side="right").clip(min=1)
    return Spectra(places, signal, w, len(rising))


def curve_of_sums(signal: Floats, background: Floats) -> RocCurve:
    """(K,) sums of weights in bins of falling score → the curve; its rates are NaN where there is nothing."""
    rising = (np.concatenate([[0.0], np.cumsum(sums)]) for sums in (signal, background))
    tpr, fpr = (sums / (sums[-1] or np.nan) for sums in rising)
    return RocCurve(fpr, tpr, np.empty(0))


def _of_class(
    found: Checked, c: int, exact: Mapping[str, Any], rng: np.random.Generator, fewest: float
) -> dict[str, Interval]:
    jets = spectra(found.p[:, c], found.labels == c, found.weights) if fewest >= FEWEST else None
    if jets is None:
        return dict.fromkeys(exact)
    read = {key: reading for key, reading in readings(exact).items() if exact[key] is not None}
    return dict.fromkeys(exact) | _intervals(jets, read, exact, rng)


def readings(exact: Mapping[str, Any]) -> dict[str, Callable[[RocCurve], float]]:
    """What is read off a curve for each key of a class's figures of merit."""
    read: dict[str, Callable[[RocCurve], float]] = {"auc": auc}
    read |= {f"tpr_at_fpr_{x:g}": partial(tpr_at_fpr, fpr=x) for x in FALSE_POSITIVE_RATES}
    read |= {
        f"background_rejection_at_{x:g}": partial(background_rejection, signal_efficiency=x)
        for x in SIGNAL_EFFICIENCIES
    }
    best = exact.get("max_significance_improvement_at")
    if best is not None:  # the efficiency is not searched anew, which would always find good luck
        read["max_significance_improvement"] = lambda curve: best / math.sqrt(fpr_at_tpr(curve, best) or math.nan)
    return read


def _of_pairs(
    found: Checked, exact: Mapping[str, Mapping[str, Any]], rng: np.random.Generator, counts: Floats
) -> dict[str, dict[str, Interval]]:
    intervals: dict[str, dict[str, Interval]] = {a: {} for a in found.classes}
    for (a, name), (b, other) in combinations(enumerate(found.classes), 2):
        jets = spectra(*pair(found, a, b)) if min(counts[a], counts[b]) >= FEWEST else None
        interval = None if jets is None else _intervals(jets, {"auc": auc}, {"auc": exact[name][other]}, rng)["auc"]
        intervals[name][other] = intervals[other][name] = interval
    return {name: {other: intervals[name][other] for other in found.classes if other != name} for name in found.classes}


def _intervals(
    jets: Spectra, read: Mapping[str, Callable[[RocCurve], float]], exact: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Interval]:
    """About each exact number, the scatter of what is read off the drawn curves."""
    sums, squares = jets.sums(), jets.sums(2)
    drawn = [_draw(rng, *some) for some in zip(sums, squares, strict=True)]
    curves = [curve_of_sums(*one) for one in zip(*drawn, strict=True)]
    middle = curve_of_sums(*sums)
    return {
        key: _shifted([reading(curve) for curve in curves], exact[key] - reading(middle))
        for key, reading in read.items()
    }


def _draw(rng: np.random.Generator, sums: Floats, squares: Floats) -> Floats:
    """(R, K) samples of (K,) sums of weights."""
    size = np.divide(squares, sums, out=np.ones_like(sums), where=sums > 0)
    return size * rng.poisson(sums / size, (REPLICATES, len(sums)))


def _shifted(values: list[float], by: float) -> Interval:
    low, high = np.percentile(values, _TAILS) + by if np.isfinite(values).all() else (math.nan, math.nan)
    return [float(low), float(high)] if math.isfinite(low) else None


def _of_accuracy(found: Checked, exact: float, rng: np.random.Generator) -> Interval:
    right = np.argmax(found.p, axis=1) == found.labels
    w = np.ones(len(right)) if found.weights is None else found.weights
    if found.effective.sum() < FEWEST:
        return None
    drawn = [_draw(rng, *(np.array([(w[rows] ** power).sum()]) for power in (1, 2)))[:, 0] for rows in (right, ~right)]
    return _shifted(
        (drawn[0] / np.maximum(drawn[0] + drawn[1], 1e-300)).tolist(), exact - float(np.average(right, weights=w))
    )


def standard_error(values: Floats, weights: Floats | None) -> float:
    """Of a weighted mean."""
    w = np.ones(len(values)) if weights is None else weights
    return float(np.sqrt((w**2 * (values - np.average(values, weights=w)) ** 2).sum()) / w.sum())


def _about(value: float, error: float, count: float) -> Interval:
    return [value - error, value + error] if count >= FEWEST else None

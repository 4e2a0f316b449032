"""Working points: thresholds for a requested efficiency or mistag rate, with intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import checked_class_scores
from hepjax.evaluation.intervals import ONE_SIGMA, Interval, binomial_interval
from hepjax.evaluation.roc import roc_curve_of_class
from hepjax.evaluation.spectra import Cuts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.evaluation.roc import RocCurve
    from hepjax.types import Scores

EFFICIENCIES = (0.3, 0.5, 0.8)
"""Signal efficiencies of the working points in `metrics.json`."""
MISTAG_RATES = (0.1, 0.01)
"""Mistag rates of the working points in `metrics.json`."""

_ROUNDING = 1e-12  # of rates that are sums of weights


class WorkingPoint(NamedTuple):
    """A selection of all jets that score at or above a threshold."""

    threshold: float
    """The threshold; infinite if the working point selects no jet."""
    threshold_interval: Interval
    """The interval of the threshold that gives the requested rate; an end is infinite if there are too few jets."""
    efficiency: float
    """The signal efficiency of this threshold, which differs from the requested one if scores are tied."""
    efficiency_interval: Interval
    """The interval of the signal efficiency at this threshold."""
    mistag_rate: float
    """The background efficiency of this threshold."""
    mistag_interval: Interval
    """The interval of the background efficiency at this threshold."""


def working_point(
    curve: RocCurve,
    signal: float | Cuts,
    background: float | Cuts,
    *,
    efficiency: float | None = None,
    mistag_rate: float | None = None,
    level: float = ONE_SIGMA,
) -> WorkingPoint:
    """Finds the selection with a requested signal efficiency or a requested mistag rate.

    Jets of equal score are selected together. The threshold is therefore the highest that reaches the requested
    efficiency, or the lowest that stays within the requested mistag rate.

    The interval of the threshold follows from the exact interval of the requested rate: it lies between the scores at
    which the curve has the two ends of that interval. Efficiency and mistag rate have the exact intervals of a fixed
    cut.

    Args:
      curve: ROC curve of the scores.
      signal: number of its signal jets; for weighted jets their cuts (`hepjax.evaluation.spectra`), which know how
        heavy the jets are that pass, or the effective number from `effective_count`, which supposes that all are alike.
      background: the same of its background jets.
      efficiency: requested signal efficiency, above 0 and up to 1; exclusive with `mistag_rate`.
      mistag_rate: requested background efficiency, from 0 to 1; exclusive with `efficiency`.
      level: confidence level of the intervals.

    Returns:
      The working point.

    Raises:
      InputError: both rates or neither is requested, a rate is out of range, or a count is not positive.

    Reference: R. Woodruff, JASA 47 (1952) 635, for the threshold; C. Clopper, E. Pearson, Biometrika 26 (1934) 404.

    >>> from hepjax.evaluation.roc import roc_curve
    >>> curve = roc_curve([0.9, 0.7, 0.5, 0.5, 0.1], [1, 1, 1, 0, 0])
    >>> point = working_point(curve, 3, 2, efficiency=0.7)
    >>> point.threshold, point.efficiency, point.mistag_rate
    (0.5, 1.0, 0.5)
    >>> working_point(curve, 3, 2, mistag_rate=0.4).threshold
    0.7
    """
    for name, count in (("signal", signal), ("background", background)):
        if not isinstance(count, Cuts) and not 0 < count < math.inf:
            raise InputError(f"{name}: expected a positive number of jets, found {count}")
    if (efficiency is None) == (mistag_rate is None):
        raise InputError("efficiency, mistag_rate: expected one of both, the one that is wanted")
    if efficiency is not None:
        if not 0 < efficiency <= 1:
            raise InputError(f"efficiency: expected a signal efficiency above 0 up to 1, found {efficiency}")
        rate, rates, jets = efficiency, curve.tpr, signal
        at = _first_point_reaching_rate(rates, rate)
    else:
        if mistag_rate is None or not 0 <= mistag_rate <= 1:
            raise InputError(f"mistag_rate: expected a background efficiency from 0 to 1, found {mistag_rate}")
        rate, rates, jets = mistag_rate, curve.fpr, background
        at = _last_point_within_rate(rates, rate)
    low, high = _interval(rate, jets, level)
    return WorkingPoint(
        float(curve.thresholds[at]),
        Interval(
            float(curve.thresholds[_first_point_reaching_rate(rates, high)]) if high < 1 else -math.inf,
            float(curve.thresholds[_last_point_within_rate(rates, low)]) if low > 0 else math.inf,
        ),
        float(curve.tpr[at]),
        _interval(curve.tpr[at], signal, level),
        float(curve.fpr[at]),
        _interval(curve.fpr[at], background, level),
    )


def working_points(curve: RocCurve | None, signal: float | Cuts, background: float | Cuts) -> list[dict[str, Any]]:
    """Computes the working points of a class, ready for `json.dump`, at 30, 50, 80 % efficiency and 10, 1 % mistags.

    Args:
      curve: ROC curve of the class against all others, or None.
      signal: effective number of jets of the class, or their cuts, as for `working_point`.
      background: the same of all others.

    Returns:
      For each point `wanted_efficiency` or `wanted_mistag_rate`, the other being None; `efficiency`, `threshold` and
      `mistag_rate`, each with its 68 % interval, `efficiency_interval` and so on, [low, high]. None stands for values
      that do not exist: all of a point that would select no jet, and an interval of the threshold with an infinite end.
      The list is empty without a curve.

    >>> from hepjax.evaluation.roc import roc_curve
    >>> points = working_points(roc_curve(np.arange(100), np.arange(100) >= 50), 50, 50)
    >>> points[1]["threshold"], points[1]["efficiency"], points[1]["mistag_rate"]
    (75.0, 0.5, 0.0)
    """
    if curve is None:
        return []
    requests = [(x, None) for x in EFFICIENCIES] + [(None, x) for x in MISTAG_RATES]
    return [
        {"wanted_efficiency": e, "wanted_mistag_rate": m}
        | _working_point_to_json(working_point(curve, signal, background, efficiency=e, mistag_rate=m))
        for e, m in requests
    ]


def selection(scores: Scores, name: str, efficiency: float) -> NDArray[np.bool_] | None:
    """Selects jets of all classes by a cut on the probability of a class, at a requested signal efficiency.

    Args:
      scores: class probabilities, labels and weights.
      name: name of the class.
      efficiency: requested signal efficiency, above 0 and up to 1.

    Returns:
      (N,) bool, True for selected jets; None for a class without jets, or without jets of any other class.

    Raises:
      InputError: the class does not exist, scores are not valid, or the efficiency is out of range.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    >>> selection(Scores(p, np.array([0, 0, 1, 1]), None, ("q", "t")), "q", 1.0).tolist()
    [True, True, True, False]
    """
    checked = checked_class_scores(scores)
    if name not in checked.classes:
        raise InputError(f"name: expected one of {', '.join(checked.classes)}, found {name!r}")
    c, counts = checked.classes.index(name), checked.effective
    curve = roc_curve_of_class(checked, c)
    if curve is None:
        return None
    point = working_point(curve, counts[c], counts.sum() - counts[c], efficiency=efficiency)
    return np.asarray(checked.p[:, c] >= point.threshold)


def _interval(rate: float, jets: float | Cuts, level: float) -> Interval:
    """Returns the exact interval of a rate."""
    trials = float(np.interp(rate, jets.rates, jets.trials)) if isinstance(jets, Cuts) else jets
    low, high = binomial_interval(rate * trials, trials, level)
    return Interval(float(low), float(high))


def _first_point_reaching_rate(rates: Any, rate: float) -> int:
    """Returns the index of the first point with at least this rate."""
    return min(int(np.searchsorted(rates, rate - _ROUNDING)), len(rates) - 1)


def _last_point_within_rate(rates: Any, rate: float) -> int:
    """Returns the index of the last point with at most this rate."""
    return int(np.searchsorted(rates, rate + _ROUNDING, side="right")) - 1


def _working_point_to_json(point: WorkingPoint) -> dict[str, Any]:
    selects_jets = math.isfinite(point.threshold)
    entries: dict[str, Any] = {}
    for key, ends in (
        ("efficiency", "efficiency_interval"),
        ("threshold", "threshold_interval"),
        ("mistag_rate", "mistag_interval"),
    ):
        interval = getattr(point, ends)
        entries[key] = getattr(point, key) if selects_jets else None
        entries[ends] = list(interval) if selects_jets and np.isfinite(interval).all() else None
    return entries

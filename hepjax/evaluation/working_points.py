"""Where to cut: the threshold for a wanted efficiency or mistag rate, with all errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._inputs import checked
from hepjax.evaluation.intervals import ONE_SIGMA, Interval, binomial_interval
from hepjax.evaluation.roc import curve_of_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.evaluation.roc import RocCurve
    from hepjax.types import Scores

EFFICIENCIES = (0.3, 0.5, 0.8)
"""Signal efficiencies of the working points in `metrics.json`."""
MISTAG_RATES = (0.1, 0.01)
"""Their mistag rates."""

_ROUNDING = 1e-12  # of rates that are sums of weights


class WorkingPoint(NamedTuple):
    """A selection of all jets that score at or above a threshold."""

    threshold: float
    """Infinite where the wanted point selects no jet."""
    threshold_interval: Interval
    """Where the wanted rate may be reached in truth; an end is infinite where there are too few jets to say."""
    efficiency: float
    """Signal efficiency of this threshold, which ties may keep from the wanted one."""
    efficiency_interval: Interval
    """At this threshold."""
    mistag_rate: float
    """Background efficiency of this threshold."""
    mistag_interval: Interval
    """At this threshold."""


def working_point(
    curve: RocCurve,
    signal: float,
    background: float,
    *,
    efficiency: float | None = None,
    mistag_rate: float | None = None,
    level: float = ONE_SIGMA,
) -> WorkingPoint:
    """The selection of a wanted signal efficiency or of a wanted mistag rate.

    Jets of equal score are selected together. So of all thresholds it is the highest that reaches the wanted
    efficiency, or the lowest that stays within the wanted mistag rate.

    The threshold's interval follows from the exact interval of the rate that was wanted: between the scores where the
    curve has its two ends. Efficiency and mistag rate have the exact intervals of a cut that stays where it is.

    Args:
      curve: of the scores.
      signal: its signal jets; of weighted ones the effective number, by `effective_count`.
      background: its background jets, the same.
      efficiency: the signal efficiency that is wanted, above 0 up to 1; or
      mistag_rate: the background efficiency that is wanted, from 0 to 1; one of both.
      level: confidence of the intervals.

    Returns:
      The working point.

    Raises:
      InputError: if both or none of them is wanted, or one outside its range; for counts that are not positive.

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
        if not 0 < count < math.inf:
            raise InputError(f"{name}: expected a positive number of jets, found {count}")
    if (efficiency is None) == (mistag_rate is None):
        raise InputError("efficiency, mistag_rate: expected one of both, the one that is wanted")
    if efficiency is not None:
        if not 0 < efficiency <= 1:
            raise InputError(f"efficiency: expected a signal efficiency above 0 up to 1, found {efficiency}")
        rate, rates, jets = efficiency, curve.tpr, signal
        at = _reaching(rates, rate)
    else:
        if mistag_rate is None or not 0 <= mistag_rate <= 1:
            raise InputError(f"mistag_rate: expected a background efficiency from 0 to 1, found {mistag_rate}")
        rate, rates, jets = mistag_rate, curve.fpr, background
        at = _within(rates, rate)
    low, high = binomial_interval(rate * jets, jets, level)
    return WorkingPoint(
        float(curve.thresholds[at]),
        Interval(
            float(curve.thresholds[_reaching(rates, high)]) if high < 1 else -math.inf,
            float(curve.thresholds[_within(rates, low)]) if low > 0 else math.inf,
        ),
        float(curve.tpr[at]),
        Interval(*map(float, binomial_interval(curve.tpr[at] * signal, signal, level))),
        float(curve.fpr[at]),
        Interval(*map(float, binomial_interval(curve.fpr[at] * background, background, level))),
    )


def working_points(curve: RocCurve | None, signal: float, background: float) -> list[dict[str, Any]]:
    """The working points of a class, ready for `json.dump`: efficiencies of 30, 50, 80 %, mistag rates of 10 and 1 %.

    Args:
      curve: of the class against all others; None where it has none.
      signal: jets of the class, effectively.
      background: jets of all others, effectively.

    Returns:
      For each point `wanted_efficiency` or `wanted_mistag_rate`, the other being None; `efficiency`, `threshold` and
      `mistag_rate`, each with its 68 % interval, `efficiency_interval` and so on, [low, high]. None stands for what
      does not exist: all of a point that would select no jet, and an end of the threshold beyond all jets. Empty
      without a curve.

    >>> from hepjax.evaluation.roc import roc_curve
    >>> points = working_points(roc_curve(np.arange(100), np.arange(100) >= 50), 50, 50)
    >>> points[1]["threshold"], points[1]["efficiency"], points[1]["mistag_rate"]
    (75.0, 0.5, 0.0)
    """
    if curve is None:
        return []
    wanted = [(x, None) for x in EFFICIENCIES] + [(None, x) for x in MISTAG_RATES]
    return [
        {"wanted_efficiency": e, "wanted_mistag_rate": m}
        | _plain(working_point(curve, signal, background, efficiency=e, mistag_rate=m))
        for e, m in wanted
    ]


def selection(scores: Scores, name: str, efficiency: float) -> NDArray[np.bool_] | None:
    """Which jets, of all classes, pass the cut on a class's probability that has a wanted signal efficiency.

    Args:
      scores: class probabilities, labels and weights.
      name: of the class.
      efficiency: the signal efficiency that is wanted, above 0 up to 1.

    Returns:
      (N,) bool; None for a class without jets, or without jets of any other class.

    Raises:
      InputError: there is no such class; for scores that are not sound, or an efficiency out of its range.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    >>> selection(Scores(p, np.array([0, 0, 1, 1]), None, ("q", "t")), "q", 1.0).tolist()
    [True, True, True, False]
    """
    found = checked(scores)
    if name not in found.classes:
        raise InputError(f"name: expected one of {', '.join(found.classes)}, found {name!r}")
    c, counts = found.classes.index(name), found.effective
    curve = curve_of_class(found, c)
    if curve is None:
        return None
    point = working_point(curve, counts[c], counts.sum() - counts[c], efficiency=efficiency)
    return np.asarray(found.p[:, c] >= point.threshold)


def _reaching(rates: Any, rate: float) -> int:
    """The first point of at least this rate."""
    return min(int(np.searchsorted(rates, rate - _ROUNDING)), len(rates) - 1)


def _within(rates: Any, rate: float) -> int:
    """The last point of at most this rate."""
    return int(np.searchsorted(rates, rate + _ROUNDING, side="right")) - 1


def _plain(point: WorkingPoint) -> dict[str, Any]:
    some = math.isfinite(point.threshold)
    found: dict[str, Any] = {}
    for key, ends in (
        ("efficiency", "efficiency_interval"),
        ("threshold", "threshold_interval"),
        ("mistag_rate", "mistag_interval"),
    ):
        interval = getattr(point, ends)
        found[key] = getattr(point, key) if some else None
        found[ends] = list(interval) if some and np.isfinite(interval).all() else None
    return found

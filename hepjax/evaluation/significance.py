"""The improvement of the significance S/√B of a search by a tagger."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation.intervals import FEWEST, Interval
from hepjax.evaluation.roc import RocCurve
from hepjax.evaluation.spectra import Cuts, Spectra, cuts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_PARTS = 5  # of the jets, each of which is measured at the best cut of the others
_SHARE = 2 / 3  # of the drop from the jets that chose a cut to others, by which the largest value is too large
_WIDENED = 1.2  # because the share is not the same for all curves
_CURVATURE = 0.15  # of the distance to 1/2, by which the slope of a bent curve is underestimated


class Improvement(NamedTuple):
    """The largest significance improvement."""

    value: float
    """The factor ε_S/√ε_B."""
    efficiency: float
    """The signal efficiency of this selection."""


class ImprovementEstimate(NamedTuple):
    """The largest significance improvement, without the bias of a maximum."""

    value: float
    """The factor ε_S/√ε_B, 1 or more."""
    interval: Interval
    """The 68 % interval of the factor."""
    efficiency: float
    """The signal efficiency of the cut with the largest observed factor."""
    observed: float
    """The largest observed factor, which is too large on average."""


def significance_improvement(curve: RocCurve, background: float | None = None) -> Floats:
    """Computes the factor ε_S/√ε_B by which a selection raises S/√B, at each point of a ROC curve.

    Args:
      curve: a RocCurve.
      background: effective number of background jets behind the curve; None quotes every factor, however few pass.

    Returns:
      (K,) float64; NaN where no background jet passes, or fewer than ten.

    Raises:
      InputError: if background is not positive.

    Reference: J. Gallicchio et al., arXiv:1010.3698.

    >>> from hepjax.evaluation.roc import roc_curve
    >>> significance_improvement(roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])).round(3).tolist()
    [nan, nan, 1.414, 1.0]
    """
    if background is not None and not 0 < background < np.inf:
        raise InputError(f"background: expected a positive number of jets, found {background}")
    fewest = 0.0 if background is None else FEWEST / background
    quoted = (curve.fpr > 0) & (curve.fpr >= fewest * (1 - 1e-9))
    factor = np.full(curve.fpr.size, np.nan)
    factor[quoted] = curve.tpr[quoted] / np.sqrt(curve.fpr[quoted])
    return factor


def max_significance_improvement(curve: RocCurve, background: float) -> Improvement | None:
    """Finds the largest ε_S/√ε_B of a ROC curve and its signal efficiency; 1 is no better than no selection.

    The largest of many values that fluctuate is too large on average, by about one standard deviation: `improvement`
    estimates and removes this bias.

    Args:
      curve: a RocCurve.
      background: effective number of background jets behind the curve. Points with fewer than ten passing jets are
        ignored, because statistical fluctuations dominate there.

    Returns:
      The factor and its signal efficiency; None for fewer than ten background jets.

    Raises:
      InputError: if background is not positive.

    >>> from hepjax.evaluation.roc import roc_curve
    >>> score = np.r_[np.full(30, 0.9), np.full(10, 0.9), np.full(90, 0.1)]
    >>> best = max_significance_improvement(roc_curve(score, np.arange(130) < 30), 100)
    >>> round(best.value, 3), best.efficiency
    (3.162, 1.0)
    """
    factor = significance_improvement(curve, background)
    if np.isnan(factor).all():
        return None
    best = int(np.nanargmax(factor))
    return Improvement(float(factor[best]), float(curve.tpr[best]))


def improvement(jets: Spectra) -> ImprovementEstimate | None:
    """Estimates the largest ε_S/√ε_B of cuts that ten background jets or more are expected to pass.

    The largest observed value is too large, because fluctuations help to choose its cut. Each fifth of the jets is
    therefore measured at the best cut of the others: this value has no such bias, but that cut is worse than the best,
    so that it is too small as an estimate of the largest. The truth lies between, on average at two thirds of the way
    down: this share, and the factor of the error, were chosen on toys with Gaussian, exponential and mixed scores, and
    the coverage study in `tests/evaluation` checks them on Gaussian ones.

    Its interval follows from the numbers of jets that pass. Along the curve d ln ε_S/d ln ε_B is 1/2 at a maximum, and
    less where the curve ends at ten jets.

    Args:
      jets: signal and background in bins of falling score.

    Returns:
      The estimate; None for fewer than ten effective jets of signal or of background, and with negative weights, for
      which the bias of a maximum is not known.

    >>> rng = np.random.default_rng(0)
    >>> signal = np.arange(4000) < 2000
    >>> order = np.argsort(np.argsort(-rng.normal(1.0 * signal)))
    >>> best = improvement(Spectra(order, signal, None, 4000))
    >>> bool(best.value < best.observed), bool(best.interval.low < 1.2587 < best.interval.high)  # max Φ(1 - t)/√Φ(-t)
    (True, True)
    """
    if jets.weights is not None and (jets.weights < 0).any():
        return None
    kinds = cuts_of(jets)
    if min(kind.effective for kind in kinds) < FEWEST * (1 - 1e-9):
        return None
    at, observed = _best(kinds, kinds[1].effective)
    elsewhere, wider = (
        np.zeros((2, 2)),
        np.zeros(2),
    )  # sums of weights and of squares at the cuts, and of weights beyond
    for part in jets.dealt(_PARTS):
        held_out = cuts_of(part)
        rest = [Cuts(a.passed - b.passed, a.squares - b.squares) for a, b in zip(kinds, held_out, strict=True)]
        cut, _ = _best(rest, kinds[1].effective)
        beyond = min(int(np.searchsorted(rest[1].passed, 4 * rest[1].passed[cut])), len(rest[1].passed) - 1)
        elsewhere += [[kind.passed[cut], kind.squares[cut]] for kind in held_out]
        wider += [kind.passed[beyond] for kind in held_out]
    value, error = _between(kinds, observed, elsewhere, wider)
    interval = Interval(*(max(value * math.exp(sign * error), 1.0) for sign in (-1, 1)))
    return ImprovementEstimate(max(value, 1.0), interval, float(kinds[0].rates[at]), observed)


def _best(kinds: Sequence[Cuts], background: float) -> tuple[int, float]:
    """Returns the number of the best cut, and its factor."""
    signal, rest = kinds
    factor = significance_improvement(RocCurve(rest.rates, signal.rates, np.empty(0)), background)
    best = int(np.nanargmax(factor))
    return best, float(factor[best])


def _between(kinds: Sequence[Cuts], observed: float, elsewhere: Floats, wider: Floats) -> tuple[float, float]:
    """Returns the estimate, from the observed factor and that on other jets, and the error of its logarithm."""
    variances, rates = [], []
    for kind, sums in zip(kinds, elsewhere, strict=True):
        size = kind.squares[-1] / kind.passed[-1]
        passed, squares = np.maximum(sums, [size / 2, size**2 / 2])  # half a jet, where none passes
        rate = min(passed / kind.passed[-1], 1.0)
        failed = max(kind.squares[-1] - squares, 0.0)
        variances.append(((1 - rate) ** 2 * squares + rate**2 * failed) / passed**2)
        rates.append(rate)
    slope, more = 0.5, np.maximum(wider, elsewhere[:, 0]) / np.maximum(elsewhere[:, 0], 1e-300)
    if 1.01 < more[1] < math.inf and more[0] < math.inf:
        slope = min(math.log(more[0]) / math.log(more[1]), 0.5)
        slope += _CURVATURE * (0.5 - slope)
    there = rates[0] / math.sqrt(rates[1])
    error = _WIDENED * math.sqrt(variances[0] + slope**2 * variances[1])
    return float(observed * (there / observed) ** _SHARE), error

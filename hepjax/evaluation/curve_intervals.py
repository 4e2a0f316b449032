"""Confidence intervals of the area under a ROC curve and of the rates on it, for few jets and weighted ones too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation.intervals import ONE_SIGMA, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hepjax.evaluation.spectra import Cuts

    Floats = NDArray[np.float64]

_NODES = (np.arange(32) + 0.5) / 32  # of the distribution of a threshold
_AREAS = np.linspace(0, 1, 2001)[1:-1]  # a first look at where an interval of the area ends
_DOUBTFUL = 2.0  # misranked jets on which a variance counts as much as the binormal one


def auc_interval(signal: Cuts, background: Cuts, exact: float, level: float = ONE_SIGMA) -> Interval:
    """Computes a confidence interval of the area under a ROC curve, A.

    The variance of A is DeLong's. An interval A ± z σ(A) would be too short and too low where A is near 1 or jets are
    few, because σ shrinks with 1 - A. The ends are therefore the areas θ with |A - θ| = t σ(θ): σ(θ) has DeLong's value
    at A and changes with θ as between two Gaussians of equal width, and t is Student's. Where few jets are misranked,
    DeLong's variance is nearly unknown, and it is raised toward that of the two Gaussians where it is smaller.

    Args:
      signal: cuts of signal.
      background: the same cuts of background.
      exact: the area.
      level: confidence level.

    Returns:
      The ends, between 0 and 1.

    References: E. DeLong et al., Biometrics 44 (1988) 837; for the inversion of the test E. Wilson, JASA 22 (1927) 209
    and R. Newcombe, Statistics in Medicine 25 (2006) 559; for the degrees of freedom B. Welch, Biometrika 34 (1947) 28.
    """
    from scipy.special import stdtrit

    parts = [_scatter(one, other) for one, other in ((signal, background), (background, signal))]
    jets = signal.effective, background.effective
    nearest = 1 / (2 * jets[0] * jets[1])  # half of the least step of the area
    inside = min(max(exact, nearest), 1 - nearest)
    variance, model = sum(parts), float(_binormal_variance(inside, *jets))
    misranked = 2 * min(jets) * min(inside, 1 - inside)
    trust = misranked / (misranked + _DOUBTFUL)
    ratio = max(variance / model, trust * variance / model + 1 - trust)
    freedom = math.inf
    if variance > 0:
        freedom = variance**2 / sum(part**2 / max(n - 1, 0.5) for part, n in zip(parts, jets, strict=True))
    t = float(stdtrit(min(freedom, 1e9), (1 + level) / 2))

    def inside_interval(areas: Any) -> Any:
        return np.abs(areas - exact) <= t * np.sqrt(ratio * _binormal_variance(areas, *jets))

    return Interval(*_edges(inside_interval, exact))


def rate_interval(
    wanted: Cuts, fixed: Cuts, at: float, levels: Sequence[float], prior: tuple[float, float] = (0.5, 0.5)
) -> list[float]:
    """Computes confidence limits of the rate of one kind of jets where the rate of the other kind has a given value.

    The threshold that gives the other kind this rate lies between two of its jets, and the number of those above is
    binomial (Woodruff). For each of 32 equally likely thresholds, the jets of the first kind above it give a beta
    distribution of their rate; the limits are quantiles of the mean of these distributions.

    Args:
      wanted: cuts of the jets whose rate is wanted.
      fixed: the same cuts of the other jets.
      at: rate of the other jets.
      levels: probabilities that the rate is below a limit.
      prior: numbers of jets to add to those that pass and to those that do not: 1/2 and 1/2 are Jeffreys', whose
        intervals have their level on average; 1 and 0 give the upper limits of Clopper and Pearson.

    Returns:
      A limit for each level.

    References: R. Woodruff, JASA 47 (1952) 635; L. Brown, T. Cai, A. DasGupta, Statistical Science 16 (2001) 101.
    """
    from scipy.special import betainc, betaincinv

    rates, other = wanted.rates, fixed.rates
    n = float(np.interp(at, other, fixed.trials))
    variance = n * at * (1 - at)
    # An order statistic scatters less than the number of jets above a threshold: half a jet², but for very few.
    variance = max(variance - 5 / 12, 0.7 * variance) / (n + 1) ** 2
    center = (n * at + 0.5) / (n + 1)
    both = max(center * (1 - center) / variance - 1, 1.0)
    read = np.interp(betaincinv(both * center, both * (1 - center), _NODES), *_knots(other, rates, n))
    trials = np.interp(read, rates, wanted.trials)
    passed, failed = read * trials + prior[0], np.maximum((1 - read) * trials + prior[1], 1e-12)

    def below(limit: float) -> float:
        return float(betainc(passed, failed, limit).sum()) / _NODES.size

    return [_root(below, level) for level in levels]


def rejection_interval(signal: Cuts, background: Cuts, efficiency: float, level: float = ONE_SIGMA) -> Interval:
    """Computes a confidence interval of the background rejection 1/ε_B at a signal efficiency.

    Args:
      signal: cuts of signal.
      background: the same cuts of background.
      efficiency: the signal efficiency.
      level: confidence level.

    Returns:
      The ends, finite even where no background jet passes: with Jeffreys' prior, between 0.02 and 0.99 are expected.
    """
    low, high = rate_interval(background, signal, efficiency, ((1 - level) / 2, (1 + level) / 2))
    return Interval(1 / high, 1 / low)


def rejection_limit(signal: Cuts, background: Cuts, efficiency: float, level: float = 0.95) -> float:
    """Computes a lower bound on the background rejection 1/ε_B at a signal efficiency, for any number of passing jets.

    Args:
      signal: cuts of signal.
      background: the same cuts of background.
      efficiency: the signal efficiency.
      level: one-sided confidence level.

    Returns:
      The bound, 1 or more; that of a fixed cut is `rejection_bound`.
    """
    return 1 / rate_interval(background, signal, efficiency, [level], (1.0, 0.0))[0]


def _knots(fixed: Floats, wanted: Floats, n: float) -> tuple[Floats, Floats]:
    """Returns where the i-th of n jets of the one kind is expected, at i/(n + 1), and the rate of the other kind."""
    steps = np.diff(fixed) * n
    taken = steps > 0
    first = (n * fixed[:-1] + np.minimum(1, steps))[taken] / (n + 1)
    last = n * fixed[1:][taken] / (n + 1)
    between = (np.stack([first, last], 1).ravel(), np.stack([wanted[:-1][taken], wanted[1:][taken]], 1).ravel())
    return np.concatenate([[0.0], between[0], [1.0]]), np.concatenate([[0.0], between[1], [1.0]])


def _scatter(of: Cuts, other: Cuts) -> float:
    """Returns DeLong's part of the variance of the area that comes from the jets of one kind."""
    w, squares = np.diff(of.passed), np.diff(of.squares)
    values = (other.rates[1:] + other.rates[:-1]) / 2
    n = of.effective
    mean = (w * values).sum() / w.sum()
    return float((squares * (values - mean) ** 2).sum() / w.sum() ** 2 * n / max(n - 1, 0.5))


def _binormal_variance(area: Any, signal: float, background: float) -> Any:
    """Returns the variance of the area for Gaussian scores of equal width.

    Reference: J. Hanley, B. McNeil, Radiology 143 (1982) 29, equation 2; both of its probabilities, of two jets of one
    kind on the right side of one of the other, are binormal with correlation 1/2, from Owen's T.
    """
    from scipy.special import ndtri, owens_t

    pair = area - 2 * owens_t(ndtri(area), 1 / math.sqrt(3))
    return (area * (1 - area) + (signal + background - 2) * (pair - area**2)) / (signal * background)


def _edges(inside: Any, center: float) -> tuple[float, float]:
    """Returns the ends of the set of areas around a center for which a condition holds."""
    held = _AREAS[inside(_AREAS)]
    lowest, highest = min(float(held.min(initial=1.0)), center), max(float(held.max(initial=0.0)), center)
    step, ends = _AREAS[0], []
    for end, beyond in ((lowest, max(lowest - step, 0.0)), (highest, min(highest + step, 1.0))):
        good, bad = end, beyond
        for _ in range(30):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if 0 < middle < 1 and inside(middle) else (good, middle)
        ends.append(good)
    return ends[0], ends[1]


def _root(rising: Any, level: float) -> float:
    """Returns where a function that rises from 0 to 1 on [0, 1] reaches a level; 1 where it does not."""
    from scipy.optimize import brentq

    if rising(1.0) <= level:
        return 1.0
    return math.exp(brentq(lambda logarithm: rising(math.exp(logarithm)) - level, -50.0, 0.0, xtol=1e-8))

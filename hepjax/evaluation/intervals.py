"""Confidence intervals of counted rates and of means, for weighted jets too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import finite_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST = 10
"""The effective number of jets of a class, or of its background, below which figures have no intervals."""

REPLICATES = 200
"""The number of bootstrap samples; it fixes the ends of an interval to a tenth of its half width."""

ONE_SIGMA = 0.6827
"""The confidence of one standard deviation of a Gaussian."""

_ROUNDING = 1e-9  # by which a count of weighted jets may leave its range


class Interval(NamedTuple):
    """A confidence interval."""

    low: Any
    """() or (…) float64; NaN where there is nothing to count."""
    high: Any
    """() or (…) float64; NaN where there is nothing to count."""


def effective_count(weights: Any) -> float:
    """Computes the number of unweighted jets with the same statistical power, (Σw)² / Σw².

    Args:
      weights: (N,) weights of any sign.

    Returns:
      A number from 1 to N, below 1 only with negative weights; 0 for no jets, and where weights add up to 0 or less.

    Raises:
      InputError: weights are not finite or all 0.

    Reference: L. Kish, Survey Sampling (1965), section 11.7.

    >>> effective_count([1, 1, 2]), effective_count([])
    (2.6666666666666665, 0.0)
    """
    w = finite_weights(weights, np.shape(weights)[0] if np.ndim(weights) else 0)
    if not w.sum() > 0:
        return 0.0
    return _effective(w)


def _effective(weights: Floats) -> float:
    """Returns (Σw)²/Σw² of weights of any sign."""
    w = np.asarray(weights, np.float64)
    w = w / np.abs(w).max()  # avoids overflow and underflow of the squares
    return float(w.sum() ** 2 / (w**2).sum())


def effective_trials(passed: Any, passed_squares: Any, total: Any, total_squares: Any) -> Any:
    """Computes the number of unweighted jets that would give the efficiency of weighted jets with the same error.

    With ε = Σ_pass w / Σw, the variance of ε is ((1 - ε)² Σ_pass w² + ε² Σ_fail w²) / (Σw)²; the number of jets is
    ε (1 - ε) over it. Where all pass, or none, it is (Σw)²/Σw² as in `effective_count`.

    Args:
      passed: (…) sums of the weights of the jets that pass.
      passed_squares: (…) sums of the squares of these weights.
      total: (…) sums of the weights of all jets.
      total_squares: (…) sums of the squares of these weights.

    Returns:
      (…) float64; 0 where there are no jets. For equal weights it is the number of jets.

    Reference: ROOT's TEfficiency, "weighted events", which uses (Σw)²/Σw² everywhere; that is too large where jets
    that pass have larger weights than the others.

    >>> round(float(effective_trials(3, 3, 10, 10)), 3), round(float(effective_trials(10, 50, 100, 140)), 3)
    (10.0, 21.739)
    """
    k, k2, n, n2 = (np.asarray(x, dtype=np.float64) for x in (passed, passed_squares, total, total_squares))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = np.clip(k / n, 0, 1)
        variance = (1 - rate) ** 2 * k2 + rate**2 * np.maximum(n2 - k2, 0)
        mixed = rate * (1 - rate) * n**2 / variance
        alike = n**2 / n2
    return np.where(n > 0, np.where((rate > _ROUNDING) & (rate < 1 - _ROUNDING), mixed, alike), 0.0)[()]


def binomial_interval(passed: Any, total: Any, level: float = ONE_SIGMA) -> Interval:
    """Computes the Clopper-Pearson interval of an efficiency, whose coverage is never below its level.

    Args:
      passed: (…) numbers of passing jets, at most `total`. For weighted jets this is the efficiency times the effective
        number, which need not be an integer.
      total: (…) numbers of all jets; broadcasts.
      level: confidence level, between 0 and 1; the interval is central.

    Returns:
      The ends, (…) float64; 0 where no jet passes, 1 where all pass, NaN where there are no jets.

    Raises:
      InputError: counts are negative, not finite, or larger than the total; the level is not between 0 and 1.

    Reference: C. Clopper, E. Pearson, Biometrika 26 (1934) 404.

    >>> low, high = binomial_interval(5, 10)
    >>> round(float(low), 4), round(float(high), 4)
    (0.3048, 0.6952)
    """
    from scipy.special import betaincinv

    k, n = _checked_trial_counts(passed, total)
    _check_confidence_level(level)
    tail = (1 - level) / 2
    low = np.where(k > 0, betaincinv(np.where(k > 0, k, 1.0), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.where(k < n, n - k, 1.0), 1 - tail), 1.0)
    return Interval(*(np.where(n > 0, end, np.nan)[()] for end in (low, high)))


def share_interval(passed: Any, weights: Any = None, level: float = ONE_SIGMA) -> Interval:
    """Computes Jeffreys' interval of a share of jets, whose coverage is its level on average over efficiencies.

    Args:
      passed: (N,) bool, True for the jets that pass; one jet or more.
      weights: (N,) jet weights of any sign, with a positive sum; None means 1 for each jet.
      level: confidence level, between 0 and 1; the interval is central.

    Returns:
      The ends, which are neither 0 nor 1.

    Reference: L. Brown, T. Cai, A. DasGupta, Statistical Science 16 (2001) 101.

    >>> low, high = share_interval(np.arange(10) < 5)
    >>> round(float(low), 4), round(float(high), 4)
    (0.3494, 0.6506)
    """
    from scipy.special import betaincinv

    flags = np.asarray(passed, bool)
    w = np.ones(flags.size) if weights is None else np.asarray(weights, np.float64)
    trials = effective_trials(w[flags].sum(), (w[flags] ** 2).sum(), w.sum(), (w**2).sum())
    k = np.clip(w[flags].sum() / w.sum(), 0.0, 1.0) * trials
    return Interval(*(betaincinv(k + 0.5, trials - k + 0.5, (1 + sign * level) / 2) for sign in (-1, 1)))


def mean_interval(values: Any, weights: Any = None, level: float = ONE_SIGMA) -> Interval:
    """Computes Student's interval of a mean.

    Args:
      values: (N,) numbers, one or more.
      weights: (N,) weights of any sign, with a positive sum; None means 1 for each.
      level: confidence level, between 0 and 1.

    Returns:
      The ends; that of a single effective value is infinite.

    >>> low, high = mean_interval([1.0, 2.0, 3.0])
    >>> round(float(low), 3), round(float(high), 3)
    (1.237, 2.763)
    """
    from scipy.special import stdtrit

    x = np.asarray(values, np.float64)
    mean, freedom = np.average(x, weights=weights), (x.size if weights is None else _effective(weights)) - 1
    if freedom <= 0:
        return Interval(-np.inf, np.inf)
    half = stdtrit(freedom, (1 + level) / 2) * standard_error(x, weights) * np.sqrt((freedom + 1) / freedom)
    return Interval(mean - half, mean + half)


def standard_error(values: Floats, weights: Floats | None) -> float:
    """Returns the standard error of a weighted mean, without the factor √(n/(n - 1)) for few values.

    >>> round(standard_error(np.array([1.0, 2.0, 3.0]), None), 4)
    0.4714
    """
    w = np.ones(len(values)) if weights is None else weights
    return float(np.sqrt((w**2 * (values - np.average(values, weights=w)) ** 2).sum()) / w.sum())


def poisson_upper(count: Any, level: float = 0.95) -> Any:
    """Computes the upper limit of a Poisson mean for an observed count.

    Args:
      count: (…) observed counts, 0 or more; need not be integers.
      level: confidence level, between 0 and 1.

    Returns:
      (…) float64, the mean for which a count this small or smaller has the probability 1 - level.

    Raises:
      InputError: counts are negative or not finite; the level is not between 0 and 1.

    Reference: F. Garwood, Biometrika 28 (1936) 437.

    >>> round(float(poisson_upper(0)), 3)
    2.996
    """
    from scipy.special import gammaincinv

    counts = np.asarray(count, dtype=np.float64)
    _check_confidence_level(level)
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise InputError(f"count: expected numbers of 0 or more, found {counts.min():g}")
    return gammaincinv(counts + 1, level)


def rejection_bound(passing: float, total: float, level: float = 0.95) -> float:
    """Computes a lower bound on the background rejection 1/ε_B of a fixed cut.

    Where the cut is chosen for a signal efficiency, the bounds of `figures_of_merit` allow for its scatter too.

    Args:
      passing: effective number of background jets that pass, ε_B times `total`.
      total: effective number of background jets, more than 0.
      level: one-sided confidence level, between 0 and 1.

    Returns:
      The Clopper-Pearson lower bound, at least 1.

    Raises:
      InputError: there are no background jets, counts are not valid, or the level is not between 0 and 1.

    >>> round(rejection_bound(0, 1000), 1), round(rejection_bound(3, 1000), 1)
    (334.3, 129.3)
    """
    from scipy.special import betaincinv

    k, n = _checked_trial_counts(passing, total)
    _check_confidence_level(level)
    if not (n > 0).all():
        raise InputError("total: expected background jets, found none")
    return 1.0 if k == n else 1 / float(betaincinv(k + 1, n - k, level))


def _checked_trial_counts(passed: Any, total: Any) -> tuple[Floats, Floats]:
    k, n = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (passed, total)))
    if not (np.isfinite(k).all() and np.isfinite(n).all()):
        raise InputError("passed, total: expected finite counts, found NaN or infinite")
    slack = _ROUNDING * np.maximum(n, 1)
    wrong = (k < -slack) | (k > n + slack)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(f"passed: expected from 0 to the total, found {k.flat[at]:g} of {n.flat[at]:g}")
    return np.clip(k, 0, n), n


def _check_confidence_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level: expected a confidence between 0 and 1, such as 0.95, found {level}")

"""How far a rate that was counted may be from the truth: exact intervals, for weighted jets too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._inputs import checked_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST = 10
"""Background jets, effectively, below which no rejection is quoted but a bound."""

ONE_SIGMA = 0.6827
"""The confidence of one standard deviation of a Gaussian."""

_ROUNDING = 1e-9  # by which a count of weighted jets may leave its range


class Interval(NamedTuple):
    """A confidence interval."""

    low: Any
    """() or (…) float64; NaN where there is nothing to count."""
    high: Any
    """The same."""


def effective_count(weights: Any) -> float:
    """How many jets of weight 1 know as much as these: (Σw)² / Σw².

    Args:
      weights: (N,) non-negative weights.

    Returns:
      A number from 1 to N; 0 for no jets.

    Raises:
      InputError: for weights that are negative, not finite or all 0.

    Reference: L. Kish, Survey Sampling (1965), section 11.7.

    >>> effective_count([1, 1, 2]), effective_count([])
    (2.6666666666666665, 0.0)
    """
    w = checked_weights(weights, np.shape(weights)[0] if np.ndim(weights) else 0)
    if not w.size:
        return 0.0
    w = w / w.max()  # so that no square leaves the range of numbers
    return float(w.sum() ** 2 / (w**2).sum())


def effective_trials(passed: Any, passed_squares: Any, total: Any, total_squares: Any) -> Any:
    """How many jets of weight 1 would give an efficiency of weighted jets with the same error.

    With ε = Σ_pass w / Σw, the variance of ε is ((1 - ε)² Σ_pass w² + ε² Σ_fail w²) / (Σw)²; the number of jets is
    ε (1 - ε) over it. Where all pass, or none, it is (Σw)²/Σw² as in `effective_count`.

    Args:
      passed: (…) sums of the weights of the jets that pass.
      passed_squares: (…) sums of their squares.
      total: (…) sums of the weights of all jets.
      total_squares: (…) sums of their squares.

    Returns:
      (…) float64; 0 where there are no jets. Of jets of equal weight it is their number.

    Reference: ROOT's TEfficiency, "weighted events", which takes (Σw)²/Σw² everywhere; that is too many where jets
    that pass are heavier than the others.

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
    """The Clopper-Pearson interval of an efficiency: at no true efficiency does it cover less often than its level.

    Args:
      passed: (…) how many passed, at most `total`. Counts of weighted jets need not be integers: the efficiency times
        their effective number.
      total: (…) of how many; broadcasts.
      level: confidence, between 0 and 1; both sides miss equally often.

    Returns:
      The ends, (…) float64; 0 and 1 where none or all passed; NaN where there were none.

    Raises:
      InputError: for counts that are negative, not finite, or of more passing than there are; for a level that is none.

    Reference: C. Clopper, E. Pearson, Biometrika 26 (1934) 404.

    >>> low, high = binomial_interval(5, 10)
    >>> round(float(low), 4), round(float(high), 4)
    (0.3048, 0.6952)
    """
    from scipy.special import betaincinv

    k, n = _counts(passed, total)
    _check_level(level)
    tail = (1 - level) / 2
    low = np.where(k > 0, betaincinv(np.where(k > 0, k, 1.0), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.where(k < n, n - k, 1.0), 1 - tail), 1.0)
    return Interval(*(np.where(n > 0, end, np.nan)[()] for end in (low, high)))


def poisson_upper(count: Any, level: float = 0.95) -> Any:
    """The upper limit of a Poisson mean, of which so many were counted.

    Args:
      count: (…) counted, 0 or more; need not be an integer.
      level: confidence, between 0 and 1.

    Returns:
      (…) float64, the mean at which as few would be counted with the probability 1 - level.

    Raises:
      InputError: for counts that are negative or not finite; for a level that is none.

    Reference: F. Garwood, Biometrika 28 (1936) 437.

    >>> round(float(poisson_upper(0)), 3)
    2.996
    """
    from scipy.special import gammaincinv

    found = np.asarray(count, dtype=np.float64)
    _check_level(level)
    if not np.isfinite(found).all() or (found < 0).any():
        raise InputError(f"count: expected numbers of 0 or more, found {found.min():g}")
    return gammaincinv(found + 1, level)


def rejection_bound(passing: float, total: float, level: float = 0.95) -> float:
    """What a background rejection 1/ε_B is at least, where too few background jets pass to quote it.

    Args:
      passing: background jets that pass, effectively: ε_B times `total`.
      total: background jets, effectively, more than 0.
      level: confidence, between 0 and 1; of one side.

    Returns:
      The lower bound, from 1; by Clopper and Pearson.

    Raises:
      InputError: for no background jets, counts that are none, or a level that is none.

    >>> round(rejection_bound(0, 1000), 1), round(rejection_bound(3, 1000), 1)
    (334.3, 129.3)
    """
    from scipy.special import betaincinv

    k, n = _counts(passing, total)
    _check_level(level)
    if not (n > 0).all():
        raise InputError("total: expected background jets, found none")
    return 1.0 if k == n else 1 / float(betaincinv(k + 1, n - k, level))


def _counts(passed: Any, total: Any) -> tuple[Floats, Floats]:
    k, n = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (passed, total)))
    if not (np.isfinite(k).all() and np.isfinite(n).all()):
        raise InputError("passed, total: expected finite counts, found NaN or infinite")
    slack = _ROUNDING * np.maximum(n, 1)
    wrong = (k < -slack) | (k > n + slack)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(f"passed: expected from 0 to the total, found {k.flat[at]:g} of {n.flat[at]:g}")
    return np.clip(k, 0, n), n


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level: expected a confidence between 0 and 1, such as 0.95, found {level}")

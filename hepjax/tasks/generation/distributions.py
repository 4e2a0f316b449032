"""Cumulative distributions of a number, linear between knots, with steps at values that many jets share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.numerics import safe_divide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TAIL = 2e-5
"""The fraction of a distribution that is cut off at either end, so that normal scores stay below 4.2."""

_COMMON = 1e-3  # values shared by this fraction of the jets (five or more), and 0, are smeared by random numbers
_KNOTS = 1000
MOST_KNOTS = 3 * _KNOTS + 2
"""The most knots of a distribution: at most a thousand values can be shared, beside 0, and each has two knots."""


class Distribution(NamedTuple):
    """A cumulative distribution, linear between K knots; a value shared by many jets has two knots."""

    values: Floats
    """(K,) rising values of the knots."""
    shares: Floats
    """(K,) strictly rising shares of jets below the knots."""


def fit_distribution(x: Floats, rng: np.random.Generator, *, whole: bool = False) -> Distribution:
    """Fits the cumulative distribution of a sample.

    Args:
      x: (N,) values; NaN is left out.
      rng: smears whole numbers.
      whole: the values are whole numbers.

    Returns:
      The distribution, of at most `MOST_KNOTS` knots.

    >>> fit_distribution(np.arange(3.0), np.random.default_rng(0)).values.tolist()
    [0.0, 0.0, 1.0, 2.0]
    """
    x = x[np.isfinite(x)] if np.isfinite(x).any() else np.zeros(1)
    n = len(x)
    x = np.sort(x + rng.uniform(size=n) if whole else x)
    values, first, count = np.unique(x, return_index=True, return_counts=True)
    common = (count >= max(5, _COMMON * n)) | (values == 0)
    places = np.unique(np.linspace(0, n - 1, min(_KNOTS, n)).round().astype(np.int64))
    places = places[~np.isin(x[places], values[common])]
    knots = np.concatenate([x[places], values[common], values[common]])
    ends = [(first[common] + TAIL) / n, (first[common] + count[common]) / n]
    shares = np.concatenate([(places + 0.5) / n, *ends])
    order = np.lexsort((shares, knots))
    return Distribution(knots[order], shares[order])


def share_below(values: Any, shares: Any, x: Any, uniform: Any) -> Any:
    """Computes the shares of jets below each value of a distribution; works with NumPy and JAX.

    Args:
      values: (K,) rising values of the knots; they may end with infinity, as padding.
      shares: (K,) shares of jets below the knots.
      x: (n,) values.
      uniform: (n,) random numbers from 0 to 1, for values that many jets have.

    Returns:
      (n,) shares; random in the range of a value shared by many jets.

    >>> values, shares = np.array([0.0, 0.0, 1.0]), np.array([0.1, 0.5, 0.9])
    >>> share_below(values, shares, np.array([0.0, 0.5]), np.full(2, 0.25)).tolist()
    [0.2, 0.7]
    """
    xp, last = x.__array_namespace__(), values.shape[0] - 1
    left, right = (xp.searchsorted(values, x, side=side) for side in ("left", "right"))
    low, high = shares[left.clip(max=last)], shares[(right - 1).clip(min=0)]
    before, after = (left - 1).clip(min=0), left.clip(max=last)
    step = values[after] - values[before]
    inside = safe_divide(x - values[before], step)
    between = shares[before] + inside * (shares[after] - shares[before])
    return xp.where(right > left, low + uniform * (high - low), xp.where(step == 0, shares[before], between))

"""Residuals of predicted numbers: their median and the half width of their core, in all and in bins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import checked_weights
from hepjax.evaluation.binned import bin_edges
from hepjax.evaluation.intervals import FEWEST, ONE_SIGMA, REPLICATES, effective_count
from hepjax.evaluation.roc import rising_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Interval = list[float] | None

_LEVELS = ((1 - ONE_SIGMA) / 2, 0.5, (1 + ONE_SIGMA) / 2)
_GROUPS = 2000
"""Groups of neighboring values that the bootstrap draws together."""
_POSITIVE = 0.99
"""The share of jets with a positive truth from which relative figures are given."""


class BiasAndResolution(NamedTuple):
    """The middle and the width of a distribution of residuals."""

    bias: float
    """The median."""
    resolution: float
    """Half of the central 68 % interval."""
    bias_interval: Interval
    """68 % interval by bootstrap; None below ten jets."""
    resolution_interval: Interval
    """The same."""


class InBins(NamedTuple):
    """Bias and resolution in B bins of an observable."""

    edges: Floats
    """(B + 1,) rising; the last bin holds its upper edge."""
    bias: Floats
    """(B,) the median residual; NaN in a bin of fewer than ten jets, as are the next arrays."""
    bias_interval: Floats
    """(B, 2)."""
    resolution: Floats
    """(B,) half of the central 68 % interval."""
    resolution_interval: Floats
    """(B, 2)."""
    jets: Floats
    """(B,) how many jets there are; of weighted ones the effective number."""


def bias_and_resolution(
    values: Any, weights: Any = None, *, rng: np.random.Generator | None = None
) -> BiasAndResolution:
    """Computes the median and half of the central 68 % interval of residuals.

    Args:
      values: (N,) predicted - true, or (predicted - true) / true.
      weights: (N,) of any sign, with a positive sum; None is 1.
      rng: of the bootstrap; None is one of seed 0.

    Returns:
      Both with their 68 % intervals, from 200 samples in which each jet counts as often as a Poisson number of mean 1
      says (N. Chamandy et al., "Estimating uncertainty for massive data streams", 2012).

    Raises:
      InputError: the arrays do not fit each other, are not finite, or are empty.

    >>> result = bias_and_resolution(np.arange(-500, 501))
    >>> result.bias, round(result.resolution, 1)
    (0.0, 341.7)
    """
    residuals = checked_numbers("values", values, 1)
    w = checked_weights(weights, len(residuals), signed=True)
    order = np.argsort(residuals, kind="stable")
    residuals, w = residuals[order][w[order] != 0], w[order][w[order] != 0]
    low, middle, high = core_quantiles(residuals, w)
    if effective_count(w) < FEWEST:
        return BiasAndResolution(float(middle), float(high - low) / 2, None, None)
    generator = np.random.default_rng(0) if rng is None else rng
    starts = np.unique(np.linspace(0, len(w), min(_GROUPS, len(w)) + 1).astype(int))[:-1]
    sums, squares, products = (np.add.reduceat(x, starts) for x in (w, w**2, w * residuals))
    if (w < 0).any():  # a group may weigh nothing or less
        centers = np.add.reduceat(residuals, starts) / np.diff(starts, append=len(w))
        samples = generator.normal(sums, np.sqrt(squares), (REPLICATES, len(sums)))
    else:
        centers, size = products / sums, squares / sums
        samples = size * generator.poisson(sums / size, (REPLICATES, len(sums)))
    drawn = np.array([core_quantiles(centers, sample) for sample in samples if sample.sum() > 0])
    exact = core_quantiles(centers, sums)
    medians, halves = drawn[:, 1] - exact[1], (drawn[:, 2] - drawn[:, 0] - exact[2] + exact[0]) / 2
    return BiasAndResolution(
        float(middle),
        float(high - low) / 2,
        _residual_quantile_interval(float(middle), medians),
        _residual_quantile_interval(float(high - low) / 2, halves),
    )


def bias_and_resolution_in_bins(
    residuals: Any, values: Any, edges: Any = None, weights: Any = None, *, bins: int = 8
) -> InBins:
    """Computes bias and resolution in bins of an observable, such as pT or the truth.

    Args:
      residuals: (N,) predicted - true, or (predicted - true) / true.
      values: (N,) the observable.
      edges: (B + 1,) rising, in the observable's unit; None is `bin_edges`.
      weights: (N,) of any sign, with a positive sum; None is 1.
      bins: how many where no edges are given.

    Returns:
      Both in each bin; jets beyond the edges are in no bin.

    Raises:
      InputError: arrays do not fit each other or are not finite.

    >>> result = bias_and_resolution_in_bins(np.repeat([1.0, 3.0], 20), np.repeat([100, 200], 20), edges=[50, 150, 250])
    >>> result.bias.tolist(), result.jets.tolist()
    ([1.0, 3.0], [20.0, 20.0])
    """
    r, x = checked_numbers("residuals", residuals, 1), checked_numbers("values", values, 1)
    if r.shape != x.shape:
        raise InputError(f"values: expected shape {r.shape}, one a jet, found {x.shape}")
    limits = bin_edges(x, bins) if edges is None else np.asarray(edges, np.float64)
    if limits.ndim != 1 or len(limits) < 2 or not (np.diff(limits) > 0).all():
        raise InputError("edges: expected two or more rising numbers; sort them and leave out repeated ones")
    w = checked_weights(weights, len(r), signed=True)
    places = np.searchsorted(limits, x, side="right") - 1
    places[x == limits[-1]] = len(limits) - 2
    rows, rng = [], np.random.default_rng(0)
    for b in range(len(limits) - 1):
        inside = (places == b) & (w != 0)
        count = effective_count(w[inside])
        row = bias_and_resolution(r[inside], w[inside], rng=rng) if count >= FEWEST else None
        rows.append((count, row))
    blank = BiasAndResolution(math.nan, math.nan, [math.nan] * 2, [math.nan] * 2)
    columns = [np.array(column, np.float64) for column in zip(*(row or blank for _, row in rows), strict=True)]
    return InBins(limits, columns[0], columns[2], columns[1], columns[3], np.array([count for count, _ in rows]))


def relative_residuals(predicted: Any, truth: Any) -> tuple[NDArray[np.bool_], Floats] | None:
    """Computes (predicted - true) / true where that is sensible.

    Args:
      predicted: (N,).
      truth: (N,).

    Returns:
      (N,) bool, the jets with a positive truth, and their relative residuals; None where more than 1 % have none.

    >>> relative_residuals(np.array([11.0]), np.array([10.0]))[1].tolist()
    [0.1]
    """
    p, y = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    positive = y > 0
    if not len(y) or positive.mean() < _POSITIVE:
        return None
    return positive, (p[positive] - y[positive]) / y[positive]


def core_quantiles(values: Floats, w: Floats) -> Floats:
    """The 16 %, 50 % and 84 % quantiles of sorted values; a value lies in the middle of its own weight."""
    total = rising_sums(w)
    middle = (total + np.concatenate([[0.0], total[:-1]])) / 2 if (w < 0).any() else total - w / 2
    return np.interp(_LEVELS, middle / total[-1], values)


def _residual_quantile_interval(value: float, shifts: Floats) -> Interval:
    low, high = np.percentile(shifts, [100 * _LEVELS[0], 100 * _LEVELS[2]])
    return [value + float(low), value + float(high)]


def checked_numbers(name: str, values: Any, rank: int) -> Floats:
    """Returns finite numbers in float64, of this many axes and of one jet or more."""
    x = np.asarray(values, np.float64)
    if x.ndim != rank or not len(x):
        raise InputError(f"{name}: expected {rank} axes and one jet or more, found shape {x.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"{name}: expected finite numbers, found {(~np.isfinite(x)).sum()} NaN or infinite ones")
    return x

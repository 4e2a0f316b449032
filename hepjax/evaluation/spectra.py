"""Jets in bins of falling score and the cuts between the bins, from which intervals of a ROC curve are computed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.evaluation.intervals import FEWEST
from hepjax.evaluation.roc import RocCurve, rising_sums, roc_curve_of_arrays, thin_curve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_POINTS = 400  # of a curve, along each axis; the jets between two of them are counted together


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

    def dealt(self, parts: int) -> Iterator[Spectra]:
        """Yields equal parts of the jets, each with its share of signal and of background."""
        turns = np.where(self.signal, np.cumsum(self.signal), np.cumsum(~self.signal)) % parts
        for number in range(parts):
            rows = turns == number
            weights = None if self.weights is None else self.weights[rows]
            yield Spectra(self.places[rows], self.signal[rows], weights, self.bins)


class Cuts(NamedTuple):
    """The jets of one kind that pass cuts of falling threshold; the first cut passes none, the last all."""

    passed: Floats
    """(K + 1,) sums of the weights of the jets that pass."""
    squares: Floats
    """(K + 1,) sums of the squares of these weights."""

    @property
    def rates(self) -> Floats:
        """Returns the (K + 1,) shares that pass."""
        return np.asarray(self.passed / self.passed[-1])

    @property
    def effective(self) -> float:
        """Returns the effective number of all jets, (Σw)²/Σw²."""
        return float(self.passed[-1] ** 2 / self.squares[-1])

    @property
    def trials(self) -> Floats:
        """Returns (K + 1,) numbers of unweighted jets that would give the rates with the same errors.

        They are those of `effective_trials` where many jets pass and fail. A few jets do not show how large the weights
        of others are. Where fewer than ten pass, or fail, the size of their weights, Σw²/Σw, is therefore that of the
        first ten; where it is below that of all jets, it is raised as if ten jets of that size were added.
        """
        total, squares = self.passed[-1], self.squares[-1]
        if self.squares is self.passed:  # unweighted
            return np.full(self.passed.size, total)
        failed = Cuts((total - self.passed)[::-1], (squares - self.squares)[::-1])
        sizes, sizes_of_failed = _sizes(self), _sizes(failed)[::-1]
        rate = self.rates
        # The variance is (1 - ε)² Σ_pass w² + ε² Σ_fail w², with Σw² = size Σw.
        return np.asarray(total / ((1 - rate) * sizes + rate * sizes_of_failed))


def _sizes(cuts: Cuts) -> Floats:
    """Returns the (K + 1,) sizes Σw²/Σw of the weights of the jets that pass, as `trials` counts them."""
    counts = np.divide(cuts.passed**2, cuts.squares, out=np.zeros_like(cuts.passed), where=cuts.squares > 0)
    first = min(int(np.argmax(counts >= FEWEST * (1 - 1e-9))) or len(counts) - 1, len(counts) - 1)
    sizes = np.divide(cuts.squares, cuts.passed, out=np.zeros_like(cuts.passed), where=cuts.passed > 0)
    sizes[:first] = sizes[first]
    known = np.maximum(counts, FEWEST)
    return np.asarray(np.maximum(sizes, (known * sizes + FEWEST * sizes[-1]) / (known + FEWEST)))


def spectra(
    s: NDArray[np.floating[Any]], signal: NDArray[np.bool_], w: Floats | None, curve: RocCurve | None = None
) -> Spectra | None:
    """Sorts jets into few enough bins of their score; None without signal or without background.

    Args:
      s: (N,) scores.
      signal: (N,) bool, True for signal jets.
      w: (N,) weights; None means 1 for each jet.
      curve: their ROC curve, where it is known already.
    """
    curve = roc_curve_of_arrays(s, signal, w) if curve is None else curve
    if curve is None:
        return None
    at_fpr = np.searchsorted(curve.fpr, np.linspace(0, 1, _POINTS)).clip(max=curve.fpr.size - 1)
    rising = np.union1d(thin_curve(curve, _POINTS).thresholds, curve.thresholds[at_fpr])[:-1].astype(s.dtype)  # not ∞
    # A jet of weight 0 may lie below all thresholds; it adds nothing wherever it is put.
    places = len(rising) - np.searchsorted(rising, s, side="right").clip(min=1)
    return Spectra(places, signal, w, len(rising))


def cuts_of(jets: Spectra) -> tuple[Cuts, Cuts]:
    """Returns the cuts between the bins, of signal and of background.

    >>> jets = Spectra(np.array([0, 0, 1]), np.array([True, False, False]), None, 2)
    >>> [kind.rates.tolist() for kind in cuts_of(jets)]
    [[0.0, 1.0, 1.0], [0.0, 0.5, 1.0]]
    """
    passed = [np.concatenate([[0.0], rising_sums(sums)]) for sums in jets.sums()]
    squares = passed if jets.weights is None else [np.concatenate([[0.0], np.cumsum(sums)]) for sums in jets.sums(2)]
    return Cuts(passed[0], squares[0]), Cuts(passed[1], squares[1])


def curve_of_sums(signal: Floats, background: Floats) -> RocCurve:
    """Builds a ROC curve from (K,) sums of weights in bins of falling score; rates are NaN if a sum is 0."""
    rising = (np.concatenate([[0.0], rising_sums(sums)]) for sums in (signal, background))
    tpr, fpr = (sums / (sums[-1] or np.nan) for sums in rising)
    return RocCurve(fpr, tpr, np.empty(0))

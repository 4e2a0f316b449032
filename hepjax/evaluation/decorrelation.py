"""The trade-off between the AUC of a tagger and its sculpting of the background spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation.binned import MASS_BINS, bin_edges, sculpting
from hepjax.evaluation.intervals import FEWEST
from hepjax.evaluation.roc import auc, roc_curve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_REPLICATES = 50


class TradeOff(NamedTuple):
    """Figures of a tagger of one signal against a background, and of its cut at a fixed signal efficiency."""

    auc: float
    auc_error: float
    """The standard deviation of the AUC, from the bootstrap."""
    efficiency: float
    """The signal efficiency of the cut."""
    mistag_rate: float
    """The share of background jets that pass the cut."""
    divergence: float
    """The Jensen-Shannon divergence of their spectrum from that of all background jets, in bits.

    NaN where fewer than ten pass.
    """
    chance: float
    """The mean divergence of a random cut, which is the floor."""
    chance_spread: float
    """The standard deviation of the divergence of a random cut."""


def trade_off(scores: Any, signal: Any, values: Any, efficiency: float = 0.5, *, seed: int = 0) -> TradeOff:
    """Measures the separation power of a tagger and the distortion of the background spectrum by its cut.

    Args:
      scores: (N,) scores, larger for signal.
      signal: (N,) bool; the other jets are background.
      values: (N,) values of the observable, such as the mass in GeV.
      efficiency: signal efficiency of the cut.
      seed: seed of the bootstrap and of random cuts.

    Returns:
      The figures of tagger and cut.

    Raises:
      InputError: scores or values are not finite, or there is no signal or no background.

    Reference: arXiv:2001.05310, section 4, for the comparison of the two figures.

    >>> mass = np.tile(np.arange(100.0), 20)
    >>> figures = trade_off(mass, np.arange(2000) < 1000, mass)
    >>> round(figures.auc, 2), figures.mistag_rate, round(figures.divergence, 2)
    (0.5, 0.5, 0.31)
    """
    s, is_signal = np.asarray(scores, np.float64), np.asarray(signal, bool)
    curve = roc_curve(s, is_signal)
    if not 0 < efficiency < 1:
        raise InputError(f"efficiency: expected more than 0 and less than 1, found {efficiency}")
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(is_signal), np.flatnonzero(~is_signal)]
    samples = (np.concatenate([rng.choice(rows, len(rows)) for rows in groups]) for _ in range(_REPLICATES))
    error = float(np.std([auc(roc_curve(s[rows], is_signal[rows])) for rows in samples]))
    passing = s[~is_signal] >= np.quantile(s[is_signal], 1 - efficiency)
    effect = sculpting(passing, np.asarray(values)[~is_signal], seed=seed) if passing.sum() >= FEWEST else None
    figures = (effect.divergence, effect.expected, effect.spread) if effect else (np.nan,) * 3
    return TradeOff(auc(curve), error, efficiency, float(passing.mean()), *figures)


def ranks_in_bins(scores: Any, background: Any, values: Any, bins: int = MASS_BINS) -> Floats:
    """Replaces scores by their ranks among background jets in the same bin of an observable.

    By construction, a cut on these ranks does not change the spectrum of this background, whatever the tagger has
    learned. It is the best decorrelation that is possible without retraining the tagger.

    Args:
      scores: (N,) scores, larger for signal.
      background: (N,) bool, True for the jets to rank among.
      values: (N,) values of the observable.
      bins: number of bins, which hold equally many background jets; the resolution of a rank is one over that number.

    Returns:
      (N,) shares of background jets in the same bin that have a smaller score; equal scores count half.

    Raises:
      InputError: there are fewer background jets than bins.

    Reference: the fixed-rate cuts of arXiv:1603.00027, section 4.

    >>> mass = np.repeat([10.0, 90.0], 100)
    >>> ranks = ranks_in_bins(np.arange(200.0), np.full(200, True), mass, bins=2)
    >>> ranks[[0, 50, 100, 150]].tolist()
    [0.005, 0.505, 0.005, 0.505]
    """
    s, reference, x = np.asarray(scores, np.float64), np.asarray(background, bool), np.asarray(values, np.float64)
    if reference.sum() < bins:
        raise InputError(f"background: expected {bins} jets or more, one in each bin, found {reference.sum()}")
    edges = bin_edges(x[reference], bins)[1:-1]
    bin_numbers, ranks = np.searchsorted(edges, x, side="right"), np.empty(len(s))
    for number in range(len(edges) + 1):
        inside = bin_numbers == number
        rising = np.sort(s[inside & reference])
        sides = [np.searchsorted(rising, s[inside], side) for side in ("left", "right")]
        ranks[inside] = np.mean(sides, axis=0) / max(len(rising), 1)
    return ranks

"""What a tagger pays for not bending the spectrum of the background: its AUC beside its sculpting."""

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
    """A tagger of one signal against a background, and its cut at a fixed signal efficiency."""

    auc: float
    auc_error: float
    """Standard deviation, by the bootstrap."""
    efficiency: float
    """Of the signal."""
    mistag_rate: float
    """The share of background jets that pass."""
    divergence: float
    """The Jensen-Shannon divergence of their spectrum from that of all, in bits; NaN where fewer than ten pass."""
    chance: float
    """What a cut that does not look at the observable gives: the floor."""
    chance_spread: float
    """The standard deviation of that."""


def trade_off(answers: Any, signal: Any, values: Any, efficiency: float = 0.5, *, seed: int = 0) -> TradeOff:
    """How well a tagger tells signal from background, and how far its cut bends the background's spectrum.

    Args:
      answers: (N,) larger for signal.
      signal: (N,) bool; the other jets are background.
      values: (N,) the observable, such as the mass in GeV.
      efficiency: of the signal, where the cut is.
      seed: of the bootstrap and of random cuts.

    Returns:
      The figures.

    Raises:
      InputError: for answers or values that are not finite, or without signal or background.

    Reference: arXiv:2001.05310, section 4, for the two figures beside each other.

    >>> mass = np.tile(np.arange(100.0), 20)
    >>> found = trade_off(mass, np.arange(2000) < 1000, mass)
    >>> round(found.auc, 2), found.mistag_rate, round(found.divergence, 2)
    (0.5, 0.5, 0.31)
    """
    given, is_signal = np.asarray(answers, np.float64), np.asarray(signal, bool)
    curve = roc_curve(given, is_signal)
    if not 0 < efficiency < 1:
        raise InputError(f"efficiency: expected more than 0 and less than 1, found {efficiency}")
    rng = np.random.default_rng(seed)
    drawn = (np.concatenate([rng.choice(rows, len(rows)) for rows in map(np.flatnonzero, (is_signal, ~is_signal))])
             for _ in range(_REPLICATES))  # fmt: skip
    error = float(np.std([auc(roc_curve(given[rows], is_signal[rows])) for rows in drawn]))
    passing = given[~is_signal] >= np.quantile(given[is_signal], 1 - efficiency)
    bent = sculpting(passing, np.asarray(values)[~is_signal], seed=seed) if passing.sum() >= FEWEST else None
    figures = (bent.divergence, bent.expected, bent.spread) if bent else (np.nan,) * 3
    return TradeOff(auc(curve), error, efficiency, float(passing.mean()), *figures)


def ranks_in_bins(answers: Any, background: Any, values: Any, bins: int = MASS_BINS) -> Floats:
    """Answers as their ranks among background jets of like value: a cut on them is another in each bin.

    By construction such a cut leaves the spectrum of this background as it was, whatever the tagger knows. It is the
    most that can be had of a tagger without training it anew.

    Args:
      answers: (N,) larger for signal.
      background: (N,) bool, the jets to rank among.
      values: (N,) the observable.
      bins: how many, of equally many background jets; the rank of an answer is known to one over these.

    Returns:
      (N,) the share of background jets in the same bin that have a smaller answer; equal answers count half.

    Raises:
      InputError: there are fewer background jets than bins.

    Reference: as the fixed-rate cuts of arXiv:1603.00027, section 4.

    >>> mass = np.repeat([10.0, 90.0], 100)
    >>> ranks = ranks_in_bins(np.arange(200.0), np.full(200, True), mass, bins=2)
    >>> ranks[[0, 50, 100, 150]].tolist()
    [0.005, 0.505, 0.005, 0.505]
    """
    given, known, x = np.asarray(answers, np.float64), np.asarray(background, bool), np.asarray(values, np.float64)
    if known.sum() < bins:
        raise InputError(f"background: expected {bins} jets or more, one in each bin, found {known.sum()}")
    edges = bin_edges(x[known], bins)[1:-1]
    places, found = np.searchsorted(edges, x, side="right"), np.empty(len(given))
    for place in range(len(edges) + 1):
        here = places == place
        ranked = np.sort(given[here & known])
        sides = [np.searchsorted(ranked, given[here], side) for side in ("left", "right")]
        found[here] = np.mean(sides, axis=0) / max(len(ranked), 1)
    return found

"""Efficiencies of searches for signals in noise, compared with a reference search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import checked_scores
from hepjax.evaluation.binned import Binned, rate_in_bins
from hepjax.evaluation.comparison import Difference, compare_scores
from hepjax.evaluation.figure_intervals import figure_intervals
from hepjax.evaluation.intervals import Interval
from hepjax.evaluation.metrics import figures_of_merit
from hepjax.evaluation.roc import roc_curve
from hepjax.evaluation.working_points import working_point
from hepjax.types import Scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FALSE_ALARMS = (0.01, 0.001)
"""The false-alarm probabilities of a segment at which efficiencies are computed."""


class Detections(NamedTuple):
    """Figures of merit of a search."""

    auc: float
    interval: Interval
    """The 68 % interval of the AUC."""
    difference: Difference
    """The difference between its AUC and that of the first search, on the same segments."""
    efficiency: dict[float, Binned]
    """A mapping from false-alarm probability to the share of detected signals, in bins of signal-to-noise ratio."""


def detections(
    statistics: Mapping[str, Any],
    snr: Any,
    edges: Any = None,
    false_alarms: Sequence[float] = FALSE_ALARMS,
    seed: int = 0,
) -> dict[str, Detections]:
    """Computes AUCs and detection efficiencies at fixed false-alarm probabilities.

    A search reports a segment if its statistic reaches the threshold that a share of the noise segments, equal to the
    false-alarm probability, reaches.

    Args:
      statistics: mapping from the name of a search to (N,) finite numbers of any scale, larger for signals; the first
        search is the reference.
      snr: (N,) signal-to-noise ratio of the signal in each segment; 0 where there is none.
      edges: (B + 1,) edges of the bins of the efficiencies; None uses `bin_edges`.
      false_alarms: false-alarm probabilities of a noise segment.
      seed: seed of the intervals.

    Returns:
      A mapping from the name of a search to its figures of merit.

    Raises:
      InputError: statistics are not finite, do not fit the segments, or all segments are of one kind.

    >>> rng, snr = np.random.default_rng(0), np.repeat([0.0, 5.0], 500)
    >>> results = detections({"good": rng.normal(snr), "poor": rng.normal(snr / 5)}, snr, [4, 6])
    >>> results["good"].efficiency[0.01].rate > 0.9, results["poor"].difference.value < -0.1
    (array([ True]), True)
    """
    signal, results = np.asarray(snr) > 0, {}
    scores: dict[str, Scores] = {}
    for name, values in statistics.items():
        s = checked_scores(values)
        if s.shape != signal.shape:
            raise InputError(f"statistics: expected shape {signal.shape} of {name}, as snr, found {s.shape}")
        curve = roc_curve(s, signal)
        p = np.searchsorted(np.sort(s), s) / s.size  # a probability of the same order, which ties share
        scores[name] = Scores(np.stack([1 - p, p], axis=1), signal.astype(np.int64), None, ("noise", "signal"))
        merits = figures_of_merit(scores[name])
        interval = figure_intervals(scores[name], merits)["classes"]["signal"]["auc"]
        difference = compare_scores(next(iter(scores.values())), scores[name], seed=seed)["classes"]["signal"]["auc"]
        counts = signal.sum(), s.size - signal.sum()
        cuts = {rate: working_point(curve, *counts, mistag_rate=rate).threshold for rate in false_alarms}
        rates = {rate: rate_in_bins((s >= cut)[signal], np.asarray(snr)[signal], edges) for rate, cut in cuts.items()}
        auc = merits["classes"]["signal"]["auc"]
        results[name] = Detections(auc, Interval(*(interval or (np.nan, np.nan))), difference, rates)
    return results

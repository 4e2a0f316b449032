"""Searches for signals in noise: how many are found, beside a search that is known to be good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._inputs import checked_scores
from hepjax.evaluation.binned import Binned, rate_in_bins
from hepjax.evaluation.bootstrap import bootstrap_intervals
from hepjax.evaluation.comparison import Difference, compare
from hepjax.evaluation.intervals import Interval
from hepjax.evaluation.metrics import figures_of_merit
from hepjax.evaluation.roc import roc_curve
from hepjax.evaluation.working_points import working_point
from hepjax.types import Scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FALSE_ALARMS = (0.01, 0.001)
"""The false-alarm probabilities of a segment at which efficiencies are given."""


class Detections(NamedTuple):
    """What a search finds."""

    auc: float
    interval: Interval
    """Of the AUC, 68 %."""
    difference: Difference
    """What its AUC has more than that of the first search, on the same segments."""
    efficiency: dict[float, Binned]
    """False-alarm probability → the share of signals found, in bins of their signal-to-noise ratio."""


def detections(
    statistics: Mapping[str, Any],
    snr: Any,
    edges: Any = None,
    false_alarms: Sequence[float] = FALSE_ALARMS,
    seed: int = 0,
) -> dict[str, Detections]:
    """Detection efficiencies at fixed false-alarm probabilities, and AUCs.

    A search reports a segment where its statistic reaches the threshold that this share of the segments of noise does.

    Args:
      statistics: name of a search → (N,) finite numbers of any scale, larger for signals; the others are
        compared with the first.
      snr: (N,) signal-to-noise ratio of the signal in each segment; 0 where there is none.
      edges: (B + 1,) of the bins of the efficiencies; None is `bin_edges`.
      false_alarms: probabilities, of the segments of noise.
      seed: of the intervals.

    Returns:
      Name of a search → what it finds.

    Raises:
      InputError: for statistics that are not finite or not one for each segment, or segments of one kind only.

    >>> rng, snr = np.random.default_rng(0), np.repeat([0.0, 5.0], 500)
    >>> found = detections({"good": rng.normal(snr), "poor": rng.normal(snr / 5)}, snr, [4, 6])
    >>> found["good"].efficiency[0.01].rate > 0.9, found["poor"].difference.value < -0.1
    (array([ True]), True)
    """
    signal, found = np.asarray(snr) > 0, {}
    scores: dict[str, Scores] = {}
    for name, values in statistics.items():
        s = checked_scores(values)
        if s.shape != signal.shape:
            raise InputError(f"statistics: expected shape {signal.shape} of {name}, as snr, found {s.shape}")
        curve = roc_curve(s, signal)
        p = np.searchsorted(np.sort(s), s) / s.size  # a probability of the same order, which ties share
        scores[name] = Scores(np.stack([1 - p, p], axis=1), signal.astype(np.int64), None, ("noise", "signal"))
        merits = figures_of_merit(scores[name])
        interval = bootstrap_intervals(scores[name], merits, seed=seed)["classes"]["signal"]["auc"]
        difference = compare(next(iter(scores.values())), scores[name], seed=seed)["classes"]["signal"]["auc"]
        counts = signal.sum(), s.size - signal.sum()
        cuts = {rate: working_point(curve, *counts, mistag_rate=rate).threshold for rate in false_alarms}
        rates = {rate: rate_in_bins((s >= cut)[signal], np.asarray(snr)[signal], edges) for rate, cut in cuts.items()}
        auc = merits["classes"]["signal"]["auc"]
        found[name] = Detections(auc, Interval(*(interval or (np.nan, np.nan))), difference, rates)
    return found

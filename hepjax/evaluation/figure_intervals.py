"""Intervals of all figures of merit at 68 % confidence."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation._score_checks import CheckedScores, checked_class_scores
from hepjax.evaluation.curve_intervals import auc_interval, rate_interval, rejection_interval
from hepjax.evaluation.intervals import FEWEST, ONE_SIGMA, mean_interval, share_interval
from hepjax.evaluation.metrics import FALSE_POSITIVE_RATES, SIGNAL_EFFICIENCIES, cross_entropy_per_jet
from hepjax.evaluation.roc import pair_discriminant
from hepjax.evaluation.significance import improvement
from hepjax.evaluation.spectra import cuts_of, spectra

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepjax.types import Scores

    Ends = list[float] | None

_TAILS = ((1 - ONE_SIGMA) / 2, (1 + ONE_SIGMA) / 2)


def figure_intervals(scores: Scores, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Computes 68 % intervals of the figures of merit.

    They contain the truth in 68 % of repeated samples of test jets. Whether a figure has an interval depends on the
    numbers of jets alone, not on the outcome. The AUC has the interval of `auc_interval`, rejections and efficiencies
    those of `rate_interval`, the largest significance improvement that of `improvement`; the accuracy has Jeffreys'
    interval, the loss Student's.

    Args:
      scores: class probabilities, labels and weights.
      metrics: the result of `figures_of_merit` for these scores.

    Returns:
      A dictionary shaped like `metrics`, with `accuracy`, `loss`, `classes` and `pairwise_auc` only: [low, high], or
      None where there are fewer than ten effective jets of a class or of its background.

    Raises:
      InputError: scores are not class probabilities, or labels or weights do not fit them.

    >>> from hepjax.evaluation import figures_of_merit
    >>> from hepjax.types import Scores
    >>> p = np.repeat([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]], 20, axis=0)
    >>> jets = Scores(p, np.repeat([0, 1, 1], 20), None, ("q", "t"))
    >>> intervals = figure_intervals(jets, figures_of_merit(jets))
    >>> intervals["accuracy"][0] < 2 / 3 < intervals["accuracy"][1]
    True
    """
    checked = checked_class_scores(scores)
    counts = checked.effective
    right = np.argmax(checked.p, axis=1) == checked.labels
    enough = counts.sum() >= FEWEST
    return {
        "accuracy": _ends(share_interval(right, checked.weights)) if enough else None,
        "loss": _ends(mean_interval(cross_entropy_per_jet(checked), checked.weights)) if enough else None,
        "classes": {
            name: _of_class(checked, c, metrics["classes"][name], min(counts[c], counts.sum() - counts[c]))
            for c, name in enumerate(checked.classes)
        },
        "pairwise_auc": _of_pairs(checked, metrics["pairwise_auc"]),
    }


def _of_class(checked: CheckedScores, c: int, exact: Mapping[str, Any], count: float) -> dict[str, Ends]:
    intervals: dict[str, Ends] = dict.fromkeys(exact)
    jets = spectra(checked.p[:, c], checked.labels == c, checked.weights) if count >= FEWEST else None
    if jets is None:
        return intervals
    signal, background = cuts_of(jets)
    intervals["auc"] = _ends(auc_interval(signal, background, exact["auc"]))
    for rate in FALSE_POSITIVE_RATES:
        intervals[f"tpr_at_fpr_{rate:g}"] = rate_interval(signal, background, rate, _TAILS)
    for efficiency in SIGNAL_EFFICIENCIES:
        intervals[f"background_rejection_at_{efficiency:g}"] = _ends(rejection_interval(signal, background, efficiency))
    best = improvement(jets)
    intervals["max_significance_improvement"] = None if best is None else _ends(best.interval)
    return intervals


def _of_pairs(checked: CheckedScores, exact: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Ends]]:
    counts = checked.effective
    intervals: dict[str, dict[str, Ends]] = {a: {} for a in checked.classes}
    for (a, name), (b, other) in combinations(enumerate(checked.classes), 2):
        jets = spectra(*pair_discriminant(checked, a, b)) if min(counts[a], counts[b]) >= FEWEST else None
        ends = None if jets is None else _ends(auc_interval(*cuts_of(jets), exact[name][other]))
        intervals[name][other] = intervals[other][name] = ends
    return {
        name: {other: intervals[name][other] for other in checked.classes if other != name} for name in checked.classes
    }


def _ends(interval: Any) -> list[float]:
    return [float(end) for end in interval]

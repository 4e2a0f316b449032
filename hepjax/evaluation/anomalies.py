"""Figures of merit of anomaly scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError
from hepjax.evaluation.figure_intervals import figure_intervals
from hepjax.evaluation.metrics import figures_of_merit

if TYPE_CHECKING:
    from hepjax.types import Scores

KEYS = ("auc", "background_rejection_at_0.3", "background_rejection_at_0.5")
"""The figures of merit of an anomaly score."""


def anomaly_figures(scores: Scores) -> dict[str, dict[str, Any]]:
    """Computes the AUC and background rejections of an anomaly score with intervals, ready for `json.dump`.

    Args:
      scores: scores of two classes, background first and anomalies second, as `as_classifier_scores` returns them.

    Returns:
      "auc", "background_rejection_at_0.3" and "…_0.5": `value` and its 68 % `interval`, which is None for fewer
      than ten jets of either class. A rejection has a `bound` too, its lower bound at 95 % confidence, and no value
      where no background jet passes.

    Raises:
      InputError: the scores do not have two classes, a class has no jets, or the scores are not valid.

    >>> import numpy as np
    >>> from hepjax.types import Scores
    >>> p = np.linspace(0, 1, 101)
    >>> figures = anomaly_figures(Scores(np.stack([1 - p, p], 1), (p > 0.5).astype(int), None, ("background", "t")))
    >>> round(figures["auc"]["value"], 3), figures["background_rejection_at_0.5"]["value"] is None
    (1.0, True)
    """
    if len(scores.classes) != 2:
        raise InputError(f"scores: expected two classes, background and anomalies, found {', '.join(scores.classes)}")
    metrics, name = figures_of_merit(scores), scores.classes[1]
    figures, bounds = metrics["classes"][name], metrics["bounds"].get(name, {})
    if figures["auc"] is None:
        raise InputError(
            f"scores: expected background and anomalies, found no jet of one of {', '.join(scores.classes)}"
        )
    intervals = figure_intervals(scores, metrics)["classes"][name]
    return {
        key: {
            "value": None if figures[key] is None else float(figures[key]),
            "interval": None if intervals[key] is None else [*map(float, intervals[key])],
            **({"bound": float(bounds[key])} if key in bounds else {}),
        }
        for key in KEYS
    }

"""How well a score finds what nobody has told it of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError
from hepjax.evaluation.bootstrap import bootstrap_intervals
from hepjax.evaluation.metrics import figures_of_merit

if TYPE_CHECKING:
    from hepjax.types import Scores

KEYS = ("auc", "background_rejection_at_0.3", "background_rejection_at_0.5")
"""What is said of a score."""


def anomaly_figures(scores: Scores, *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """AUC and background rejections of an anomaly score with their intervals, ready for `json.dump`.

    Args:
      scores: of two classes, first the background's and then the anomalies', as `anomalies.told_from` has them.
      seed: of the bootstrap.

    Returns:
      "auc", "background_rejection_at_0.3" and "…_0.5": `value` and its 68 % `interval`. Where fewer than ten background
      jets pass both are None, and `bound` is what the rejection is above at 95 % confidence.

    Raises:
      InputError: there are not two classes, or jets of one of them are missing, or scores are not sound.

    >>> import numpy as np
    >>> from hepjax.types import Scores
    >>> p = np.linspace(0, 1, 101)
    >>> found = anomaly_figures(Scores(np.stack([1 - p, p], 1), (p > 0.5).astype(int), None, ("background", "t")))
    >>> round(found["auc"]["value"], 3), found["background_rejection_at_0.5"]["value"] is None
    (1.0, True)
    """
    if len(scores.classes) != 2:
        raise InputError(f"scores: expected two classes, background and anomalies, found {', '.join(scores.classes)}")
    metrics, name = figures_of_merit(scores), scores.classes[1]
    found, bounds = metrics["classes"][name], metrics["bounds"].get(name, {})
    if found["auc"] is None:
        raise InputError(
            f"scores: expected background and anomalies, found no jet of one of {', '.join(scores.classes)}"
        )
    intervals = bootstrap_intervals(scores, metrics, seed=seed)["classes"][name]
    return {
        key: {
            "value": None if found[key] is None else float(found[key]),
            "interval": None if intervals[key] is None else [*map(float, intervals[key])],
            **({"bound": float(bounds[key])} if key in bounds else {}),
        }
        for key in KEYS
    }

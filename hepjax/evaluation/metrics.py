"""All figures of merit of one set of scores, as the plain dictionary that becomes `metrics.json`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation._inputs import checked
from hepjax.evaluation.confusion import accuracy, confusion_matrix
from hepjax.evaluation.roc import auc, background_rejection, class_curves, pairwise_auc, tpr_at_fpr

if TYPE_CHECKING:
    from hepjax.evaluation.roc import RocCurve
    from hepjax.types import Scores

FALSE_POSITIVE_RATES = (0.1, 0.01)
"""Where the true-positive rate is read (arXiv:1908.05318, table 3)."""

SIGNAL_EFFICIENCIES = (0.3, 0.5, 0.8)
"""Where the background rejection is read."""

_SMALLEST = float(np.finfo(np.float32).tiny)


def figures_of_merit(scores: Scores) -> dict[str, Any]:
    """Every figure of merit, ready for `json.dump`: no NaN and no infinity in it.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      A dictionary:

      - accuracy, loss: weighted, see `cross_entropy`;
      - classes: class to `auc`, `tpr_at_fpr_0.1`, `tpr_at_fpr_0.01`, `background_rejection_at_0.3`, `…_0.5`, `…_0.8`,
        each of this class against all others. All are None where the class, or all others, have no jets. A rejection
        alone is None where no background is left (1/0);
      - pairwise_auc: class a to class b to the AUC of p_a / (p_a + p_b), None without jets of both;
      - confusion: weighted counts, [true][predicted];
      - jets: class to the number of its jets, not weighted.

    Raises:
      InputError: for scores that are not class probabilities, or labels or weights that do not fit them.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> found = figures_of_merit(Scores(p, np.array([0, 1]), np.ones(2), ("q", "t")))
    >>> found["accuracy"], found["classes"]["q"]["auc"], found["classes"]["q"]["background_rejection_at_0.5"]
    (1.0, 1.0, None)
    """
    _, labels, _, classes = checked(scores)
    confusion = confusion_matrix(scores)
    counts = np.bincount(labels, minlength=len(classes))
    return {
        "accuracy": accuracy(confusion),
        "loss": cross_entropy(scores),
        "classes": {name: _of_curve(curve) for name, curve in class_curves(scores).items()},
        "pairwise_auc": _nested(pairwise_auc(scores), classes),
        "confusion": confusion.tolist(),
        "jets": dict(zip(classes, counts.tolist(), strict=True)),
    }


def cross_entropy(scores: Scores) -> float:
    """The weighted mean of -log(probability of the true class).

    Probabilities are raised to at least the smallest normal float32 (1.2e-38), so that a probability that underflowed
    to 0 costs 87.3 and not infinity.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      The mean categorical cross-entropy in nats.

    Raises:
      InputError: for scores that are not class probabilities, or labels or weights that do not fit them.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.5, 0.5], [0.5, 0.5]])
    >>> round(cross_entropy(Scores(p, np.array([0, 1]), np.ones(2), ("q", "t"))), 6)
    0.693147
    """
    p, labels, weights, _ = checked(scores)
    of_truth = np.take_along_axis(p, labels[:, None], axis=1)[:, 0]
    # Without the upper bound, a softmax that rounds to above 1 would give a negative loss.
    costs = 0.0 - np.log(np.clip(of_truth, _SMALLEST, 1.0))
    return float(np.average(costs, weights=weights))


def _of_curve(curve: RocCurve | None) -> dict[str, float | None]:
    found: dict[str, float | None] = {"auc": None if curve is None else auc(curve)}
    for rate in FALSE_POSITIVE_RATES:
        found[f"tpr_at_fpr_{rate:g}"] = None if curve is None else tpr_at_fpr(curve, rate)
    for efficiency in SIGNAL_EFFICIENCIES:
        rejection = math.inf if curve is None else background_rejection(curve, efficiency)
        found[f"background_rejection_at_{efficiency:g}"] = rejection if math.isfinite(rejection) else None
    return found


def _nested(matrix: Any, classes: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    return {
        a: {b: None if np.isnan(matrix[i, j]) else float(matrix[i, j]) for j, b in enumerate(classes) if i != j}
        for i, a in enumerate(classes)
    }

"""Figures of merit of class scores, as the dictionary that `metrics.json` holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation._inputs import CheckedScores, checked_class_scores
from hepjax.evaluation.confusion import accuracy, confusion_matrix
from hepjax.evaluation.intervals import FEWEST, rejection_bound
from hepjax.evaluation.roc import auc, curve_of_class, fpr_at_tpr, pairwise_auc, tpr_at_fpr
from hepjax.evaluation.significance import max_significance_improvement
from hepjax.evaluation.working_points import working_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.evaluation.roc import RocCurve
    from hepjax.types import Scores

FALSE_POSITIVE_RATES = (0.1, 0.01)
"""The false-positive rates at which the true-positive rate is computed (arXiv:1908.05318, table 3)."""

SIGNAL_EFFICIENCIES = (0.3, 0.5, 0.8)
"""The signal efficiencies at which the background rejection is computed."""

_SMALLEST = float(np.finfo(np.float32).tiny)


def figures_of_merit(scores: Scores) -> dict[str, Any]:
    """Computes every figure of merit, ready for `json.dump`, without NaN or infinity.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      A dictionary:

      - accuracy, loss: weighted, see `cross_entropy`;
      - classes: class to `auc`, `tpr_at_fpr_0.1`, `tpr_at_fpr_0.01`, `background_rejection_at_0.3`, `…_0.5`, `…_0.8`,
        `max_significance_improvement` and its signal efficiency, `max_significance_improvement_at`, each of this class
        against all others. All are None where the class, or all others, have no jets. A rejection or a significance
        improvement is None where fewer than ten effective background jets pass;
      - bounds: class to key of a missing rejection to its lower bound at 95 % confidence;
      - working_points: class to thresholds, see `working_points`;
      - pairwise_auc: class a to class b to the AUC of p_a / (p_a + p_b), None without jets of both;
      - confusion: weighted counts, [true][predicted];
      - jets: class to the unweighted number of its jets;
      - effective_jets: class to the effective number of its jets, (Σw)²/Σw².

    Raises:
      InputError: scores are not class probabilities, or labels or weights do not fit them.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> metrics = figures_of_merit(Scores(p, np.array([0, 1]), np.ones(2), ("q", "t")))
    >>> metrics["accuracy"], metrics["classes"]["q"]["auc"], metrics["classes"]["q"]["background_rejection_at_0.5"]
    (1.0, 1.0, None)
    """
    checked = checked_class_scores(scores)
    classes, effective = checked.classes, checked.effective
    confusion = confusion_matrix(scores)
    figures, bounds, points = {}, {}, {}
    for c, name in enumerate(classes):  # one curve at a time: those of ten million jets would not fit side by side
        curve, background = curve_of_class(checked, c), effective.sum() - effective[c]
        figures[name], bounds[name] = _figures_of_curve(curve, background)
        points[name] = working_points(curve, effective[c], background)
    return {
        "accuracy": accuracy(confusion),
        "loss": cross_entropy(scores),
        "classes": figures,
        "bounds": {name: bounds_of_class for name, bounds_of_class in bounds.items() if bounds_of_class},
        "working_points": points,
        "pairwise_auc": _nested(pairwise_auc(scores), classes),
        "confusion": confusion.tolist(),
        "jets": dict(zip(classes, np.bincount(checked.labels, minlength=len(classes)).tolist(), strict=True)),
        "effective_jets": dict(zip(classes, effective.tolist(), strict=True)),
    }


def cross_entropy(scores: Scores) -> float:
    """Computes the weighted mean of -log(probability of the true class).

    Probabilities are at least the smallest normal float32 (1.2e-38), so that a probability that underflowed to 0 adds
    87.3 and not infinity.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      The mean categorical cross-entropy in nats.

    Raises:
      InputError: scores are not class probabilities, or labels or weights do not fit them.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.5, 0.5], [0.5, 0.5]])
    >>> round(cross_entropy(Scores(p, np.array([0, 1]), np.ones(2), ("q", "t"))), 6)
    0.693147
    """
    checked = checked_class_scores(scores)
    return float(np.average(losses_per_jet(checked), weights=checked.weights))


def losses_per_jet(checked: CheckedScores) -> NDArray[np.float64]:
    """Returns (N,) contributions of the jets to the cross-entropy."""
    of_truth = np.take_along_axis(checked.p, checked.labels[:, None], axis=1)[:, 0].astype(np.float64)
    # Without the upper bound, a softmax that rounds to above 1 would give a negative loss.
    return 0.0 - np.log(np.clip(of_truth, _SMALLEST, 1.0))


def _figures_of_curve(curve: RocCurve | None, background: float) -> tuple[dict[str, float | None], dict[str, float]]:
    """Returns figures of merit of a class from its curve, and bounds on those with too few background jets."""
    figures: dict[str, float | None] = {"auc": None if curve is None else auc(curve)}
    bounds = {}
    for rate in FALSE_POSITIVE_RATES:
        figures[f"tpr_at_fpr_{rate:g}"] = None if curve is None else tpr_at_fpr(curve, rate)
    for efficiency in SIGNAL_EFFICIENCIES:
        key = f"background_rejection_at_{efficiency:g}"
        passing = 0.0 if curve is None else background * fpr_at_tpr(curve, efficiency)
        enough = passing >= FEWEST * (1 - 1e-9)
        figures[key] = background / passing if enough else None
        if curve is not None and not enough:
            bounds[key] = rejection_bound(passing, background)
    best = None if curve is None else max_significance_improvement(curve, background)
    figures["max_significance_improvement"], figures["max_significance_improvement_at"] = best or (None, None)
    return figures, bounds


def _nested(matrix: Any, classes: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    return {
        a: {b: None if np.isnan(matrix[i, j]) else float(matrix[i, j]) for j, b in enumerate(classes) if i != j}
        for i, a in enumerate(classes)
    }

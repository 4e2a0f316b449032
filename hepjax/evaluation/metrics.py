"""Figures of merit of class scores, as the dictionary that `metrics.json` holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation._score_checks import CheckedScores, checked_class_scores
from hepjax.evaluation.confusion import accuracy, confusion_matrix
from hepjax.evaluation.curve_intervals import rejection_limit
from hepjax.evaluation.roc import auc, fpr_at_tpr, pairwise_auc, roc_curve_of_class, tpr_at_fpr
from hepjax.evaluation.significance import improvement
from hepjax.evaluation.spectra import cuts_of, spectra
from hepjax.evaluation.working_points import working_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.evaluation.roc import RocCurve
    from hepjax.evaluation.spectra import Spectra
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
        against all others. All are None where the class, or all others, have no jets. A rejection is None where no
        background jet passes, and so is the significance improvement, from which the bias of a maximum is removed (see
        `improvement`), for fewer than ten effective jets of the class or of all others;
      - bounds: class to key of a rejection to its lower bound at 95 % confidence. There is one for each rejection,
        however many jets pass: bounds that are only given when few pass do not hold as often as they say;
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
        curve = roc_curve_of_class(checked, c)
        jets = None if curve is None else spectra(checked.p[:, c], checked.labels == c, checked.weights, curve)
        figures[name], bounds[name] = _figures_of_roc_curve(curve, jets)
        points[name] = [] if curve is None or jets is None else working_points(curve, *cuts_of(jets))
    return {
        "accuracy": accuracy(confusion),
        "loss": cross_entropy(scores),
        "classes": figures,
        "bounds": {name: bounds_of_class for name, bounds_of_class in bounds.items() if bounds_of_class},
        "working_points": points,
        "pairwise_auc": _nested_metrics(pairwise_auc(scores), classes),
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
    return float(np.average(cross_entropy_per_jet(checked), weights=checked.weights))


def cross_entropy_per_jet(checked: CheckedScores) -> NDArray[np.float64]:
    """Returns (N,) contributions of the jets to the cross-entropy."""
    of_truth = np.take_along_axis(checked.p, checked.labels[:, None], axis=1)[:, 0].astype(np.float64)
    # Without the upper bound, a softmax that rounds to above 1 would give a negative loss.
    return 0.0 - np.log(np.clip(of_truth, _SMALLEST, 1.0))


def _figures_of_roc_curve(
    curve: RocCurve | None, jets: Spectra | None
) -> tuple[dict[str, float | None], dict[str, float]]:
    """Returns figures of merit of a class from its curve, and bounds on its rejections."""
    figures: dict[str, float | None] = {"auc": None if curve is None else auc(curve)}
    for rate in FALSE_POSITIVE_RATES:
        figures[f"tpr_at_fpr_{rate:g}"] = None if curve is None else tpr_at_fpr(curve, rate)
    rejections = {efficiency: f"background_rejection_at_{efficiency:g}" for efficiency in SIGNAL_EFFICIENCIES}
    for efficiency, key in rejections.items():
        mistag_rate = 0.0 if curve is None else fpr_at_tpr(curve, efficiency)
        figures[key] = 1 / mistag_rate if mistag_rate > 0 else None
    best = None if jets is None else improvement(jets)
    figures["max_significance_improvement"] = None if best is None else best.value
    figures["max_significance_improvement_at"] = None if best is None else best.efficiency
    if jets is None:
        return figures, {}
    signal, background = cuts_of(jets)
    return figures, {key: rejection_limit(signal, background, efficiency) for efficiency, key in rejections.items()}


def _nested_metrics(matrix: Any, classes: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    return {
        a: {b: None if np.isnan(matrix[i, j]) else float(matrix[i, j]) for j, b in enumerate(classes) if i != j}
        for i, a in enumerate(classes)
    }

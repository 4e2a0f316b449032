"""All figures of merit of one set of scores, as the plain dictionary that becomes `metrics.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation._inputs import Checked, checked
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
        `max_significance_improvement` and the signal efficiency where it is, `max_significance_improvement_at`, each of
        this class against all others. All are None where the class, or all others, have no jets. A rejection alone is
        None where fewer than ten background jets pass, effectively, and so is a significance improvement;
      - bounds: class to key of such a rejection to its lower bound at 95 % confidence;
      - working_points: class to thresholds, see `working_points`;
      - pairwise_auc: class a to class b to the AUC of p_a / (p_a + p_b), None without jets of both;
      - confusion: weighted counts, [true][predicted];
      - jets: class to the number of its jets, not weighted;
      - effective_jets: the same of weighted jets, (Σw)²/Σw².

    Raises:
      InputError: for scores that are not class probabilities, or labels or weights that do not fit them.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> found = figures_of_merit(Scores(p, np.array([0, 1]), np.ones(2), ("q", "t")))
    >>> found["accuracy"], found["classes"]["q"]["auc"], found["classes"]["q"]["background_rejection_at_0.5"]
    (1.0, 1.0, None)
    """
    found = checked(scores)
    classes, effective = found.classes, found.effective
    confusion = confusion_matrix(scores)
    read, bounds, points = {}, {}, {}
    for c, name in enumerate(classes):  # one curve at a time: those of ten million jets would not fit side by side
        curve, background = curve_of_class(found, c), effective.sum() - effective[c]
        read[name], bounds[name] = _of_curve(curve, background)
        points[name] = working_points(curve, effective[c], background)
    return {
        "accuracy": accuracy(confusion),
        "loss": cross_entropy(scores),
        "classes": read,
        "bounds": {name: some for name, some in bounds.items() if some},
        "working_points": points,
        "pairwise_auc": _nested(pairwise_auc(scores), classes),
        "confusion": confusion.tolist(),
        "jets": dict(zip(classes, np.bincount(found.labels, minlength=len(classes)).tolist(), strict=True)),
        "effective_jets": dict(zip(classes, effective.tolist(), strict=True)),
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
    found = checked(scores)
    return float(np.average(costs(found), weights=found.weights))


def costs(found: Checked) -> NDArray[np.float64]:
    """(N,) what each jet adds to the cross-entropy."""
    of_truth = np.take_along_axis(found.p, found.labels[:, None], axis=1)[:, 0].astype(np.float64)
    # Without the upper bound, a softmax that rounds to above 1 would give a negative loss.
    return 0.0 - np.log(np.clip(of_truth, _SMALLEST, 1.0))


def _of_curve(curve: RocCurve | None, background: float) -> tuple[dict[str, float | None], dict[str, float]]:
    """What is read off a class's curve against so many background jets; and bounds of what would rest on too few."""
    found: dict[str, float | None] = {"auc": None if curve is None else auc(curve)}
    bounds = {}
    for rate in FALSE_POSITIVE_RATES:
        found[f"tpr_at_fpr_{rate:g}"] = None if curve is None else tpr_at_fpr(curve, rate)
    for efficiency in SIGNAL_EFFICIENCIES:
        key = f"background_rejection_at_{efficiency:g}"
        passing = 0.0 if curve is None else background * fpr_at_tpr(curve, efficiency)
        enough = passing >= FEWEST * (1 - 1e-9)
        found[key] = background / passing if enough else None
        if curve is not None and not enough:
            bounds[key] = rejection_bound(passing, background)
    best = None if curve is None else max_significance_improvement(curve, background)
    found["max_significance_improvement"], found["max_significance_improvement_at"] = best or (None, None)
    return found, bounds


def _nested(matrix: Any, classes: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    return {
        a: {b: None if np.isnan(matrix[i, j]) else float(matrix[i, j]) for j, b in enumerate(classes) if i != j}
        for i, a in enumerate(classes)
    }

"""Scores to figures of merit: ROC curves, confusion, the numbers of `metrics.json`, and a verdict on the training.

NumPy in float64; no jax.
"""

from hepjax.evaluation.confusion import accuracy, confusion_matrix, row_normalised
from hepjax.evaluation.diagnosis import Fit, Verdict, best_epoch, verdict
from hepjax.evaluation.metrics import cross_entropy, figures_of_merit
from hepjax.evaluation.roc import (
    RocCurve,
    auc,
    background_rejection,
    class_curves,
    fpr_at_tpr,
    pairwise_auc,
    roc_curve,
    tpr_at_fpr,
)
from hepjax.evaluation.spread import mean_and_spread

__all__ = [
    "Fit",
    "RocCurve",
    "Verdict",
    "accuracy",
    "auc",
    "background_rejection",
    "best_epoch",
    "class_curves",
    "confusion_matrix",
    "cross_entropy",
    "figures_of_merit",
    "fpr_at_tpr",
    "mean_and_spread",
    "pairwise_auc",
    "roc_curve",
    "row_normalised",
    "tpr_at_fpr",
    "verdict",
]

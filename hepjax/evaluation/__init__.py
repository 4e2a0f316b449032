"""Scores to figures of merit: ROC curves, confusion, the numbers of `metrics.json`, and a verdict on the training.

NumPy in float64; no jax.
"""

from hepjax.evaluation.bootstrap import bootstrap_intervals
from hepjax.evaluation.calibration import apply_temperature
from hepjax.evaluation.comparison import Difference, compare
from hepjax.evaluation.confusion import accuracy, confusion_matrix, row_normalised
from hepjax.evaluation.diagnosis import Fit, Verdict, best_epoch, verdict
from hepjax.evaluation.ensembles import bias_and_variance
from hepjax.evaluation.measure import calibration_figures, measure, remarks
from hepjax.evaluation.metrics import cross_entropy, figures_of_merit
from hepjax.evaluation.roc import (
    RocCurve,
    auc,
    background_rejection,
    class_curve,
    class_curves,
    fpr_at_tpr,
    pairwise_auc,
    roc_curve,
    thinned,
    tpr_at_fpr,
)
from hepjax.evaluation.spread import fold_intervals, mean_and_spread

__all__ = [
    "Difference",
    "Fit",
    "RocCurve",
    "Verdict",
    "accuracy",
    "apply_temperature",
    "auc",
    "background_rejection",
    "best_epoch",
    "bias_and_variance",
    "bootstrap_intervals",
    "calibration_figures",
    "class_curve",
    "class_curves",
    "compare",
    "confusion_matrix",
    "cross_entropy",
    "figures_of_merit",
    "fold_intervals",
    "fpr_at_tpr",
    "mean_and_spread",
    "measure",
    "pairwise_auc",
    "remarks",
    "roc_curve",
    "row_normalised",
    "thinned",
    "tpr_at_fpr",
    "verdict",
]

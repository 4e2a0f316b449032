"""Scores to figures of merit: ROC curves, intervals, working points, calibration, comparisons, a verdict on the fit.

NumPy in float64; no jax.
"""

from hepjax.evaluation.binned import (
    Binned,
    Sculpting,
    bin_edges,
    class_rates_in_bins,
    jensen_shannon,
    rate_in_bins,
    sculpting,
)
from hepjax.evaluation.bootstrap import bootstrap_intervals
from hepjax.evaluation.calibration import (
    Reliability,
    apply_temperature,
    brier_score,
    calibration_noise,
    expected_calibration_error,
    fit_temperature,
    maximum_calibration_error,
    reliability,
    scaled,
)
from hepjax.evaluation.comparison import Difference, compare
from hepjax.evaluation.confusion import accuracy, confusion_matrix, row_normalised
from hepjax.evaluation.diagnosis import Fit, Verdict, best_epoch, verdict
from hepjax.evaluation.discriminants import discriminant, discriminant_curve, fractions
from hepjax.evaluation.ensembles import bias_and_variance
from hepjax.evaluation.intervals import (
    FEWEST,
    Interval,
    binomial_interval,
    effective_count,
    effective_trials,
    poisson_upper,
    rejection_bound,
)
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
from hepjax.evaluation.significance import Improvement, max_significance_improvement, significance_improvement
from hepjax.evaluation.spread import fold_intervals, mean_and_spread
from hepjax.evaluation.working_points import WorkingPoint, selection, working_point, working_points

__all__ = [
    "FEWEST",
    "Binned",
    "Difference",
    "Fit",
    "Improvement",
    "Interval",
    "Reliability",
    "RocCurve",
    "Sculpting",
    "Verdict",
    "WorkingPoint",
    "accuracy",
    "apply_temperature",
    "auc",
    "background_rejection",
    "best_epoch",
    "bias_and_variance",
    "bin_edges",
    "binomial_interval",
    "bootstrap_intervals",
    "brier_score",
    "calibration_figures",
    "calibration_noise",
    "class_curve",
    "class_curves",
    "class_rates_in_bins",
    "compare",
    "confusion_matrix",
    "cross_entropy",
    "discriminant",
    "discriminant_curve",
    "effective_count",
    "effective_trials",
    "expected_calibration_error",
    "figures_of_merit",
    "fit_temperature",
    "fold_intervals",
    "fpr_at_tpr",
    "fractions",
    "jensen_shannon",
    "max_significance_improvement",
    "maximum_calibration_error",
    "mean_and_spread",
    "measure",
    "pairwise_auc",
    "poisson_upper",
    "rate_in_bins",
    "rejection_bound",
    "reliability",
    "remarks",
    "roc_curve",
    "row_normalised",
    "scaled",
    "sculpting",
    "selection",
    "significance_improvement",
    "thinned",
    "tpr_at_fpr",
    "verdict",
    "working_point",
    "working_points",
]

"""Scores to figures of merit: ROC curves, intervals, working points, calibration, comparisons, a verdict on the fit.

NumPy in float64; no jax.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.evaluation.anomalies import anomaly_figures
from hepjax.evaluation.binned import (
    Binned,
    Sculpting,
    bin_edges,
    class_rates_in_bins,
    jensen_shannon,
    rate_in_bins,
    sculpting,
)
from hepjax.evaluation.calibration import (
    Reliability,
    apply_temperature,
    brier_score,
    calibration_noise,
    expected_calibration_error,
    fit_temperature,
    maximum_calibration_error,
    reliability,
    scale_scores,
)
from hepjax.evaluation.classification import calibration_figures, measure, remarks
from hepjax.evaluation.clusters import adjusted_rand_index, cluster_figures, cluster_table, purity
from hepjax.evaluation.comparison import Difference, compare_scores, mean_difference, two_sided
from hepjax.evaluation.confusion import accuracy, confusion_matrix, normalize_rows
from hepjax.evaluation.decorrelation import TradeOff, ranks_in_bins, trade_off
from hepjax.evaluation.detections import Detections, detections
from hepjax.evaluation.diagnosis import Fit, Verdict, add_doubts, best_epoch, verdict
from hepjax.evaluation.discriminants import class_fractions, discriminant, discriminant_curve
from hepjax.evaluation.distances import (
    Distance,
    FloorComparison,
    compare_each_to_floor,
    compare_to_floor,
    distances_by_class,
    wasserstein,
    wasserstein_distance,
    wasserstein_floor,
)
from hepjax.evaluation.ensembles import bias_and_variance
from hepjax.evaluation.figure_intervals import figure_intervals
from hepjax.evaluation.intervals import (
    FEWEST,
    Interval,
    binomial_interval,
    effective_count,
    effective_trials,
    mean_interval,
    poisson_upper,
    rejection_bound,
    share_interval,
)
from hepjax.evaluation.metrics import cross_entropy, figures_of_merit
from hepjax.evaluation.peaks import Peak, bootstrap_peaks, peak, peak_figures
from hepjax.evaluation.regression import (
    Estimates,
    compare_regressions,
    regression_figures,
    squared_error_parts,
)
from hepjax.evaluation.residuals import (
    BiasAndResolution,
    InBins,
    bias_and_resolution,
    bias_and_resolution_in_bins,
    relative_residuals,
)
from hepjax.evaluation.roc import (
    RocCurve,
    auc,
    background_rejection,
    class_curve,
    class_curves,
    fpr_at_tpr,
    pairwise_auc,
    roc_curve,
    thin_curve,
    tpr_at_fpr,
)
from hepjax.evaluation.significance import Improvement, max_significance_improvement, significance_improvement
from hepjax.evaluation.training_averages import fold_intervals, mean_and_spread
from hepjax.evaluation.working_points import WorkingPoint, selection, working_point, working_points
from hepjax.registry import submodule

__all__ = [
    "FEWEST",
    "BiasAndResolution",
    "Binned",
    "Detections",
    "Difference",
    "Distance",
    "Estimates",
    "Fit",
    "FloorComparison",
    "Improvement",
    "InBins",
    "Interval",
    "Peak",
    "Reliability",
    "RocCurve",
    "Sculpting",
    "TradeOff",
    "Verdict",
    "WorkingPoint",
    "accuracy",
    "add_doubts",
    "adjusted_rand_index",
    "anomaly_figures",
    "apply_temperature",
    "auc",
    "background_rejection",
    "best_epoch",
    "bias_and_resolution",
    "bias_and_resolution_in_bins",
    "bias_and_variance",
    "bin_edges",
    "binomial_interval",
    "bootstrap_peaks",
    "brier_score",
    "calibration_figures",
    "calibration_noise",
    "class_curve",
    "class_curves",
    "class_fractions",
    "class_rates_in_bins",
    "cluster_figures",
    "cluster_table",
    "compare_each_to_floor",
    "compare_regressions",
    "compare_scores",
    "compare_to_floor",
    "confusion_matrix",
    "cross_entropy",
    "detections",
    "discriminant",
    "discriminant_curve",
    "distances_by_class",
    "effective_count",
    "effective_trials",
    "expected_calibration_error",
    "figure_intervals",
    "figures_of_merit",
    "fit_temperature",
    "fold_intervals",
    "fpr_at_tpr",
    "jensen_shannon",
    "max_significance_improvement",
    "maximum_calibration_error",
    "mean_and_spread",
    "mean_difference",
    "mean_interval",
    "measure",
    "normalize_rows",
    "pairwise_auc",
    "peak",
    "peak_figures",
    "poisson_upper",
    "purity",
    "ranks_in_bins",
    "rate_in_bins",
    "regression_figures",
    "rejection_bound",
    "relative_residuals",
    "reliability",
    "remarks",
    "roc_curve",
    "scale_scores",
    "sculpting",
    "selection",
    "share_interval",
    "significance_improvement",
    "squared_error_parts",
    "thin_curve",
    "tpr_at_fpr",
    "trade_off",
    "two_sided",
    "verdict",
    "wasserstein",
    "wasserstein_distance",
    "wasserstein_floor",
    "working_point",
    "working_points",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)

"""Pictures, tables and pages of figures of merit. matplotlib loads with the first picture, not with this package."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule
from hepjax.report.anomalies import (
    anomaly_figures_table,
    anomaly_roc_figure,
    anomaly_score_figure,
    anomaly_spectra_figure,
    anomaly_table,
    anomaly_tables,
    contamination_figure,
)
from hepjax.report.binned import rates_figure, sculpting_figure
from hepjax.report.card import model_card, weights_sections
from hepjax.report.clouds import cloud_spectra_figure
from hepjax.report.clusters import plane_figure
from hepjax.report.comparison import (
    anomaly_comparison_table,
    comparison_numbers,
    comparison_table,
    generation_comparison_table,
    learning_curve_figure,
)
from hepjax.report.decorrelation import trade_off_figure
from hepjax.report.explanations import correlation_figure, importance_figure, relevance_figure, saliency_figure
from hepjax.report.figures import confusion_figure, history_figure, roc_figure, save, scores_figure
from hepjax.report.generation import distances_figure, distances_table, generated_table, generation_table
from hepjax.report.graphs import graph_figure
from hepjax.report.grooming import dropped_figure, groomed_masses_figure, peaks_table
from hepjax.report.jets import features_figure, image_figure, sequence_figure
from hepjax.report.labels import class_label, column_label
from hepjax.report.live import training_bar
from hepjax.report.number_text import overlap_text, trained_on_sentence
from hepjax.report.page import Section, page
from hepjax.report.page_tables import Table
from hepjax.report.performance import discriminant_figure, rejection_figure, reliability_figure, significance_figure
from hepjax.report.regression import (
    coverage_figure,
    predicted_against_true_figure,
    pulls_figure,
    regression_comparison_table,
    regression_curve_figure,
    regression_table,
    residuals_in_bins_figure,
    response_figure,
)
from hepjax.report.rendering import Picture
from hepjax.report.style import new_figure, png, style
from hepjax.report.summary import Summary, figures_table
from hepjax.report.tables import (
    bench_table,
    cost_line,
    epoch_line,
    members_line,
    metrics_table,
    run_table,
    summary_tables,
)
from hepjax.report.taggers import taggers_figure
from hepjax.report.transients import detections_table, efficiency_figure, segment_figure

__all__ = [
    "Picture",
    "Section",
    "Summary",
    "Table",
    "anomaly_comparison_table",
    "anomaly_figures_table",
    "anomaly_roc_figure",
    "anomaly_score_figure",
    "anomaly_spectra_figure",
    "anomaly_table",
    "anomaly_tables",
    "bench_table",
    "class_label",
    "cloud_spectra_figure",
    "column_label",
    "comparison_numbers",
    "comparison_table",
    "confusion_figure",
    "contamination_figure",
    "correlation_figure",
    "cost_line",
    "coverage_figure",
    "detections_table",
    "discriminant_figure",
    "distances_figure",
    "distances_table",
    "dropped_figure",
    "efficiency_figure",
    "epoch_line",
    "features_figure",
    "figures_table",
    "generated_table",
    "generation_comparison_table",
    "generation_table",
    "graph_figure",
    "groomed_masses_figure",
    "history_figure",
    "image_figure",
    "importance_figure",
    "learning_curve_figure",
    "members_line",
    "metrics_table",
    "model_card",
    "new_figure",
    "overlap_text",
    "page",
    "peaks_table",
    "plane_figure",
    "png",
    "predicted_against_true_figure",
    "pulls_figure",
    "rates_figure",
    "regression_comparison_table",
    "regression_curve_figure",
    "regression_table",
    "rejection_figure",
    "relevance_figure",
    "reliability_figure",
    "residuals_in_bins_figure",
    "response_figure",
    "roc_figure",
    "run_table",
    "saliency_figure",
    "save",
    "scores_figure",
    "sculpting_figure",
    "segment_figure",
    "sequence_figure",
    "significance_figure",
    "style",
    "summary_tables",
    "taggers_figure",
    "trade_off_figure",
    "trained_on_sentence",
    "training_bar",
    "weights_sections",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)

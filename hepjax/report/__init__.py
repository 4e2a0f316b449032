"""Figures of merit to pictures and tables. matplotlib loads with the first picture, not with this package."""

from hepjax.report.binned import rates_figure, sculpting_figure
from hepjax.report.card import model_card
from hepjax.report.comparison import comparison_numbers, comparison_table, learning_curve_figure
from hepjax.report.explanations import correlation_figure, importance_figure, relevance_figure, saliency_figure
from hepjax.report.figures import confusion_figure, history_figure, png, roc_figure, save, scores_figure
from hepjax.report.graphs import graph_figure
from hepjax.report.jets import features_figure, image_figure, sequence_figure
from hepjax.report.names import axis_label, drawn
from hepjax.report.page import Picture, Section, page
from hepjax.report.page_markup import Table
from hepjax.report.performance import discriminant_figure, rejection_figure, reliability_figure, significance_figure
from hepjax.report.style import new_figure, style
from hepjax.report.tables import (
    bench_table,
    cost_line,
    epoch_line,
    members_line,
    metrics_table,
    run_table,
    summary_tables,
)

__all__ = [
    "Picture",
    "Section",
    "Table",
    "axis_label",
    "bench_table",
    "comparison_numbers",
    "comparison_table",
    "confusion_figure",
    "correlation_figure",
    "cost_line",
    "discriminant_figure",
    "drawn",
    "epoch_line",
    "features_figure",
    "graph_figure",
    "history_figure",
    "image_figure",
    "importance_figure",
    "learning_curve_figure",
    "members_line",
    "metrics_table",
    "model_card",
    "new_figure",
    "page",
    "png",
    "rates_figure",
    "rejection_figure",
    "relevance_figure",
    "reliability_figure",
    "roc_figure",
    "run_table",
    "saliency_figure",
    "save",
    "scores_figure",
    "sculpting_figure",
    "sequence_figure",
    "significance_figure",
    "style",
    "summary_tables",
]

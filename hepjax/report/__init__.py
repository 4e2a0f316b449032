"""Figures of merit to pictures and tables. matplotlib loads with the first picture, not with this package."""

from hepjax.report.comparison import comparison_numbers, comparison_table, learning_curve_figure
from hepjax.report.figures import confusion_figure, history_figure, png, roc_figure, save, scores_figure
from hepjax.report.graphs import graph_figure
from hepjax.report.jets import features_figure, image_figure, sequence_figure
from hepjax.report.names import axis_label, drawn
from hepjax.report.page import Picture, Section, page
from hepjax.report.page_markup import Table
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
    "cost_line",
    "drawn",
    "epoch_line",
    "features_figure",
    "graph_figure",
    "history_figure",
    "image_figure",
    "learning_curve_figure",
    "members_line",
    "metrics_table",
    "new_figure",
    "page",
    "png",
    "roc_figure",
    "run_table",
    "save",
    "scores_figure",
    "sequence_figure",
    "style",
    "summary_tables",
]

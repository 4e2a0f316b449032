"""Figures of merit to pictures and tables. matplotlib loads with the first picture, not with this package."""

from hepjax.report.figures import confusion_figure, history_figure, roc_figure, save, scores_figure
from hepjax.report.graphs import graph_figure
from hepjax.report.jets import features_figure, image_figure, sequence_figure
from hepjax.report.names import axis_label, drawn
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
    "axis_label",
    "bench_table",
    "confusion_figure",
    "cost_line",
    "drawn",
    "epoch_line",
    "features_figure",
    "graph_figure",
    "history_figure",
    "image_figure",
    "members_line",
    "metrics_table",
    "new_figure",
    "roc_figure",
    "run_table",
    "save",
    "scores_figure",
    "sequence_figure",
    "style",
    "summary_tables",
]

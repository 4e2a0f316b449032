"""Figures of merit to pictures and tables. matplotlib loads with the first picture, not with this package."""

from hepjax.report.figures import confusion_figure, history_figure, roc_figure, save, scores_figure
from hepjax.report.tables import epoch_line, metrics_table, summary_tables

__all__ = [
    "confusion_figure",
    "epoch_line",
    "history_figure",
    "metrics_table",
    "roc_figure",
    "save",
    "scores_figure",
    "summary_tables",
]

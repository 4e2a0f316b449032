"""Figures of merit and epochs as text for a terminal or a plain log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hepjax.report.names import drawn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Group
    from rich.table import Table

    from hepjax.types import Epoch, FileSummary

_MISSING = "–"  # noqa: RUF001 -- the dash a table shows for a number that does not exist

_COLUMNS = (
    ("auc", "AUC", "{:.4f}"),
    ("tpr_at_fpr_0.1", "TPR at\nFPR 10%", "{:.4f}"),
    ("tpr_at_fpr_0.01", "TPR at\nFPR 1%", "{:.4f}"),
    ("background_rejection_at_0.3", "1/ε_B at\nε_S 30%", "{:,.1f}"),
    ("background_rejection_at_0.5", "1/ε_B at\nε_S 50%", "{:,.1f}"),
    ("background_rejection_at_0.8", "1/ε_B at\nε_S 80%", "{:,.1f}"),
)


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """The figures of merit of each class against all others, as a rich table.

    Args:
      metrics: what `hepjax.evaluation.figures_of_merit` returns, or `metrics.json` holds; a number that is None or
        absent is shown as a dash.

    Returns:
      A table with one row per class; accuracy and loss are in its caption.

    >>> found = {"accuracy": 0.75, "loss": 0.6, "classes": {"w": {"auc": 0.95}}, "jets": {"w": 10}}
    >>> table = metrics_table(found)
    >>> table.row_count, table.caption
    (1, 'accuracy 0.7500, loss 0.6000, 10 jets')
    """
    from rich import box
    from rich.table import Table

    jets = metrics.get("jets", {})
    summary = f"accuracy {_number(metrics['accuracy'], '{:.4f}')}, loss {_number(metrics['loss'], '{:.4f}')}"
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, caption=f"{summary}, {sum(jets.values()):,} jets" if jets else summary
    )
    table.add_column("Class")
    if jets:
        table.add_column("Jets", justify="right")
    for _, title, _ in _COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for name, found in metrics["classes"].items():
        count = [f"{jets[name]:,}" if name in jets else _MISSING] if jets else []
        table.add_row(drawn(name), *count, *(_number(found.get(key), form) for key, _, form in _COLUMNS))
    return table


def summary_tables(summary: FileSummary) -> Group:
    """What a file holds, for a terminal.

    Args:
      summary: of one file.

    Returns:
      Its facts, then the range of every column, then its problems.

    >>> from hepjax.types import FileSummary
    >>> group = summary_tables(FileSummary("a.h5", 2, 30, 4.5, {"g": 2}, (), (), {"j_pt": (1.0, 2.0, 3.0)}, (), {}))
    >>> [table.row_count for table in group.renderables]
    [5, 1]
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    # `Text` shows what a file says as it is; a plain string could hold markup.
    facts = Table(box=None, show_header=False, pad_edge=False, title=Text(summary.path), title_justify="left")
    facts.add_row("jets", f"{summary.jets:,}")
    facts.add_row("particles per jet", f"up to {summary.slots}, {summary.mean_particles:.1f} on average")
    facts.add_row("classes", ", ".join(f"{drawn(n)} {count:,}" for n, count in summary.classes.items()) or "no labels")
    facts.add_row("images", ", ".join(summary.images) or "none")
    facts.add_row("missing columns", ", ".join(summary.missing) or "none")
    for name, value in summary.provenance.items():
        facts.add_row(Text(name), Text(value))
    for problem in summary.problems:
        facts.add_row(Text("problem", style="bold red"), Text(problem))
    ranges = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    ranges.add_column("Column")
    for title in ("Smallest", "Mean", "Largest"):
        ranges.add_column(title, justify="right")
    for name, values in summary.ranges.items():
        ranges.add_row(name, *(f"{value:.4g}" for value in values))
    return Group(facts, ranges)


def epoch_line(epoch: Epoch, epochs: int) -> str:
    """One epoch as one plain line of a log; numbers that are NaN are left out.

    Args:
      epoch: a row of the history.
      epochs: how many epochs are planned.

    Returns:
      The line, without a line end.

    >>> from hepjax.types import Epoch
    >>> epoch_line(Epoch(3, 0.9123, 0.9345, 0.6789, 1e-3, 1.25, 12345.0), 50)
    'epoch  3/50  train loss 0.9123  val loss 0.9345  val accuracy 0.6789  learning rate 1.0e-03  1.2 s  12,345 jets/s'
    """
    fields = (
        ("train loss {:.4f}", epoch.train_loss),
        ("val loss {:.4f}", epoch.val_loss),
        ("val accuracy {:.4f}", epoch.val_accuracy),
        ("learning rate {:.1e}", epoch.learning_rate),
        ("{:.1f} s", epoch.seconds),
        ("{:,.0f} jets/s", epoch.jets_per_second),
    )
    start = f"epoch {epoch.epoch:>{len(str(epochs))}}/{epochs}"
    return "  ".join([start, *(form.format(value) for form, value in fields if not math.isnan(value))])


def _number(value: float | None, form: str) -> str:
    return _MISSING if value is None or not math.isfinite(value) else form.format(value)

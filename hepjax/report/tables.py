"""Figures of merit and epochs as text for a terminal or a plain log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.report.labels import class_label
from hepjax.report.number_text import MISSING, SAMPLE, option_list

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Group
    from rich.table import Table

    from hepjax.data.summary import FileSummary
    from hepjax.types import Epoch

_MOST_CLASSES = 30
"""Of more classes, only those that have jets are listed."""
_COLUMNS = (
    ("auc", "AUC", "{:.4f}"),
    ("tpr_at_fpr_0.1", "TPR at\nFPR 10%", "{:.4f}"),
    ("tpr_at_fpr_0.01", "TPR at\nFPR 1%", "{:.4f}"),
    ("background_rejection_at_0.3", "1/ε_B at\nε_S 30%", "{:,.1f}"),
    ("background_rejection_at_0.5", "1/ε_B at\nε_S 50%", "{:,.1f}"),
    ("background_rejection_at_0.8", "1/ε_B at\nε_S 80%", "{:,.1f}"),
)


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """Makes a rich table of the figures of merit of each class against all others.

    Args:
      metrics: the content of `metrics.json`; a number that is None or absent is shown as a dash, or as its bound in
        `bounds`. Below each stands half of its interval, or the `spread` of many trainings.

    Returns:
      A table with one row per class; accuracy and loss are in its caption.

    >>> metrics = {"accuracy": 0.75, "loss": 0.6, "classes": {"w": {"auc": 0.95}}, "jets": {"w": 10}}
    >>> table = metrics_table(metrics)
    >>> table.row_count, table.caption
    (1, 'accuracy 0.7500, loss 0.6000, 10 jets')
    """
    from rich import box
    from rich.table import Table

    jets, bounds = metrics.get("jets", {}), metrics.get("bounds", {})
    widths, words = _metric_uncertainties(metrics)

    def cell(form: str, value: float | None, width: float | None, between: str) -> str:
        return _metric_text(value, form) + ("" if width is None or value is None else f"{between}{form.format(width)}")

    accuracy, loss = (cell("{:.4f}", metrics[key], widths.get(key), " ± ") for key in ("accuracy", "loss"))
    parts = [f"accuracy {accuracy}, loss {loss}", f"{sum(jets.values()):,} jets" if jets else "", words]
    if any(
        metrics["classes"].get(name, {}).get(key) is None for name, of_class in bounds.items() for key in of_class or {}
    ):
        parts.append("> is a 95 % bound, too few background jets pass")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=", ".join(filter(None, parts)))
    table.add_column("Class")
    if jets:
        table.add_column("Jets", justify="right", no_wrap=True)
    for _, title, _ in _COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for name, figures in metrics["classes"].items():
        row = [class_label(name)] + ([f"{jets[name]:,}" if name in jets else MISSING] if jets else [])
        for key, _, form in _COLUMNS:
            bound = bounds.get(name, {}).get(key)
            width = widths.get("classes", {}).get(name, {}).get(key)
            value = figures.get(key)
            row.append(f"> {form.format(bound)}" if bound and value is None else cell(form, value, width, "\n±"))
        table.add_row(*row)
    return table


def _metric_uncertainties(metrics: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Returns the numbers behind ±, in the shape of the metrics, and a note on them."""
    if "spread" in metrics:
        return metrics["spread"], "± is the standard deviation of one training"
    if "intervals" in metrics:
        return _uncertainty_halves(metrics["intervals"]), "± is half of the 68 % interval"
    return {}, ""


def _uncertainty_halves(intervals: Any) -> Any:
    if isinstance(intervals, dict):
        return {key: _uncertainty_halves(value) for key, value in intervals.items()}
    return None if intervals is None else (intervals[1] - intervals[0]) / 2


def summary_tables(summary: FileSummary) -> Group:
    """Shows on a terminal what a file holds.

    Args:
      summary: of one file.

    Returns:
      Its numbers and problems, then the role, unit and range of every column.

    >>> from hepjax.data.summary import FileSummary
    >>> from hepjax.types import Dataset
    >>> ranges = {"j_pt": (1.0, 2.0, 3.0)}
    >>> group = summary_tables(FileSummary("a.h5", 2, 30, 4.5, {"g": 2}, (), (), ranges, (), {}, Dataset("toy")))
    >>> [table.row_count for table in group.renderables]
    [6, 1]
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    # `Text` shows what a file says as it is; a plain string could hold markup.
    metadata = Table(box=None, show_header=False, pad_edge=False, title=Text(summary.path), title_justify="left")
    dataset = summary.dataset
    metadata.add_row("dataset", Text(dataset.name))
    metadata.add_row("jets", f"{summary.jets:,}")
    for cut, count in summary.cut_flow.items():
        metadata.add_row("selected", Text(f"{cut}: {count:,}"))
    metadata.add_row("particles per jet", f"up to {summary.slots}, {summary.mean_particles:.1f} on average")
    classes = _class_counts(summary.classes)
    metadata.add_row("classes", Text(classes or "no labels"))
    if dataset.weights is not None:
        metadata.add_row("weights", Text(dataset.weights))
    metadata.add_row("images", Text(", ".join(summary.images) or "none"))
    metadata.add_row("missing columns", ", ".join(summary.missing) or "none")
    for name, value in summary.provenance.items():
        metadata.add_row(Text(name), Text(value))
    for problem in summary.problems:
        metadata.add_row(Text("problem", style="bold red"), Text(problem))
    ranges = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Column", "Role", "Unit"):
        ranges.add_column(title)
    roles = {name: role.value for role, name in dataset.roles.items()}
    for title in ("Smallest", "Mean", "Largest"):
        ranges.add_column(title, justify="right")
    for name, values in summary.ranges.items():
        what = (name, roles.get(name, ""), dataset.units.get(name, ""))
        ranges.add_row(*map(Text, what), *(f"{value:.4g}" for value in values))
    return Group(metadata, ranges)


def _class_counts(counts: Mapping[str, int]) -> str:
    """Jets per class; of many classes only those that have jets.

    >>> _class_counts({"g": 2, "q": 0}), _class_counts({"a": 1} | {str(number): 0 for number in range(40)})
    ('g 2, q 0', 'a 1, and 40 classes without jets')
    """
    shown = {name: count for name, count in counts.items() if count or len(counts) <= _MOST_CLASSES}
    rest = [f"and {len(counts) - len(shown)} classes without jets"] if len(shown) < len(counts) else []
    return ", ".join([*(f"{class_label(name)} {count:,}" for name, count in shown.items()), *rest])


def epoch_line(epoch: Epoch, epochs: int) -> str:
    """Formats an epoch as a plain line of a log; numbers that are NaN are left out.

    Args:
      epoch: a row of the history.
      epochs: the number of epochs planned.

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
        ("{:.0%} waiting for input", epoch.waiting if epoch.waiting >= 0.05 else math.nan),
    )
    start = f"epoch {epoch.epoch:>{len(str(epochs))}}/{epochs}"
    return "  ".join([start, *(form.format(value) for form, value in fields if not math.isnan(value))])


def members_line(histories: Sequence[Sequence[Epoch]], epochs: int) -> str:
    """Formats an epoch of many trainings as a line of a log.

    Args:
      histories: the epochs of each training; one that has stopped early has fewer.
      epochs: the number of epochs planned.

    Returns:
      The line, without a line end.

    >>> from hepjax.types import Epoch
    >>> done = [[Epoch(3, 0.9, loss, 0.7, 1e-3, 2.0, 100.0)] for loss in (0.8, 0.9)]
    >>> members_line(done, 50)
    'epoch  3/50  2 of 2 training  best val losses 0.8500 ± 0.0707  2.0 s  200 jets/s'
    """
    number = max(len(history) and history[-1].epoch for history in histories)
    last = [history[-1] for history in histories if history[-1].epoch == number]
    best = np.array([min(row.val_loss for row in history) for history in histories])
    return (
        f"epoch {number:>{len(str(epochs))}}/{epochs}  {len(last)} of {len(histories)} training  best val losses "
        f"{best.mean():.4f} ± {best.std(ddof=1):.4f}  {last[0].seconds:.1f} s  "
        f"{sum(row.jets_per_second for row in last):,.0f} jets/s"
    )


def cost_line(parameters: int, flop_per_jet: int) -> str:
    """Formats the size and the cost of a model as a line.

    Args:
      parameters: the number of trained parameters.
      flop_per_jet: the floating-point operations of the prediction for a jet.

    Returns:
      The line, without a line end.

    >>> cost_line(14725, 29_500)
    '14,725 parameters, 29.5 kFLOP a jet'
    """
    return f"{parameters:,} parameters, {_number_with_si_prefix(flop_per_jet)}FLOP a jet"


def bench_table(results: Mapping[str, Any]) -> Table:
    """Makes a table of the speed of models, for a terminal of 80 columns.

    Args:
      results: the result of `hepjax.runs.bench.measure_speed`.

    Returns:
      A table with two rows a model; the machine is in its caption.

    >>> speed = {"median": 2e5, "lowest": 1e5, "highest": 3e5}
    >>> kind = {"batch_size": 128, "flop_per_jet": 900, "jets_per_second": speed, "share_of_peak": 0.018}
    >>> table = bench_table({"device": "H100", "devices": 2, "versions": {"jax": "0.10.2"}, "rounds": 5,
    ...     "peak_flop_per_second": 1e10, "models": {"mlp": {"parameters": 9, "training": kind, "inference": kind}}})
    >>> table.row_count, table.caption
    (2, '2 x H100, jax 0.10.2; medians of 5 rounds; peak: a float32 matrix product, 10 GFLOP/s')
    """
    from rich import box
    from rich.table import Table

    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption=f"{results['devices']} x {results['device']}, {versions}; medians of {results['rounds']} rounds; "
        f"peak: a float32 matrix product, {_number_with_si_prefix(results['peak_flop_per_second'])}FLOP/s",
    )
    table.add_column("Model")
    table.add_column("")
    for title in ("Batch", "FLOP\na jet", "Jets/s", "Range", "Of\npeak"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, model in results["models"].items():
        for first, kind in ((name, "training"), (f"{model['parameters']:,} parameters", "inference")):
            row = model[kind]
            speeds = row["jets_per_second"]
            median, lowest, highest = (
                _number_with_si_prefix(speeds[key]).strip() for key in ("median", "lowest", "highest")
            )
            numbers = (
                _number_with_si_prefix(row["flop_per_jet"]),
                median,
                f"{lowest} to {highest}",
                f"{row['share_of_peak']:.1%}",
            )
            table.add_row(first, kind, str(row["batch_size"]), *numbers, end_section=kind == "inference")
    return table


def run_table(folder: str, record: dict[str, Any], epochs: int) -> Table:
    """Makes a table of the content of a run folder.

    Args:
      folder: the name of the folder.
      record: the content of its experiment.json.
      epochs: the number of epochs done.

    Returns:
      The table.

    >>> record = {"experiment": {"model": {"name": "mlp", "hidden": [8]}, "data": [], "epochs": 9, "seed": 0},
    ...           "cost": {"parameters": 141, "flop_per_jet": 300}, "jets": {"train": 60, "val": 20, "test": 20},
    ...           "classes": ["q", "t"], "command": "hepjax train mlp", "versions": {"jax": "0.10.2"}}
    >>> run_table("runs/mlp-1", record, 9).row_count
    9
    """
    from rich.table import Table
    from rich.text import Text

    chosen = record["experiment"]
    model = chosen["model"]
    table = Table(box=None, show_header=False, pad_edge=False, title=Text(folder), title_justify="left")
    table.add_row("model", Text(str(model["name"])))
    table.add_row("", Text(option_list(model)))
    if "cost" in record:  # the first versions did not count it
        table.add_row("cost", cost_line(**record["cost"]))
    table.add_row("classes", ", ".join(map(class_label, record["classes"])))
    if imported := record.get("imported"):
        table.add_row("weights", Text(f"{imported['file']}, SHA-256 {imported['sha256']}"))
        table.add_row("command", Text(record["command"]))
        return table
    table.add_row("jets", ", ".join(f"{part} {count:,}" for part, count in record["jets"].items()))
    for part, flow in record.get("cut_flow", {}).items():
        if flow:
            table.add_row("selected", Text(f"{part}: " + "; ".join(f"{cut}: {count:,}" for cut, count in flow.items())))
    table.add_row("data", Text(", ".join(chosen["data"]) or SAMPLE))
    table.add_row("epochs", f"{epochs} of at most {chosen['epochs']}, seed {chosen['seed']}")
    table.add_row("command", Text(record["command"]))
    table.add_row("versions", Text(", ".join(f"{name} {version}" for name, version in record["versions"].items())))
    return table


def _number_with_si_prefix(value: float) -> str:
    """Formats a number with three digits and an SI prefix."""
    value = float(f"{value:.3g}")  # 999,900 is 1 M
    power = min(max(int(math.log10(max(value, 1))) // 3, 0), 4)
    return f"{value / 1000**power:.3g} {('', 'k', 'M', 'G', 'T')[power]}"


def _metric_text(value: float | None, form: str) -> str:
    return MISSING if value is None or not math.isfinite(value) else form.format(value)

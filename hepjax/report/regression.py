"""Pictures and tables of predicted numbers: response, predicted against true, bias and resolution in bins, pulls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation.regression import Estimates, check_estimates
from hepjax.evaluation.residuals import bias_and_resolution, relative_residuals
from hepjax.report.labels import column_label
from hepjax.report.style import line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.evaluation.comparison import Difference
    from hepjax.evaluation.residuals import InBins

_MISSING = "–"  # noqa: RUF001 -- the dash a table shows for a number that does not exist
_SURE = 0.0027
"""A difference is called significant below this p-value: three standard deviations of a Gaussian."""
_FIGURES = (
    ("bias", "Bias", "{:.4g}"),
    ("resolution", "Resolution", "{:.4g}"),
    ("relative_bias", "Bias of the ratio", "{:.2%}"),
    ("relative_resolution", "Resolution of the ratio", "{:.2%}"),
    ("root_mean_squared_error", "Root mean squared error", "{:.4g}"),
    ("truth_spread", "The same of predicting the mean", "{:.4g}"),
    ("mean_absolute_error", "Mean absolute error", "{:.4g}"),
    ("pull_resolution", "Width of the pulls", "{:.3f}"),
    ("coverage_68", "Truths within one width", "{:.1%}"),
    ("coverage_95", "Truths within two widths", "{:.1%}"),
)


def response_figure(estimates: Estimates, label: str = "") -> Figure:
    """Draws how predictions are distributed about the truth, a panel for each target.

    Args:
      estimates: predictions and truths.
      label: text above the axes.

    Returns:
      The figure: predicted / true where the truth is positive, otherwise predicted - true; the median and the central
      68 % are marked.

    Raises:
      InputError: the estimates are not sound.

    >>> truth = np.linspace(10, 20, 50)[:, None]
    >>> response_figure(Estimates(truth + 1, truth, ("j_mass",))).axes[0].get_xlabel()
    'Predicted / true: Jet mass [GeV]'
    """
    e = check_estimates(estimates)
    with style():
        figure, panels = _target_panels(len(e.names))
        for d, (axes, name) in enumerate(zip(panels, e.names, strict=False)):
            ratio = relative_residuals(e.predicted[:, d], e.truth[:, d])
            if ratio is None:
                values, weights, words = (
                    e.predicted[:, d] - e.truth[:, d],
                    e.weights,
                    f"Predicted - true: {column_label(name)}",
                )
            else:
                values, weights = 1 + ratio[1], None if e.weights is None else e.weights[ratio[0]]
                words = f"Predicted / true: {column_label(name)}"
            _draw_target_distribution(axes, values, weights)
            axes.set(xlabel=words, ylabel="Share of jets")
        put_figure_label(panels[0], label)
    return figure


def predicted_against_true_figure(estimates: Estimates, label: str = "") -> Figure:
    """Draws predicted over true values as a density, a panel for each target, with the diagonal.

    Args:
      estimates: predictions and truths.
      label: text above the axes.

    Returns:
      The figure; its range holds the middle 99 % of truths and predictions.

    Raises:
      InputError: the estimates are not sound.

    >>> truth = np.linspace(10, 20, 50)[:, None]
    >>> predicted_against_true_figure(Estimates(truth, truth, ("j_mass",))).axes[0].get_xlabel()
    'True: Jet mass [GeV]'
    """
    from matplotlib.colors import LogNorm

    e = check_estimates(estimates)
    bins = int(np.clip(math.sqrt(len(e.truth)), 20, 80))
    with style():
        figure, panels = _target_panels(len(e.names))
        for d, (axes, name) in enumerate(zip(panels, e.names, strict=False)):
            both = np.concatenate([e.predicted[:, d], e.truth[:, d]])
            low, high = _central_target_range(both)
            counts, _, _ = np.histogram2d(
                e.truth[:, d], e.predicted[:, d], bins, [[low, high], [low, high]], weights=e.weights
            )
            shown = np.ma.masked_less_equal(counts.T, 0)
            norm = LogNorm(shown.min(), shown.max()) if shown.count() and shown.max() > shown.min() else None
            grid = np.linspace(low, high, bins + 1)
            mesh = axes.pcolormesh(grid, grid, shown, norm=norm, cmap="Blues", rasterized=True)
            axes.plot([low, high], [low, high], color="0.3", linewidth=1.5, linestyle="--", label="predicted = true")
            axes.set(
                xlabel=f"True: {column_label(name)}",
                ylabel=f"Predicted: {column_label(name)}",
                xlim=(low, high),
                ylim=(low, high),
            )
            axes.legend(loc="upper left", fontsize="small")
            figure.colorbar(mesh, ax=axes, label="Jets")
        put_figure_label(panels[0], label)
    return figure


def residuals_in_bins_figure(bins: Mapping[str, InBins], *, relative: bool, label: str = "") -> Figure:
    """Draws bias and resolution over observables, a column of two panels for each.

    Args:
      bins: the observable, such as "j_pt", or "true j_mass" → bias and resolution in its bins.
      relative: whether residuals are divided by the truth.
      label: text above the axes.

    Returns:
      The figure; bars are 68 % intervals.

    >>> from hepjax.evaluation import bias_and_resolution_in_bins
    >>> binned = bias_and_resolution_in_bins(np.arange(40.0), np.arange(40.0), bins=2)
    >>> [axes.get_ylabel() for axes in residuals_in_bins_figure({"j_pt": binned}, relative=True).axes]
    ['Bias (relative)', 'Resolution (relative)']
    """
    kind = "relative" if relative else "absolute"
    with style():
        figure = new_figure(max(7.5, 6.5 * len(bins)), 8.5)
        panels = figure.subplots(2, len(bins), squeeze=False, sharex="col")
        for column, (name, residuals) in enumerate(bins.items()):
            middle, half = (residuals.edges[1:] + residuals.edges[:-1]) / 2, np.diff(residuals.edges) / 2
            for axes, values, ends in (
                (panels[0, column], residuals.bias, residuals.bias_interval),
                (panels[1, column], residuals.resolution, residuals.resolution_interval),
            ):
                bars = np.nan_to_num(np.abs(ends.T - values))
                axes.errorbar(middle, values, bars, half, fmt="o", markersize=5, color=line_color(0))
                axes.set_xlim(residuals.edges[0], residuals.edges[-1])
            panels[0, column].axhline(0, color="0.5", linewidth=1.2, linestyle=":")
            panels[1, column].set_ylim(bottom=0)
            truth = name.removeprefix("true ")
            panels[1, column].set_xlabel(column_label(name) if truth == name else f"True: {column_label(truth)}")
        panels[0, 0].set_ylabel(f"Bias ({kind})")
        panels[1, 0].set_ylabel(f"Resolution ({kind})")
        put_figure_label(panels[0, 0], label)
    return figure


def pulls_figure(estimates: Estimates, label: str = "") -> Figure:
    """Draws the pulls of learned widths beside a unit Gaussian, a panel for each target.

    Args:
      estimates: with widths.
      label: text above the axes.

    Returns:
      The figure, of (predicted - true) / width from -5 to 5.

    Raises:
      InputError: the estimates are not sound.

    >>> truth = np.linspace(10, 20, 50)[:, None]
    >>> figure = pulls_figure(Estimates(truth, truth, ("j_mass",), widths=np.ones_like(truth)))
    >>> figure.axes[0].get_xlabel()
    '(Predicted - true) / width: j_mass'
    """
    e = check_estimates(estimates)
    with style():
        figure, panels = _target_panels(len(e.names))
        grid = np.linspace(-5, 5, 41)
        for d, (axes, name) in enumerate(zip(panels, e.names, strict=False)):
            pulls = (e.predicted[:, d] - e.truth[:, d]) / (1 if e.widths is None else e.widths[:, d])
            w = np.ones(len(pulls)) if e.weights is None else e.weights
            heights = np.histogram(np.clip(pulls, -4.99, 4.99), grid, weights=w / w.sum())[0]
            axes.stairs(heights / np.diff(grid), grid, fill=True, color=line_color(0), alpha=0.5, label="Test jets")
            axes.plot(grid, np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi), color="0.2", label="Unit Gaussian")
            axes.set(xlabel=f"(Predicted - true) / width: {name}", ylabel="Density", xlim=(-5, 5))
            axes.legend(loc="upper left", fontsize="small")
        put_figure_label(panels[0], label)
    return figure


def coverage_figure(estimates: Estimates, label: str = "") -> Figure:
    """Draws the share of truths below each learned quantile over its level, a line for each target.

    Args:
      estimates: with quantiles.
      label: text above the axes.

    Returns:
      The figure.

    Raises:
      InputError: the estimates are not sound.

    >>> truth = np.linspace(10, 20, 50)[:, None]
    >>> quantiles = np.broadcast_to([12.0, 18.0], (50, 1, 2))
    >>> figure = coverage_figure(Estimates(truth, truth, ("j_mass",), quantiles=quantiles, levels=(0.2, 0.8)))
    >>> figure.axes[0].get_ylabel()
    'Share of truths below'
    """
    e = check_estimates(estimates)
    with style():
        figure = new_figure(9, 7.5)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="0.5", linewidth=1.2, linestyle=":", label="As it should be")
        for d, name in enumerate(e.names):
            below: Any = [] if e.quantiles is None else e.truth[:, d, None] <= e.quantiles[:, d]
            shares = np.average(below, axis=0, weights=e.weights)
            axes.plot(e.levels, shares, "o-", color=line_color(d), label=column_label(name))
        axes.set(xlabel="Level of the quantile", ylabel="Share of truths below", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper left", fontsize="small")
        put_figure_label(axes, label)
    return figure


def regression_curve_figure(sizes: Sequence[int], metrics: Sequence[Mapping[str, Any]], label: str = "") -> Figure:
    """Draws how loss and resolutions change with more jets to learn from.

    Args:
      sizes: the training jets of each training.
      metrics: of each, from `regression_figures`.
      label: text above the axes.

    Returns:
      The figure: the loss above, the resolution of each target, divided by the spread of its truth, below.

    >>> metrics = {"loss": 0.5, "targets": {"j_mass": {"resolution": 9.0, "truth_spread": 30.0}}}
    >>> regression_curve_figure([100, 200], [metrics, metrics]).axes[1].get_xlabel()
    'Training jets'
    """
    order = np.argsort(sizes)
    x, ordered = np.asarray(sizes)[order], [metrics[i] for i in order]
    with style():
        figure = new_figure(9, 9.5)
        panels = figure.subplots(2, 1, sharex=True)
        panels[0].plot(x, [each["loss"] for each in ordered], "o-")
        panels[0].set_ylabel("Test loss")
        for d, name in enumerate(ordered[0]["targets"]):
            figures = [each["targets"][name] for each in ordered]
            ratios = [each["resolution"] / each["truth_spread"] for each in figures]
            panels[1].plot(x, ratios, "o-", color=line_color(d), label=column_label(name))
        panels[1].set(xlabel="Training jets", ylabel="Resolution / spread of the truth", xscale="log")
        panels[1].legend(loc="upper right")
        put_figure_label(panels[0], label)
    return figure


def regression_table(metrics: Mapping[str, Any]) -> Table:
    """Lists the figures of merit of each target, as a rich table.

    Args:
      metrics: from `regression_figures`, or what metrics.json holds.

    Returns:
      A table with a column for each target, of each figure with half of its 68 % interval.

    >>> metrics = {"loss": 0.1, "test_jets": 10, "targets": {"j_mass": {"bias": 0.5, "resolution": 2.0}}}
    >>> table = regression_table(metrics)
    >>> table.row_count, table.caption
    (2, 'loss 0.1000, 10 jets')
    """
    from rich import box
    from rich.table import Table

    spread = metrics.get("spread")
    halves = spread or _half_widths(metrics.get("intervals") or {})
    words = "± is the standard deviation of one training" if spread else "± is half of the 68 % interval" * bool(halves)
    caption = [f"loss {metrics['loss']:.4f}{_plus_minus_text('{:.4f}', halves.get('loss'), ' ')}"]
    caption += [f"{metrics['test_jets']:,} jets"] if "test_jets" in metrics else []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=", ".join(filter(None, [*caption, words])))
    table.add_column("")
    targets = metrics["targets"]
    for name in targets:
        table.add_column(name, justify="right", no_wrap=True)
    near = halves.get("targets") or {}
    for key, title, form in _FIGURES:
        if any(each.get(key) is not None for each in targets.values()):
            pairs = ((each.get(key), (near.get(name) or {}).get(key)) for name, each in targets.items())
            table.add_row(title, *(_figure_cell(form, *pair) for pair in pairs))
    for level in next(iter(targets.values())).get("coverage") or {}:
        pairs = (
            (each["coverage"][level], ((near.get(name) or {}).get("coverage") or {}).get(level))
            for name, each in targets.items()
        )
        table.add_row(f"Truths below the quantile {level}", *(_figure_cell("{:.1%}", *pair) for pair in pairs))
    return table


def regression_comparison_table(
    names: Sequence[str], metrics: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]], jets: int
) -> Table:
    """Lists the figures of merit of several trained models on the same jets, as a rich table.

    Args:
      names: of the models.
      metrics: of each, from `regression_figures`.
      differences: of each but the first, from `compare_regressions`.
      jets: how many there were.

    Returns:
      A table with a column for each model: the figure, and below it the difference to the first.

    >>> metrics = {"loss": 0.5, "targets": {"j_mass": {"resolution": 9.0, "root_mean_squared_error": 12.0}}}
    >>> from hepjax.evaluation import Difference
    >>> none = Difference(0.0, 0.01, 1.0)
    >>> change = {"loss": none, "targets": {"j_mass": {"mean_squared_error": none, "resolution": none}}}
    >>> table = regression_comparison_table(["a", "b"], [metrics, metrics], [change], 10)
    >>> table.row_count, len(table.columns)
    (3, 3)
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    caption = f"{jets:,} jets; below each figure its difference to the first, of RMSE that of the mean squared error; "
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=f"{caption}* p < {_SURE}, for one comparison")
    table.add_column("")
    for name in names:
        table.add_column(Text(name), justify="right")
    rows: list[tuple[str, str, list[float], list[Difference | None]]]
    rows = [("Loss", "{:.4f}", [each["loss"] for each in metrics], [each["loss"] for each in differences])]
    for target in metrics[0]["targets"]:
        for key, changed, title in (
            ("root_mean_squared_error", "mean_squared_error", "RMSE"),
            ("resolution", "resolution", "resolution"),
        ):
            values = [each["targets"][target][key] for each in metrics]
            changes = [each["targets"][target][changed] for each in differences]
            rows.append((f"{target} {title}", "{:.4g}", values, changes))
    for title, form, values, row_changes in rows:
        cells = [form.format(values[0])]
        for value, change in zip(values[1:], row_changes, strict=True):
            star = " *" if change is not None and change.p < _SURE else ""
            words = "" if change is None else f"\n{change.value:+.4g} ± {change.error:.2g}{star}"
            cells.append(form.format(value) + words)
        table.add_row(title, *cells)
    return table


def _target_panels(count: int) -> tuple[Figure, Any]:
    columns = min(count, 2)
    lines = math.ceil(count / columns)
    figure = new_figure(8.5 * columns, 7 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def _draw_target_distribution(axes: Axes, values: Any, weights: Any) -> None:
    core = bias_and_resolution(values, weights)
    low, high = _central_target_range(values)
    grid = np.linspace(low, high, int(np.clip(math.sqrt(len(values)), 15, 60)) + 1)
    w = np.ones(len(values)) if weights is None else weights
    axes.stairs(np.histogram(values, grid, weights=w / w.sum())[0], grid, fill=True, color=line_color(0), alpha=0.5)
    axes.axvline(core.bias, color="0.2", linewidth=1.8, label=f"Median {core.bias:.4g}")
    for sign in (-1, 1):
        words = f"± {core.resolution:.3g}, half of the 68 % interval" if sign > 0 else None
        axes.axvline(core.bias + sign * core.resolution, color="0.2", linewidth=1.2, linestyle="--", label=words)
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    axes.legend(loc="upper left", fontsize="small")


def _central_target_range(values: Any) -> tuple[float, float]:
    """Returns the quantiles at half a percent and at 99.5 %."""
    low, high = np.quantile(values, [0.005, 0.995])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)


def _half_widths(intervals: Any) -> Any:
    if isinstance(intervals, dict):
        return {key: _half_widths(value) for key, value in intervals.items()}
    return None if intervals is None else (intervals[1] - intervals[0]) / 2


def _figure_cell(form: str, value: float | None, width: float | None) -> str:
    return _MISSING if value is None else form.format(value) + _plus_minus_text(form, width, " ")


def _plus_minus_text(form: str, width: float | None, between: str) -> str:
    return "" if width is None else f"{between}± {form.replace('.4g', '.2g').format(width)}"

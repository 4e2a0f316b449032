"""Pictures and tables of the figures of merit of anomaly scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation import auc, class_curve, thin_curve
from hepjax.report.figures import lowest_mistag_decade
from hepjax.report.labels import class_label
from hepjax.report.style import LINE_STYLES, line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.types import Scores

_CROWDED = 8
"""From this ratio of its ends on, only powers of ten are written along a logarithmic axis."""
_HEADS = ("AUC", "rejection at 0.3", "rejection at 0.5")


def anomaly_roc_figure(
    scores: Mapping[str, Mapping[str, Scores]],
    names: Sequence[str] = (),
    baselines: Sequence[str] = (),
    label: str = "",
) -> Figure:
    """Draws the ROC curves of anomaly scores, one panel for each kind of anomaly, with a logarithmic mistag rate.

    Args:
      scores: kind of anomaly, such as "w" → name of a score, such as "jet mass" → scores of background and anomalies,
        as `evaluation.anomaly_figures` takes them.
      names: the names of the scores to draw; empty draws all.
      baselines: the names of scores that are drawn in black.
      label: text above the axes.

    Returns:
      The figure, with each score's AUC in the legends.

    Raises:
      InputError: there is nothing to draw, or no background or no anomalies among the jets.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> figure = anomaly_roc_figure({"w": {"jet mass": Scores(p, np.array([0, 1]), None, ("background", "w"))}})
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['Signal efficiency, W']
    """
    if not scores or not all(scores.values()):
        raise InputError("scores: expected a kind of anomaly or more, and a score or more of each, found none")
    with style():
        figure = new_figure(max(8, 5.5 * len(scores)), 6)
        panels = figure.subplots(1, len(scores), squeeze=False, sharey=True)[0]
        for axes, (kind, of_kind) in zip(panels, scores.items(), strict=True):
            bottom = min(lowest_mistag_decade(np.asarray(score.labels), 2) for score in of_kind.values())
            for i, name in enumerate(names or of_kind):
                score = of_kind[name]
                curve = class_curve(score, score.classes[1])
                if curve is None:
                    raise InputError(f"scores: expected background and anomalies of {kind}, found one of both")
                thin, text = thin_curve(curve), f"{name}  {auc(curve):.3f}"
                shade = "k" if name in baselines else line_color(i)
                axes.plot(thin.tpr, thin.fpr, color=shade, linestyle=LINE_STYLES[i % len(LINE_STYLES)], label=text)
            axes.set(
                xlim=(0, 1), ylim=(bottom, 1), yscale="log", xlabel=f"Signal efficiency, {_anomaly_kind_label(kind)}"
            )
            axes.grid(visible=True, which="major", color="0.85", linewidth=0.8, linestyle="-")
            axes.legend(loc="lower right", fontsize="x-small", title="AUC")
        panels[0].set_ylabel("Background efficiency (mistag rate)")
        put_figure_label(panels[0], label)
    return figure


def anomaly_score_figure(
    scores: Any, labels: np.ndarray, classes: Sequence[str], name: str = "Anomaly score", label: str = ""
) -> Figure:
    """Draws the spectrum of an anomaly score, one line for each class of jets.

    Args:
      scores: (N,) positive scores.
      labels: (N,) indices into `classes`.
      classes: the class names; those without jets have no line.
      name: the name of the score, for the axis.
      label: text above the axes.

    Returns:
      The figure; the axis of the score is logarithmic and leaves out one jet in a hundred at both ends.

    Raises:
      InputError: a score is not a positive number.

    >>> figure = anomaly_score_figure(np.arange(1.0, 9.0), np.arange(8) % 2, ("q", "t"), "KL [nats]")
    >>> figure.axes[0].get_xlabel()
    'KL [nats]'
    """
    values = np.asarray(scores, np.float64)
    if not (np.isfinite(values).all() and np.min(values, initial=1) > 0 and values.size):
        raise InputError("scores: expected positive numbers, found none, or some that are not; draw another score")
    with style():
        figure = new_figure(8, 6)
        axes = figure.subplots()
        _draw_anomaly_spectra(axes, values, labels, classes, name)
        axes.set_ylabel("Share of jets per bin")
        axes.legend(loc="upper right")
        put_figure_label(axes, label)
    return figure


def anomaly_spectra_figure(
    scores: Mapping[str, Any], labels: np.ndarray, classes: Sequence[str], label: str = ""
) -> Figure:
    """Draws the spectra of several anomaly scores, a panel for each score and a line for each class of jets.

    Args:
      scores: name → (N,) finite scores; the axis is logarithmic where all are positive.
      labels: (N,) indices into `classes`; -1 is left out.
      classes: the class names; those without jets have no line.
      label: text above the axes.

    Returns:
      The figure; each axis leaves out one jet in a hundred at both ends.

    Raises:
      InputError: there is no score, or it is not finite.

    >>> figure = anomaly_spectra_figure({"latent_distance": np.arange(8.0)}, np.arange(8) % 2, ("q", "t"))
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['latent distance']
    """
    if not scores or not all(np.size(values) and np.isfinite(values).all() for values in scores.values()):
        raise InputError("scores: expected finite numbers, found none, or some that are not")
    with style():
        figure = new_figure(5.5 * len(scores), 6)
        panels = figure.subplots(1, len(scores), squeeze=False)[0]
        for axes, (name, values) in zip(panels, scores.items(), strict=True):
            _draw_anomaly_spectra(axes, np.asarray(values, np.float64), labels, classes, name.replace("_", " "))
        panels[0].set_ylabel("Share of jets per bin")
        lines = panels[0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside upper center", ncols=max(len(lines[0]), 1))
        put_figure_label(panels[0], label)
    return figure


def _draw_anomaly_spectra(
    axes: Axes, values: np.ndarray, labels: np.ndarray, classes: Sequence[str], name: str
) -> None:
    low, high = np.percentile(values, [1, 99])
    scale = "log" if np.min(values) > 0 else "linear"
    high = high if high > low else low + abs(low) + 1e-6
    edges = np.geomspace(low, high, 26) if scale == "log" else np.linspace(low, high, 26)
    for i, kind in enumerate(classes):
        of_class = values[labels == i]
        if of_class.size:
            heights = np.histogram(of_class, edges)[0] / of_class.size
            line = LINE_STYLES[i % len(LINE_STYLES)]
            axes.stairs(heights, edges, color=line_color(i), linestyle=line, linewidth=2.2, label=class_label(kind))
    axes.set(xscale=scale, xlim=edges[[0, -1]], xlabel=name)
    axes.set_ylim(bottom=0)
    if scale == "log" and high > _CROWDED * low:
        axes.xaxis.set_minor_formatter("")


def contamination_figure(
    figures: Mapping[str, Mapping[str, Mapping[str, Any]]], names: Sequence[str] = (), label: str = ""
) -> Figure:
    """Draws the AUC of anomaly scores over the share of anomalies among the training jets.

    Args:
      figures: share, such as "0.01" → name of a score → the result of `evaluation.anomaly_figures`.
      names: the names of the scores to draw; empty draws all.
      label: text above the axes.

    Returns:
      The figure; shares stand side by side at equal distances.

    Raises:
      InputError: there is nothing to draw.

    >>> figures = {"KL": {"auc": {"value": 0.9, "interval": [0.89, 0.91]}}}
    >>> contamination_figure({"0": figures, "0.01": figures}).axes[0].get_ylabel()
    'AUC'
    """
    shares = sorted(figures, key=float)
    if not shares:
        raise InputError("figures: expected a share of contamination or more, found none")
    with style():
        figure = new_figure(9, 7.5)
        axes = figure.subplots()
        for i, name in enumerate(names or figures[shares[0]]):
            aucs = [figures[share][name]["auc"] for share in shares]
            value = np.array([auc["value"] for auc in aucs])
            ends = np.array([auc["interval"] or [auc["value"]] * 2 for auc in aucs]).T
            look: dict[str, Any] = {
                "color": line_color(i),
                "linestyle": LINE_STYLES[i % len(LINE_STYLES)],
                "marker": "o",
            }
            axes.errorbar(np.arange(len(shares)) + 0.03 * i, value, np.abs(ends - value), capsize=4, label=name, **look)
        axes.set_xticks(range(len(shares)), [f"{100 * float(share):g} %" for share in shares])
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
        axes.set(xlabel="Anomalies among the jets to learn from", ylabel="AUC")
        figure.legend(loc="outside upper center", ncols=2, fontsize="small")
        put_figure_label(axes, label)
    return figure


def anomaly_tables(figures: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> str:
    """Writes a Markdown table for each kind of anomaly and share of contamination.

    Args:
      figures: kind, such as "w+z" → share, such as "0.01" → the argument of `anomaly_table`.

    Returns:
      The tables, each below its title.

    >>> print(anomaly_tables({"w+t": {"0.01": {}}}).splitlines()[0])
    ## W + t, 1 % among the jets to learn from
    """
    return "\n\n".join(
        f"## {_anomaly_kind_label(kind)}, {100 * float(share):g} % among the jets to learn "
        f"from\n\n{anomaly_table(of_share)}"
        for kind, of_kind in figures.items()
        for share, of_share in of_kind.items()
    )


def anomaly_table(figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Writes the figures of merit of several anomaly scores as a Markdown table.

    Args:
      figures: name of a score → the result of `evaluation.anomaly_figures`.

    Returns:
      The table; errors are half the width of the intervals, and bounds are at 95 % confidence.

    >>> auc = {"value": 0.8954, "interval": [0.890, 0.900]}
    >>> bounded = {"value": None, "interval": None, "bound": 31.2}
    >>> keys = ("auc", "background_rejection_at_0.3", "background_rejection_at_0.5")
    >>> print(anomaly_table({"KL": dict(zip(keys, (auc, bounded, {"value": 21.4, "interval": [20, 24]})))}))
    | score | AUC | rejection at 0.3 | rejection at 0.5 |
    | --- | --- | --- | --- |
    | KL | 0.895 ± 0.005 | > 31 | 21.4 ± 2.0 |
    """
    lines = ["| score | " + " | ".join(_HEADS) + " |", "| --- " * (1 + len(_HEADS)) + "|"]
    for name, of_score in figures.items():
        cells = [
            _anomaly_table_cell(figure, digits) for figure, digits in zip(of_score.values(), (3, 1, 1), strict=True)
        ]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def anomaly_figures_table(
    figures: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]], metrics: Mapping[str, Any]
) -> Table:
    """Lists the figures of merit of anomaly scores, as a rich table.

    Args:
      figures: kind of anomalies, such as "w+z" → the argument of `anomaly_table`.
      metrics: what metrics.json holds, for the loss and the jets.

    Returns:
      A table with a row for each kind and score; a row of the loss where there are none.

    >>> auc = {"value": 0.8954, "interval": [0.890, 0.900]}
    >>> none = {"value": None, "interval": None}
    >>> metrics = {"loss": 0.5, "test_jets": {"q": 70, "t": 30}}
    >>> table = anomaly_figures_table({"t": {"both": {"auc": auc, "at_0.3": none, "at_0.5": none}}}, metrics)
    >>> table.row_count, table.caption
    (1, 'loss 0.5000, 100 jets, ± is half of the 68 % interval')
    """
    from rich import box
    from rich.table import Table

    words = f"loss {metrics['loss']:.4f}, {sum(metrics['test_jets'].values()):,.0f} jets"
    caption = f"{words}, ± is half of the 68 % interval" if figures else f"{words}, no anomalies to measure"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption)
    for head in ("anomalies", "score"):
        table.add_column(head)
    for head in _HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for kind, of_kind in figures.items():
        for name, of_score in of_kind.items():
            cells = (
                _anomaly_table_cell(figure, digits) for figure, digits in zip(of_score.values(), (3, 1, 1), strict=True)
            )
            table.add_row(_anomaly_kind_label(kind), name.replace("_", " "), *cells)
    if not figures:
        table.add_row("none", "loss", f"{metrics['loss']:.4f}", "", "")
    return table


def _anomaly_table_cell(figure: Mapping[str, Any], digits: int) -> str:
    if figure["value"] is None:
        return f"> {figure['bound']:.0f}" if "bound" in figure else "-"
    if figure["interval"] is None:
        return f"{figure['value']:.{digits}f}"
    low, high = figure["interval"]
    return f"{figure['value']:.{digits}f} ± {(high - low) / 2:.{digits}f}"


def _anomaly_kind_label(kind: str) -> str:
    return " + ".join(map(class_label, kind.split("+")))

"""Pictures of scores and of a training, in the style of mplhep, without a display and without global state.

Each function returns a `matplotlib.figure.Figure` that no window knows of; `save` writes it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError, errors_of_writing
from hepjax.evaluation import auc, best_epoch, class_curve, confusion_matrix, normalize_rows, thin_curve
from hepjax.report.labels import class_label
from hepjax.report.number_text import MISSING
from hepjax.report.style import LINE_STYLES, line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hepjax.types import Epoch, Scores

DPI = 150
"""Pixels per inch of a saved picture."""

_MANY = 1000  # jets of a class, for fine bins


def roc_figure(scores: Scores, label: str = "") -> Figure:
    """Draws the ROC curve of each class against all others, with a logarithmic mistag rate.

    Args:
      scores: class probabilities, labels and weights; classes that cannot have a curve are left out.
      label: text above the axes, such as "hepjax simulation".

    Returns:
      The figure, with each class's AUC in the legend.

    Raises:
      InputError: the scores are not valid, or no class can have a curve.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> figure = roc_figure(Scores(p, np.array([0, 1]), np.ones(2), ("q", "t")))
    >>> figure.axes[0].get_xlabel()
    'Signal efficiency'
    """
    curves = {}
    for name in scores.classes:  # one at a time: whole curves of ten million jets would not fit side by side
        curve = class_curve(scores, name)
        if curve is not None:
            curves[name] = thin_curve(curve), auc(curve)
    if not curves:
        raise InputError("scores: expected jets of two classes or more for a ROC curve, found one")
    bottom = lowest_mistag_decade(np.asarray(scores.labels), len(scores.classes))
    with style():
        figure = new_figure(9, 7.5)
        axes = figure.subplots()
        for i, name in enumerate(scores.classes):
            if name in curves:
                curve, area = curves[name]
                text = f"{class_label(name)}   AUC {area:.3f}"
                axes.plot(
                    curve.tpr, curve.fpr, color=line_color(i), linestyle=LINE_STYLES[i % len(LINE_STYLES)], label=text
                )
        guess = np.geomspace(bottom, 1, 200)
        axes.plot(guess, guess, color="0.6", linewidth=1.2, linestyle=":", label="Random guess")
        axes.set(xlim=(0, 1), ylim=(bottom, 1), yscale="log")
        axes.set(xlabel="Signal efficiency", ylabel="Background efficiency (mistag rate)")
        axes.grid(visible=True, which="major", color="0.85", linewidth=0.8, linestyle="-")
        axes.legend(loc="upper left", title="One class against all others")
        put_figure_label(axes, label)
    return figure


def history_figure(history: Sequence[Epoch], label: str = "") -> Figure:
    r"""Draws losses, validation accuracy and, if it changes, the learning rate over epochs, with the best epoch marked.

    Args:
      history: the epochs in their order; numbers that are not finite leave gaps.
      label: text above the axes.

    Returns:
      The figure, with two panels or three.

    Raises:
      InputError: the history is empty.

    >>> from hepjax.types import Epoch
    >>> figure = history_figure([Epoch(1, 1.0, 0.9, 0.5, 1e-3, 1.0, 1e5), Epoch(2, 0.8, 0.8, 0.6, 1e-3, 1.0, 1e5)])
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['Loss', 'Validation\naccuracy']
    """
    if not history:
        raise InputError("history: expected one epoch or more, found none; train first")
    rows = np.array([[*row[1:5]] for row in history], dtype=np.float64)
    rows[~np.isfinite(rows)] = np.nan
    epochs = [row.epoch for row in history]
    train, val, accuracy, rate = rows.T
    known, changes = bool(np.isfinite(accuracy).any()), bool(np.unique(rate[np.isfinite(rate)]).size > 1)
    heights = [2.0] + [1.2] * known + [0.8] * changes
    best = best_epoch(history)
    with style():
        figure = new_figure(9, 3.5 + 1.4 * sum(heights))
        panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        marker = "o" if len(history) <= 20 else ""
        panels[0].plot(epochs, train, color=line_color(0), marker=marker, linestyle=LINE_STYLES[1], label="Training")
        panels[0].plot(epochs, val, color=line_color(2), marker=marker, label="Validation")
        panels[0].set_ylabel("Loss")
        if known:
            panels[1].plot(epochs, accuracy, color=line_color(2), marker=marker)
            panels[1].set_ylabel("Validation\naccuracy")
        if changes:
            panels[-1].plot(epochs, rate, color=line_color(3), drawstyle="steps-mid")
            panels[-1].set_ylabel("Learning rate")
            if np.nanmin(rate) > 0:
                panels[-1].set_yscale("log")
        if best is not None:
            for axes in panels:
                axes.axvline(best.epoch, color="0.4", linewidth=1.5, linestyle=":")
            panels[0].plot([], [], color="0.4", linewidth=1.5, linestyle=":", label=f"Best epoch ({best.epoch})")
        panels[0].legend(loc="upper right")
        panels[-1].set_xlabel("Epoch")
        panels[-1].set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        panels[-1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        for axes in panels:
            axes.tick_params(axis="x", which="minor", bottom=False, top=False)
        figure.align_ylabels()
        put_figure_label(panels[0], label)
    return figure


def confusion_figure(scores: Scores, label: str = "") -> Figure:
    """Draws the confusion matrix in percent of each true class.

    Args:
      scores: class probabilities, labels and weights; the row of a class without jets shows dashes.
      label: text above the axes.

    Returns:
      The figure.

    Raises:
      InputError: the scores are not valid.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> figure = confusion_figure(Scores(p, np.array([0, 1]), np.ones(2), ("q", "t")))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['100.0', '0.0', '0.0', '100.0']
    """
    percent = 100 * normalize_rows(confusion_matrix(scores))
    names = [class_label(name) for name in scores.classes]
    with style():
        figure = new_figure(9, 7.8)
        axes = figure.subplots()
        image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        axes.tick_params(which="both", length=0)
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.minorticks_off()
        axes.set(xlabel="Predicted class", ylabel="True class")
        size = max(6.0, min(20.0, 100.0 / len(names)))
        for (row, column), value in np.ndenumerate(percent):
            text = f"{value:.1f}" if np.isfinite(value) else MISSING
            ink = "white" if value > 71 else "black"  # where the contrast with both is the same, 4.6
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=size)
        bar = figure.colorbar(image, ax=axes)
        bar.set_label("Jets of the true class (%)")
        bar.ax.minorticks_off()
        put_figure_label(axes, label)
    return figure


def scores_figure(scores: Scores, label: str = "") -> Figure:
    """Draws the distribution of each class's score for the jets of each true class; the class itself is filled.

    Args:
      scores: class probabilities, labels and weights.
      label: text above the axes.

    Returns:
      The figure, with one panel per class, and the legend in one of its own.

    Raises:
      InputError: the scores are not valid.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> figure = scores_figure(Scores(p, np.array([0, 1]), np.ones(2), ("q", "t")))
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['q score', 't score', '']
    """
    confusion_matrix(scores)  # raises for scores that are not valid
    p, labels = np.asarray(scores.scores), np.asarray(scores.labels)
    weights = None if scores.weights is None else np.asarray(scores.weights)
    n = len(scores.classes)
    columns = min(3, n + 1)
    lines = math.ceil((n + 1) / columns)
    bins = 40 if np.bincount(labels).max() >= _MANY else 20
    bottom = 10.0 ** np.clip(np.floor(-np.log10(np.bincount(labels).max())), -4, -2)
    with style():
        figure = new_figure(4.6 * columns, 4.2 * lines)
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        handles: dict[str, Any] = {}
        for c, name in enumerate(scores.classes):
            handles = _draw_score_panel(panels[c], p[:, c], labels, weights, scores.classes, c, bins)
            panels[c].set(xlabel=f"{class_label(name)} score", xlim=(0, 1), yscale="log", ylim=(bottom, 2))
            if c % columns == 0:
                panels[c].set_ylabel(f"Fraction of jets per {1 / bins:g}")
        for axes in panels[n + 1 :]:
            axes.remove()
        panels[n].axis("off")
        panels[n].legend(handles.values(), handles.keys(), loc="center", title="True class", fontsize="medium")
        put_figure_label(panels[0], label)
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a picture, so that its file is either whole or absent.

    Args:
      figure: the figure.
      path: the file; its suffix chooses the format (.png, .pdf, .svg). An existing file is replaced.

    Raises:
      InputError: the folder does not exist or cannot be written, or the suffix is no picture format.

    >>> import tempfile
    >>> from hepjax.types import Epoch
    >>> figure = history_figure([Epoch(1, 1.0, 0.9, 0.5, 1e-3, 1.0, 1e5)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(figure, f"{folder}/history.png")
    ...     os.listdir(folder)
    ['history.png']
    """
    target = Path(path)
    kinds = figure.canvas.get_supported_filetypes()
    kind = target.suffix.removeprefix(".").lower()
    if kind not in kinds:
        raise InputError(f"{target}: expected a picture's suffix such as .png or .pdf, found {target.suffix!r}")
    if not target.parent.is_dir():
        raise InputError(f"{target}: the folder {target.parent} does not exist; create it first")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with style(), errors_of_writing(target):
            figure.savefig(part, format=kind, dpi=DPI)
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def lowest_mistag_decade(labels: np.ndarray, classes: int) -> float:
    """Returns the decade of mistag rates down to which the smallest background still counts a few jets."""
    background = max(1, labels.size - int(np.bincount(labels, minlength=classes).max()))
    return float(10.0 ** np.clip(np.ceil(np.log10(4 / background)), -6, -3))


def _draw_score_panel(
    axes: Axes,
    score: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None,
    classes: tuple[str, ...],
    signal: int,
    bins: int,
) -> dict[str, Any]:
    """Draws one class's score for the jets of each true class; returns the legend's entries."""
    edges = np.linspace(0, 1, bins + 1)
    handles: dict[str, Any] = {}
    for i, name in enumerate(classes):
        chosen = labels == i
        w = None if weights is None else weights[chosen]
        total = np.count_nonzero(chosen) if w is None else w.sum()
        if total > 0:
            heights = np.histogram(score[chosen].clip(0, 1), edges, weights=w)[0] / total
            if i == signal:
                axes.stairs(heights, edges, fill=True, color=line_color(i), alpha=0.25, zorder=0)
            handles[class_label(name)] = axes.stairs(heights, edges, color=line_color(i), linewidth=1.8)
    return handles

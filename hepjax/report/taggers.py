"""The picture of the ROC curves of several taggers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hepjax.errors import InputError
from hepjax.evaluation import class_curves, thin_curve
from hepjax.report.labels import class_label
from hepjax.report.style import line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from hepjax.types import Scores

_POINTS = 400  # along each axis of a curve
_LINES = ("-", "--", ":", "-.")
_LINES_OF_A_STYLE = 6


def taggers_figure(taggers: Mapping[str, Scores], *, lowest: float = 1e-3, label: str = "") -> Figure:
    """Draws the ROC curves of several taggers, one panel for each class against all others.

    Args:
      taggers: name → class probabilities, labels and weights; the classes must be the same.
      lowest: the mistag rate where the axes end.
      label: text above the panels.

    Returns:
      The figure.

    Raises:
      InputError: there is no tagger, classes differ, or scores are not valid.

    >>> import numpy as np
    >>> from hepjax.types import Scores
    >>> scores = Scores(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]), None, ("q", "w"))
    >>> [axes.get_xlabel() for axes in taggers_figure({"guess": scores}).axes[:2]]
    ['q efficiency', 'W efficiency']
    """
    curves_of_taggers = {name: class_curves(scores) for name, scores in taggers.items()}
    kinds = [tuple(scores.classes) for scores in taggers.values()]
    if len(set(kinds)) != 1:
        raise InputError(f"taggers: expected one or more of the same classes, found {sorted(set(kinds))}")
    panels = [name for name in kinds[0] if all(curves[name] for curves in curves_of_taggers.values())]
    lines = math.ceil((len(panels) + 1) / 3)
    columns = math.ceil((len(panels) + 1) / lines)
    with style():
        figure = new_figure(6 * columns, 5.5 * lines)
        spots = figure.subplots(lines, columns, squeeze=False).ravel()
        for spot, name in zip(spots, panels, strict=False):
            for i, (tagger, curves) in enumerate(curves_of_taggers.items()):
                if curve := curves[name]:
                    points, line = thin_curve(curve, _POINTS), _LINES[i // _LINES_OF_A_STYLE % len(_LINES)]
                    spot.semilogy(points.tpr, points.fpr, label=tagger, color=line_color(i), linestyle=line)
            spot.set(xlim=(0, 1), ylim=(lowest, 1), xlabel=f"{class_label(name)} efficiency", ylabel="Mistag rate")
        for spot in spots[len(panels) :]:
            spot.axis("off")
        spots[-1].legend(*spots[0].get_legend_handles_labels(), loc="center")
        put_figure_label(spots[0], label)
    return figure

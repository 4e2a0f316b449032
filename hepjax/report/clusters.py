"""Pictures of jets as points in a plane, colored by class and by cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation import cluster_table
from hepjax.report.labels import class_label
from hepjax.report.style import line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

_TAIL = 0.5  # percent of the jets left out at each end of each axis
_ROOM = 0.05  # between the jets and the edges


def plane_figure(
    points: np.ndarray,
    labels: np.ndarray,
    clusters: np.ndarray,
    classes: Sequence[str],
    *,
    axes: tuple[str, str] = ("First principal component", "Second principal component"),
    most: int = 2000,
    label: str = "",
) -> Figure:
    """Draws jets in two dimensions, colored by their class on the left and by their cluster on the right.

    A cluster has the color of its largest class; of several clusters with the same, the one with the most jets of it
    has, and the others have colors that no class has.

    Args:
      points: (N, 2), such as their first two principal components.
      labels: (N,) indices into `classes`.
      clusters: (N,) cluster indices from 0.
      classes: the class names; those without jets have no color.
      axes: the labels of the horizontal and the vertical axis.
      most: the number of jets to draw, the first ones; legends count all.
      label: text above the panels.

    Returns:
      The figure. Both panels show the same jets; the outermost half a percent at each end may lie outside.

    Raises:
      InputError: shapes do not fit, a point is not finite, or labels are no indices into `classes`.

    >>> figure = plane_figure(np.eye(2), np.array([0, 1]), np.array([1, 0]), ("g", "t"))
    >>> [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    ['1: 100 % t', '2: 100 % g']
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise InputError(f"points: expected shape (N, 2) of finite numbers, found {points.shape}")
    table = cluster_table(clusters, labels)
    for name, indices in (("clusters", clusters), ("labels", labels)):
        if len(indices) != len(points):
            raise InputError(f"{name}: expected one for each of {len(points)} points, found {len(indices)}")
    if table.shape[1] > len(classes):
        raise InputError(f"labels: expected indices from 0 to {len(classes) - 1}, found {table.shape[1] - 1}")
    colors = _cluster_colors(table, len(classes))
    names = {c: class_label(classes[c]) for c in np.flatnonzero(table.sum(axis=0)).tolist()}
    shares = {k: _largest_class_of_cluster(table[k], classes, k) for k in np.flatnonzero(table.sum(axis=1)).tolist()}
    panels: Any = (("Class", labels, names, range(len(classes))), ("Cluster", clusters, shares, colors))
    with style():
        from matplotlib.lines import Line2D

        figure = new_figure(14, 7.8)
        spots = figure.subplots(1, 2, sharex=True, sharey=True)
        for spot, (title, kinds, words, painted) in zip(spots, panels, strict=True):
            shades = [line_color(painted[kind]) for kind in np.asarray(kinds)[:most]]
            spot.scatter(*points[:most].T, s=11, c=shades, alpha=0.7, linewidths=0, rasterized=True)
            dots = [Line2D([], [], marker="o", linestyle="", color=line_color(painted[kind])) for kind in words]
            spot.legend(
                dots,
                words.values(),
                title=title,
                loc="upper center",
                fontsize="small",
                **_legend_below_plane(len(words)),
            )
            spot.set(xlabel=axes[0], ylabel=axes[1] if spot is spots[0] else "")
        spots[0].set(xlim=_plane_limits(points[:, 0]), ylim=_plane_limits(points[:, 1]))
        put_figure_label(spots[0], label)
    return figure


def _cluster_colors(table: np.ndarray, first_free: int) -> list[int]:
    """Returns the (K,) numbers of the clusters' colors; those from `first_free` on belong to no class."""
    numbers = [-1] * len(table)
    for k in np.argsort(-table.max(axis=1), kind="stable"):
        largest = int(np.argmax(table[k]))
        if largest in numbers:
            largest, first_free = first_free, first_free + 1
        numbers[k] = largest
    return numbers


def _largest_class_of_cluster(counts: np.ndarray, classes: Sequence[str], cluster: int) -> str:
    """Returns the largest class of a cluster and its share; clusters are counted from 1."""
    largest = int(np.argmax(counts))
    return f"{cluster + 1}: {counts[largest] / counts.sum():.0%} {class_label(classes[largest])}".replace("%", " %")


def _legend_below_plane(entries: int) -> dict[str, Any]:
    return {
        "bbox_to_anchor": (0.5, -0.12), "ncols": min(entries, 5),
        "markerscale": 1.4, "columnspacing": 1.0, "handletextpad": 0.1,
    }  # fmt: skip


def _plane_limits(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [_TAIL, 100 - _TAIL])
    room = _ROOM * (high - low) or 1.0
    return float(low - room), float(high + room)

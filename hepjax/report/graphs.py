"""The picture of one jet as a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.report.labels import column_label
from hepjax.report.style import line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LARGEST = 900.0  # area of the hardest particle, points²
_SMALLEST = 14.0
_EQUAL = 120.0  # where all particles are alike


def graph_figure(
    graph: Any,
    columns: Sequence[str],
    index: int = 0,
    *,
    plane: tuple[str, str] | None = None,
    size: str | None = None,
    label: str = "",
) -> Figure:
    """Draws the particles of a jet and the edges between them.

    Args:
      graph: the result of `hepjax.inputs.graphs`: `nodes` (n, F), `senders` and `receivers` (e,), `n_node` and
        `n_edge` (N,).
      columns: the F column names of the nodes.
      index: the number of the jet, from 0 to N - 1.
      plane: the columns across and up, such as η and φ relative to the jet; None is the first two columns.
      size: the column that the areas of particles are proportional to, such as pT; None draws all of one size.
      label: text above the axes.

    Returns:
      The figure.

    Raises:
      InputError: the names do not fit the nodes, there is no such jet, or it has no particle.

    >>> from types import SimpleNamespace
    >>> ends = {"senders": np.array([0, 1]), "receivers": np.array([1, 0])}
    >>> graph = SimpleNamespace(nodes=np.eye(2), n_node=np.array([2]), n_edge=np.array([2]), **ends)
    >>> graph_figure(graph, ["j1_etarel", "j1_phirel"]).axes[0].get_xlabel()
    'Δη to the jet axis'
    """
    across, up = plane_columns(columns, plane, size)
    nodes, ends = _nodes_and_edges_of_jet(graph, columns, index)
    at = nodes[:, [columns.index(across), columns.index(up)]].astype(np.float64)
    with style():
        from matplotlib.collections import LineCollection

        figure = new_figure(9.6 if size else 8.2, 7.6)
        axes = figure.subplots()
        pairs = np.unique(np.sort(ends, axis=1), axis=0)  # both directions are one line
        # Many lines must leave the particles visible.
        alpha = float(np.clip(12 / max(len(pairs), 1) ** 0.75, 0.06, 0.7))
        axes.add_collection(LineCollection(at[pairs], colors="0.25", alpha=alpha, linewidths=1.2, zorder=1))
        look: dict[str, Any] = {"color": line_color(0), "edgecolor": "white", "linewidth": 0.8, "alpha": 0.65}
        areas = particle_areas(axes, nodes, columns, size, look)
        axes.scatter(at[:, 0], at[:, 1], s=areas, zorder=2, **look)
        center_graph_window(axes, at)
        axes.set(xlabel=column_label(across), ylabel=column_label(up))
        put_figure_label(axes, label)
        axes.set_title(f"{len(at)} particles, {len(ends)} edges", loc="right", fontsize="medium")
    return figure


def plane_columns(columns: Sequence[str], plane: tuple[str, str] | None, size: str | None) -> tuple[str, str]:
    """Returns the columns across and up, once all columns are known to exist."""
    if plane is None:
        if len(columns) < 2:
            raise InputError(f"columns: expected two or more to draw in a plane, found {', '.join(columns) or 'none'}")
        plane = (columns[0], columns[1])
    for argument, name in (("plane", plane[0]), ("plane", plane[1]), ("size", size)):
        if name is not None and name not in columns:
            raise InputError(f"{argument}: the particles have no column {name}; there are {', '.join(columns)}")
    return plane


def _nodes_and_edges_of_jet(graph: Any, columns: Sequence[str], index: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nodes (n, F) of one jet and the ends (e, 2) of its edges, counted from its first node."""
    nodes, n_node, n_edge = (np.asarray(x) for x in (graph.nodes, graph.n_node, graph.n_edge))
    if nodes.shape[1] != len(columns):
        raise InputError(f"columns: expected {nodes.shape[1]}, one for each of the nodes', found {len(columns)}")
    if not 0 <= index < len(n_node):
        raise InputError(f"index: expected 0 to {len(n_node) - 1}, found {index}")
    if n_node[index] == 0:
        raise InputError(f"index: jet {index} has no particle; choose another")
    node, edge = int(n_node[:index].sum()), int(n_edge[:index].sum())
    ends = np.stack([np.asarray(graph.senders), np.asarray(graph.receivers)], axis=1)
    return nodes[node : node + n_node[index]], ends[edge : edge + n_edge[index]] - node


def particle_areas(
    axes: Axes, values: np.ndarray, columns: Sequence[str], size: str | None, look: dict[str, Any]
) -> np.ndarray:
    """Returns the areas of particles, in points², and adds a legend of them; without a column all are alike."""
    if size is None:
        return np.full(len(values), _EQUAL)
    weight = np.maximum(values[:, list(columns).index(size)].astype(np.float64), 0)
    _add_particle_size_legend(axes, weight, column_label(size), look)
    return _particle_marker_areas(weight, weight.max())


def _particle_marker_areas(weight: np.ndarray, largest: float) -> np.ndarray:
    """Returns areas proportional to weights; the smallest remain visible."""
    return np.maximum(_LARGEST * weight / (largest or 1.0), _SMALLEST)


def _add_particle_size_legend(axes: Axes, weight: np.ndarray, title: str, look: dict[str, Any]) -> None:
    """Adds a legend of three round values, each as large as a particle of that value."""
    top = np.floor(np.log10(weight.max())) if weight.max() > 0 else 0
    values = [10.0**power for power in (top, top - 1, top - 2)]
    handles = [
        axes.scatter([], [], s=area, label=f"{value:g}", **look)
        for value, area in zip(values, _particle_marker_areas(np.array(values), weight.max()), strict=True)
    ]
    axes.legend(handles=handles, title=title, loc="upper left", bbox_to_anchor=(1.0, 1.0), labelspacing=1.0)


def center_graph_window(axes: Axes, at: np.ndarray) -> None:
    """Sets equal scales, with the particles in the middle."""
    low, high = at.min(axis=0), at.max(axis=0)
    middle, reach = (low + high) / 2, 0.58 * (high - low).max() or 1.0
    axes.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach), aspect="equal")
    axes.locator_params(nbins=5)

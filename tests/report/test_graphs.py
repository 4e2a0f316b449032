"""The picture of a graph: what is in it, and that nothing leaves the page."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection

from hepjax import InputError
from hepjax.report import graph_figure, save, style

COLUMNS = ["j1_pt", "j1_etarel", "j1_phirel"]
LOOK = {"plane": ("j1_etarel", "j1_phirel"), "size": "j1_pt"}
RNG = np.random.default_rng(0)
NODES = np.stack([RNG.exponential(50, 9), RNG.normal(0, 0.2, 9), RNG.normal(0, 0.2, 9)], axis=1).astype(np.float32)
GRAPH = SimpleNamespace(
    nodes=NODES,
    senders=np.array([1, 0, 2, 3, 5, 6]),
    receivers=np.array([0, 1, 1, 2, 6, 7]),
    n_node=np.array([4, 0, 4, 1]),
    n_edge=np.array([4, 0, 2, 0]),
)


def drawn(figure):
    """Positions and areas of the particles, and the edges' ends."""
    (lines,) = (each for each in figure.axes[0].collections if isinstance(each, LineCollection))
    *_, nodes = (each for each in figure.axes[0].collections if isinstance(each, PathCollection))
    return nodes.get_offsets(), nodes.get_sizes(), lines.get_segments()


@pytest.mark.parametrize("index, edges", [(0, {(0, 1), (1, 2), (2, 3)}), (2, {(5, 6), (6, 7)}), (3, set())])
def test_one_jet_and_its_edges(index, edges):
    first, count = [0, 4, 4, 8][index], GRAPH.n_node[index]
    at, areas, lines = drawn(graph_figure(GRAPH, COLUMNS, index, **LOOK))
    own = NODES[first : first + count]
    np.testing.assert_allclose(at, own[:, 1:], rtol=1e-6)
    large = areas > areas.min()
    np.testing.assert_allclose(areas[large] / areas.max(), own[large, 0] / own[:, 0].max(), rtol=1e-5)
    found = {tuple(int(np.abs(NODES[:, 1:] - end).sum(1).argmin()) for end in line) for line in lines}
    assert found == edges


def test_other_columns():
    figure = graph_figure(GRAPH, ["a", "b", "c"])
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("a", "b")
    assert figure.axes[0].get_legend() is None
    figure = graph_figure(GRAPH, COLUMNS, plane=("j1_pt", "j1_phirel"))
    assert figure.axes[0].get_xlabel() == "$p_T$ [GeV]"


def test_legend_says_how_large():
    largest = NODES[:4, 0].max()
    legend = graph_figure(GRAPH, COLUMNS, **LOOK).axes[0].get_legend()
    assert legend.get_title().get_text() == "$p_T$ [GeV]"
    values = [float(text.get_text()) for text in legend.get_texts()]
    assert values[0] <= largest < 10 * values[0]
    assert np.log10(values).round(6).tolist() == sorted(np.log10(values).round(6).tolist(), reverse=True)


@pytest.mark.parametrize("index", [0, 3])
def test_nothing_leaves_the_page(index, tmp_path):
    figure = graph_figure(GRAPH, COLUMNS, index, label="hepjax simulation", **LOOK)
    with style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        axes, page = figure.axes[0], figure.bbox
        for part in (axes.xaxis.label, axes.yaxis.label, axes.get_legend(), axes._left_title, axes._right_title):
            box = part.get_window_extent(canvas.get_renderer())
            assert box.x0 >= page.x0
            assert box.x1 <= page.x1
            assert box.y0 >= page.y0
            assert box.y1 <= page.y1
        titles = [title.get_window_extent() for title in (axes._left_title, axes._right_title)]
        assert titles[0].x1 < titles[1].x0
    at = drawn(figure)[0]
    for reach, values in ((axes.get_xlim(), at[:, 0]), (axes.get_ylim(), at[:, 1])):
        assert reach[0] < values.min() <= values.max() < reach[1]
    save(figure, tmp_path / "graph.png")


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((COLUMNS, 1), "jet 1 has no particle"),
        ((COLUMNS, 4), "expected 0 to 3, found 4"),
        ((COLUMNS[:2],), "expected 3"),
        (((),), "two or more"),
    ],
)
def test_refuses(arguments, words):
    with pytest.raises(InputError, match=words):
        graph_figure(GRAPH, *arguments)


@pytest.mark.parametrize("look", [{"plane": ("j1_eta", "j1_phirel")}, {"size": "j1_eta"}])
def test_an_unknown_column_is_refused(look):
    with pytest.raises(InputError, match=f"{next(iter(look))}: the particles have no column j1_eta;"):
        graph_figure(GRAPH, COLUMNS, **look)

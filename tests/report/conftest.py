from __future__ import annotations

from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from hepjax.report import style


@pytest.fixture(autouse=True)
def _drawn(drawn):
    """Pictures are what these tests are about."""


@pytest.fixture
def assert_legible():
    """A function that fails where a figure's text leaves the page or covers another."""
    return _assert_legible


def _assert_legible(figure):
    with style():  # as `save` draws it
        boxes = _visible_texts(figure)
    assert len(boxes) > 5
    page = figure.bbox
    for text, box in boxes:
        assert page.x0 - 1 <= box.x0 < box.x1 <= page.x1 + 1, text
        assert page.y0 - 1 <= box.y0 < box.y1 <= page.y1 + 1, text
    for (a, box_a), (b, box_b) in combinations(boxes, 2):
        shared_x = min(box_a.x1, box_b.x1) - max(box_a.x0, box_b.x0)
        shared_y = min(box_a.y1, box_b.y1) - max(box_a.y0, box_b.y0)
        assert shared_x <= 1 or shared_y <= 1, f"{a!r} and {b!r} overlap"


def _visible_texts(figure):
    """Text and box in pixels of titles, axis labels, the ticks inside the limits, legends and cell numbers."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend() is not None)]
    found = [text for legend in legends for text in (*legend.get_texts(), legend.get_title())]
    for axes in figure.axes:
        found += [*axes.texts, axes.title, axes._left_title, axes._right_title]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())) if axes.axison else ():
            low, high = sorted(limits)
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            found += [axis.label, *(text for tick in ticks for text in (tick.label1, tick.label2))]
    renderer = canvas.get_renderer()
    return [(t.get_text(), t.get_window_extent(renderer)) for t in found if t.get_visible() and t.get_text().strip()]

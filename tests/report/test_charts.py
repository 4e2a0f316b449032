"""Charts: where lines lie, what the axes say, and that the table and the script are told the same as is drawn."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from hepjax.report.charts import Axis, Chart, Line, Mark, axis_fractions, axis_ticks, line_dashes
from hepjax.report.rendering import render_template

UNIT = Axis("x", 0, 1)
DECADES = Axis("Rate", 1e-3, 1, log=True)


def drawn(*lines, x=UNIT, y=UNIT, **rest):
    return render_template("chart.html.jinja", chart=Chart("key", "Title", "Words", x, y, lines, **rest))


def points(html):
    """Of each line in the frame its (x, y) from the lower left corner, in pieces."""
    frame = html[html.index('class="plot"') :]
    paths = re.findall(r'<path d="([^"]*)"', frame)
    pieces = [[piece for piece in path.split("M") if piece] for path in paths]
    return [
        [[(float(a) / 1000, 1 - float(b) / 1000) for a, b in (p.split() for p in piece.split("L"))] for piece in line]
        for line in pieces
    ]


def test_a_line_lies_where_its_numbers_say():
    (line,) = points(drawn(Line("q", 0, [0, 0.25, 1], [1, 0.5, 0])))
    np.testing.assert_allclose(line, [[(0, 1), (0.25, 0.5), (1, 0)]], atol=1e-4)


def test_a_logarithmic_axis_gives_decades_the_same_room():
    (line,) = points(drawn(Line("q", 0, [0, 0.5, 1], [1e-3, 10**-1.5, 1]), y=DECADES))
    np.testing.assert_allclose(line, [[(0, 0), (0.5, 0.5), (1, 1)]], atol=1e-4)


def test_what_is_not_finite_breaks_the_line():
    (line,) = points(drawn(Line("q", 0, [0, 0.2, 0.4, 0.6, 0.8], [0.1, math.nan, 0.3, math.inf, 0.5])))
    assert [len(piece) for piece in line] == [1, 1, 1]


def test_no_place_is_far_outside():
    assert axis_fractions(DECADES, [0, -1, 1e9]).tolist() == [-0.1, -0.1, 1.1]


@pytest.mark.parametrize("low, high", [(0, 1), (0.9, 1.52), (1, 50), (-3, 7), (1e-4, 3e-4), (0, 1e6), (0.98, 51.02)])
def test_ticks_are_few_round_and_inside(low, high):
    found = axis_ticks(Axis("", low, high))
    values = [value for value, _ in found]
    assert 3 <= len(found) <= 8
    assert all(low - 1e-9 * (high - low) <= value <= high + 1e-9 * (high - low) for value in values)
    assert [float(text) for _, text in found] == pytest.approx(values)
    assert len({text for _, text in found}) == len(found)
    steps = np.diff(values)
    assert np.allclose(steps, steps[0])
    assert f"{steps[0]:e}"[0] in "125"


def test_decades_are_written_as_powers():
    assert axis_ticks(Axis("", 1e-6, 10, log=True))[::7] == [(1e-6, "10⁻⁶"), (10.0, "10¹")]


def test_twenty_lines_look_different():
    assert len({(look % 10, line_dashes(look)) for look in range(50)}) == 50


def test_the_table_and_the_script_say_what_is_drawn():
    places, heights = [0.2, 0.5, 0.8], [0.1, math.nan, 0.7]
    line = Line("<q>", 3, places, heights, heights, ["low", "–", "high"])  # noqa: RUF001
    html = drawn(line, places=places, heads=["a", "b", "c"], rows=slice(0, None, 2))
    told = json.loads(re.search(r'class="readings">(.*?)</script>', html).group(1))
    assert told == {
        "label": "x",
        "x": places,
        "heads": ["a", "b", "c"],
        "lines": [{"line": 0, "name": "<q>", "y": [0.1, None, 0.7], "words": ["low", "–", "high"]}],  # noqa: RUF001
    }
    assert re.findall(r'<th scope="row">(.)</th><td data-value="([^"]*)">([^<]*)</td>', html) == [
        ("a", "0.1", "low"),
        ("c", "0.7", "high"),
    ]
    assert "<q>" not in html


def test_a_guide_is_drawn_and_not_read():
    html = drawn(Line("guess", 0, [0, 1], [0, 1]))
    assert points(html)[0]
    assert "readings" not in html
    assert "<table" not in html
    assert html.count('class="line guide"') == 2  # in the frame and in the legend


def test_error_bars_and_marks_are_drawn():
    bars = np.array([[0.2, math.nan], [0.4, math.nan]])
    line = Line("q", 0, [0.25, 0.75], [0.3, 0.6], [0.3, 0.6], ["a", "b"], bars=bars)
    html = drawn(line, places=[0.25, 0.75], heads=["a", "b"], marks=[Mark(0.75, "best"), Mark(0.1, "first")])
    assert re.findall(r'<circle cx="(.*?)" cy="(.*?)"', html) == [("25.00%", "70.00%"), ("75.00%", "40.00%")]
    assert re.findall(r'<line x1="(.*?)" x2=".*?" y1="(.*?)" y2="(.*?)" class="look0"', html) == [
        ("25.00%", "80.00%", "60.00%")
    ]
    assert re.findall(r'<text class="mark" x="(.*?)".*?>(.*?)</text>', html) == [
        ("75.00%", "best"),
        ("10.00%", "first"),
    ]
    assert re.findall(r'dy="-0.4em" text-anchor="(.*?)"', html) == ["end", "start"]  # towards the middle


def test_those_who_cannot_see_it_are_told():
    html = drawn(Line("q", 0, [0, 1], [0, 1], [0.5], ["half"]), places=[0.5], heads=["0.5"])
    assert '<svg role="img"' in html or re.search(r'<svg [^>]*role="img"', html)
    assert '<title id="key-title">Title</title>\n<desc id="key-text">Words</desc>' in html
    assert 'aria-labelledby="key-title" aria-describedby="key-text"' in html

"""Line charts as inline SVG: they fit any width with text of one size, and the page's script reads values off them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.report.page_markup import Html, column_head, data, row_head, tag, whole_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DASHES = ("", "9 3", "5 2 1.5 2", "1.5 2.5", "9 2 1.5 2 1.5 2")
_SIDE = 1000  # of the square that curves are drawn in; it is stretched to the chart


class Axis(NamedTuple):
    """An axis, from its low to its high end."""

    label: str
    low: float
    high: float
    log: bool = False


class Line(NamedTuple):
    """A line of a chart, and what can be read off it at each of the chart's M places."""

    name: str
    look: int
    """The number of its colour and dashes."""
    x: Any
    """(K,) float; the line is broken where a number is not finite."""
    y: Any
    """(K,) float."""
    at: Any = ()
    """(M,) float, its y at the chart's places; NaN where there is none. Empty for a guide that cannot be read off."""
    words: Sequence[str] = ()
    """(M,) the same for people."""
    aside: str = ""
    """What the legend says beside the name."""
    bars: Any = None
    """(2, K) float, the low and high ends of error bars; None draws no points."""
    dash: int | None = None
    """The number of its dashes, where that is not the number of its colour."""


class Mark(NamedTuple):
    """A vertical line with a text."""

    x: float
    text: str


class Chart(NamedTuple):
    """A chart and all that is said of it."""

    key: str
    """Its id on the page."""
    title: str
    description: str
    """For those who cannot see it."""
    x: Axis
    y: Axis
    lines: Sequence[Line]
    places: Any = ()
    """(M,) float, where on x values can be read off."""
    heads: Sequence[str] = ()
    """(M,) the places for people."""
    marks: Sequence[Mark] = ()
    rows: slice = slice(None)
    """Those of the places that the table of values has."""


def dashes(look: int) -> str:
    """The dashes of the line of this number: colours repeat after ten, and then go with other dashes.

    >>> dashes(0), dashes(1), dashes(10)
    ('', '9 3', '9 3')
    """
    return _DASHES[(look + look // 10) % len(_DASHES)]


def ticks(axis: Axis, most: int = 6) -> list[tuple[float, str]]:
    """Where an axis has ticks, and what stands there: round numbers, or powers of ten.

    Args:
      axis: the axis.
      most: of a linear axis about so many.

    Returns:
      Values and their texts.

    >>> ticks(Axis("", 0, 1))
    [(0.0, '0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8'), (1.0, '1')]
    >>> ticks(Axis("", 1e-2, 1, log=True))
    [(0.01, '10⁻²'), (0.1, '10⁻¹'), (1.0, '1')]
    """
    if axis.log:
        first, last = math.ceil(math.log10(axis.low) - 1e-9), math.floor(math.log10(axis.high) + 1e-9)
        return [(10.0**power, _power(power)) for power in range(first, last + 1)]
    width = (axis.high - axis.low) / most
    unit = 10.0 ** math.floor(math.log10(width))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= width * (1 - 1e-9))
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [(float(f"{i * step:.12g}"), f"{i * step:.6g}") for i in range(first, last + 1)]


def fractions(axis: Axis, values: Any) -> Floats:
    """How far along an axis values lie: 0 at its low end, 1 at its high end; a little outside for all that lies beyond.

    >>> fractions(Axis("", 1e-2, 1, log=True), [0.1, 0, float("nan")]).tolist()
    [0.5, -0.1, nan]
    """
    found = np.asarray(values, dtype=np.float64)
    low, high = axis.low, axis.high
    if axis.log:
        found, low, high = np.log10(np.maximum(found, 1e-300)), math.log10(low), math.log10(high)
    return np.where(np.isfinite(found), np.clip((found - low) / (high - low), -0.1, 1.1), np.nan)


def chart(drawn: Chart) -> Html:
    """A figure with its legend, its axes, its lines, its values as a table, and the same for the page's script.

    Args:
      drawn: the chart.

    Returns:
      A `figure` element. Without the script it lacks nothing but the values under the pointer.

    >>> line = Line("q", 0, [0, 1], [0, 1], [0.5], ["half"])
    >>> text = chart(Chart("a", "Title", "A line", Axis("x", 0, 1), Axis("y", 0, 1), [line], [0.5], ["0.5"]))
    >>> text.count("<path"), text.count("<table")
    (2, 1)
    """
    readable = [line for line in drawn.lines if len(line.at)]
    parts = [
        tag("figcaption", drawn.title, id=f"{drawn.key}-name"),
        _legend(drawn.lines),
        tag("p", drawn.y.label, class_="axis"),
        tag("div", _frame(drawn), class_="plot"),
        tag("p", drawn.x.label, class_="axis below"),
    ]
    if readable:
        parts += [_values(drawn, readable), data(_readings(drawn, readable), class_="readings")]
    return tag("figure", *parts, class_="chart", id=drawn.key, aria_labelledby=f"{drawn.key}-name")


def _frame(drawn: Chart) -> Html:
    """Axes and lines. Places are percentages, so that the frame may have any size."""
    named = {"aria_labelledby": f"{drawn.key}-title", "aria_describedby": f"{drawn.key}-text"}
    inner = {"viewBox": f"0 0 {_SIDE} {_SIDE}", "preserveAspectRatio": "none", "width": "100%", "height": "100%"}
    paths = [
        tag(
            "path",
            d=_path(fractions(drawn.x, line.x), fractions(drawn.y, line.y)),
            class_=f"line look{line.look % 10}" if len(line.at) else "line guide",
            data_line=i if len(line.at) else None,
            stroke_dasharray=_dashes(line),
            vector_effect="non-scaling-stroke",
        )
        for i, line in enumerate(drawn.lines)
    ]
    return tag(
        "svg",
        tag("title", drawn.title, id=f"{drawn.key}-title"),
        tag("desc", drawn.description, id=f"{drawn.key}-text"),
        *_grid(drawn.x, drawn.y),
        tag("svg", *paths, **inner),
        *(part for i, line in enumerate(drawn.lines) for part in _points(drawn, line, i)),
        *(part for mark in drawn.marks for part in _mark(drawn.x, mark)),
        role="img",
        width="100%",
        height="100%",
        **named,
    )


def _grid(x: Axis, y: Axis) -> Iterator[Html]:
    if y.log:
        for value, _ in ticks(y)[:-1]:
            for height in fractions(y, value * np.arange(2, 10)):
                yield tag("line", class_="minor", x1="0", x2="100%", y1=_up(height), y2=_up(height))
    for value, text in ticks(y):
        height = _up(fractions(y, value))
        yield tag("line", class_="grid", x1="0", x2="100%", y1=height, y2=height)
        yield tag("text", text, x="-8", y=height, dy="0.32em", text_anchor="end")
    for value, text in ticks(x):
        place = _along(fractions(x, value))
        yield tag("line", class_="grid", x1=place, x2=place, y1="0", y2="100%")
        yield tag("text", text, x=place, y="100%", dy="1.5em", text_anchor="middle")
    yield tag("line", class_="base", x1="0", x2="100%", y1="100%", y2="100%")


def _points(drawn: Chart, line: Line, index: int) -> Iterator[Html]:
    if line.bars is None:
        return
    places, heights = fractions(drawn.x, line.x), fractions(drawn.y, line.y)
    low, high = fractions(drawn.y, line.bars)
    look = {"class_": f"look{line.look % 10}", "data_line": index}
    for place, height, *ends in zip(places, heights, low, high, strict=True):
        if np.isfinite([place, height]).all():
            if np.isfinite(ends).all():
                yield tag("line", x1=_along(place), x2=_along(place), y1=_up(ends[0]), y2=_up(ends[1]), **look)
            yield tag("circle", cx=_along(place), cy=_up(height), r="3.5", **look)


def _mark(x: Axis, mark: Mark) -> tuple[Html, Html]:
    at = float(fractions(x, mark.x))
    place, side = _along(at), "end" if at > 0.5 else "start"
    return (
        tag("line", class_="mark", x1=place, x2=place, y1="0", y2="100%"),
        tag("text", mark.text, class_="mark", x=place, y="0", dy="-0.4em", text_anchor=side),
    )


def _legend(lines: Sequence[Line]) -> Html:
    return tag("ul", *(_entry(line, i) for i, line in enumerate(lines)), class_="legend")


def _entry(line: Line, index: int) -> Html:
    readable = bool(len(line.at))
    look = f"line look{line.look % 10}" if readable else "line guide"
    stroke = tag("path", d="M0 5H24", class_=look, stroke_dasharray=_dashes(line))
    swatch = tag("svg", stroke, width="24", height="10", aria_hidden="true")
    aside = tag("span", line.aside, class_="aside") if line.aside else ""
    return tag("li", swatch, tag("span", line.name), aside, data_line=index if readable else None)


def _values(drawn: Chart, lines: Sequence[Line]) -> Html:
    head = tag("tr", column_head(drawn.x.label, 0), *(column_head(line.name, i) for i, line in enumerate(lines, 1)))
    rows = [
        tag("tr", row_head(drawn.heads[i]), *(tag("td", line.words[i], data_value=_key(line.at[i])) for line in lines))
        for i in range(*drawn.rows.indices(len(drawn.heads)))
    ]
    table = whole_table(f"{drawn.title}: {drawn.y.label[:1].lower()}{drawn.y.label[1:]}", [head], rows)
    return tag("details", tag("summary", "Values as a table"), table)


def _readings(drawn: Chart, lines: Sequence[Line]) -> dict[str, Any]:
    """What the page's script needs: places and heights as fractions, and texts."""
    indices = [i for i, line in enumerate(drawn.lines) if len(line.at)]
    return {
        "label": drawn.x.label,
        "x": _rounded(fractions(drawn.x, drawn.places)),
        "heads": list(drawn.heads),
        "lines": [
            {"line": i, "name": line.name, "y": _rounded(fractions(drawn.y, line.at)), "words": list(line.words)}
            for i, line in zip(indices, lines, strict=True)
        ],
    }


def _dashes(line: Line) -> str | None:
    """None for a whole line; a guide is dotted."""
    return (dashes(line.look if line.dash is None else line.dash) if len(line.at) else "2 4") or None


def _rounded(values: Floats) -> list[float | None]:
    return [round(float(value), 4) if math.isfinite(value) else None for value in values]


def _path(x: Floats, y: Floats) -> str:
    """Places as a path; it is broken where a number is not finite, and points on one spot are one."""
    words: list[str] = []
    last, down = "", False
    for known, right, up in zip(np.isfinite(x) & np.isfinite(y), x, y, strict=True):
        point = f"{_SIDE * right:.1f} {_SIDE * (1 - up):.1f}" if known else ""
        if known and (point != last or not down):
            words.append(f"{'L' if down else 'M'}{point}")
        last, down = point, bool(known)
    return "".join(words)


def _along(fraction: Any) -> str:
    return f"{100 * float(fraction):.2f}%"


def _up(fraction: Any) -> str:
    return f"{100 * (1 - float(fraction)):.2f}%"


def _key(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else ""


def _power(power: int) -> str:
    return "1" if power == 0 else "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))

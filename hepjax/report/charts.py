"""Line charts for the page: values and their places, which `templates/chart.html.jinja` draws as inline SVG."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DASHES = ("", "9 3", "5 2 1.5 2", "1.5 2.5", "9 2 1.5 2 1.5 2")
_GUIDE_DASHES = "2 4"
_SIDE = 1000
"""The side of the square in which lines are drawn, as the template has it."""


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
    """The number of its color and dashes."""
    x: Any
    """(K,) float; the line is broken where a number is not finite."""
    y: Any
    """(K,) float."""
    at: Any = ()
    """(M,) float, its y at the chart's places; NaN where there is none. Empty for a guide that cannot be read off."""
    words: Sequence[str] = ()
    """(M,) the same as text."""
    aside: str = ""
    """Text of the legend beside the name."""
    bars: Any = None
    """(2, K) float, the low and high ends of error bars; None draws no points."""
    dash: int | None = None
    """The number of its dashes; None is the number of its color."""

    @property
    def readable(self) -> bool:
        """Returns whether values can be read off the line."""
        return len(self.at) > 0


class Mark(NamedTuple):
    """A vertical line with a text."""

    x: float
    text: str


class Chart(NamedTuple):
    """A chart with its texts."""

    key: str
    """Its id on the page."""
    title: str
    description: str
    """Text for readers who cannot see the chart."""
    x: Axis
    y: Axis
    lines: Sequence[Line]
    places: Any = ()
    """(M,) float, where on x values can be read off."""
    heads: Sequence[str] = ()
    """(M,) the places as text."""
    marks: Sequence[Mark] = ()
    rows: slice = slice(None)
    """The places that the table of values has."""


def line_dashes(look: int) -> str:
    """Returns the dashes of the line of this number: colors repeat after ten, and then go with other dashes.

    >>> line_dashes(0), line_dashes(1), line_dashes(10)
    ('', '9 3', '9 3')
    """
    return _DASHES[(look + look // 10) % len(_DASHES)]


def svg_line_style(line: Line) -> dict[str, str | None]:
    """Returns the attributes that give a line its color and dashes; a guide is dotted, and None is no attribute.

    >>> svg_line_style(Line("q", 1, [0, 1], [0, 1]))
    {'class': 'line guide', 'stroke-dasharray': '2 4'}
    """
    if not line.readable:
        return {"class": "line guide", "stroke-dasharray": _GUIDE_DASHES}
    pattern = line_dashes(line.look if line.dash is None else line.dash)
    return {"class": f"line look{line.look % 10}", "stroke-dasharray": pattern or None}


def axis_ticks(axis: Axis, most: int = 6) -> list[tuple[float, str]]:
    """Returns the ticks of an axis and their texts: round numbers, or powers of ten.

    Args:
      axis: the axis.
      most: the approximate number of ticks of a linear axis.

    Returns:
      Values and their texts.

    >>> axis_ticks(Axis("", 0, 1))
    [(0.0, '0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8'), (1.0, '1')]
    >>> axis_ticks(Axis("", 1e-2, 1, log=True))
    [(0.01, '10⁻²'), (0.1, '10⁻¹'), (1.0, '1')]
    """
    if axis.log:
        first, last = math.ceil(math.log10(axis.low) - 1e-9), math.floor(math.log10(axis.high) + 1e-9)
        return [(10.0**power, _power_of_ten_text(power)) for power in range(first, last + 1)]
    width = (axis.high - axis.low) / most
    unit = 10.0 ** math.floor(math.log10(width))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= width * (1 - 1e-9))
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [(float(f"{i * step:.12g}"), f"{i * step:.6g}") for i in range(first, last + 1)]


def minor_axis_ticks(axis: Axis) -> list[float]:
    """Returns the values between the ticks of a logarithmic axis; a linear one has none.

    >>> minor_axis_ticks(Axis("", 0.1, 1, log=True))[:2]
    [0.2, 0.30000000000000004]
    """
    return [value * factor for value, _ in axis_ticks(axis)[:-1] for factor in range(2, 10)] if axis.log else []


def axis_fractions(axis: Axis, values: Any) -> Floats:
    """Returns how far along an axis values lie: 0 at its low end, 1 at its high end, at most 0.1 outside of these.

    >>> axis_fractions(Axis("", 1e-2, 1, log=True), [0.1, 0, float("nan")]).tolist()
    [0.5, -0.1, nan]
    """
    numbers = np.asarray(values, dtype=np.float64)
    low, high = axis.low, axis.high
    if axis.log:
        numbers, low, high = np.log10(np.maximum(numbers, 1e-300)), math.log10(low), math.log10(high)
    return np.where(np.isfinite(numbers), np.clip((numbers - low) / (high - low), -0.1, 1.1), np.nan)


def horizontal_place(axis: Axis, value: Any) -> str:
    """Returns the place of a value on the horizontal axis, from the left edge of the frame.

    >>> horizontal_place(Axis("", 0, 4), 1)
    '25.00%'
    """
    return f"{100 * float(axis_fractions(axis, value)):.2f}%"


def vertical_place(axis: Axis, value: Any) -> str:
    """Returns the place of a value on the vertical axis, from the upper edge of the frame.

    >>> vertical_place(Axis("", 0, 4), 1)
    '75.00%'
    """
    return f"{100 * (1 - float(axis_fractions(axis, value))):.2f}%"


def svg_path(chart: Chart, line: Line) -> str:
    """Returns a line as an SVG path; it is broken where a number is not finite, and equal neighbors are one point.

    >>> svg_path(Chart("", "", "", Axis("", 0, 1), Axis("", 0, 1), ()), Line("q", 0, [0, 1], [0, 0.5]))
    'M0.0 1000.0L1000.0 500.0'
    """
    x, y = axis_fractions(chart.x, line.x), axis_fractions(chart.y, line.y)
    pieces: list[str] = []
    last, pen_down = "", False
    for known, right, above in zip(np.isfinite(x) & np.isfinite(y), x, y, strict=True):
        point = f"{_SIDE * right:.1f} {_SIDE * (1 - above):.1f}" if known else ""
        if known and (point != last or not pen_down):
            pieces.append(f"{'L' if pen_down else 'M'}{point}")
        last, pen_down = point, bool(known)
    return "".join(pieces)


def chart_points(chart: Chart, line: Line) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Yields the places of a line's points and of the ends of their error bars, which are None where there are none."""
    if line.bars is None:
        return
    for x, y, low, high in zip(line.x, line.y, *line.bars, strict=True):
        if np.isfinite([x, y]).all():
            ends = (
                (vertical_place(chart.y, low), vertical_place(chart.y, high))
                if np.isfinite([low, high]).all()
                else (None, None)
            )
            yield horizontal_place(chart.x, x), vertical_place(chart.y, y), *ends


def chart_readings(chart: Chart) -> dict[str, Any]:
    """Returns what the page's script shows under the pointer: places and heights as fractions, and their texts."""
    return {
        "label": chart.x.label,
        "x": _rounded_place(axis_fractions(chart.x, chart.places)),
        "heads": list(chart.heads),
        "lines": [
            {
                "line": i,
                "name": line.name,
                "y": _rounded_place(axis_fractions(chart.y, line.at)),
                "words": list(line.words),
            }
            for i, line in enumerate(chart.lines)
            if line.readable
        ],
    }


def _rounded_place(values: Floats) -> list[float | None]:
    return [round(float(value), 4) if math.isfinite(value) else None for value in values]


def _power_of_ten_text(power: int) -> str:
    return "1" if power == 0 else "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))

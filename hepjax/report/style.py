"""The style of all pictures: that of mplhep, without a display and without global state."""

from __future__ import annotations

import contextlib
import io
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SETTINGS = {
    # A named family, and not "sans-serif": text keeps it outside this context; the second fills missing signs.
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"],
    "font.size": 18,
    "lines.linewidth": 2.2,
    "axes.linewidth": 1.3,
    "legend.title_fontsize": "small",
    # Lines that cross a legend run behind it.
    "legend.frameon": True,
    "legend.framealpha": 1.0,
    "legend.edgecolor": "none",
    "xtick.major.pad": 10,  # keeps the first label of x clear of the first of y
    "xtick.major.size": 8,
    "xtick.minor.size": 4,
    "ytick.major.size": 8,
    "ytick.minor.size": 4,
}


# The ten colors of M. Petroff (arXiv:2107.02270), which can be distinguished with any color vision.
_COLORS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#717581", "#a96b59", "#e76300", "#b9ac70", "#94a4a2", "#92dadd",
)  # fmt: skip


LINE_STYLES = ("-", (0, (6, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (6, 1, 1, 1, 1, 1)))
"""The dashes of lines, which repeat after five."""


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draws in the style of hepjax inside a `with`; matplotlib's settings are not thread-safe.

    Yields:
      Nothing.

    >>> with style():
    ...     axes = new_figure(4, 3).subplots()
    """
    import matplotlib as mpl
    import mplhep

    settings: dict[Any, Any] = {**mplhep.style.ROOT, **_SETTINGS}
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Makes an empty figure that lays itself out.

    Args:
      width: inches.
      height: inches.

    Returns:
      The figure, which no window shows, but a notebook where it is the last value of a cell.

    >>> new_figure(4, 3).get_size_inches().tolist()
    [4.0, 3.0]
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure._repr_png_ = partial(png, figure)  # type: ignore[attr-defined]  # so that a notebook shows it
    return figure


def png(figure: Figure, dpi: int = 100) -> bytes:
    """Returns a picture as the bytes of a PNG file.

    Args:
      figure: the figure.
      dpi: pixels per inch.

    Returns:
      The bytes.

    >>> png(new_figure(1, 1))[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def line_color(index: int) -> str:
    """Returns the color of the class or the line of this number; colors repeat after ten.

    >>> line_color(0), line_color(10)
    ('#3f90da', '#3f90da')
    """
    return _COLORS[index % len(_COLORS)]


def legible_color(tone: str, paper: str, contrast: float = 3.0) -> str:
    """Makes a color darker or lighter until it stands out.

    Args:
      tone: the color, such as "#ffa90e".
      paper: the color below it.
      contrast: the ratio of luminances that is needed; 3 is the least for graphics (WCAG 2.2, criterion 1.4.11).

    Returns:
      The color.

    >>> legible_color("#832db6", "#ffffff"), legible_color("#ffa90e", "#ffffff")
    ('#832db6', '#c9860b')
    """
    rgb = [int(tone[i : i + 2], 16) for i in (1, 3, 5)]
    end = 0 if color_luminance(paper) > 0.18 else 255
    for step in range(101):
        mixed = "#" + "".join(f"{round(x + (end - x) * step / 100):02x}" for x in rgb)
        light, dark = sorted((color_luminance(mixed), color_luminance(paper)), reverse=True)
        if (light + 0.05) / (dark + 0.05) >= contrast:
            break
    return mixed


def color_luminance(tone: str) -> float:
    """Returns the relative luminance of a color, as WCAG 2.2 defines it.

    >>> color_luminance("#000000"), color_luminance("#ffffff")
    (0.0, 1.0)
    """
    parts = [int(tone[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def put_figure_label(axes: Axes, label: str) -> None:
    """Writes a text such as "hepjax simulation" above the axes; an empty one leaves them as they are."""
    if label:
        axes.set_title(label, loc="left", fontstyle="italic", fontsize="medium")

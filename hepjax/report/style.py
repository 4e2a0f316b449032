"""The look of every picture: mplhep's style, without a display and without global state."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OWN = {
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


# The ten colours of M. Petroff (arXiv:2107.02270), made to be told apart with any colour vision.
_COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#717581", "#a96b59", "#e76300", "#b9ac70", "#94a4a2", "#92dadd",
)  # fmt: skip


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

    settings: dict[Any, Any] = {**mplhep.style.ROOT, **_OWN}
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that lays itself out.

    Args:
      width: inches.
      height: inches.

    Returns:
      The figure, which no window shows.

    >>> new_figure(4, 3).get_size_inches().tolist()
    [4.0, 3.0]
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def colour(index: int) -> str:
    """The colour of the class or the line of this number; they repeat after ten.

    >>> colour(0), colour(10)
    ('#3f90da', '#3f90da')
    """
    return _COLOURS[index % len(_COLOURS)]


def put_label(axes: Axes, label: str) -> None:
    """Writes a text such as "hepjax simulation" above the axes; an empty one leaves them as they are."""
    if label:
        axes.set_title(label, loc="left", fontstyle="italic", fontsize="medium")

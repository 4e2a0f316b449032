"""The look of every picture: mplhep's style, without a display and without global state."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

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

"""Pictures of the spectra of generated and simulated jets, class by class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hepjax.errors import InputError
from hepjax.report.labels import class_label, column_label
from hepjax.report.style import line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Values = Mapping[str, Mapping[str, np.ndarray]]

_BINS = 48
_MERGED = 4  # bins of a spectrum that make a bin of the ratio
_DECADES = 2.5
_FEWEST = 10  # values that make a point of the ratio, in each sample
_TAIL = 0.003


def cloud_spectra_figure(simulated: Values, generated: Values, label: str = "") -> Figure:
    """Draws spectra of generated and simulated jets, one panel for each quantity, with their ratio below.

    Args:
      simulated: quantity, such as "j_mass" or "j1_ptrel", → class → (n,) values, of jets or of particles.
      generated: the same quantities and classes of generated jets; n may differ.
      label: text above the first panel.

    Returns:
      The figure: simulated spectra are shaded, generated ones lines; each is a share of its class. Panels show all but
      0.3 % of the simulated values at each end; the ratio has statistical errors, and bars of those only.

    Raises:
      InputError: there is no quantity, the two have other quantities or classes, or values are missing or not finite.

    >>> masses = {"j_mass": {"w": np.linspace(60, 100, 50)}}
    >>> [axes.get_xlabel() for axes in cloud_spectra_figure(masses, masses).axes]
    ['', 'Jet mass [GeV]']
    """
    _check_same_cloud_quantities(simulated, generated)
    lines = math.ceil(len(simulated) / 3)
    columns = math.ceil(len(simulated) / lines)
    with style():
        figure = new_figure(max(7.0, 5.6 * columns), 0.9 + 5.4 * lines)
        heights = [*(3, 1.2) * lines]
        grid = figure.subplots(2 * lines, columns, squeeze=False, height_ratios=heights)
        for i, name in enumerate(simulated):
            line, column = divmod(i, columns)
            above, below = grid[2 * line : 2 * line + 2, column]
            _cloud_spectra_panel(above, below, simulated[name], generated[name])
            below.set_xlabel(column_label(name))
            if column == 0:
                above.set_ylabel("Share of class")
                below.set_ylabel("Ratio")
        for spot in grid.reshape(lines, 2, columns).swapaxes(1, 2).reshape(-1, 2)[len(simulated) :].ravel():
            spot.remove()
        first = next(iter(simulated.values()))
        handles, words = _cloud_spectra_legend(first)
        look = {"ncols": len(first) + 2, "fontsize": "small", "columnspacing": 1.2}
        figure.legend(handles, words, loc="outside upper center", **look)
        put_figure_label(grid[0, 0], label)
    return figure


def _cloud_spectra_panel(
    above: Axes, below: Axes, simulated: Mapping[str, np.ndarray], generated: Mapping[str, np.ndarray]
) -> None:
    """Draws the spectra of all classes in one quantity, and generated over simulated in wider bins."""
    edges, decades = _cloud_bin_edges(np.concatenate([*simulated.values()]))
    wide = edges[::_MERGED]
    for i, (name, simulated_values) in enumerate(simulated.items()):
        generated_values = generated[name]
        above.stairs(
            np.histogram(simulated_values, edges)[0] / len(simulated_values),
            edges,
            fill=True,
            color=line_color(i),
            alpha=0.25,
        )
        above.stairs(
            np.histogram(generated_values, edges)[0] / len(generated_values), edges, color=line_color(i), linewidth=1.6
        )
        counts, others = (np.histogram(x, wide)[0] for x in (generated_values, simulated_values))
        filled = (counts >= _FEWEST) & (others >= _FEWEST)
        ratio = (counts / len(generated_values) / np.maximum(others / len(simulated_values), 1e-12))[filled]
        error = ratio * np.sqrt(1 / counts[filled] + 1 / others[filled])
        where = (i + 1) / (len(simulated) + 1)
        x = (wide[:-1] + where * np.diff(wide))[filled]
        below.errorbar(x, ratio, error, color=line_color(i), marker="o", markersize=3, linestyle="", linewidth=1.2)
    below.axhline(1, color="0.4", linewidth=1)
    for axes in (above, below):
        axes.set(xlim=(edges[0], edges[-1]), xscale="log" if decades else "linear")
    above.tick_params(labelbottom=False)
    above.set_ylim(0, None)
    below.set_ylim(0.5, 1.5)


def _cloud_bin_edges(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Returns the edges of bins, whole ones for whole numbers, and whether they rise by factors."""
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    if low > 0 and math.log10(high / low) > _DECADES:
        return np.geomspace(low, high, _BINS + 1), True
    if (values == np.round(values)).all():
        bins = _MERGED * math.ceil((high - low + 1) / _MERGED)
        return np.ceil(high) + 0.5 - np.arange(bins, -1, -1.0), False
    widen = 0.0 if high > low else 0.5 * (abs(low) or 1.0)
    return np.linspace(low - widen, high + widen, _BINS + 1), False


def _cloud_spectra_legend(classes: Mapping[str, np.ndarray]) -> tuple[list[Artist], list[str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    kinds: list[Artist] = [Patch(color=line_color(i)) for i in range(len(classes))]
    samples: list[Artist] = [Patch(color="0.5", alpha=0.3), Line2D([], [], color="0.3", linewidth=1.6)]
    return [*kinds, *samples], [*map(class_label, classes), "simulated", "generated"]


def _check_same_cloud_quantities(simulated: Values, generated: Values) -> None:
    if not simulated:
        raise InputError("simulated: expected one quantity or more, found none")
    if list(simulated) != list(generated):
        raise InputError(f"generated: expected {', '.join(simulated)}, as simulated, found {', '.join(generated)}")
    for name, classes in simulated.items():
        if list(classes) != list(generated[name]):
            raise InputError(f"generated: expected the classes {', '.join(classes)} of {name}, as simulated")
        for kind, values in (*classes.items(), *generated[name].items()):
            if np.size(values) == 0 or not np.isfinite(values).all():
                raise InputError(f"{name} of {kind}: expected finite numbers, found NaN, infinite ones or none at all")

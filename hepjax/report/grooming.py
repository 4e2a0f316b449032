"""Pictures and a table of the effect of groomers on the jet mass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.report.labels import class_label
from hepjax.report.style import LINE_STYLES, line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

_FEWEST = 5
_SMALLEST = 1e-30


def groomed_masses_figure(
    masses: Mapping[str, Mapping[str, Any]],
    ranges: Mapping[str, tuple[float, float]] | None = None,
    bins: int = 40,
    label: str = "",
) -> Figure:
    """Draws mass spectra after several groomers, one panel for each class of jets and one line for each groomer.

    Args:
      masses: class, such as "w", → groomer, such as "mMDT", → (N,) masses in GeV, of the same jets for each groomer.
        The first groomer's spectrum is filled: it is meant to be that of no grooming.
      ranges: class → the ends of its panel in GeV; those it lacks show all masses.
      bins: in each panel.
      label: text above the axes.

    Returns:
      The figure.

    Raises:
      InputError: there is no class, or a mass is not finite.

    >>> figure = groomed_masses_figure({"w": {"no grooming": [79.0, 81.0], "mMDT": [80.0, 80.5]}})
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['Mass of W jets [GeV]']
    """
    checked = {name: _finite_groomed_masses(name, groomers) for name, groomers in masses.items()}
    if not checked:
        raise InputError("masses: expected a class of jets or more, found none")
    with style():
        figure = new_figure(max(9, 6.5 * len(checked)), 7)
        panels = figure.subplots(1, len(checked), squeeze=False)[0]
        for axes, (name, groomers) in zip(panels, checked.items(), strict=True):
            class_masses = np.concatenate([*groomers.values()])
            low, high = (ranges or {}).get(name) or (0.0, 1.02 * float(class_masses.max()) or 1.0)
            edges, top = np.linspace(low, high, bins + 1), 0.0
            for i, (groomer, values) in enumerate(groomers.items()):
                heights = np.histogram(values, edges)[0] / len(values)
                top = max(top, float(heights.max()))
                look: dict[str, Any] = {"color": "0.8", "fill": True} if i == 0 else {"color": line_color(i - 1)}
                line = LINE_STYLES[(i - 1) % len(LINE_STYLES)] if i else "-"
                axes.stairs(heights, edges, linestyle=line, linewidth=2.2, label=groomer, **look)
            axes.set(
                xlabel=f"Mass of {class_label(name)} jets [GeV]",
                ylabel=f"Share of jets per {(high - low) / bins:.3g} GeV",
            )
            axes.set(xlim=(low, high), ylim=(0, 1.3 * top or 1))
        panels[0].legend(loc="upper left", fontsize="small")
        put_figure_label(panels[0], label)
    return figure


def dropped_figure(
    delta_r: Any, z: Any, dropped: Any, cuts: Mapping[str, tuple[float, float]], label: str = ""
) -> Figure:
    """Draws the share of splittings that a groomer drops in the plane of ln 1/ΔR and ln z, with soft-drop lines.

    Args:
      delta_r: (S,) angular distances of splittings.
      z: (S,) shares of the transverse momentum of the softer branches.
      dropped: (S,) bool, whether the groomer drops the softer branch.
      cuts: name → (z_cut, β) of lines z = z_cut ΔR^β, below which soft drop drops.
      label: text above the axes.

    Returns:
      The figure. Places with fewer than five splittings are white.

    Raises:
      InputError: a splitting has no angle or no momentum: leave padding out.

    >>> figure = dropped_figure([0.1, 0.2], [0.4, 0.01], [False, True], {"β = 1": (0.05, 1.0)})
    >>> figure.axes[0].get_xlabel()
    'ln 1 / ΔR'
    """
    x, y = -np.log(np.maximum(delta_r, _SMALLEST)), np.log(np.maximum(z, _SMALLEST))
    if not (np.min(delta_r, initial=1) > 0 and np.min(z, initial=1) > 0):
        raise InputError("delta_r, z: expected positive numbers, found 0, a negative one or NaN; leave padding out")
    edges = (np.linspace(0.5, 8, 41), np.linspace(-8, np.log(0.5), 41))
    count = np.histogram2d(x, y, edges)[0]
    share = np.histogram2d(x, y, edges, weights=np.asarray(dropped, np.float64))[0] / np.maximum(count, 1)
    with style():
        figure = new_figure(9, 7.5)
        axes = figure.subplots()
        image = axes.pcolormesh(
            *edges, np.where(count < _FEWEST, np.nan, share).T, cmap="coolwarm", vmin=0, vmax=1, rasterized=True
        )
        for i, (name, (z_cut, beta)) in enumerate(cuts.items()):
            axes.plot(
                edges[0], np.log(z_cut) - beta * edges[0], "k", linestyle=LINE_STYLES[i % len(LINE_STYLES)], label=name
            )
        axes.set(xlabel="ln 1 / ΔR", ylabel="ln z", xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]])
        figure.legend(loc="outside upper center", ncols=2, fontsize="small")
        figure.colorbar(image, ax=axes, label="Share of splittings whose softer branch is dropped")
        put_figure_label(axes, label)
    return figure


def peaks_table(figures: Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]]) -> str:
    """Writes the mass peaks after several groomers as a Markdown table.

    Args:
      figures: groomer → the result of `evaluation.peak_figures` for its masses in GeV.

    Returns:
      The table; errors are standard errors, backgrounds in percent.

    >>> peak = {"width": (2.683, 0.101), "place": (80.2, 0.04), "background": (0.0081, 0.0014)}
    >>> print(peaks_table({"mMDT": {"40%": peak}}))
    | groomer | 40%: width, GeV | place, GeV | background in it, % |
    | --- | --- | --- | --- |
    | mMDT | 2.68 ± 0.10 | 80.20 ± 0.04 | 0.81 ± 0.14 |
    """
    windows = [*next(iter(figures.values()))]
    heads = [f"{window}: width, GeV | place, GeV | background in it, %" for window in windows]
    lines = ["| groomer | " + " | ".join(heads) + " |", "| --- " * (1 + 3 * len(windows)) + "|"]
    for name, peaks in figures.items():
        cells = [
            f"{factor * value:.2f} ± {factor * error:.2f}"
            for window in windows
            for (value, error), factor in zip(peaks[window].values(), (1, 1, 100), strict=True)
        ]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def _finite_groomed_masses(name: str, groomers: Mapping[str, Any]) -> dict[str, np.ndarray]:
    arrays = {groomer: np.asarray(values, np.float64) for groomer, values in groomers.items()}
    for groomer, values in arrays.items():
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise InputError(
                f"masses: expected (N,) finite numbers of class {name} for {groomer}, found the shape {values.shape} "
                f"and {np.sum(~np.isfinite(values))} that are not finite; drop those"
            )
    return arrays

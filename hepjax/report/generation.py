"""How far generated samples lie from simulated ones: a table and a picture of distances beside their floor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hepjax.errors import InputError
from hepjax.report.names import class_label, column_label
from hepjax.report.style import color, new_figure, put_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from hepjax.evaluation import Beside, Distance

    Found = Mapping[str, Mapping[str, Beside]]

_MARKERS = "osD^vP"


def distances_table(found: Found, head: str = "observable") -> str:
    """Distances of several generators in several quantities, as a Markdown table.

    Args:
      found: quantity → generator → what `evaluation.beside_floor` gives; all have the same generators.
      head: of the first column.

    Returns:
      The table: W1 with its error, and how often the floor it is in brackets; the floor in the second column.

    >>> from hepjax.evaluation import Beside, Distance
    >>> print(distances_table({"mass, GeV": {"flow": Beside(Distance(1.25, 0.31), Distance(1.0, 0.35))}}))
    | observable | floor | flow |
    | --- | --- | --- |
    | mass, GeV | 1.00 ± 0.35 | 1.25 ± 0.31 (1.2) |
    """
    generators = _generators(found)
    lines = [f"| {head} | floor | " + " | ".join(generators) + " |", "| --- " * (2 + len(generators)) + "|"]
    for quantity, row in found.items():
        cells = [_written(row[generators[0]].floor)]
        cells += [f"{_written(row[name].found)} ({row[name].ratio:.1f})" for name in generators]
        lines.append("| " + " | ".join([quantity, *cells]) + " |")
    return "\n".join(lines)


def generation_table(
    found: Mapping[str, Found], auc: Mapping[str, Distance], nll: Mapping[str, Distance], spectrum: str
) -> str:
    """What is known of several generators, as Markdown: distances, classifiers, likelihoods.

    Args:
      found: what `evaluation.distances_by_class` gives.
      auc: "floor" and generators → the AUC of a classifier that tells their jets from simulated ones.
      nll: generator → the mean of -ln p of simulated jets, in nats; empty where none has it.
      spectrum: the observable whose distances are told of each class.

    Returns:
      Three tables.

    >>> from hepjax.evaluation import Beside, Distance
    >>> one, p = {"flow": Beside(Distance(1.25, 0.31), Distance(1.0, 0.35))}, {"flow": Distance(0.52, 0.01)}
    >>> print(generation_table({"all": {"j_mass": one}, "t": {"j_mass": one}}, p, p, "j_mass").splitlines()[-1])
    | flow | 0.520 ± 0.010 | 0.520 ± 0.010 |
    """
    masses = {class_label(name): rows[spectrum] for name, rows in found.items()}
    rows = [("jets", "AUC against simulated ones", "-ln p of simulated jets, nats"), ("---",) * 3]
    rows += [(name, _written(one), _written(nll[name]) if name in nll else "") for name, one in auc.items()]
    lines = ["| " + " | ".join(row if nll else row[:2]) + " |" for row in rows]
    tables = [distances_table(found["all"]), distances_table(masses, f"{spectrum} of"), "\n".join(lines)]
    return "\n\n".join(tables)


def distances_figure(found: Found, label: str = "") -> Figure:
    """How often the floor each generator's distance is, a line for each quantity.

    Args:
      found: quantity, such as "j_mass_mmdt", → generator → what `evaluation.beside_floor` gives.
      label: text above the axes.

    Returns:
      The figure. The band is the scatter of the floor, of two simulated samples.

    Raises:
      InputError: there is no quantity, or they have other generators.

    >>> from hepjax.evaluation import Beside, Distance
    >>> figure = distances_figure({"j_mass": {"flow": Beside(Distance(1.2, 0.3), Distance(1.0, 0.4))}})
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['Jet mass [GeV]']
    """
    generators = _generators(found)
    with style():
        figure = new_figure(11, 2.5 + 0.52 * len(found))
        axes = figure.subplots()
        for i, row in enumerate(found.values()):
            floor = next(iter(row.values())).floor
            spread = floor.uncertainty / floor.distance if floor.distance else 0.0
            axes.barh(i, 2 * spread, left=1 - spread, height=0.8, color="0.85", label="floor" if i == 0 else None)
        for g, name in enumerate(generators):
            places = [i + (g - (len(generators) - 1) / 2) * 0.6 / len(generators) for i in range(len(found))]
            ratios = [row[name].ratio for row in found.values()]
            errors = [row[name].found.uncertainty / (row[name].floor.distance or math.nan) for row in found.values()]
            axes.errorbar(
                ratios, places, xerr=errors, fmt=_MARKERS[g % len(_MARKERS)], color=color(g), markersize=7, label=name
            )
        axes.axvline(1, color="0.4", linewidth=1)
        axes.axvline(2, color="0.4", linewidth=1, linestyle=":")
        axes.set(xscale="log", xlabel="$W_1$ over that of two simulated samples", ylim=(len(found) - 0.4, -0.6))
        axes.set_yticks(range(len(found)), [column_label(name) for name in found])
        axes.tick_params(axis="y", which="minor", left=False, right=False)
        axes.minorticks_on()
        figure.legend(loc="outside upper center", ncols=1 + len(generators), fontsize="small")
        put_label(axes, label)
    return figure


def _generators(found: Found) -> list[str]:
    rows = [list(row) for row in found.values()]
    if not rows or not rows[0] or any(row != rows[0] for row in rows):
        raise InputError(f"found: expected the same generators, one or more, of each quantity, found {rows}")
    return rows[0]


def _written(one: Distance) -> str:
    """With as many places as two digits of the larger error ask for: 1.25 ± 0.31."""
    if not one.uncertainty > 1e-9 * abs(one.distance):
        return f"{one.distance:.4g}"
    places = max(0, 1 - math.floor(math.log10(one.uncertainty)))
    return f"{one.distance:.{places}f} ± {one.uncertainty:.{places}f}"

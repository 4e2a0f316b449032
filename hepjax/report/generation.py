"""Tables and a picture of the distances of generated samples from simulated ones, and of their floor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError
from hepjax.report.labels import class_label, column_label
from hepjax.report.style import line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.evaluation import Distance, FloorComparison

    Distances = Mapping[str, Mapping[str, FloorComparison]]

_MARKERS = "osD^vP"


def distances_table(distances: Distances, head: str = "observable") -> str:
    """Writes the distances of several generators in several quantities as a Markdown table.

    Args:
      distances: quantity → generator → the distance and its floor; all quantities have the same generators.
      head: the head of the first column.

    Returns:
      The table: the floor in the second column; then W1 with its error, and in brackets W1 over the floor.

    >>> from hepjax.evaluation import Distance, FloorComparison
    >>> print(distances_table({"mass, GeV": {"flow": FloorComparison(Distance(1.25, 0.31), Distance(1.0, 0.35))}}))
    | observable | floor | flow |
    | --- | --- | --- |
    | mass, GeV | 1.00 ± 0.35 | 1.25 ± 0.31 (1.2) |
    """
    generators = _generators_of_distances(distances)
    lines = [f"| {head} | floor | " + " | ".join(generators) + " |", "| --- " * (2 + len(generators)) + "|"]
    for quantity, row in distances.items():
        cells = [_distance_text(row[generators[0]].floor)]
        cells += [f"{_distance_text(row[name].generated)} ({row[name].ratio:.1f})" for name in generators]
        lines.append("| " + " | ".join([quantity, *cells]) + " |")
    return "\n".join(lines)


def generation_table(
    distances: Mapping[str, Distances], auc: Mapping[str, Distance], nll: Mapping[str, Distance], spectrum: str
) -> str:
    """Writes distances, classifier AUCs and likelihoods of several generators as Markdown tables.

    Args:
      distances: the result of `evaluation.distances_by_class`.
      auc: "floor" and generators → the AUC of a classifier that separates their jets from simulated ones.
      nll: generator → the mean of -ln p of simulated jets, in nats; empty where none has it.
      spectrum: the observable whose distances are listed for each class.

    Returns:
      Three tables.

    >>> from hepjax.evaluation import Distance, FloorComparison
    >>> mass, p = {"flow": FloorComparison(Distance(1.25, 0.31), Distance(1.0, 0.35))}, {"flow": Distance(0.52, 0.01)}
    >>> print(generation_table({"all": {"j_mass": mass}, "t": {"j_mass": mass}}, p, p, "j_mass").splitlines()[-1])
    | flow | 0.520 ± 0.010 | 0.520 ± 0.010 |
    """
    masses = {class_label(name): rows[spectrum] for name, rows in distances.items()}
    rows = [("jets", "AUC against simulated ones", "-ln p of simulated jets, nats"), ("---",) * 3]
    likelihoods = {name: _distance_text(value) for name, value in nll.items()}
    rows += [(name, _distance_text(value), likelihoods.get(name, "")) for name, value in auc.items()]
    lines = ["| " + " | ".join(row if nll else row[:2]) + " |" for row in rows]
    tables = [distances_table(distances["all"]), distances_table(masses, f"{spectrum} of"), "\n".join(lines)]
    return "\n\n".join(tables)


def generated_table(metrics: Mapping[str, Any], loss: str = "-ln p, nats") -> Table:
    """Lists the figures of merit of a generator for a terminal, as a rich table.

    Args:
      metrics: what metrics.json holds: `loss` and `distances`.
      loss: what the loss is called.

    Returns:
      A table with a row for the loss, and one for the distance of each observable beside its floor.

    >>> row = {"distance": 1.2, "uncertainty": 0.3, "floor": 1.0, "floor_uncertainty": 0.4, "ratio": 1.2}
    >>> generated_table({"loss": 12.5, "distances": {"all": {"j_mass": row}}}).row_count
    2
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption="distances are Wasserstein-1, of all test jets")
    table.add_column("Figure of merit")
    for head in ("generated", "floor", "ratio"):
        table.add_column(head, justify="right", no_wrap=True)
    near = (metrics.get("intervals") or {}).get("loss")
    half = f" ± {(near[1] - near[0]) / 2:.2g}" if near else ""
    table.add_row(loss, f"{metrics['loss']:.4f}{half}", "", "")
    for name, row in metrics["distances"].get("all", {}).items():
        pairs = ((row["distance"], row["uncertainty"]), (row["floor"], row["floor_uncertainty"]))
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.1f}"
        table.add_row(name, *(f"{value:.3g} ± {error:.1g}" for value, error in pairs), ratio)
    return table


def distances_figure(distances: Distances, label: str = "") -> Figure:
    """Draws each generator's distance over the floor, one line for each quantity.

    Args:
      distances: quantity, such as "j_mass_mmdt", → generator → the distance and its floor.
      label: text above the axes.

    Returns:
      The figure. The band is the scatter of the floor, of two simulated samples.

    Raises:
      InputError: there is no quantity, or they have other generators.

    >>> from hepjax.evaluation import Distance, FloorComparison
    >>> figure = distances_figure({"j_mass": {"flow": FloorComparison(Distance(1.2, 0.3), Distance(1.0, 0.4))}})
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['Jet mass [GeV]']
    """
    generators = _generators_of_distances(distances)
    with style():
        figure = new_figure(11, 2.5 + 0.52 * len(distances))
        axes = figure.subplots()
        for i, row in enumerate(distances.values()):
            floor = next(iter(row.values())).floor
            spread = floor.uncertainty / floor.distance if floor.distance else 0.0
            axes.barh(i, 2 * spread, left=1 - spread, height=0.8, color="0.85", label="floor" if i == 0 else None)
        for g, name in enumerate(generators):
            places = [i + (g - (len(generators) - 1) / 2) * 0.6 / len(generators) for i in range(len(distances))]
            pairs = [row[name] for row in distances.values()]
            errors = [pair.generated.uncertainty / (pair.floor.distance or math.nan) for pair in pairs]
            axes.errorbar(
                [pair.ratio for pair in pairs],
                places,
                xerr=errors,
                fmt=_MARKERS[g % len(_MARKERS)],
                color=line_color(g),
                markersize=7,
                label=name,
            )
        axes.axvline(1, color="0.4", linewidth=1)
        axes.axvline(2, color="0.4", linewidth=1, linestyle=":")
        axes.set(xscale="log", xlabel="$W_1$ over that of two simulated samples", ylim=(len(distances) - 0.4, -0.6))
        axes.set_yticks(range(len(distances)), [column_label(name) for name in distances])
        axes.tick_params(axis="y", which="minor", left=False, right=False)
        axes.minorticks_on()
        figure.legend(loc="outside upper center", ncols=1 + len(generators), fontsize="small")
        put_figure_label(axes, label)
    return figure


def _generators_of_distances(distances: Distances) -> list[str]:
    rows = [list(row) for row in distances.values()]
    if not rows or not rows[0] or any(row != rows[0] for row in rows):
        raise InputError(f"distances: expected the same generators, one or more, of each quantity, found {rows}")
    return rows[0]


def _distance_text(distance: Distance) -> str:
    """Formats a distance with as many places as two digits of its error need: 1.25 ± 0.31."""
    if not distance.uncertainty > 1e-9 * abs(distance.distance):
        return f"{distance.distance:.4g}"
    places = max(0, 1 - math.floor(math.log10(distance.uncertainty)))
    return f"{distance.distance:.{places}f} ± {distance.uncertainty:.{places}f}"

"""Pictures of a cut: its efficiencies and mistag rates over observables, and its effect on a mass spectrum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation.binned import bin_edges, class_rates_in_bins, rate_in_bins, sculpting
from hepjax.evaluation.intervals import FEWEST, effective_count
from hepjax.evaluation.working_points import selection
from hepjax.report.labels import class_label, column_label
from hepjax.report.style import LINE_STYLES, line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hepjax.evaluation.binned import Binned
    from hepjax.types import Scores

_SPECTRUM = 40  # the largest number of bins of a spectrum


def rates_figure(
    scores: Scores,
    name: str,
    observables: Mapping[str, Any],
    efficiency: float = 0.5,
    edges: Mapping[str, Any] | None = None,
    label: str = "",
) -> Figure:
    """Draws the efficiency and mistag rates of a cut, one panel for each observable and one line for each class.

    Args:
      scores: class probabilities, labels and weights.
      name: the name of the signal class.
      observables: name, such as "j_pt", → (N,) values.
      efficiency: the signal efficiency of the cut, in all bins together.
      edges: name → (B + 1,) edges; those it lacks hold about equally many jets.
      label: text above the axes.

    Returns:
      The figure. Bars are 68 % intervals; where no jet of a bin is selected, an arrow hangs from their upper end.

    Raises:
      InputError: the scores or observables are not valid, or a class has no jets, or is the only one.

    >>> from hepjax.types import Scores
    >>> jets = Scores(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]), None, ("q", "t"))
    >>> [axes.get_xlabel() for axes in rates_figure(jets, "t", {"j_mass": [80.0, 170.0]}).axes]
    ['Jet mass [GeV]']
    """
    if not observables:
        raise InputError("observables: expected one or more, found none")
    selected = _jets_selected_by_cut(scores, name, efficiency)
    columns = min(2, len(observables))
    lines = math.ceil(len(observables) / columns)
    bottom = 1.0
    with style():
        figure = new_figure(7.5 * columns, 0.9 + 5.2 * lines)
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for axes, (observable, values) in zip(panels, observables.items(), strict=False):
            class_rates = class_rates_in_bins(scores, selected, values, (edges or {}).get(observable))
            for i, (class_name, rates) in enumerate(class_rates.items()):
                if not rates.jets.any():
                    continue
                _draw_rate_line(axes, rates, i, 0.5 + 0.08 * (i - (len(class_rates) - 1) / 2), class_label(class_name))
                positive = np.concatenate([rates.rate[rates.rate > 0], rates.high[rates.rate == 0]])
                bottom = min([bottom, *positive])
            axes.set(xlabel=column_label(observable), xlim=(rates.edges[0], rates.edges[-1]))
        for axes in panels[len(observables) :]:
            axes.remove()
        panels[0].set(yscale="log", ylim=(max(bottom / 2, 1e-6), 1))
        for axes in panels[: len(observables) : columns]:
            axes.set_ylabel("Share of jets selected")
        panels[0].plot([], [], color="0.5", marker="v", linestyle="", label="none: upper end")
        title = rf"Cut on {class_label(name)} at $\varepsilon_S$ = {efficiency:.0%}; true class"
        handles, words = (entries[1:] + entries[:1] for entries in panels[0].get_legend_handles_labels())
        figure.legend(handles, words, loc="outside upper center", ncols=min(len(words), 6), title=title)
        put_figure_label(panels[0], label)
    return figure


def sculpting_figure(
    scores: Scores,
    name: str,
    mass: Any,
    observable: str,
    *,
    background: Sequence[str] | None = None,
    efficiencies: Sequence[float] = (0.3, 0.5, 0.8),
    label: str = "",
) -> Figure:
    """Draws the mass spectrum of the background before and after cuts, with the divergence that each cut causes.

    Args:
      scores: class probabilities, labels and weights.
      name: the name of the signal class.
      mass: (N,) the jets' masses, or another observable.
      observable: the column that these are, such as "j_mass", for the label of the axis.
      background: the classes that make up the background, such as g and q; None is all others.
      efficiencies: the signal efficiencies of the cuts.
      label: text above the axes.

    Returns:
      The figure. Its range holds the middle 99 % of the background; the divergence counts what lies beyond, too. A cut
      that fewer than ten background jets pass is named only.

    Raises:
      InputError: the scores or masses are not valid, a class has no jets, or there is no background.

    >>> from hepjax.types import Scores
    >>> jets = Scores(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]), None, ("q", "t"))
    >>> sculpting_figure(jets, "t", [80.0, 170.0], "j_mass").axes[0].get_xlabel()
    'Jet mass [GeV]'
    """
    cuts = {efficiency: _jets_selected_by_cut(scores, name, efficiency) for efficiency in efficiencies}
    rows = _background_rows_of_spectrum(scores, name, background)
    values = np.asarray(mass, dtype=np.float64)
    if values.shape != rows.shape:
        raise InputError(f"mass: expected shape {rows.shape}, one for each jet, found {values.shape}")
    values, w = values[rows], np.ones(rows.sum()) if scores.weights is None else np.asarray(scores.weights)[rows]
    passing = {efficiency: effective_count(w[selected[rows] & (w != 0)]) for efficiency, selected in cuts.items()}
    bins = int(np.clip(1.5 * math.sqrt(max(passing.values(), default=0)), 8, _SPECTRUM))
    whole = rate_in_bins(np.ones(values.size, bool), values, even_bin_edges(values, bins), w)  # checks, too
    heights = whole.sums / max(whole.sums.sum(), 1e-300)
    with style():
        figure = new_figure(9, 7.5)
        axes = figure.subplots()
        total = whole.sums.sum() + whole.below + whole.above
        words = f"No cut ({whole.below / total:.1%} below, {whole.above / total:.1%} above)"
        axes.stairs(heights, whole.edges, fill=True, color="0.8", label=words)
        top = float(heights.max())
        for i, (efficiency, selected) in enumerate(cuts.items()):
            sculpted = sculpting(selected[rows], values, whole.edges, w) if passing[efficiency] >= FEWEST else None
            start = rf"$\varepsilon_S$ = {efficiency:.0%}: "
            if sculpted is None:
                axes.plot([], [], color=line_color(i), label=f"{start}fewer than {FEWEST} jets")
                continue
            heights = sculpted.after / max(sculpted.after.sum(), 1e-300)
            words = f"{start}{sculpted.divergence:.4f} (chance {sculpted.expected:.4f} ± {sculpted.spread:.4f})"
            axes.stairs(
                heights,
                sculpted.edges,
                color=line_color(i),
                linewidth=2,
                linestyle=LINE_STYLES[i % len(LINE_STYLES)],
                label=words,
            )
            top = max(top, float(heights.max()))
        names = background or [class_name for class_name in scores.classes if class_name != name]
        axes.set(
            xlabel=column_label(observable), ylabel=f"Share of background jets ({', '.join(map(class_label, names))})"
        )
        axes.set(xlim=(whole.edges[0], whole.edges[-1]), ylim=(0, 1.55 * top or 1))
        axes.legend(
            loc="upper right", title=f"Cut on {class_label(name)}: Jensen-Shannon divergence, bits", fontsize="small"
        )
        put_figure_label(axes, label)
    return figure


def even_bin_edges(values: np.ndarray, bins: int = _SPECTRUM, tail: float = 0.005) -> np.ndarray:
    """Returns the edges of bins of equal width that hold all values but the tails."""
    low, high = np.quantile(values, [tail, 1 - tail]) if np.isfinite(values).all() else (0.0, 1.0)
    return np.linspace(low, high, bins + 1) if high > low else bin_edges([low])


def _jets_selected_by_cut(scores: Scores, name: str, efficiency: float) -> np.ndarray:
    selected = selection(scores, name, efficiency)
    if selected is None:
        raise InputError(
            f"scores: expected jets of class {name} and of others to make a cut, found those of one kind only"
        )
    return selected


def _background_rows_of_spectrum(scores: Scores, name: str, background: Sequence[str] | None) -> np.ndarray:
    classes = tuple(scores.classes)
    names = [class_name for class_name in classes if class_name != name] if background is None else list(background)
    unknown = [class_name for class_name in names if class_name not in classes or class_name == name]
    if unknown:
        raise InputError(f"background: expected classes out of {', '.join(classes)} but {name}, found {unknown[0]!r}")
    rows = np.isin(np.asarray(scores.labels), [classes.index(class_name) for class_name in names])
    if not rows.any():
        raise InputError(f"background: expected jets of {', '.join(names) or 'some class'}, found none")
    return rows


def _draw_rate_line(axes: Axes, rates: Binned, look: int, along: float, words: str) -> None:
    """Draws the rates of one class, each so far along its bin that those of other classes do not hide it."""
    low_edges, high_edges = rates.edges[:-1], rates.edges[1:]
    x = low_edges + min(max(along, 0.1), 0.9) * (high_edges - low_edges)
    selected, empty = rates.rate > 0, rates.rate == 0
    bars = np.array([rates.rate - rates.low, rates.high - rates.rate])[:, selected].clip(0)
    axes.errorbar(
        x[selected], rates.rate[selected], bars, np.array([x - low_edges, high_edges - x])[:, selected],
        color=line_color(look), marker="o", markersize=5, linestyle="", linewidth=1.8, label=words,
    )  # fmt: skip
    axes.plot(x[empty], rates.high[empty], color=line_color(look), marker="v", markersize=6, linestyle="")

"""Pictures of rejection, significance improvement, calibration and discriminants of a tagger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation import class_curve, thin_curve
from hepjax.evaluation.calibration import calibration_noise, expected_calibration_error, reliability, scale_scores
from hepjax.evaluation.curve_intervals import rejection_interval, rejection_limit
from hepjax.evaluation.discriminants import class_fractions, discriminant
from hepjax.evaluation.significance import improvement, significance_improvement
from hepjax.evaluation.spectra import cuts_of, spectra
from hepjax.report.binned import even_bin_edges
from hepjax.report.labels import class_label
from hepjax.report.style import LINE_STYLES, line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hepjax.evaluation import RocCurve
    from hepjax.evaluation.spectra import Spectra
    from hepjax.types import Scores

    Mixture = str | Mapping[str, float]

_POINTS = 300  # along each axis of a curve
_EFFICIENCIES = np.linspace(0.02, 0.98, 25)  # at which bands and bounds are computed
_GRAY = "0.6"


def rejection_figure(scores: Scores, label: str = "") -> Figure:
    r"""Draws the background rejection 1/ε_B of each class against all others over its efficiency, with 68 % bands.

    A thin line shows its lower bound at 95 % confidence, which is what is left where no background jet passes.

    Args:
      scores: class probabilities, labels and weights; classes that cannot have a curve are left out.
      label: text above the axes, such as "hepjax simulation".

    Returns:
      The figure.

    Raises:
      InputError: the scores are not valid, or no class can have a curve.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> rejection_figure(Scores(p, np.array([0, 1]), None, ("q", "t"))).axes[0].get_ylabel()
    'Background rejection $1/\\varepsilon_B$'
    """
    with style():
        figure = new_figure(9, 7.5)
        axes = figure.subplots()
        top = 10.0
        for i, curve, jets in _class_roc_curves(scores):
            signal, background = cuts_of(jets)
            with np.errstate(divide="ignore"):
                rejection = np.where(curve.fpr > 0, 1 / curve.fpr, np.nan)
            band = np.array([rejection_interval(signal, background, x) for x in _EFFICIENCIES])
            bound = np.array([rejection_limit(signal, background, x) for x in _EFFICIENCIES])
            name = class_label(scores.classes[i])
            axes.plot(
                curve.tpr, rejection, linestyle=LINE_STYLES[i % len(LINE_STYLES)], color=line_color(i), label=name
            )
            axes.fill_between(_EFFICIENCIES, *band.T, color=line_color(i), alpha=0.25, linewidth=0)
            axes.plot(_EFFICIENCIES, bound, color=line_color(i), linewidth=1)
            top = max(top, 2 * float(np.nanmax(rejection)), 2 * float(bound.max()))
        axes.plot([], [], color=_GRAY, linewidth=1, label="At least (95% C.L.)")
        axes.set(xlim=(0, 1), ylim=(1, top), yscale="log")
        axes.set(xlabel="Signal efficiency", ylabel=r"Background rejection $1/\varepsilon_B$")
        axes.grid(visible=True, which="major", color="0.85", linewidth=0.8, linestyle="-")
        axes.legend(loc="upper right", title="One class against all others")
        put_figure_label(axes, label)
    return figure


def significance_figure(scores: Scores, label: str = "") -> Figure:
    """Draws the factor ε_S/√ε_B by which a cut raises S/√B over signal efficiency, with an estimate of the largest.

    Lines end where fewer than ten background jets pass. The mark is not a line's highest point, which is too high
    on average, and has a 68 % interval.

    Args:
      scores: class probabilities, labels and weights; classes that cannot have a curve are left out.
      label: text above the axes.

    Returns:
      The figure, with the largest factors in the legend.

    Raises:
      InputError: the scores are not valid, or no class can have a curve.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> significance_figure(Scores(p, np.array([0, 1]), None, ("q", "t"))).axes[0].get_xlabel()
    'Signal efficiency'
    """
    with style():
        figure = new_figure(9, 7.5)
        axes = figure.subplots()
        top = 1.2
        for i, curve, jets in _class_roc_curves(scores):
            name, best, background = class_label(scores.classes[i]), improvement(jets), cuts_of(jets)[1].effective
            words = f"{name}   too few jets" if best is None else f"{name}   {best.value:.2f} at {best.efficiency:.0%}"
            factor = significance_improvement(curve, background)
            axes.plot(curve.tpr, factor, color=line_color(i), linestyle=LINE_STYLES[i % len(LINE_STYLES)], label=words)
            if best is not None:
                top = max(top, 1.7 * best.observed)
                axes.plot(best.efficiency, best.value, color=line_color(i), marker="o", markersize=8, linestyle="")
                axes.vlines(best.efficiency, *best.interval, color=line_color(i), linewidth=2)
        axes.axhline(1, color=_GRAY, linewidth=1.2, linestyle=":", label="No cut")
        axes.set(xlim=(0, 1), ylim=(0, top))
        axes.set(xlabel="Signal efficiency", ylabel=r"Significance improvement $\varepsilon_S$ / √$\varepsilon_B$")
        axes.legend(loc="upper right", title="One class against all others, largest")
        put_figure_label(axes, label)
    return figure


def reliability_figure(scores: Scores, temperature: float | None = None, label: str = "") -> Figure:
    """Draws how often the tagger is right over its probabilities, for the class it calls and class by class.

    Args:
      scores: class probabilities, labels and weights.
      temperature: the result of `hepjax.evaluation.fit_temperature`, whose effect is drawn too; None draws no effect.
      label: text above the axes.

    Returns:
      The figure: two panels, and below each how the probabilities are distributed.

    Raises:
      InputError: the scores are not valid, or the temperature is not positive.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> [axes.get_xlabel() for axes in reliability_figure(Scores(p, np.array([0, 1]), None, ("q", "t"))).axes]
    ['', '', 'Probability of the called class', 'Probability of the class']
    """
    series = [("As trained", scores, 0)]
    if temperature is not None:
        series.append((f"T = {temperature:.3f}", scale_scores(scores, temperature), 2))
    with style():
        figure = new_figure(15, 8.5)
        panels = figure.subplots(2, 2, sharex=True, height_ratios=[3, 1])
        for words, calibrated, look in series:
            error, noise = expected_calibration_error(calibrated), calibration_noise(calibrated)
            text = f"{words}   ECE {error:.4f} (noise {noise:.4f})"
            _draw_reliability_line(panels[:, 0], reliability(calibrated), look, text)
        for i, name in enumerate(scores.classes):
            if (np.asarray(scores.labels) == i).any():
                error = expected_calibration_error(scores, of_class=name)
                _draw_reliability_line(
                    panels[:, 1], reliability(scores, of_class=name), i, f"{class_label(name)}   ECE {error:.4f}"
                )
        for axes, words in zip(panels[0], ("Share called right", "Share of jets of the class"), strict=True):
            axes.plot([0, 1], [0, 1], color=_GRAY, linewidth=1.2, linestyle=":", zorder=0)
            axes.set(xlim=(0, 1), ylim=(0, 1), ylabel=words)
            axes.legend(loc="lower right", fontsize="small")
        for axes, words in zip(panels[1], ("called class", "class"), strict=True):
            axes.set(xlabel=f"Probability of the {words}", ylabel="Share of\njets", yscale="log", ylim=(1e-4, 2))
        figure.align_ylabels()
        put_figure_label(panels[0, 0], label)
    return figure


def discriminant_figure(scores: Scores, signal: Mixture, background: Mixture | None = None, label: str = "") -> Figure:
    """Draws the distribution of a log-likelihood ratio for the jets of each true class.

    Args:
      scores: class probabilities, labels and weights.
      signal: a class, or classes and their fractions, as `hepjax.evaluation.discriminant` takes them.
      background: the same for the background; None is all other classes.
      label: text above the axes.

    Returns:
      The figure; fractions are in the legend, and the few values beyond its range in its first and last bin.

    Raises:
      InputError: the scores, the classes or the fractions are not valid.

    >>> from hepjax.types import Scores
    >>> jets = Scores(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]), None, ("q", "t"))
    >>> discriminant_figure(jets, "t", "q").axes[0].get_xlabel()
    'Discriminant ln[p(t) / p(q)]'
    """
    values = discriminant(scores.scores, scores.classes, signal, background)
    shares = class_fractions(tuple(scores.classes), signal, background)
    labels, edges = np.asarray(scores.labels), even_bin_edges(values, tail=0.001)
    with style():
        figure = new_figure(9, 7.5)
        axes = figure.subplots()
        top = 0.0
        for i, name in enumerate(scores.classes):
            rows = labels == i
            w = None if scores.weights is None else np.asarray(scores.weights)[rows]
            total = np.count_nonzero(rows) if w is None else w.sum()
            if not total:
                continue
            heights = np.histogram(values[rows].clip(edges[0], edges[-1]), edges, weights=w)[0] / total
            top = max(top, float(heights.max()))
            role = "signal" if shares[0][i] else "background" if shares[1][i] else "not used"
            share = shares[0][i] + shares[1][i]
            words = f"{class_label(name)}   {role}" + (f" {share:.3g}" if 0 < share < 1 else "")
            if shares[0][i]:
                axes.stairs(heights, edges, fill=True, color=line_color(i), alpha=0.25, zorder=0)
            axes.stairs(
                heights,
                edges,
                color=line_color(i),
                linewidth=2,
                linestyle=LINE_STYLES[i % len(LINE_STYLES)],
                label=words,
            )
        axes.set(xlabel=f"Discriminant ln[{_likelihood_ratio_text(scores.classes, *shares)}]", ylabel="Share of jets")
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.5 * top or 1))
        axes.legend(loc="upper left", ncols=2, title="True class", fontsize="small")
        put_figure_label(axes, label)
    return figure


def _class_roc_curves(scores: Scores) -> Iterator[tuple[int, RocCurve, Spectra]]:
    """Yields the number of each class that has a curve, points of it, and the jets behind it."""
    labels, p, any_curve = np.asarray(scores.labels), np.asarray(scores.scores), False
    weights = None if scores.weights is None else np.asarray(scores.weights, np.float64)
    for i, name in enumerate(scores.classes):
        curve = class_curve(scores, name)
        jets = None if curve is None else spectra(p[:, i], labels == i, weights, curve)
        if curve is not None and jets is not None:
            any_curve = True
            yield i, thin_curve(curve, _POINTS), jets
    if not any_curve:
        raise InputError("scores: expected jets of two classes or more for a curve, found one")


def _draw_reliability_line(panels: Any, curve: Any, look: int, words: str) -> None:
    bars = np.array([curve.accuracy - curve.low, curve.high - curve.accuracy]).clip(0)
    axes: Axes = panels[0]
    axes.errorbar(
        curve.confidence,
        curve.accuracy,
        bars,
        color=line_color(look),
        marker="o",
        markersize=6,
        linewidth=1.6,
        label=words,
    )
    panels[1].stairs(curve.weights / curve.weights.sum(), curve.edges, color=line_color(look), linewidth=2)


def _likelihood_ratio_text(classes: Sequence[str], *mixtures: np.ndarray) -> str:
    """Returns the ratio of probabilities as text; Σ f p stands for a long sum, as its fractions are in the legend."""
    parts = []
    for shares in mixtures:
        names = [(f"p({class_label(name)})", share) for name, share in zip(classes, shares, strict=True) if share > 0]
        words = names[0][0] if len(names) == 1 else f"({' + '.join(f'{share:.3g} {name}' for name, share in names)})"
        parts.append(words if len(words) < 25 else "Σ f p")
    return " / ".join(parts)

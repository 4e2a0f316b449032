"""Pictures and a table of a search for signals in time series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.report.style import LINE_STYLES, line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from hepjax.evaluation.detections import Detections

_MARKERS = "osvD^P"


def segment_figure(times: Any, raw: Sequence[Any], whitened: Sequence[Any], label: str = "") -> Figure:
    """Draws a segment of data and the signal in it, as measured and whitened.

    Args:
      times: (N,) seconds.
      raw: (N,) strain in units of 1e-23, data and signal.
      whitened: (N,) data and signal in standard deviations of the noise.
      label: text above the axes.

    Returns:
      The figure.

    Raises:
      InputError: a series has another length than the times.

    >>> series = np.zeros(8), np.ones(8)
    >>> segment_figure(np.arange(8) / 8, series, series).axes[1].get_xlabel()
    'Time [s]'
    """
    x = np.asarray(times)
    for name, series in (("raw", raw), ("whitened", whitened)):
        for values in series:
            if np.shape(values) != x.shape:
                raise InputError(
                    f"{name}: expected data and signal of shape {x.shape}, as times, found {np.shape(values)}"
                )
    with style():
        figure = new_figure(11, 8)
        panels = figure.subplots(2, 1, sharex=True)
        names = ("Strain [$10^{-23}$]", r"Whitened strain [$\sigma$]")
        for axes, (data, signal), name in zip(panels, (raw, whitened), names, strict=True):
            axes.plot(x, data, color="0.65", linewidth=1, label="Data")
            axes.plot(x, signal, color=line_color(2), linewidth=1.8, label="Signal in it")
            axes.set(ylabel=name, xlim=(x[0], x[-1]))
        panels[1].set_xlabel("Time [s]")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize="small")
        put_figure_label(panels[0], label)
    return figure


def efficiency_figure(searches: Mapping[str, Detections], label: str = "") -> Figure:
    """Draws the detection efficiency over the signal-to-noise ratio, one panel for each false-alarm probability.

    Args:
      searches: name of a search → the result of `evaluation.detections`.
      label: text above the axes.

    Returns:
      The figure. Bars are 68 % intervals.

    Raises:
      InputError: there is no search.

    >>> from hepjax.evaluation import detections
    >>> snr = np.repeat([0.0, 5.0], 50)
    >>> efficiency_figure(detections({"matched filter": snr}, snr, [4, 6])).axes[0].get_xlabel()
    'Optimal signal-to-noise ratio'
    """
    probabilities = _false_alarm_probabilities(searches)
    with style():
        figure = new_figure(1 + 7 * len(probabilities), 7.5)
        panels = figure.subplots(1, len(probabilities), squeeze=False, sharey=True)[0]
        for axes, probability in zip(panels, probabilities, strict=True):
            for i, (name, detections) in enumerate(searches.items()):
                efficiency = detections.efficiency[probability]
                x = (efficiency.edges[:-1] + efficiency.edges[1:]) / 2 + 0.06 * (i - (len(searches) - 1) / 2)
                bars = np.array([efficiency.rate - efficiency.low, efficiency.high - efficiency.rate]).clip(0)
                axes.errorbar(
                    x, efficiency.rate, bars,
                    color=line_color(i), marker=_MARKERS[i % len(_MARKERS)], markersize=8, label=name,
                    linestyle=LINE_STYLES[i % len(LINE_STYLES)], linewidth=1.8,
                )  # fmt: skip
                axes.set_xlim(efficiency.edges[0], efficiency.edges[-1])
            axes.set(xlabel="Optimal signal-to-noise ratio", ylim=(0, 1.05))
            axes.set_title(f"{100 * probability:g} % false alarms", loc="right", fontsize="small")
        panels[0].set_ylabel("Detection efficiency")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize="small")
        put_figure_label(panels[0], label)
    return figure


def detections_table(searches: Mapping[str, Detections], bins: Sequence[int] = ()) -> str:
    """Writes the AUC and efficiencies of searches as a Markdown table.

    Args:
      searches: name of a search → the result of `evaluation.detections`.
      bins: the bins of the signal-to-noise ratio to list; empty lists all.

    Returns:
      The table: errors are half the 68 % intervals, efficiencies in percent.

    Raises:
      InputError: there is no search.

    >>> from hepjax.evaluation import detections
    >>> snr = np.repeat([0.0, 5.0], 50)
    >>> print(detections_table(detections({"matched filter": snr}, snr, [4, 6], (0.01,))))
    | search | AUC | found at 1 % false alarms, %: SNR 4 to 6 |
    | --- | --- | --- |
    | matched filter | 1.0000 ± 0.0018 | 100.0 ± 1.8 |
    """
    heads = ["search", "AUC"]
    rows = [[name, f"{x.auc:.4f} ± {(x.interval.high - x.interval.low) / 2:.4f}"] for name, x in searches.items()]
    for probability in _false_alarm_probabilities(searches):
        efficiencies = [detections.efficiency[probability] for detections in searches.values()]
        edges, chosen = efficiencies[0].edges, list(bins) or range(len(efficiencies[0].rate))
        words = [f"SNR {edges[i]:g} to {edges[i + 1]:g}" for i in chosen]
        heads += [f"found at {100 * probability:g} % false alarms, %: {words[0]}", *words[1:]]
        for row, efficiency in zip(rows, efficiencies, strict=True):
            row += [
                f"{100 * efficiency.rate[i]:.1f} ± {50 * (efficiency.high[i] - efficiency.low[i]):.1f}" for i in chosen
            ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])


def _false_alarm_probabilities(searches: Mapping[str, Detections]) -> list[float]:
    if not searches:
        raise InputError(
            "searches: expected the result of one search or more, found none; give those of evaluation.detections"
        )
    return [*next(iter(searches.values())).efficiency]

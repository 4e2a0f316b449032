"""Pictures of a search in time series: a segment of data, and how many signals are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.report.figures import _LINES
from hepjax.report.style import color, new_figure, put_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from hepjax.evaluation.detections import Detections

_MARKERS = "osvD^P"


def segment_figure(times: Any, raw: Sequence[Any], whitened: Sequence[Any], label: str = "") -> Figure:
    """A segment of data with the signal that hides in it, as it is measured and whitened.

    Args:
      times: (N,) seconds.
      raw: (N,) strain in units of 1e-23, data and signal.
      whitened: (N,) the same two in standard deviations of the noise.
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
        for one in series:
            if np.shape(one) != x.shape:
                raise InputError(
                    f"{name}: expected data and signal of shape {x.shape}, as times, found {np.shape(one)}"
                )
    with style():
        figure = new_figure(11, 8)
        panels = figure.subplots(2, 1, sharex=True)
        names = ("Strain [$10^{-23}$]", r"Whitened strain [$\sigma$]")
        for axes, (data, signal), name in zip(panels, (raw, whitened), names, strict=True):
            axes.plot(x, data, color="0.65", linewidth=1, label="Data")
            axes.plot(x, signal, color=color(2), linewidth=1.8, label="Signal in it")
            axes.set(ylabel=name, xlim=(x[0], x[-1]))
        panels[1].set_xlabel("Time [s]")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize="small")
        put_label(panels[0], label)
    return figure


def efficiency_figure(found: Mapping[str, Detections], label: str = "") -> Figure:
    """Detection efficiency over the signal-to-noise ratio: a panel for each false-alarm probability.

    Args:
      found: name of a search → what `evaluation.detections` gives of it.
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
    probabilities = _probabilities(found)
    with style():
        figure = new_figure(1 + 7 * len(probabilities), 7.5)
        panels = figure.subplots(1, len(probabilities), squeeze=False, sharey=True)[0]
        for axes, probability in zip(panels, probabilities, strict=True):
            for i, (name, detections) in enumerate(found.items()):
                one = detections.efficiency[probability]
                x = (one.edges[:-1] + one.edges[1:]) / 2 + 0.06 * (i - (len(found) - 1) / 2)
                axes.errorbar(
                    x, one.rate, np.array([one.rate - one.low, one.high - one.rate]).clip(0),
                    color=color(i), marker=_MARKERS[i % len(_MARKERS)], markersize=8, label=name,
                    linestyle=_LINES[i % len(_LINES)], linewidth=1.8,
                )  # fmt: skip
                axes.set_xlim(one.edges[0], one.edges[-1])
            axes.set(xlabel="Optimal signal-to-noise ratio", ylim=(0, 1.05))
            axes.set_title(f"{100 * probability:g} % false alarms", loc="right", fontsize="small")
        panels[0].set_ylabel("Detection efficiency")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize="small")
        put_label(panels[0], label)
    return figure


def detections_table(found: Mapping[str, Detections], bins: Sequence[int] = ()) -> str:
    """What searches find, as a Markdown table.

    Args:
      found: name of a search → what `evaluation.detections` gives of it.
      bins: which bins of the signal-to-noise ratio to show; none is all.

    Returns:
      The table: errors are half the 68 % intervals, efficiencies in percent.

    Raises:
      InputError: there is no search.

    >>> from hepjax.evaluation import detections
    >>> snr = np.repeat([0.0, 5.0], 50)
    >>> print(detections_table(detections({"matched filter": snr}, snr, [4, 6], (0.01,))))
    | search | AUC | found at 1 % false alarms, %: SNR 4 to 6 |
    | --- | --- | --- |
    | matched filter | 1.0000 ± 0.0000 | 100.0 ± 1.8 |
    """
    heads = ["search", "AUC"]
    rows = [[name, f"{x.auc:.4f} ± {(x.interval.high - x.interval.low) / 2:.4f}"] for name, x in found.items()]
    for probability in _probabilities(found):
        every = [detections.efficiency[probability] for detections in found.values()]
        edges, shown = every[0].edges, list(bins) or range(len(every[0].rate))
        words = [f"SNR {edges[i]:g} to {edges[i + 1]:g}" for i in shown]
        heads += [f"found at {100 * probability:g} % false alarms, %: {words[0]}", *words[1:]]
        for row, one in zip(rows, every, strict=True):
            row += [f"{100 * one.rate[i]:.1f} ± {50 * (one.high[i] - one.low[i]):.1f}" for i in shown]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])


def _probabilities(found: Mapping[str, Detections]) -> list[float]:
    if not found:
        raise InputError("found: expected what a search or more finds, found none; give those of evaluation.detections")
    return [*next(iter(found.values())).efficiency]

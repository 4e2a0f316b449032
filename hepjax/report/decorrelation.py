"""The picture of the trade-off between performance and mass decorrelation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError
from hepjax.report.style import line_color, new_figure, style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from hepjax.evaluation import TradeOff

_MARKERS = "osD^vP"


def trade_off_figure(trade_offs: Mapping[str, Sequence[TradeOff]], limit: TradeOff | None = None) -> Figure:
    """Draws AUC over 1 / divergence, one line for each way of training; the best lie at the upper right.

    Args:
      trade_offs: name of a way of training → its taggers, all at the same signal efficiency, in the order of their
        strengths.
      limit: the result of a cut in each bin of the observable, drawn as a dashed line at its AUC.

    Returns:
      The figure, with bars of one standard deviation.

    Raises:
      InputError: there is no tagger.

    >>> from hepjax.evaluation import TradeOff
    >>> trade_off_figure({"plain": [TradeOff(0.9, 0.01, 0.5, 0.01, 0.5, 0.1, 0.01)]}).axes[0].get_ylabel()
    'AUC'
    """
    if not any(trade_offs.values()):
        raise InputError("trade_offs: expected one tagger or more, found none")
    with style():
        figure = new_figure(9, 7)
        axes = figure.subplots()
        for i, (name, line) in enumerate(trade_offs.items()):
            look: dict[str, Any] = {"color": line_color(i), "marker": _MARKERS[i % len(_MARKERS)], "label": name}
            flat = [
                1 / tagger.divergence if tagger.divergence else math.inf for tagger in line
            ]  # what is not bent at all is not drawn
            axes.errorbar(flat, [tagger.auc for tagger in line], [tagger.auc_error for tagger in line], **look)
        if limit is not None:
            axes.axhline(limit.auc, color="0.5", linestyle="--", label="plain, cut in bins")
        efficiency = next(tagger.efficiency for line in trade_offs.values() for tagger in line)
        axes.set(xscale="log", xlabel=f"1 / Jensen-Shannon divergence at {100 * efficiency:.0f}% signal", ylabel="AUC")
        axes.legend()
    return figure

"""The charts of the page: ROC curves, the history of a training, and calibration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation import auc, best_epoch, class_curve, fpr_at_tpr, thin_curve
from hepjax.report.charts import Axis, Chart, Line, Mark
from hepjax.report.figures import lowest_mistag_decade
from hepjax.report.labels import class_label
from hepjax.report.number_text import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.evaluation.calibration import Reliability
    from hepjax.types import Epoch, Scores

_POINTS = 250
"""The approximate number of points of a curve along each axis."""
_EPOCHS = 500
"""The approximate number of epochs that a history shows."""
_FEW_EPOCHS = 20
"""The largest number of epochs for which points are drawn."""
_BAND = 0.06
"""Free space above and below a line, as a part of its range."""


def roc_chart(scores: Scores) -> Chart | None:
    """Draws the ROC curve of each class against all others, with readings at every percent of signal efficiency.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      A chart; None where no class can have a curve.

    Raises:
      InputError: the scores are not valid.
    """
    places = np.arange(1, 101) / 100
    # One at a time: whole curves of ten million jets would not fit side by side.
    lines = [line for i in range(len(scores.classes)) if (line := _roc_chart_line(scores, i, places)) is not None]
    if not lines:
        return None
    bottom = lowest_mistag_decade(np.asarray(scores.labels), len(scores.classes))
    guess = np.geomspace(bottom, 1, 100)
    areas = ", ".join(f"{line.name} {line.aside.removeprefix('AUC ')}" for line in lines)
    return Chart(
        "roc",
        "Background efficiency over signal efficiency",
        "One curve for each class against all others, on a logarithmic vertical axis; the lower the better. "
        f"Areas under the curves: {areas}. Values are in the table below.",
        Axis("Signal efficiency", 0, 1),
        Axis("Background efficiency (mistag rate)", bottom, 1, log=True),
        [*lines, Line("guess", 0, guess, guess)],
        places,
        [f"{place:.2f}" for place in places],
        rows=slice(9, None, 10),
    )


def history_charts(history: Sequence[Epoch]) -> list[Chart]:
    """Draws losses, accuracy and, if it changes, the learning rate over epochs, with the best epoch marked.

    Args:
      history: the epochs in their order; numbers that are not finite leave gaps.

    Returns:
      A chart for each quantity that has a finite value.
    """
    if not history:
        return []
    epochs = _thinned_history(history)
    train, val, accuracy, rate = np.array([epoch[1:5] for epoch in epochs], dtype=np.float64).T
    charts = [
        _chart_over_epochs(epochs, "loss", "Loss", {"training": (0, train), "validation": (2, val)}),
        _chart_over_epochs(epochs, "accuracy", "Accuracy", {"validation": (2, accuracy)}),
    ]
    if np.unique(rate[np.isfinite(rate)]).size > 1:
        charts.append(_chart_over_epochs(epochs, "rate", "Learning rate", {"learning rate": (3, rate)}, "{:.2e}"))
    return [chart for chart in charts if chart is not None]


def reliability_chart(reliability: Reliability) -> Chart:
    """Draws how often the tagger is right, over how sure it says it is.

    Args:
      reliability: the result of `hepjax.evaluation.calibration.reliability`.

    Returns:
      A chart.
    """
    confidence, accuracy, weights, low, high = (
        np.asarray(getattr(reliability, name), dtype=np.float64)
        for name in ("confidence", "accuracy", "weights", "low", "high")
    )
    known = np.isfinite(confidence) & np.isfinite(accuracy) & (weights > 0)
    share = weights / weights.sum()
    words = [
        f"{value:.3f}"
        + (f" ({a:.3f} to {b:.3f})" if math.isfinite(a) and math.isfinite(b) else "")
        + f", {part:.1%} of the jets"
        for value, a, b, part in zip(accuracy[known], low[known], high[known], share[known], strict=True)
    ]
    places, heights = confidence[known], accuracy[known]
    line = Line("tagger", 0, places, heights, heights, words, bars=np.array([low[known], high[known]]))
    gap = float((share[known] * np.abs(places - heights)).sum())
    return Chart(
        "reliability",
        "Accuracy over confidence",
        "Jets in bins of the highest probability that they were given. On the diagonal a tagger is right as often "
        f"as it says; below it, it is too sure. The mean distance is {gap:.3f}.",
        Axis("Confidence (highest probability)", 0, 1),
        Axis("Accuracy, with its 68% interval", 0, 1),
        [line, Line("as sure as right", 0, [0, 1], [0, 1])],
        places,
        [f"{place:.3f}" for place in places],
    )


def _roc_chart_line(scores: Scores, index: int, places: Any) -> Line | None:
    curve = class_curve(scores, scores.classes[index])
    if curve is None:
        return None
    rates = np.array([fpr_at_tpr(curve, place) for place in places])
    words = [f"{rate:.3g}" + (f" (rejection {1 / rate:,.1f})" if rate > 0 else "") for rate in rates]
    curve_points = thin_curve(curve, _POINTS)
    name = class_label(scores.classes[index])
    return Line(name, index, curve_points.tpr, curve_points.fpr, rates, words, aside=f"AUC {auc(curve):.3f}")


def _thinned_history(history: Sequence[Epoch]) -> list[Epoch]:
    """Returns as many epochs as a chart can show, the first, the last and the best among them."""
    step, last, best = max(1, math.ceil(len(history) / _EPOCHS)), len(history) - 1, best_epoch(history)
    return [epoch for i, epoch in enumerate(history) if i % step == 0 or i == last or epoch is best]


def _chart_over_epochs(
    history: Sequence[Epoch], key: str, label: str, curves: dict[str, tuple[int, Any]], form: str = "{:.4f}"
) -> Chart | None:
    """Draws curves, each with the number of its color; None where no value is finite."""
    every_value = np.concatenate([values for _, values in curves.values()])
    if not np.isfinite(every_value).any():
        return None
    epochs, best = np.array([row.epoch for row in history], dtype=np.float64), best_epoch(history)
    lines = []
    for name, (look, values) in curves.items():
        bars = np.full((2, len(values)), np.nan) if len(history) <= _FEW_EPOCHS else None  # points without error bars
        words = [number_text(float(value), form) for value in values]
        lines.append(Line(name, look, epochs, values, values, words, bars=bars, dash=int(name == "training")))
    text = f"From epoch {history[0].epoch} to {history[-1].epoch}: "
    text += "; ".join(f"{line.name} from {line.words[0]} to {line.words[-1]}" for line in lines) + "."
    if best is not None:
        text += f" The lowest validation loss, {best.val_loss:.4g}, was in epoch {best.epoch}."
    marks = [] if best is None else [Mark(best.epoch, f"best: {best.epoch}")]
    axes = Axis("Epoch", *_padded_range(epochs, 0.02)), _chart_value_axis(label, every_value)
    heads = [str(row.epoch) for row in history]
    return Chart(key, f"{label} over epochs", text, *axes, lines, epochs, heads, marks)


def _chart_value_axis(label: str, values: Any) -> Axis:
    """Returns an axis for all finite values; logarithmic for positive ones over a decade and more."""
    finite = values[np.isfinite(values)]
    if finite.min() > 0 and finite.max() >= 10 * finite.min():
        low, high = np.floor(np.log10(finite.min())), np.ceil(np.log10(finite.max()))
        return Axis(label, float(10.0**low), float(10.0**high), log=True)
    return Axis(label, *_padded_range(finite))


def _padded_range(values: Any, band: float = _BAND) -> tuple[float, float]:
    """Returns the smallest and the largest finite value with some room around them."""
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    room = band * (high - low) or max(abs(low) * band, 0.5 if low == round(low) else 1e-12)
    return low - room, high + room

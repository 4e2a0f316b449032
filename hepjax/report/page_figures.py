"""The charts of the page: ROC curves, the history of a training, and calibration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.evaluation import auc, best_epoch, class_curve, fpr_at_tpr, thin_curve
from hepjax.evaluation.intervals import FEWEST
from hepjax.report.charts import Axis, Chart, Line, Mark, chart
from hepjax.report.figures import lowest_rate
from hepjax.report.names import drawn
from hepjax.report.page_markup import Html, number, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.types import Epoch, Scores

_POINTS = 250  # a curve has about this many along each axis
_EPOCHS = 500  # the history has about this many rows
_FEW = 20  # epochs, for which points are drawn
_BAND = 0.06  # free space above and below a line, of its range


def roc_chart(scores: Scores) -> Html:
    """ROC curves of each class against all others, which can be read at every percent of signal efficiency.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      A figure; empty where no class can have a curve.

    Raises:
      InputError: for scores that are not sound.
    """
    places = np.arange(1, 101) / 100
    # One at a time: whole curves of ten million jets would not fit side by side.
    lines = [line for i in range(len(scores.classes)) if (line := _roc_line(scores, i, places)) is not None]
    if not lines:
        return Html()
    bottom = lowest_rate(np.asarray(scores.labels), len(scores.classes))
    guess = np.geomspace(bottom, 1, 100)
    best = ", ".join(f"{line.name} {line.aside.removeprefix('AUC ')}" for line in lines)
    return chart(
        Chart(
            "roc",
            "Background efficiency over signal efficiency",
            "One curve for each class against all others, on a logarithmic vertical axis; the lower the better. "
            f"Areas under the curves: {best}. Values are in the table below.",
            Axis("Signal efficiency", 0, 1),
            Axis("Background efficiency (mistag rate)", bottom, 1, log=True),
            [*lines, Line("guess", 0, guess, guess)],
            places,
            [f"{place:.2f}" for place in places],
            rows=slice(9, None, 10),
        )
    )


def history_charts(history: Sequence[Epoch]) -> Html:
    """Losses, accuracy and, where it changes, the learning rate over epochs, with the best epoch marked.

    Args:
      history: one epoch or more; numbers that are not finite leave gaps.

    Returns:
      Two figures or three.
    """
    rows = _some(history)
    train, val, accuracy, rate = np.array([row[1:5] for row in rows], dtype=np.float64).T
    charts = [
        _over_epochs(rows, "loss", "Loss", {"training": (0, train), "validation": (2, val)}),
        _over_epochs(rows, "accuracy", "Accuracy", {"validation": (2, accuracy)}),
    ]
    if np.unique(rate[np.isfinite(rate)]).size > 1:
        charts.append(_over_epochs(rows, "rate", "Learning rate", {"learning rate": (3, rate)}, "{:.2e}"))
    return tag("div", *charts, class_="pair")


def reliability_chart(found: Any) -> Html:
    """How often the tagger is right, over how sure it says it is.

    Args:
      found: a `hepjax.evaluation.calibration.Reliability`.

    Returns:
      A figure.
    """
    confidence, accuracy, weights, low, high = (
        np.asarray(getattr(found, name), dtype=np.float64)
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
    return chart(
        Chart(
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
    )


def _roc_line(scores: Scores, index: int, places: Any) -> Line | None:
    curve = class_curve(scores, scores.classes[index])
    if curve is None:
        return None
    rates = np.array([fpr_at_tpr(curve, place) for place in places])
    weights = np.ones(len(scores.labels)) if scores.weights is None else np.asarray(scores.weights, dtype=np.float64)
    others = weights[np.asarray(scores.labels) != index]
    jets = others.sum() ** 2 / (others**2).sum() * rates  # effectively, that pass
    words = [
        f"{rate:.3g}" + (f" (rejection {1 / rate:,.1f})" if count >= FEWEST else "")
        for rate, count in zip(rates, jets, strict=True)
    ]
    few = thin_curve(curve, _POINTS)
    name = drawn(scores.classes[index])
    return Line(name, index, few.tpr, few.fpr, rates, words, aside=f"AUC {auc(curve):.3f}")


def _some(history: Sequence[Epoch]) -> list[Epoch]:
    """So many epochs as a chart can show, the first, the last and the best among them."""
    step, last, best = max(1, math.ceil(len(history) / _EPOCHS)), len(history) - 1, best_epoch(history)
    return [row for i, row in enumerate(history) if i % step == 0 or i == last or row is best]


def _over_epochs(
    rows: Sequence[Epoch], key: str, label: str, values: dict[str, tuple[int, Any]], form: str = "{:.4f}"
) -> Html:
    """A chart of quantities, each with the number of its colour; nothing where none is known."""
    found = np.concatenate([some for _, some in values.values()])
    if not np.isfinite(found).any():
        return Html()
    epochs, best = np.array([row.epoch for row in rows], dtype=np.float64), best_epoch(rows)
    lines = []
    for name, (look, some) in values.items():
        points = np.full((2, len(some)), np.nan) if len(rows) <= _FEW else None  # without error bars
        words = [number(float(x), form) for x in some]
        lines.append(Line(name, look, epochs, some, some, words, bars=points, dash=int(name == "training")))
    text = f"From epoch {rows[0].epoch} to {rows[-1].epoch}: "
    text += "; ".join(f"{line.name} from {line.words[0]} to {line.words[-1]}" for line in lines) + "."
    if best is not None:
        text += f" The lowest validation loss, {best.val_loss:.4g}, was in epoch {best.epoch}."
    marks = [] if best is None else [Mark(best.epoch, f"best: {best.epoch}")]
    axes = Axis("Epoch", *_range(epochs, 0.02)), _axis(label, found)
    heads = [str(row.epoch) for row in rows]
    return chart(Chart(key, f"{label} over epochs", text, *axes, lines, epochs, heads, marks))


def _axis(label: str, values: Any) -> Axis:
    """An axis for all finite values; logarithmic for positive ones over a decade and more."""
    finite = values[np.isfinite(values)]
    if finite.min() > 0 and finite.max() >= 10 * finite.min():
        low, high = np.floor(np.log10(finite.min())), np.ceil(np.log10(finite.max()))
        return Axis(label, float(10.0**low), float(10.0**high), log=True)
    return Axis(label, *_range(finite))


def _range(values: Any, band: float = _BAND) -> tuple[float, float]:
    """From the smallest to the largest finite value and a little more."""
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    more = band * (high - low) or max(abs(low) * band, 0.5 if low == round(low) else 1e-12)
    return low - more, high + more

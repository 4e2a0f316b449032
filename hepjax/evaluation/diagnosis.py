"""Diagnosis of underfitting and overfitting from the training history, with the evidence in words."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hepjax.types import Epoch

    Floats = NDArray[np.float64]

SHORTEST = 4
"""The number of epochs below which only a divergence or a falling loss is diagnosed."""
RISE = 0.02
"""The rise of the validation loss above its best value, as a fraction, that means overfitting."""
GAP = 0.15
"""The gap between final training and validation loss, as a fraction, that means overfitting."""
FALL = 0.01
"""The fall of the loss over the last third of the history, as a fraction, that means that it is still learning."""
CHANCE = 0.75
"""The best loss, as a fraction of the loss of a random guess, above which the model underfits."""
LEARNED = 0.01
"""The total fall of the training loss, as a fraction, below which the model underfits if the guess is unknown."""

_WINDOW = 3  # epochs in the moving mean against which trends are judged


class Fit(enum.StrEnum):
    """The possible diagnoses of a fit."""

    UNDERFITTING = "underfitting"
    OVERFITTING = "overfitting"
    GOOD_FIT = "good fit"
    STILL_LEARNING = "still learning"
    DIVERGED = "diverged"
    UNDECIDED = "undecided"


class Verdict(NamedTuple):
    """A verdict and its evidence."""

    kind: Fit
    words: str
    """One or two sentences with the verdict, its evidence in numbers, and a recommendation."""


def best_epoch(history: Sequence[Epoch]) -> Epoch | None:
    """Returns the first epoch with the lowest validation loss; None if no epoch has a validation loss.

    Args:
      history: the epochs; a validation loss that is not finite is ignored.

    Returns:
      The best epoch, or None.

    >>> from hepjax.types import Epoch
    >>> best_epoch([Epoch(1, 1.0, 0.9, 0.5, 1e-3, 1.0, 1e5), Epoch(2, 0.8, 0.95, 0.5, 1e-3, 1.0, 1e5)]).epoch
    1
    """
    return min((row for row in history if math.isfinite(row.val_loss)), key=lambda row: row.val_loss, default=None)


def verdict(history: Sequence[Epoch], chance_loss: float | None = None) -> Verdict:
    """Judges a training from its losses; the thresholds are this module's constants.

    In this order: a loss that is not finite is a divergence; a validation loss that rose since its best epoch while
    the training loss did not, or one far above the training loss, is overfitting; a loss that still falls at the end
    is still learning; a loss near that of a guess is underfitting; the rest is a good fit. Trends are those of a moving
    mean over three epochs, and count only beyond the noise of the validation loss, estimated from the scatter of its
    steps. Fewer than four epochs, or no validation loss, give no verdict on over- or good fit.

    Args:
      history: the epochs in their order; validation losses may be NaN.
      chance_loss: the loss of a guess, such as log(C) nats for C equally frequent classes; None if unknown.

    Returns:
      A Verdict.

    Raises:
      InputError: an empty history is passed.

    Reference: L. Prechelt, "Early stopping - but when?", in Neural Networks: Tricks of the Trade (1998), section 2.1,
    for the generalization loss, here `RISE`.

    >>> from hepjax.types import Epoch
    >>> rows = [Epoch(i, 1 / i, 0.5 + 0.05 * i, 0.5, 1e-3, 1.0, 1e5) for i in range(1, 9)]
    >>> verdict(rows).kind.value
    'overfitting'
    """
    if not history:
        raise InputError("history: expected one epoch or more, found none; train first")
    train = np.array([row.train_loss for row in history], dtype=np.float64)
    val = np.array([row.val_loss for row in history], dtype=np.float64)
    broken = ~np.isfinite(train) | np.isinf(val)
    if broken.any():
        epoch = history[int(np.argmax(broken))].epoch
        return _make_verdict(
            Fit.DIVERGED,
            f"the loss is not finite from epoch {epoch} on; try a smaller learning rate or gradient clipping",
        )
    has_val = ~np.isnan(val)
    best = best_epoch(history)
    if best is None:
        return _diagnose_without_validation(train, chance_loss)
    return _diagnose_with_validation(train[has_val], val[has_val], best, chance_loss)


def add_doubts(verdict: Mapping[str, str], doubts: Sequence[str]) -> dict[str, str]:
    """Adds to a verdict what speaks against trusting it; nothing is called a good fit then.

    Args:
      verdict: `kind` and `words`, as in metrics.json.
      doubts: sentences without their full stops.

    Returns:
      The verdict; the same where there are no doubts.

    >>> add_doubts({"kind": "good fit", "words": "Good fit: all is well."}, ["one jet decides"])
    {'kind': 'undecided', 'words': 'Undecided: all is well. But one jet decides.'}
    """
    kind, words = verdict["kind"], verdict["words"].removesuffix(".")
    if not doubts:
        return dict(verdict)
    if kind == Fit.GOOD_FIT:
        kind, words = Fit.UNDECIDED.value, words.replace(kind.capitalize(), Fit.UNDECIDED.value.capitalize(), 1)
    return {"kind": kind, "words": f"{words}. But {'; and '.join(doubts)}."}


def _diagnose_with_validation(train: Floats, val: Floats, best: Epoch, chance_loss: float | None) -> Verdict:
    noise = _loss_noise(val)
    losses = f"training loss {train[-1]:.4g}, validation loss {val[-1]:.4g}"
    if len(val) >= SHORTEST:
        overfit = _overfitting_evidence(train, val, noise, best)
        if overfit is not None:
            return overfit
    if _loss_still_falls(val, noise):
        return _make_verdict(
            Fit.STILL_LEARNING, f"the validation loss still falls at the end ({losses}); train for more epochs"
        )
    underfit = _underfitting_evidence(train, float(val.min()), chance_loss)
    if underfit is not None and len(val) >= SHORTEST:
        return underfit
    if len(val) < SHORTEST:
        return _make_verdict(
            Fit.UNDECIDED, f"{_epochs_in_words(len(val))} cannot show a trend ({losses}); train for more epochs"
        )
    gap = (val[-1] - train[-1]) / _loss_scale(train, val)
    return _make_verdict(
        Fit.GOOD_FIT,
        f"the validation loss has levelled off (best {best.val_loss:.4g} at epoch {best.epoch}) and ends "
        f"{abs(gap):.1%} {'above' if gap >= 0 else 'below'} the training loss ({losses})",
    )


def _overfitting_evidence(train: Floats, val: Floats, noise: float, best: Epoch) -> Verdict | None:
    scale = _loss_scale(train, val)
    smooth_val, smooth_train = _moving_mean_loss(val), _moving_mean_loss(train)
    lowest = int(np.argmin(smooth_val))
    rise = smooth_val[-1] - smooth_val[lowest]
    remedy = f"keep the parameters of epoch {best.epoch}, or try more jets, stronger regularization or a smaller model"
    if rise > max(RISE * scale, 3 * noise) and smooth_train[-1] <= smooth_train[lowest]:
        return _make_verdict(
            Fit.OVERFITTING,
            f"the validation loss rose from {best.val_loss:.4g} at epoch {best.epoch} to {val[-1]:.4g} "
            f"while the training loss fell to {train[-1]:.4g}; {remedy}",
        )
    gap = smooth_val[-1] - smooth_train[-1]
    if gap > max(GAP * scale, 3 * noise):
        return _make_verdict(
            Fit.OVERFITTING,
            f"the training loss ends {gap / scale:.0%} below the validation loss "
            f"({train[-1]:.4g} against {val[-1]:.4g}); {remedy}",
        )
    return None


def _underfitting_evidence(train: Floats, lowest: float, chance_loss: float | None) -> Verdict | None:
    remedy = "try a larger model, better features, a larger learning rate or weaker regularization"
    if chance_loss is not None:
        if lowest <= CHANCE * chance_loss:
            return None
        return _make_verdict(
            Fit.UNDERFITTING,
            f"the loss has levelled off at {lowest:.4g}, {lowest / chance_loss:.0%} of a guess's {chance_loss:.4g}; "
            f"{remedy}",
        )
    fall = train[0] - train[-1]
    if fall < LEARNED * _loss_scale(train, train):
        return _make_verdict(
            Fit.UNDERFITTING, f"the training loss never fell: {train[0]:.4g} first, {train[-1]:.4g} last; {remedy}"
        )
    return None


def _diagnose_without_validation(train: Floats, chance_loss: float | None) -> Verdict:
    if _loss_still_falls(train, _loss_noise(train)):
        words = (
            f"the training loss still falls at the end ({train[-1]:.4g}); train for more epochs, with validation jets"
        )
        return _make_verdict(Fit.STILL_LEARNING, words)
    if len(train) >= SHORTEST:
        underfit = _underfitting_evidence(train, float(train.min()), chance_loss)
        if underfit is not None:
            return underfit
    return _make_verdict(
        Fit.UNDECIDED,
        f"{_epochs_in_words(len(train))} without a validation loss cannot tell (training loss {train[-1]:.4g}); "
        "add validation jets",
    )


def _loss_still_falls(loss: Floats, noise: float) -> bool:
    """Tests if the later half of the last third of the history (at least four epochs) lies below the earlier half."""
    if len(loss) < 2:
        return False
    tail = loss[-max(SHORTEST, math.ceil(len(loss) / 3)) :]
    half = len(tail) // 2
    drop = tail[:half].mean() - tail[-half:].mean()
    # The loss fell by `drop` between the middles of the halves; this extrapolates the fall to the whole tail.
    fall = drop * (len(tail) - 1) / (len(tail) - half)
    return bool(fall > FALL * _loss_scale(tail, tail) and drop > 2 * noise * math.sqrt(2 / half))


def _loss_noise(loss: Floats) -> float:
    """Estimates the scatter of the loss about its trend from its second differences; 0 for too few epochs."""
    if len(loss) < SHORTEST:
        return 0.0
    second = np.abs(np.diff(loss, n=2))
    return float(1.4826 * np.median(second) / math.sqrt(6))  # a second difference has 6 times the variance


def _moving_mean_loss(loss: Floats) -> Floats:
    return np.convolve(loss, np.full(_WINDOW, 1 / _WINDOW), mode="valid")


def _loss_scale(train: Floats, val: Floats) -> float:
    """Returns the unit of fractions of a loss: the best loss, or the range of losses if some are negative."""
    if min(train.min(), val.min()) >= 0:
        return float(max(val.min(), np.finfo(np.float64).tiny))
    return float(max(np.ptp(train), np.ptp(val), np.finfo(np.float64).tiny))


def _epochs_in_words(epochs: int) -> str:
    return "one epoch" if epochs == 1 else f"{epochs} epochs"


def _make_verdict(kind: Fit, evidence: str) -> Verdict:
    return Verdict(kind, f"{kind.value.capitalize()}: {evidence}.")

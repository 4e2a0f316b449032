"""Early stopping: which state is the best, and when waiting is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepjax.types import Progress

if TYPE_CHECKING:
    from hepjax.types import Epoch, TrainState


def watch(progress: Progress, state: TrainState, row: Epoch, min_change: float) -> Progress:
    """The progress after one more epoch.

    Args:
      progress: before the epoch.
      state: after it.
      row: of the history.
      min_change: by how much the validation loss must fall to end the waiting.

    Returns:
      The new progress; its `best` is the state of the lowest validation loss, however small the gain.
    """
    better, enough = row.val_loss < progress.best_loss, row.val_loss < progress.bar - min_change
    return Progress(
        epoch=row.epoch,
        state=state,
        best=state if better else progress.best,
        best_loss=row.val_loss if better else progress.best_loss,
        waited=0 if enough else progress.waited + 1,
        bar=row.val_loss if enough else progress.bar,
        history=(*progress.history, row),
    )


def should_stop(progress: Progress, patience: int | None) -> bool:
    """Whether the validation loss has not fallen for `patience` epochs.

    Args:
      progress: of the training.
      patience: the epochs to wait; None waits for ever.

    Returns:
      True to stop.
    """
    return patience is not None and progress.waited >= patience

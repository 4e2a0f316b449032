"""Early stopping: which epoch is the best, and when waiting is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepjax.types import Progress

if TYPE_CHECKING:
    from hepjax.types import Epoch


def watch_validation_loss(progress: Progress, row: Epoch, min_change: float) -> Progress:
    """Adds an epoch to the progress of a training.

    Args:
      progress: before the epoch.
      row: of the history.
      min_change: by how much the validation loss must fall to end the waiting.

    Returns:
      The new progress; its `best_loss` is the lowest validation loss, however small the gain.

    >>> from hepjax.types import Epoch
    >>> progress = watch_validation_loss(Progress(), Epoch(1, 0.9, 0.8, 0.7, 1e-3, 2.0, 100.0), min_change=0.1)
    >>> progress.best_loss, progress.epochs_without_improvement
    (0.8, 0)
    """
    improved = row.val_loss < progress.best_counted_loss - min_change
    return Progress(
        epoch=row.epoch,
        best_loss=min(row.val_loss, progress.best_loss),
        epochs_without_improvement=0 if improved else progress.epochs_without_improvement + 1,
        best_counted_loss=row.val_loss if improved else progress.best_counted_loss,
        history=(*progress.history, row),
    )


def should_stop(progress: Progress, patience: int | None) -> bool:
    """Returns whether a training ends: it diverged, or its validation loss has not fallen for `patience` epochs.

    Args:
      progress: of the training.
      patience: the epochs to wait; None waits for ever.

    Returns:
      True to stop.

    >>> should_stop(Progress(epochs_without_improvement=3), 3), should_stop(Progress(divergence="at step 1"), None)
    (True, True)
    """
    tired = patience is not None and progress.epochs_without_improvement >= patience
    return tired or bool(progress.divergence)

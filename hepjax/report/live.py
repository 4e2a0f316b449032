"""The progress of a training as it goes: a bar that moves, in a notebook and on a terminal, and lines elsewhere."""

from __future__ import annotations

import contextlib
import html
import math
import sys
from typing import TYPE_CHECKING, Any

from hepjax.report.tables import epoch_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hepjax.types import Progress

_WIDTH = 24
"""Letters of a bar on a terminal."""


@contextlib.contextmanager
def training_bar(epochs: int) -> Iterator[Callable[[Progress], None]]:
    """Shows a training while it goes; the bar stays when it has ended.

    Args:
      epochs: the number planned.

    Yields:
      The function to be called with the progress after each epoch.

    >>> from hepjax.types import Epoch, Progress
    >>> with training_bar(2) as advance:
    ...     advance(Progress(1, history=(Epoch(1, 0.9, 0.8, float("nan"), float("nan"), 1.0, 100.0),)))
    epoch 1/2  train loss 0.9000  val loss 0.8000  1.0 s  100 jets/s
    """
    show_html, terminal = notebook_display(), sys.stdout.isatty()
    handle: Any = None
    if show_html is not None:
        handle = show_html(_Bar(0, epochs, "begins"))

    def advance(progress: Progress) -> None:
        row = progress.history[-1]
        if handle is not None:
            handle.update(_Bar(progress.epoch, epochs, _words(progress)))
        elif terminal:
            done = _WIDTH * progress.epoch // epochs
            bar = "█" * done + "░" * (_WIDTH - done)
            sys.stdout.write(f"\r{bar} {progress.epoch}/{epochs}  {_words(progress)}\x1b[K")
            sys.stdout.flush()
        else:
            sys.stdout.write(epoch_line(row, epochs) + "\n")

    try:
        yield advance
    finally:
        if terminal and handle is None:
            sys.stdout.write("\n")


def notebook_display() -> Callable[[Any], Any] | None:
    """Returns what shows an object in the notebook that this process runs, to be updated; None where it runs none."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or "IPKernelApp" not in shell.config:
        return None
    show: Any = sys.modules["IPython.display"].display
    return lambda shown: show(shown, display_id=True)


class _Bar:
    """A bar in a notebook, in HTML and in plain text."""

    def __init__(self, done: int, epochs: int, words: str) -> None:
        self.done, self.epochs, self.words = done, epochs, words

    def __repr__(self) -> str:
        return f"epoch {self.done}/{self.epochs}  {self.words}"

    def _repr_html_(self) -> str:
        return (
            f'<progress value="{self.done}" max="{self.epochs}"></progress> epoch {self.done} of {self.epochs} '
            f"<code>{html.escape(self.words)}</code>"
        )


def _words(progress: Progress) -> str:
    row = progress.history[-1]
    accuracy = "" if math.isnan(row.val_accuracy) else f"  val accuracy {row.val_accuracy:.4f}"
    return f"val loss {row.val_loss:.4f}{accuracy}  best {progress.best_loss:.4f}"

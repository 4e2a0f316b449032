"""Functions of a user's own that are called after each epoch of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import runtime
from hepjax.errors import CallbackError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.types import Progress

    Callback = Callable[[Progress], object]


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Refuses what cannot be called, before any work is done.

    Args:
      callbacks: the functions.

    Raises:
      InputError: says what is expected.

    >>> check_callbacks([print])
    """
    many: Any = callbacks
    if not isinstance(many, list | tuple) or not all(map(callable, many)):
        raise InputError(f"callbacks: expected a list of functions of a hepjax.types.Progress, found {callbacks!r:.80}")


def call_after_epoch(callbacks: Sequence[Callback], progress: Progress, remedy: str) -> bool:
    """Calls each function with the progress, in the first process of a run.

    Args:
      callbacks: the functions, in the order in which they are called.
      progress: of the training that has gone furthest.
      remedy: what the user can do after one that fails.

    Returns:
      Whether one of them returned True, in the same way in all processes.

    Raises:
      CallbackError: a function raised an error; names the function, the epoch and the error.

    >>> from hepjax.types import Progress
    >>> call_after_epoch([lambda progress: progress.epoch >= 3], Progress(epoch=3), "")
    True
    """
    asked = False
    for number, callback in enumerate(callbacks if runtime.is_first() else (), 1):
        try:
            answer = callback(progress)
        except Exception as error:
            name = getattr(callback, "__qualname__", type(callback).__name__)
            raise CallbackError(
                f"callback {name}, {number} of {len(callbacks)}, after epoch {progress.epoch}: "
                f"{type(error).__name__}: {' '.join(str(error).split())}; {remedy}"
            ) from error
        asked |= isinstance(answer, bool | np.bool_) and bool(answer)
    return bool(runtime.agree(np.array([asked], np.int32))[0]) if callbacks else False

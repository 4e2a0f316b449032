"""The history as TensorBoard shows it, while it is made."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hepjax.types import Epoch

_TAGS = {
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "val_accuracy": "accuracy/validation",
    "learning_rate": "learning_rate",
    "jets_per_second": "speed/jets_per_second",
    "waiting": "speed/waiting",
}
"""What of an epoch is shown, and under which name."""


def check_tensorboard_installed() -> None:
    """Refuses to start a run that could not write events.

    Raises:
      InputError: TensorBoard is not installed.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise InputError("--tensorboard: needs TensorBoard; pip install 'hepjax[tensorboard]'") from error


@contextlib.contextmanager
def write_tensorboard_events(folder: Path, done: int) -> Iterator[Callable[[Epoch], None]]:
    """Writes one event an epoch, on the disk at once.

    Args:
      folder: for `tensorboard --logdir`; what other calls wrote there stays.
      done: the epochs done before; of later ones, which a run that was killed may have left, TensorBoard forgets.

    Yields:
      The function to call after each epoch.
    """
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))

    def after(row: Epoch) -> None:
        numbers = {tag: getattr(row, name) for name, tag in _TAGS.items()}
        values = [Summary.Value(tag=tag, simple_value=x) for tag, x in numbers.items() if math.isfinite(x)]
        writer.add_event(Event(step=row.epoch, wall_time=time.time(), summary=Summary(value=values)))
        writer.flush()

    try:
        if done:
            start = SessionLog(status=SessionLog.START)
            writer.add_event(Event(step=done + 1, wall_time=time.time(), session_log=start))
        yield after
    finally:
        writer.close()

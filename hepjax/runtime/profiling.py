"""A trace of one epoch, for the viewers of JAX's profiler."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import jax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def trace_epoch(folder: Path, done: int, epochs: int) -> Iterator[Callable[[int], None]]:
    """Traces the second epoch to come, for the first compiles; of a single one, that.

    Args:
      folder: of the trace: `*.xplane.pb` for TensorBoard and XProf, `*.trace.json.gz` for Perfetto.
      done: the epochs done before.
      epochs: how many there will be.

    Yields:
      The function to call with its number after each epoch.
    """
    traced, running = min(done + 2, epochs), False

    def after(epoch: int) -> None:
        nonlocal running
        if epoch == traced - 1:
            jax.profiler.start_trace(folder)
            running = True
        elif running:
            jax.profiler.stop_trace()
            running = False

    after(done)
    try:
        yield after
    finally:
        if running:
            jax.profiler.stop_trace()

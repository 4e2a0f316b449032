"""Worker processes that do units of work, whose results come in order."""

from __future__ import annotations

import collections
import contextlib
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

T = TypeVar("T")
S = TypeVar("S")

_AHEAD = 3
"""Units per worker that may be finished or under way before they are needed."""


def worker_cores() -> int:
    """Counts the cores that this process may use.

    >>> worker_cores() > 0
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers(NamedTuple):
    """Processes that start when there is work for them."""

    executor: ProcessPoolExecutor
    size: int
    """Their largest number."""


@contextlib.contextmanager
def open_workers(size: int) -> Iterator[Workers]:
    """Provides worker processes for as long as the context lasts; work that is under way at its end is given up.

    Args:
      size: the number of processes.

    Yields:
      The workers.

    >>> with open_workers(2) as workers:
    ...     workers.size
    2
    """
    import multiprocessing

    # Spawn, since forking a process that runs JAX threads can hang.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(size, mp_context=context, initializer=_start_worker)
    try:
        yield Workers(executor, size)
    finally:
        # A unit may take minutes, and Pythia does not let go before its end.
        for process in list((executor._processes or {}).values()):
            process.terminate()
        executor.shutdown(cancel_futures=True)


def run_units(units: Iterable[T], work: Callable[[T], S], workers: Workers) -> Generator[tuple[T, S], None, None]:
    """Does units of work, while workers are a few units ahead.

    Args:
      units: the arguments of `work`; taken as workers get free.
      work: a function of a module, which each worker imports.
      workers: the processes that do it.

    Yields:
      Each unit and its result, in order.

    Raises:
      RuntimeError: a worker died.
      Exception: any that `work` raises.
    """
    todo = iter(units)
    running: collections.deque[tuple[T, Future[S]]] = collections.deque()
    try:
        while True:
            while len(running) < _AHEAD * workers.size:
                try:
                    unit = next(todo)
                except StopIteration:
                    break
                running.append((unit, workers.executor.submit(work, unit)))
            if not running:
                return
            unit, future = running.popleft()
            yield unit, future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a simulation worker died: it ran out of memory, was killed, or the calling script lacks "
            '`if __name__ == "__main__":`; use fewer jobs or correct the script'
        ) from error


def _start_worker() -> None:
    """Silences a worker, and ties its life to the parent's."""
    import multiprocessing
    import signal
    import threading

    # Ctrl-C reaches the whole group; the parent alone answers it, and shuts the workers down.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Pythia and FastJet print banners past Python's own stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    parent = multiprocessing.parent_process()

    def follow_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()

"""Reading by several threads, in the memory that there is."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MOST_THREADS = 16
"""So that memory stays bounded where cores are many; what h5py does under its lock would keep more of them waiting."""

_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""The files in which Linux states the limit of a container or a batch job."""


def reader_cores() -> int:
    """Returns the number of cores that this process may use.

    >>> reader_cores() > 0
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def physical_memory() -> float:
    """Returns the bytes of memory that this machine, container or batch job has; infinity where no system tells.

    >>> physical_memory() > 0
    True
    """
    limits = [math.inf]
    with contextlib.suppress(AttributeError, OSError, ValueError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # another kind of system, or "max"
            limits.append(int(path.read_text()))
    return min(limits)


def run_in_threads(tasks: Sequence[Callable[[], None]]) -> None:
    """Runs tasks, as many at a time as there are cores.

    Args:
      tasks: what to do; no two may write to the same place.

    Raises:
      Exception: the first error, in the order of the tasks; tasks that have not begun are left out then, and no thread
        outlives the call.

    >>> done = []
    >>> run_in_threads([lambda: done.append(1), lambda: done.append(2)])
    >>> sorted(done)
    [1, 2]
    """
    threads = min(reader_cores(), len(tasks), _MOST_THREADS)
    if threads < 2:
        for task in tasks:
            task()
        return
    pool = ThreadPoolExecutor(threads)
    try:
        for running in [pool.submit(task) for task in tasks]:
            running.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, too

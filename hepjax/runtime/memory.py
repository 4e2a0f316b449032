"""The memory that a training can use."""

from __future__ import annotations

import os
from pathlib import Path

import jax

_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""The files in which Linux states the limit of a container or a batch job."""


def memory_limit() -> int:
    """Returns the bytes that a process can hold at most, on this machine and on one of its devices.

    >>> memory_limit() > 0
    True
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUPS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # another kind of system, or "max"
            continue
    of_device = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return min([*limits, of_device]) if of_device else min(limits)

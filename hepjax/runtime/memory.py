"""The memory of the devices that a training uses."""

from __future__ import annotations

import math

import jax


def device_memory() -> float:
    """Returns the bytes that one device can hold; infinity for a CPU, whose memory is the machine's.

    >>> device_memory() > 0
    True
    """
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit") or math.inf

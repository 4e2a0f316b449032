"""Devices and processes: the only place that knows how many there are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule
from hepjax.runtime.devices import (
    Devices,
    check_shared,
    compile_on,
    make_devices,
    place_batch,
    place_state,
    place_window,
    rows_here,
    shared,
    shares_of_batch,
    use_cores,
    whole,
)
from hepjax.runtime.memory import device_memory
from hepjax.runtime.processes import agree, connect, ends_together, gather, is_first, process, rows_of_process

__all__ = [
    "Devices",
    "agree",
    "check_shared",
    "compile_on",
    "connect",
    "device_memory",
    "ends_together",
    "gather",
    "is_first",
    "make_devices",
    "place_batch",
    "place_state",
    "place_window",
    "process",
    "rows_here",
    "rows_of_process",
    "shared",
    "shares_of_batch",
    "use_cores",
    "whole",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)

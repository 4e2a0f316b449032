"""Devices and processes: the only place that knows how many there are."""

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
    whole,
)
from hepjax.runtime.members import compile_members, member_devices, place_members, place_shared, use_cores
from hepjax.runtime.processes import agree, connect, ends_together, gather, is_first, process, rows_of_process

__all__ = [
    "Devices",
    "agree",
    "check_shared",
    "compile_members",
    "compile_on",
    "connect",
    "ends_together",
    "gather",
    "is_first",
    "make_devices",
    "member_devices",
    "place_batch",
    "place_members",
    "place_shared",
    "place_state",
    "place_window",
    "process",
    "rows_here",
    "rows_of_process",
    "shared",
    "use_cores",
    "whole",
]

"""Many trainings at once: their states are divided among devices, and each device sees all examples."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from hepjax.errors import InputError
from hepjax.runtime.devices import AXIS, Devices, make_devices, put, shared
from hepjax.types import TrainState, Window

if TYPE_CHECKING:
    from collections.abc import Callable


def use_cores() -> None:
    """Makes a device of each core, where a processor is all there is: each then trains members of its own.

    To be called before anything is computed; later, or where the number of devices was chosen, it changes nothing.
    """
    if getattr(jax.config, "jax_num_cpu_devices", 0) > 0 or "host_platform_device_count" in os.environ.get(
        "XLA_FLAGS", ""
    ):
        return
    try:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    except (AttributeError, RuntimeError):  # not told by the system, or too late
        return


def member_devices(members: int, count: int | None = None) -> tuple[Devices, int]:
    """The devices for many trainings.

    Args:
      members: M.
      count: how many devices; None takes all, but none that would be idle.

    Returns:
      The devices, and M or the next number that they can share alike.

    Raises:
      InputError: there are fewer devices, or several processes.
    """
    if jax.process_count() > 1:
        raise InputError("--folds, --ensemble and --rates: one process trains all; give it all devices")
    found = make_devices(count)
    devices = make_devices(min(found.everywhere, members))
    return devices, shared(devices, members)


def place_members(devices: Devices, state: TrainState) -> TrainState:
    """Divides the members among the devices.

    Args:
      devices: where to.
      state: arrays with a first axis of M.

    Returns:
      The states.
    """
    where = NamedSharding(devices.mesh, PartitionSpec(AXIS))
    placed: TrainState = jax.tree.map(lambda x: put(x, where), state)
    return placed


def place_shared(devices: Devices, window: Window) -> Window:
    """Puts all examples on each device, and of each member the rows where it lies.

    Args:
      devices: where to.
      window: host arrays, rows (K, M, 1, b); arrays that are on devices already stay.

    Returns:
      The window.
    """
    everywhere = NamedSharding(devices.mesh, PartitionSpec())
    stays = isinstance(window.data[0].targets, jax.Array)
    data = window.data if stays else jax.tree.map(lambda x: put(x, everywhere), window.data)
    rows = NamedSharding(devices.mesh, PartitionSpec(None, AXIS))
    return Window(data, put(window.which, everywhere), put(window.rows, rows))


def compile_members(
    devices: Devices, run_windows: Callable[..., Any], evaluate: Callable[..., Any]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiles the functions of many trainings.

    Args:
      devices: where they run.
      run_windows: (states, window) → (states, metrics); the states are donated.
      evaluate: (states, window) → metrics and answers.

    Returns:
      The compiled functions; they take placed states and windows.
    """
    where = NamedSharding(devices.mesh, PartitionSpec(AXIS))
    return jax.jit(run_windows, donate_argnums=0, out_shardings=where), jax.jit(evaluate, out_shardings=where)

"""Several processes, say one for each machine, run the same program, each with its own rows and its own devices."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from hepjax.errors import InputError, LostProcessError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEARTBEAT = 20
"""Seconds of silence after which a process counts as lost."""
_PATIENCE = 120
"""Seconds to wait for all processes at the start."""
_LONGEST = 300
"""The most letters of an error of JAX that are shown."""
_LOST = ("Gloo", "NCCL", "heartbeat", "coordination service", "Connection", "UNAVAILABLE", "DEADLINE_EXCEEDED")
"""Words of the runtime where another process is gone."""


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    cluster: bool = False,
) -> None:
    """Joins the other processes of a run, before anything is computed; a process that is alone stays so.

    Processes that `srun` or `mpirun` started find each other; those of MPI only where they share a machine.

    Args:
      coordinator: host:port of the first process.
      processes: how many there are; None takes what SLURM or MPI says.
      process: which of them this is, from 0; None takes what SLURM or MPI says.
      cluster: JAX shall find all of that by itself, as it can on a TPU pod.

    Raises:
      InputError: they do not find each other, or it is not known how many there are.
    """
    rank, size = _launcher_process_numbers()
    process, processes = (rank if process is None else process), (size if processes is None else processes)
    if not cluster and coordinator is None and processes in {None, 1}:
        return
    if not cluster and (process is None or processes is None):
        raise InputError("--coordinator: needs --processes and --process, or to be started by srun or mpirun")
    if process is not None and processes is not None and not 0 <= process < processes:
        raise InputError(f"--process: expected 0 to {processes - 1}, one less than --processes, found {process}")
    if coordinator is None and not cluster:
        coordinator = _coordinator_host()
    if coordinator is not None:
        _check_address(coordinator)
    began = time.monotonic()
    known: dict[str, Any] = {"coordinator_address": coordinator, "num_processes": processes, "process_id": process}
    try:
        jax.distributed.initialize(
            **(known if coordinator else {}),
            initialization_timeout=_PATIENCE,
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
    except (RuntimeError, ValueError) as error:
        where = f"--coordinator {coordinator}" if coordinator else "--cluster" if cluster else "srun"
        raise InputError(f"{where}: {_why_not_joined(error, time.monotonic() - began)}") from error


def _why_not_joined(error: Exception, seconds: float) -> str:
    """The words for what happened when the processes were to join."""
    said = " ".join(str(error).split())[:_LONGEST]
    if isinstance(error, ValueError):  # JAX's where it cannot tell the coordinator, the number of processes or its own
        return (
            f"JAX finds no cluster here that it knows, such as a TPU pod or SLURM ({said}); give --coordinator, "
            "--processes and --process"
        )
    words = f"the processes did not find each other within {seconds:.0f} s"
    if seconds < _PATIENCE:
        words = f"the processes could not be joined, which was known after {seconds:.0f} s"
    return f"{words}; is the address that of process 0, and does each have a number of its own? ({said})"


def _check_address(coordinator: str) -> None:
    """Refuses what is no address, before anybody waits for it to answer."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) < 2**16:
        raise InputError(
            f"--coordinator: expected host:port, the port from 1 to 65535, found {coordinator}; such as node1:29500"
        )
    try:
        socket.getaddrinfo(host.strip("[]"), int(port))
    except (OSError, UnicodeError) as error:
        raise InputError(f"--coordinator {coordinator}: there is no host {host} ({error}); give its address") from error


def _launcher_process_numbers() -> tuple[int | None, int | None]:
    """Reads the number of this process, and of all, as SLURM or MPI sets them; SLURM within `srun` only."""
    for rank, size in (
        ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("PMI_RANK", "PMI_SIZE"),
    ):
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return None, None


def _coordinator_host() -> str | None:
    """Names the coordinator where a launcher is known: its port follows from the job, so that jobs do not meet."""
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        return None  # JAX reads SLURM's list of hosts itself
    local = os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") or os.environ.get("MPI_LOCALNRANKS")
    if local != (os.environ.get("OMPI_COMM_WORLD_SIZE") or os.environ.get("PMI_SIZE")):
        raise InputError("--coordinator: MPI started processes on several machines; give host:port of the first")
    return f"localhost:{20000 + os.getppid() % 20000}"


def process() -> tuple[int, int]:
    """Gives the number of this process, from 0, and of all.

    >>> process()
    (0, 1)
    """
    return jax.process_index(), jax.process_count()


def is_first() -> bool:
    """Returns whether this is the process that writes and shows.

    >>> is_first()
    True
    """
    return jax.process_index() == 0


def rows_of_process(count: int) -> slice:
    """Chooses the rows that this process reads.

    Args:
      count: the rows of all processes.

    Returns:
      Its part of them, without a gap to the next.

    >>> rows_of_process(10)
    slice(0, 10, None)
    """
    index, processes = process()
    return slice(index * count // processes, (index + 1) * count // processes)


def gather(x: np.ndarray) -> np.ndarray:
    """Gathers the rows of all processes, one process after another, in each of them.

    Args:
      x: (n, ...) host array of any dtype; n may differ.

    Returns:
      All rows, bit by bit.

    >>> gather(np.array([1.5, 2.5])).tolist()
    [1.5, 2.5]
    """
    if jax.process_count() == 1:
        return x
    # As bytes: 64-bit numbers would lose half of them on the way through a device.
    width = x.dtype.itemsize * math.prod(x.shape[1:])  # said, for a process may have no rows
    raw = np.frombuffer(np.ascontiguousarray(x).tobytes(), np.uint8).reshape(len(x), width)
    counts = np.asarray(multihost_utils.process_allgather(np.array([len(x)], np.int32))).ravel()
    padded = np.pad(raw, ((0, int(counts.max()) - len(x)), (0, 0)))
    gathered = np.asarray(multihost_utils.process_allgather(padded))
    rows = np.concatenate([part[:count] for part, count in zip(gathered, counts, strict=True)])
    return rows.reshape(-1).view(x.dtype).reshape(-1, *x.shape[1:])


def agree(counts: np.ndarray) -> np.ndarray:
    """Finds the largest of each count over all processes.

    >>> agree(np.array([3, 4])).tolist()
    [3, 4]
    """
    largest: np.ndarray = gather(counts[None]).max(axis=0)
    return largest


@contextlib.contextmanager
def ends_together() -> Iterator[None]:
    """Turns what the runtime says when another process is gone into one clear error.

    Raises:
      LostProcessError: a computation of several processes failed.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if jax.process_count() == 1 or not any(word in str(error) for word in _LOST):
            raise
        raise LostProcessError(
            f"process {jax.process_index()} of {jax.process_count()}: another process of this run has ended; "
            "look at its messages, then go on with --resume"
        ) from error

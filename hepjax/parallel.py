"""Devices and processes: the only file that knows how many there are.

A batch is divided among the devices; parameters lie on all of them. Several processes, say one for each machine, run
the same program, each with its own rows and its own devices.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hepjax.errors import InputError, LostProcessError
from hepjax.types import Batch, Strategy, TrainState, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hepjax.types import PyTree

AXIS = "data"
"""The name of the devices' axis, along which batches are divided."""

_HEARTBEAT = 20
"""Seconds of silence after which a process counts as lost."""
_PATIENCE = 120
"""Seconds to wait for all processes at the start."""
_LOST = ("Gloo", "NCCL", "heartbeat", "coordination service", "Connection", "UNAVAILABLE", "DEADLINE_EXCEEDED")
"""Words of the runtime where another process is gone."""


class Devices(NamedTuple):
    """The devices of a run, those of all processes, and how a step is spread over them."""

    mesh: Mesh
    strategy: Strategy = Strategy.JIT
    shard_optimizer: bool = False
    """Divide the optimizer's state among the devices too, where an array's first axis can be divided."""

    @property
    def axis(self) -> str | None:
        """What `make_train_step` and `make_eval_step` take as their axis."""
        return AXIS if self.strategy is Strategy.PMAP else None

    @property
    def here(self) -> int:
        """The devices of this process."""
        return len(self.mesh.local_devices)

    @property
    def everywhere(self) -> int:
        """The devices of all processes."""
        return self.mesh.size


def make_devices(
    count: int | None = None, strategy: Strategy = Strategy.JIT, *, shard_optimizer: bool = False
) -> Devices:
    """The devices to train on.

    Args:
      count: how many, the first; None takes all. Several processes take all.
      strategy: how a step is spread over them.
      shard_optimizer: whether the optimizer's state is divided among them.

    Returns:
      The devices, as a mesh of one axis.

    Raises:
      InputError: there are fewer devices, or the strategy does not do what is asked for.

    >>> make_devices(1).everywhere
    1
    """
    found = _all()
    if count is not None and not 1 <= count <= len(found):
        raise InputError(f"--devices.count: there are {len(found)} {found[0].platform} devices, found {count}")
    if jax.process_count() > 1 and count not in {None, len(found)}:
        raise InputError(f"--devices.count: several processes take all their devices, {len(found)}, found {count}")
    if strategy is Strategy.PMAP and (shard_optimizer or jax.process_count() > 1):
        what = "--devices.shard-optimizer" if shard_optimizer else "several processes"
        raise InputError(f"--devices.strategy: {what} needs jit, found pmap")
    # Plain `Mesh`: the axes of `jax.make_mesh` are explicit, which Flax's recurrent layers do not take.
    return Devices(Mesh(np.array(found[:count]), (AXIS,)), strategy, shard_optimizer)


def _all() -> list[jax.Device]:
    return jax.devices()


def place_state(devices: Devices, state: TrainState) -> TrainState:
    """Puts a training state on all devices.

    Args:
      devices: where to.
      state: the same in each process.

    Returns:
      The state; its optimizer's part is divided if the devices say so.
    """

    def put(x: Any, where: NamedSharding) -> jax.Array:
        if jnp.issubdtype(getattr(x, "dtype", np.float32), jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(x), where), impl=jax.random.key_impl(x))
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, where, lambda part: host[part])

    placed: TrainState = jax.tree.map(put, state, _layout(devices, state))
    return placed


def _layout(devices: Devices, state: TrainState) -> TrainState:
    """Where each array of a state lies."""

    def everywhere(x: Any) -> NamedSharding:  # noqa: ARG001
        return NamedSharding(devices.mesh, PartitionSpec())

    def divided(x: Any) -> NamedSharding:
        shape = np.shape(x)
        fits = devices.shard_optimizer and shape and shape[0] % devices.everywhere == 0
        return NamedSharding(devices.mesh, PartitionSpec(AXIS)) if fits else everywhere(x)

    layout: TrainState = jax.tree.map(everywhere, state)
    return layout._replace(opt_state=jax.tree.map(divided, state.opt_state))


def whole(devices: Devices, tree: PyTree) -> PyTree:
    """The same arrays on every device, as each process can read and save them.

    Args:
      devices: where they are.
      tree: arrays, perhaps divided.

    Returns:
      The arrays.
    """
    if not devices.shard_optimizer:
        return tree
    return jax.jit(lambda x: x, out_shardings=NamedSharding(devices.mesh, PartitionSpec()))(tree)


def place_window(devices: Devices, window: Window) -> Window:
    """Puts a window on the devices.

    Args:
      devices: where to.
      window: host arrays for the devices of this process; arrays that are on devices already stay.

    Returns:
      The window of all processes.
    """
    data, rows = PartitionSpec(AXIS), PartitionSpec(None, AXIS)
    return Window(
        jax.tree.map(lambda x: _put(devices, x, data), window.data),
        _put(devices, window.which, PartitionSpec()),
        _put(devices, window.rows, rows),
    )


def place_batch(devices: Devices, batch: Batch) -> Batch:
    """Divides a batch among the devices.

    Args:
      devices: where to.
      batch: host arrays, as many rows for each device of this process.

    Returns:
      The batch of all processes.
    """
    placed: Batch = jax.tree.map(lambda x: _put(devices, x, PartitionSpec(AXIS)), batch)
    return placed


def _put(devices: Devices, x: Any, spec: PartitionSpec) -> jax.Array:
    if isinstance(x, jax.Array):
        return x
    placed: jax.Array = jax.make_array_from_process_local_data(NamedSharding(devices.mesh, spec), np.asarray(x))
    return placed


def rows_here(x: jax.Array) -> np.ndarray:
    """The part of a divided array that lies on this process's devices.

    Args:
      x: divided along its first axis.

    Returns:
      The rows.
    """
    if x.is_fully_addressable:
        return np.asarray(x)
    shards = sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])


def compile_on(
    devices: Devices, run_window: Callable[..., Any], eval_step: Callable[..., Any]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiles a training's two functions for the devices.

    Args:
      devices: where they run.
      run_window: (state, window) → (state, metrics); the state is donated.
      eval_step: (state, batch) → metrics and answers.

    Returns:
      The compiled functions; they take a placed state, and placed windows and batches.
    """
    if devices.strategy is Strategy.PMAP:
        return _pmap(devices, run_window, eval_step)

    def run(state: TrainState, window: Window) -> Any:
        state, metrics = run_window(state, window)
        return jax.lax.with_sharding_constraint(state, _layout(devices, state)), metrics

    def evaluate(state: TrainState, batch: Batch) -> Any:
        found = eval_step(state, batch)
        rows = jax.tree.map(
            lambda x: NamedSharding(devices.mesh, PartitionSpec(AXIS) if x.ndim else PartitionSpec()), found
        )
        return jax.lax.with_sharding_constraint(found, rows)

    return jax.jit(run, donate_argnums=0), jax.jit(evaluate)


def _pmap(
    devices: Devices, run_window: Callable[..., Any], eval_step: Callable[..., Any]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Each device sees its own examples; the state and all answers are the same everywhere."""
    own: dict[str, Any] = {"axis_name": AXIS, "out_axes": None, "devices": list(devices.mesh.devices.flat)}

    def run(state: TrainState, data: tuple[Batch, ...], which: jax.Array, rows: jax.Array) -> Any:
        data = jax.tree.map(lambda x: x[None], data)
        return run_window(state, Window(data, which, rows[:, None]))

    train = jax.pmap(run, in_axes=(None, 0, None, 1), **own)
    evaluate = jax.pmap(eval_step, in_axes=(None, 0), **own)

    def share(x: jax.Array) -> jax.Array:
        return x.reshape(devices.everywhere, -1, *x.shape[1:])

    return lambda state, window: train(state, *window), lambda state, batch: evaluate(state, jax.tree.map(share, batch))


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    distributed: bool = False,
) -> None:
    """Joins the other processes of a run, before anything is computed; a process that is alone stays so.

    Processes that `srun` or `mpirun` started find each other; those of MPI only where they share a machine.

    Args:
      coordinator: host:port of the first process.
      processes: how many there are; None takes what SLURM or MPI says.
      process: which of them this is, from 0; None takes what SLURM or MPI says.
      distributed: JAX shall find all of that by itself, as it can on a TPU pod.

    Raises:
      InputError: they do not find each other, or it is not known how many there are.
    """
    rank, size = _launched()
    process, processes = (rank if process is None else process), (size if processes is None else processes)
    if not distributed and coordinator is None and processes in {None, 1}:
        return
    if not distributed and (process is None or processes is None):
        raise InputError("--coordinator: needs --processes and --process, or to be started by srun or mpirun")
    if coordinator is None and not distributed:
        coordinator = _first_host()
    known: dict[str, Any] = {"coordinator_address": coordinator, "num_processes": processes, "process_id": process}
    try:
        jax.distributed.initialize(
            **(known if coordinator else {}),
            initialization_timeout=_PATIENCE,
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
    except (RuntimeError, ValueError) as error:
        where = f"--coordinator {coordinator}" if coordinator else "--distributed"
        raise InputError(
            f"{where}: the processes did not find each other within {_PATIENCE} s; is the address that of process 0, "
            f"and does each have a number of its own? ({error})"
        ) from error


def _launched() -> tuple[int | None, int | None]:
    """The number of this process, and of all, as SLURM or MPI tells; SLURM within `srun` only."""
    for rank, size in (
        ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("PMI_RANK", "PMI_SIZE"),
    ):
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return None, None


def _first_host() -> str | None:
    """The coordinator where a launcher tells: a port that follows from the job, so that jobs do not meet."""
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        return None  # JAX reads SLURM's list of hosts itself
    local = os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") or os.environ.get("MPI_LOCALNRANKS")
    if local != (os.environ.get("OMPI_COMM_WORLD_SIZE") or os.environ.get("PMI_SIZE")):
        raise InputError("--coordinator: MPI started processes on several machines; give host:port of the first")
    return f"localhost:{20000 + os.getppid() % 20000}"


def process() -> tuple[int, int]:
    """The number of this process, from 0, and of all.

    >>> process()
    (0, 1)
    """
    return jax.process_index(), jax.process_count()


def is_first() -> bool:
    """Whether this is the process that writes and shows.

    >>> is_first()
    True
    """
    return jax.process_index() == 0


def rows_of_process(count: int) -> slice:
    """The rows that this process reads.

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
    """The rows of all processes, one process after another, in each of them.

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
    raw = np.ascontiguousarray(x).view(np.uint8).reshape(len(x), -1)
    counts = np.asarray(multihost_utils.process_allgather(np.array([len(x)], np.int32))).ravel()
    padded = np.pad(raw, ((0, int(counts.max()) - len(x)), (0, 0)))
    found = np.asarray(multihost_utils.process_allgather(padded))
    rows = np.concatenate([part[:count] for part, count in zip(found, counts, strict=True)])
    return rows.reshape(-1).view(x.dtype).reshape(-1, *x.shape[1:])


def agree(counts: np.ndarray) -> np.ndarray:
    """The largest of each count over all processes.

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

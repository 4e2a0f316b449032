"""A batch is divided among devices; parameters lie on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hepjax.choices import Strategy
from hepjax.errors import InputError
from hepjax.types import Batch, EvalMetrics, TrainState, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array, PyTree

AXIS = "data"
"""The name of the devices' axis, along which batches are divided."""


class Devices(NamedTuple):
    """The devices of a run, those of all processes, and how a step is spread over them."""

    mesh: Mesh
    strategy: Strategy = Strategy.JIT
    shard_optimizer: bool = False
    """Divide the optimizer's state among the devices too, where an array's first axis can be divided."""
    coupled: bool = False
    """Whether the model sees the jets of a batch together, as batch normalisation does."""

    @property
    def axis(self) -> str | None:
        """What `make_train_step` and `make_eval_step` take as their axis; None where the compiler divides the step."""
        divided = self.everywhere > 1 and not self.coupled and not self.shard_optimizer
        return AXIS if divided or self.strategy is Strategy.PMAP else None

    @property
    def here(self) -> int:
        """The devices of this process."""
        return len(self.mesh.local_devices)

    @property
    def everywhere(self) -> int:
        """The devices of all processes."""
        return self.mesh.size


def make_devices(
    count: int | None = None,
    strategy: Strategy = Strategy.JIT,
    *,
    shard_optimizer: bool = False,
    coupled: bool = False,
) -> Devices:
    """The devices to train on.

    Args:
      count: how many, the first; None takes all. Several processes take all.
      strategy: how a step is spread over them.
      shard_optimizer: whether the optimizer's state is divided among them.
      coupled: whether the model sees the jets of a batch together.

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
    for what, asked in (
        ("--devices.shard-optimizer", shard_optimizer),
        ("several processes", jax.process_count() > 1),
        ("normalisation over the batch", coupled),
    ):
        if asked and strategy is Strategy.PMAP:
            raise InputError(f"--devices.strategy: {what} needs jit, found pmap")
    # Plain `Mesh`: the axes of `jax.make_mesh` are explicit, which Flax's recurrent layers do not take.
    return Devices(Mesh(np.array(found[:count]), (AXIS,)), strategy, shard_optimizer, coupled)


def shared(devices: Devices, jets: int) -> int:
    """The next number of jets that the devices can share alike.

    >>> shared(make_devices(1), 100)
    100
    """
    return -(-jets // devices.everywhere) * devices.everywhere


def check_shared(devices: Devices, batch_size: int) -> None:
    """Refuses batches that the devices cannot share alike.

    Args:
      devices: of all processes.
      batch_size: the jets of a step.

    Raises:
      InputError: says the next number that they can.

    >>> check_shared(make_devices(1), 100)
    """
    if (near := shared(devices, batch_size)) != batch_size:
        raise InputError(
            f"--batch-size: {devices.everywhere} devices cannot share {batch_size} jets alike; give {near}"
        )


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
    placed: TrainState = jax.tree.map(put, state, _layout(devices, state))
    return placed


def put(x: Any, where: NamedSharding) -> jax.Array:
    """Puts an array that all processes have where it shall lie.

    Args:
      x: any array; typed keys too.
      where: its layout.

    Returns:
      The array.
    """
    if jnp.issubdtype(getattr(x, "dtype", np.float32), jax.dtypes.prng_key):
        key: jax.Array = jax.random.wrap_key_data(put(jax.random.key_data(x), where), impl=jax.random.key_impl(x))
        return key
    host = np.asarray(x)
    placed: jax.Array = jax.make_array_from_callback(host.shape, where, lambda part: host[part])
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


def rows_here(x: Array) -> np.ndarray:
    """The part of a divided array that lies on this process's devices.

    Args:
      x: divided along its first axis.

    Returns:
      The rows.
    """
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
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

    if devices.axis is not None:
        # Each device has the gradient of its share, and they are added up once a step; the compiler, left to itself,
        # would add them up in every round of a loop in the model.
        whole, first, second = PartitionSpec(), PartitionSpec(AXIS), PartitionSpec(None, AXIS)
        own: dict[str, Any] = {"mesh": devices.mesh, "check_vma": False}
        window = Window(first, whole, second)  # type: ignore[arg-type]
        run_window = jax.shard_map(run_window, in_specs=(whole, window), out_specs=whole, **own)
        answers = EvalMetrics(whole, whole, whole, first)  # type: ignore[arg-type]
        eval_step = jax.shard_map(eval_step, in_specs=(whole, first), out_specs=answers, **own)

    def run(state: TrainState, window: Window) -> Any:
        state, metrics = run_window(state, window)
        return jax.lax.with_sharding_constraint(state, _layout(devices, state)), metrics

    def evaluate(state: TrainState, batch: Batch) -> Any:
        found = eval_step(state, batch)
        rows = NamedSharding(devices.mesh, PartitionSpec(AXIS))
        return found._replace(outputs=jax.lax.with_sharding_constraint(found.outputs, rows))

    return jax.jit(run, donate_argnums=0), jax.jit(evaluate)


def _pmap(
    devices: Devices, run_window: Callable[..., Any], eval_step: Callable[..., Any]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Each device sees its own examples; the state and all sums are the same everywhere."""
    own: dict[str, Any] = {"axis_name": AXIS, "devices": list(devices.mesh.devices.flat)}

    def run(state: TrainState, data: tuple[Batch, ...], which: jax.Array, rows: jax.Array) -> Any:
        data = jax.tree.map(lambda x: x[None], data)
        return run_window(state, Window(data, which, rows[:, None]))

    train = jax.pmap(run, in_axes=(None, 0, None, 1), out_axes=None, **own)
    answers = EvalMetrics(None, None, None, 0)  # type: ignore[arg-type]
    answer = jax.pmap(eval_step, in_axes=(None, 0), out_axes=answers, **own)

    def evaluate(state: TrainState, batch: Batch) -> Any:
        found = answer(state, jax.tree.map(lambda x: x.reshape(devices.everywhere, -1, *x.shape[1:]), batch))
        return found._replace(outputs=found.outputs.reshape(-1, *found.outputs.shape[2:]))

    return lambda state, window: train(state, *window), evaluate

"""Devices share the work: of one training each takes a part of every batch, of several each takes some whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hepjax.choices import Strategy, choose
from hepjax.errors import InputError
from hepjax.types import Batch, EvalMetrics, TrainState, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array, PyTree

AXIS = "data"
"""The name of the devices' axis, along which batches or trainings are divided."""


class Devices(NamedTuple):
    """The devices of a run, those of all processes, and how a step is spread over them."""

    mesh: Mesh
    strategy: Strategy = Strategy.JIT
    shard_optimizer: bool = False
    """Divide the optimizer's state among the devices too, where an array's first axis can be divided."""
    coupled: bool = False
    """Whether the model sees the jets of a batch together, as batch normalization does."""
    members: int | None = None
    """How many trainings at once are divided among the devices, those that fill them up included; None is a single
    training, whose batches are divided."""

    @property
    def axis(self) -> str | None:
        """The axis for `make_train_step` and `make_eval_step`; None where a step is not divided by them."""
        divided = self.everywhere > 1 and not self.coupled and not self.shard_optimizer and self.members is None
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
    strategy: Strategy | str = Strategy.JIT,
    *,
    shard_optimizer: bool = False,
    coupled: bool = False,
    members: int | None = None,
) -> Devices:
    """Chooses the devices to train on.

    Args:
      count: how many, the first; None takes all. Several processes take all.
      strategy: how a step is spread over them.
      shard_optimizer: whether the optimizer's state is divided among them.
      coupled: whether the model sees the jets of a batch together.
      members: how many trainings at once they share; no device is then taken that would be idle. None is a single one.

    Returns:
      The devices, as a mesh of one axis.

    Raises:
      InputError: there are fewer devices, or the strategy does not do what is asked for.

    >>> make_devices(1).everywhere
    1
    """
    strategy, devices = choose(Strategy, strategy, "strategy"), _all_devices()
    if count is not None and not 1 <= count <= len(devices):
        raise InputError(f"--devices.count: there are {len(devices)} {devices[0].platform} devices, found {count}")
    if jax.process_count() > 1 and count not in {None, len(devices)}:
        raise InputError(f"--devices.count: several processes take all their devices, {len(devices)}, found {count}")
    if members is not None:
        return _shared_by_members(devices[:count], strategy, members, shard_optimizer=shard_optimizer)
    for what, asked in (
        ("--devices.shard-optimizer", shard_optimizer),
        ("several processes", jax.process_count() > 1),
        ("normalization over the batch", coupled),
    ):
        if asked and strategy is Strategy.PMAP:
            raise InputError(f"--devices.strategy: {what} needs jit, found pmap")
    # Plain `Mesh`: the axes of `jax.make_mesh` are explicit, which Flax's recurrent layers do not take.
    return Devices(Mesh(np.array(devices[:count]), (AXIS,)), strategy, shard_optimizer, coupled)


def _shared_by_members(
    devices: list[jax.Device], strategy: Strategy, members: int, *, shard_optimizer: bool
) -> Devices:
    if jax.process_count() > 1:
        raise InputError("--folds, --ensemble and --rates: one process trains all; give it all devices")
    if strategy is not Strategy.JIT or shard_optimizer:
        raise InputError("--devices: of several trainings each device has some whole; leave all but --count out")
    mesh = Mesh(np.array(devices[:members]), (AXIS,))
    return Devices(mesh, members=-(-members // mesh.size) * mesh.size)


def use_cores() -> None:
    """Makes a device of each core, where a processor is all there is: each then trains members of its own.

    To be called before anything is computed; later, or where the number of devices was chosen, it changes nothing.
    """
    chosen = "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if chosen or getattr(jax.config, "jax_num_cpu_devices", 0) > 0:
        return
    try:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    except (AttributeError, RuntimeError):  # the system does not say, or it is too late
        return


def shared(devices: Devices, jets: int) -> int:
    """Gives the next number of jets that the devices can share alike.

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


def _all_devices() -> list[jax.Device]:
    return jax.devices()


def place_state(devices: Devices, state: TrainState) -> TrainState:
    """Puts a training state on all devices, or divides the states of several trainings among them.

    Args:
      devices: where to.
      state: the same in each process; of several trainings arrays with a first axis of `devices.members`.

    Returns:
      The state; its optimizer's part is divided if the devices say so.
    """
    placed: TrainState = jax.tree.map(_place_replicated_array, state, _state_layout(devices, state))
    return placed


def _place_replicated_array(x: Any, where: NamedSharding) -> jax.Array:
    """Puts an array that all processes have where it shall lie.

    Args:
      x: any array; typed keys too.
      where: its layout.

    Returns:
      The array.
    """
    if jnp.issubdtype(getattr(x, "dtype", np.float32), jax.dtypes.prng_key):
        key: jax.Array = jax.random.wrap_key_data(
            _place_replicated_array(jax.random.key_data(x), where), impl=jax.random.key_impl(x)
        )
        return key
    host = np.asarray(x)
    placed: jax.Array = jax.make_array_from_callback(host.shape, where, lambda part: host[part])
    return placed


def _state_layout(devices: Devices, state: TrainState) -> TrainState:
    """Says where each array of a state lies."""
    everywhere, divided = (NamedSharding(devices.mesh, PartitionSpec(*axis)) for axis in ((), (AXIS,)))

    def of_optimizer(x: Any) -> NamedSharding:
        shape = np.shape(x)
        return divided if shape and shape[0] % devices.everywhere == 0 else everywhere

    layout: TrainState = jax.tree.map(lambda _: everywhere if devices.members is None else divided, state)
    if devices.shard_optimizer:
        layout = layout._replace(opt_state=jax.tree.map(of_optimizer, state.opt_state))
    return layout


def whole(devices: Devices, tree: PyTree) -> PyTree:
    """Puts divided arrays together on every device, as each process can read and save them.

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
    """Puts a window on the devices: of one training each has its own examples, of several trainings each has all.

    Args:
      devices: where to.
      window: host arrays for the devices of this process; arrays that are on devices already stay.

    Returns:
      The window of all processes.
    """
    data = PartitionSpec(AXIS) if devices.members is None else PartitionSpec()
    return Window(
        jax.tree.map(lambda x: _put_on_devices(devices, x, data), window.data),
        _put_on_devices(devices, window.bucket, PartitionSpec()),
        _put_on_devices(devices, window.examples, PartitionSpec(None, AXIS)),
    )


def place_batch(devices: Devices, batch: Batch) -> Batch:
    """Divides a batch among the devices.

    Args:
      devices: where to.
      batch: host arrays, as many rows for each device of this process.

    Returns:
      The batch of all processes.
    """
    placed: Batch = jax.tree.map(lambda x: _put_on_devices(devices, x, PartitionSpec(AXIS)), batch)
    return placed


def shares_of_batch(devices: Devices, batch: Batch) -> Batch:
    """Divides a batch into the devices' shares, as `jax.pmap` takes it.

    Args:
      devices: D of them.
      batch: of B examples.

    Returns:
      The batch, with arrays (D, B / D, ...).

    >>> shares_of_batch(make_devices(1), Batch(np.zeros((4, 3)), np.zeros(4), np.ones(4))).inputs.shape
    (1, 4, 3)
    """
    shares: Batch = jax.tree.map(lambda x: x.reshape(devices.everywhere, -1, *x.shape[1:]), batch)
    return shares


def _put_on_devices(devices: Devices, x: Any, spec: PartitionSpec) -> jax.Array:
    if isinstance(x, jax.Array):
        return x
    placed: jax.Array = jax.make_array_from_process_local_data(NamedSharding(devices.mesh, spec), np.asarray(x))
    return placed


def rows_here(x: Array) -> np.ndarray:
    """Picks the part of a divided array that lies on this process's devices.

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
      eval_step: (state, batch) → sums and outputs; of several trainings (states, window) → the same, with a first axis
        of members.

    Returns:
      The compiled functions; they take a placed state, and placed windows and batches.
    """
    if devices.strategy is Strategy.PMAP:
        return _compile_with_pmap(devices, run_window, eval_step)
    if devices.members is not None:
        divided = NamedSharding(devices.mesh, PartitionSpec(AXIS))
        return jax.jit(run_window, donate_argnums=0, out_shardings=divided), jax.jit(eval_step, out_shardings=divided)
    if devices.axis is not None:
        # Each device has the gradient of its share, and they are added up once a step; the compiler, left to itself,
        # would add them up in every round of a loop in the model.
        whole, first, second = PartitionSpec(), PartitionSpec(AXIS), PartitionSpec(None, AXIS)
        mesh: dict[str, Any] = {"mesh": devices.mesh, "check_vma": False}
        window = Window(first, whole, second)  # type: ignore[arg-type]
        run_window = jax.shard_map(run_window, in_specs=(whole, window), out_specs=whole, **mesh)
        metrics = EvalMetrics(whole, whole, whole, first)  # type: ignore[arg-type]
        eval_step = jax.shard_map(eval_step, in_specs=(whole, first), out_specs=metrics, **mesh)

    def run(state: TrainState, window: Window) -> Any:
        state, metrics = run_window(state, window)
        return jax.lax.with_sharding_constraint(state, _state_layout(devices, state)), metrics

    def evaluate(state: TrainState, batch: Batch) -> Any:
        metrics = eval_step(state, batch)
        rows = NamedSharding(devices.mesh, PartitionSpec(AXIS))
        return metrics._replace(outputs=jax.lax.with_sharding_constraint(metrics.outputs, rows))

    return jax.jit(run, donate_argnums=0), jax.jit(evaluate)


def _compile_with_pmap(
    devices: Devices, run_window: Callable[..., Any], eval_step: Callable[..., Any]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiles for pmap: each device sees its own examples; the state and all sums are the same everywhere."""
    axis: dict[str, Any] = {"axis_name": AXIS, "devices": list(devices.mesh.devices.flat)}

    def run(state: TrainState, data: tuple[Batch, ...], bucket: jax.Array, examples: jax.Array) -> Any:
        data = jax.tree.map(lambda x: x[None], data)
        return run_window(state, Window(data, bucket, examples[:, None]))

    train = jax.pmap(run, in_axes=(None, 0, None, 1), out_axes=None, **axis)
    metrics = EvalMetrics(None, None, None, 0)  # type: ignore[arg-type]
    evaluate_share = jax.pmap(eval_step, in_axes=(None, 0), out_axes=metrics, **axis)

    def evaluate(state: TrainState, batch: Batch) -> Any:
        of_shares = evaluate_share(state, shares_of_batch(devices, batch))
        return of_shares._replace(outputs=of_shares.outputs.reshape(-1, *of_shares.outputs.shape[2:]))

    return lambda state, window: train(state, *window), evaluate

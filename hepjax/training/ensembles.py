"""Many trainings at once: one program that takes the steps of all, and the loop around it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.training.loop import DivergedError
from hepjax.training.schedules import learning_rate
from hepjax.training.stopping import should_stop, watch
from hepjax.training.windows import take
from hepjax.types import Epoch, Progress, TrainState, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import optax

    from hepjax.training.step import EvalStep
    from hepjax.training.windows import TrainWindow
    from hepjax.types import EvalMetrics, PyTree

MEMBERS = Window(None, None, 1)  # type: ignore[arg-type]
"""The axis of a window's arrays that `jax.vmap` maps over: the members share all but the rows."""


class Many(NamedTuple):
    """Trainings after some epochs; more states may follow, of none, that fill up the devices."""

    state: TrainState
    """All arrays with a first axis of M."""
    best: TrainState
    """The same, each with the lowest validation loss so far."""
    members: tuple[Progress, ...]
    """Of each the rest, with states of ()."""


def start_many(
    params: PyTree, model_state: PyTree, optimizer: optax.GradientTransformation, keys: jax.Array, members: int
) -> Many:
    """Trainings before their first epoch.

    Args:
      params: the members' parameters, with a first axis of M or more.
      model_state: their other variables, likewise.
      optimizer: the optax transformation.
      keys: (M or more,) typed PRNG keys.
      members: M.

    Returns:
      What `fit_many` starts from.
    """
    opt_state = jax.jit(jax.vmap(optimizer.init))(params)
    state = TrainState(params, model_state, opt_state, jnp.zeros(len(keys), jnp.int32), keys)
    empty: Any = ()
    return Many(state, state, (Progress(0, empty, empty, float("inf"), 0, float("inf"), ()),) * members)


def over_members(run_window: TrainWindow, eval_step: EvalStep) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The functions of one training, for all members at once; to be compiled.

    Args:
      run_window: from `over_window`.
      eval_step: from `make_eval_step`.

    Returns:
      (states, window) → (states, metrics (M, K)); and (states, window) → metrics and answers, (M, K, ...).
    """

    def evaluate(state: TrainState, window: Window) -> EvalMetrics:
        def body(_: None, turn: tuple[Any, Any]) -> tuple[None, EvalMetrics]:
            which, rows = turn
            branches = [lambda rows, data=data: eval_step(state, take(data, rows)) for data in window.data]
            return None, jax.lax.switch(which, branches, rows)

        found: EvalMetrics = jax.lax.scan(body, None, (window.which, window.rows))[1]
        return found

    return jax.vmap(run_window, in_axes=(0, MEMBERS)), jax.vmap(evaluate, in_axes=(0, MEMBERS))


def fit_many(
    many: Many,
    train: Callable[[int], Iterable[Window]],
    val: Window,
    programs: tuple[Callable[..., Any], Callable[..., Any]],
    *,
    epochs: int,
    schedule: optax.Schedule,
    patience: int | None = None,
    min_change: float = 0.0,
    on_epoch: Callable[[Many], None] = lambda many: None,  # noqa: ARG005
) -> Many:
    """Trains all members until each has done `epochs` or its validation loss has stopped falling.

    Args:
      many: from `start_many`, or saved after an earlier epoch.
      train: epoch number, from 1 → windows, with rows (K, M, 1, b).
      val: each member's validation rows.
      programs: from `over_members`, compiled; the first donates its states.
      epochs: as in `fit`, and so are the others.
      schedule: step → learning rate.
      patience: epochs to wait.
      min_change: by how much the loss must fall.
      on_epoch: called after each epoch.

    Returns:
      The members at the end; `best` holds the states of their lowest validation losses.

    Raises:
      DivergedError: a member's loss, gradient or parameter is not finite; its state is the last of all members.
    """
    run_window, evaluate = programs
    while active := [i for i, one in enumerate(many.members) if one.epoch < epochs and not should_stop(one, patience)]:
        number, before = max(one.epoch for one in many.members) + 1, time.perf_counter()
        state, found = jax.tree.map(jnp.copy, many.state), []
        for window in train(number):
            state, metrics = run_window(state, window)
            found.append(jax.device_get((metrics.loss, metrics.weight, metrics.finite)))
            _check(found[-1][2], active, number, many.state)
        loss, weight, _ = (np.concatenate(column, axis=1, dtype=np.float64) for column in zip(*found, strict=True))
        seconds = time.perf_counter() - before
        sums = np.array(jax.device_get(evaluate(state, val)[:3]), np.float64).sum(axis=2)
        _check(np.isfinite(sums[0])[:, None], active, number, many.state)
        plain = jax.device_get((state.step, state.opt_state))
        members = list(many.members)
        for i in active:
            own = jax.tree.map(lambda x, i=i: x[i], plain)
            row = Epoch(
                epoch=number,
                train_loss=float((loss[i] * weight[i]).sum() / weight[i].sum()),
                val_loss=float(sums[0, i] / sums[2, i]),
                val_accuracy=float(sums[1, i] / sums[2, i]),
                learning_rate=learning_rate(schedule, many.state._replace(step=own[0], opt_state=own[1])),
                seconds=seconds,
                jets_per_second=float(weight[i].sum() / seconds),
            )
            members[i] = watch(members[i], (), row, min_change)  # type: ignore[arg-type]
        better = np.zeros(len(loss), bool)
        better[: len(members)] = [new.best_loss < old.best_loss for new, old in zip(members, many.members, strict=True)]
        many = Many(state, _choose(better, state, many.best), tuple(members))
        on_epoch(many)
    return many


@jax.jit
def _choose(better: jax.Array, new: TrainState, old: TrainState) -> TrainState:
    chosen: TrainState = jax.tree.map(lambda a, b: jax.vmap(jnp.where)(better, a, b), new, old)
    return chosen


def _check(finite: np.ndarray, active: Sequence[int], epoch: int, state: TrainState) -> None:
    for i in active:
        if not finite[i].all():
            words = f"training {i + 1} diverged in epoch {epoch}; lower the learning rate or clip gradients"
            raise DivergedError(words, state)

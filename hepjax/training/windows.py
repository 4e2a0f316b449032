"""The steps over a window of examples that lie on the devices, as one program."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.types import StepMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.training.step import EvalStep, TrainStep
    from hepjax.types import Batch, TrainState, Window

    Carry = tuple[TrainState, jax.Array]
    TrainWindow = Callable[[TrainState, Window], tuple[TrainState, StepMetrics]]


class Programs(NamedTuple):
    """What a training runs, compiled."""

    run_window: TrainWindow
    """(state, window) → (state, metrics of its steps); the state may be donated."""
    evaluate: EvalStep
    """(state, batch) → sums and answers."""


def compile_here(train_step: TrainStep, eval_step: EvalStep) -> Programs:
    """The programs of a training on one device.

    Args:
      train_step: from `make_train_step`.
      eval_step: from `make_eval_step`.

    Returns:
      The programs; the training donates its state.
    """
    return Programs(jax.jit(over_window(train_step), donate_argnums=0), jax.jit(eval_step))


def over_window(train_step: TrainStep) -> TrainWindow:
    """The function that takes all steps of a window, to be compiled.

    From a step on that is not finite, the state stays the last good one.

    Args:
      train_step: from `make_train_step`.

    Returns:
      The function (state, window) → (state, metrics of K steps). A step that is none has weight 0.
    """

    def run(state: TrainState, window: Window) -> tuple[TrainState, StepMetrics]:
        def step(data: Batch, carry: Carry, rows: jax.Array) -> tuple[Carry, StepMetrics]:
            state, good = carry
            new, metrics = train_step(state, take(data, rows))
            # Of many trainings, one may have no example left where another has.
            empty = metrics.weight == 0
            metrics = metrics._replace(finite=metrics.finite | empty)
            good = good & metrics.finite
            return (jax.tree.map(lambda a, b: jnp.where(good & ~empty, a, b), new, state), good), metrics

        def none(carry: Carry, _: jax.Array) -> tuple[Carry, StepMetrics]:
            zero = jnp.zeros(())
            return carry, StepMetrics(zero, zero, jax.tree.map(lambda _: zero, carry[0].params), jnp.array(True))

        def body(carry: Carry, turn: tuple[Any, Any]) -> tuple[Carry, StepMetrics]:
            which, rows = turn
            taken: tuple[Carry, StepMetrics] = jax.lax.switch(
                which, [*(partial(step, data) for data in window.data), none], carry, rows
            )
            return taken

        (state, _), metrics = jax.lax.scan(body, (state, jnp.array(True)), (window.which, window.rows))
        return state, metrics

    return run


def take(data: Batch, rows: jax.Array) -> Batch:
    """Each device's rows of its own examples, one device after another; to be compiled.

    Args:
      data: (D, n, ...).
      rows: (D, b) int32; -1 gives some example with weight 0.

    Returns:
      (D·b, ...).
    """

    def pick(x: jax.Array) -> jax.Array:
        taken: jax.Array = jax.vmap(lambda own, places: own[places])(x, jnp.maximum(rows, 0))
        return taken.reshape(-1, *x.shape[2:])

    batch: Batch = jax.tree.map(pick, data)
    return batch._replace(weights=jnp.where(rows.reshape(-1) < 0, 0, batch.weights))

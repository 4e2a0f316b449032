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
    """The compiled programs of a training."""

    run_window: TrainWindow
    """(state, window) → (state, metrics of its steps); the state may be donated."""
    evaluate: EvalStep
    """(state, batch) → sums and outputs; of several trainings at once (states, window) → the same, K of each."""


def compile_here(train_step: TrainStep, eval_step: EvalStep) -> Programs:
    """Compiles a training for one device.

    Args:
      train_step: from `make_train_step`.
      eval_step: from `make_eval_step`.

    Returns:
      The programs; the training donates its state.
    """
    return Programs(jax.jit(over_window(train_step), donate_argnums=0), jax.jit(eval_step))


def over_window(train_step: TrainStep) -> TrainWindow:
    """Makes the function that takes all steps of a window, to be compiled.

    From a step on that is not finite, the state stays the last good one.

    Args:
      train_step: from `make_train_step`.

    Returns:
      The function (state, window) → (state, metrics of K steps). A step that only fills up has size 0.
    """

    def run(state: TrainState, window: Window) -> tuple[TrainState, StepMetrics]:
        def step(data: Batch, carry: Carry, examples: jax.Array) -> tuple[Carry, StepMetrics]:
            state, good = carry
            new, metrics = train_step(state, take_device_jets(data, examples))
            # Of several trainings at once, one may have no example left where another has.
            empty = metrics.size == 0
            metrics = metrics._replace(finite=metrics.finite | empty)
            good = good & metrics.finite
            return (jax.tree.map(lambda a, b: jnp.where(good & ~empty, a, b), new, state), good), metrics

        def skip(carry: Carry, _: jax.Array) -> tuple[Carry, StepMetrics]:
            zero = jnp.zeros(())
            return carry, StepMetrics(zero, zero, zero, jax.tree.map(lambda _: zero, carry[0].params), jnp.array(True))

        def body(carry: Carry, turn: tuple[Any, Any]) -> tuple[Carry, StepMetrics]:
            bucket, examples = turn
            taken: tuple[Carry, StepMetrics] = jax.lax.switch(
                bucket, [*(partial(step, data) for data in window.data), skip], carry, examples
            )
            return taken

        (state, _), metrics = jax.lax.scan(body, (state, jnp.array(True)), (window.bucket, window.examples))
        return state, metrics

    return run


def take_device_jets(data: Batch, examples: jax.Array) -> Batch:
    """Picks each device's examples out of its own, one device after another; to be compiled.

    Args:
      data: (D, n, ...).
      examples: (D, b) int32; -1 gives any example with weight 0.

    Returns:
      (D·b, ...).
    """

    def pick(x: jax.Array) -> jax.Array:
        taken: jax.Array = jax.vmap(lambda share, places: share[places])(x, jnp.maximum(examples, 0))
        return taken.reshape(-1, *x.shape[2:])

    batch: Batch = jax.tree.map(pick, data)
    return batch._replace(weights=jnp.where(examples.reshape(-1) < 0, 0, batch.weights))

"""Several trainings as one program; a single training is an ensemble of one, whose arrays need no axis of members."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from hepjax.training.window_programs import take_device_jets
from hepjax.types import Ensemble, Progress, TrainState, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import optax

    from hepjax.training.step import EvalStep
    from hepjax.training.window_programs import TrainWindow
    from hepjax.types import EvalMetrics, PyTree

MEMBERS = Window(None, None, 1)  # type: ignore[arg-type]
"""The axis of a window's arrays that `jax.vmap` maps over: the members share all but the numbers of their examples."""


def start(
    params: PyTree,
    model_state: PyTree,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    members: int | None = None,
    *,
    average: bool = False,
) -> Ensemble:
    """Makes one or several trainings before their first epoch.

    Args:
      params: the model's parameters.
      model_state: its other variables.
      optimizer: the optax transformation.
      key: () typed PRNG key of the run.
      members: M, the number of trainings at once; the arrays before then have a first axis of M or more. None is a
        single training, without that axis.
      average: whether moving averages of the parameters and the other variables are kept.

    Returns:
      The trainings that `fit` starts from.

    >>> import optax
    >>> start({"w": jnp.zeros(3)}, {}, optax.sgd(0.1), jax.random.key(0)).stacked
    False
    """
    make = partial(_start_member_state, optimizer, average)
    state = jax.jit(make if members is None else jax.vmap(make))(params, model_state, key)
    return Ensemble(state, state, (Progress(),) * (members or 1))


def _start_member_state(
    optimizer: optax.GradientTransformation,
    average: bool,
    params: PyTree,
    model_state: PyTree,
    key: jax.Array,
) -> TrainState:
    kept = (params, model_state) if average else ()
    return TrainState(params, model_state, optimizer.init(params), jnp.zeros((), jnp.int32), key, kept)


def member_of(states: TrainState, member: int) -> TrainState:
    """Picks the state of one training out of those of several.

    Args:
      states: arrays with a first axis of members; those of a single training have none, and stay.
      member: its number.

    Returns:
      The state.
    """
    if not states.step.shape:
        return states
    state: TrainState = jax.tree.map(lambda x: x[member], states)
    return state


def over_members(run_window: TrainWindow, eval_step: EvalStep) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Lifts the functions of one training to several at once; to be compiled.

    Args:
      run_window: from `over_window`.
      eval_step: from `make_eval_step`.

    Returns:
      (states, window) → (states, metrics (M, K)); and (states, window) → metrics and outputs, (M, K, ...).
    """

    def evaluate(state: TrainState, window: Window) -> EvalMetrics:
        def body(_: None, turn: tuple[Any, Any]) -> tuple[None, EvalMetrics]:
            bucket, examples = turn
            branches = [
                lambda places, data=data: eval_step(state, take_device_jets(data, places)) for data in window.data
            ]
            return None, jax.lax.switch(bucket, branches, examples)

        metrics: EvalMetrics = jax.lax.scan(body, None, (window.bucket, window.examples))[1]
        return metrics

    return jax.vmap(run_window, in_axes=(0, MEMBERS)), jax.vmap(evaluate, in_axes=(0, MEMBERS))


def choose_member_states(mask: np.ndarray, new: TrainState, old: TrainState) -> TrainState:
    """Takes the new state of some members, and the old state of the others.

    Args:
      mask: (R,) bool, True for the new one; R is 1 for a single training.
      new: the states.
      old: of the same structure.

    Returns:
      The states.
    """
    if not new.step.shape:
        return new if mask[0] else old
    chosen: TrainState = _choose_member_state(mask, new, old)
    return chosen


@jax.jit
def _choose_member_state(mask: jax.Array, new: TrainState, old: TrainState) -> TrainState:
    chosen: TrainState = jax.tree.map(lambda a, b: jax.vmap(jnp.where)(mask, a, b), new, old)
    return chosen


def window_of_active_members(active: np.ndarray, window: Window) -> Window:
    """Takes the examples of a window from members that have stopped: steps without examples change nothing.

    Args:
      active: (R,) bool, True for members that are trained on.
      window: of R members at once.

    Returns:
      The window; the same where all members are active.
    """
    if active.all():
        return window
    where = getattr(window.examples, "sharding", None)
    return window._replace(examples=jax.device_put(_mask_inactive_members(active, window.examples), where))


@jax.jit
def _mask_inactive_members(active: jax.Array, examples: jax.Array) -> jax.Array:
    return jnp.where(active[:, None, None], examples, -1)

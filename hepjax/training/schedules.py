"""How the learning rate changes over a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from hepjax.choices import Schedule, choose

if TYPE_CHECKING:
    from hepjax.types import TrainState


_DECAYING = 0.3
"""The share of the epochs that flat-then-decay decays in."""
_LOWEST = 0.01
"""The rate of its last epoch, as a share of the peak."""
_FIRST_PERIOD = 4
"""Epochs of the first period of cosine-restarts; each further one is twice as long."""


def make_schedule(
    kind: Schedule | str, learning_rate: float, *, steps: int, warmup_steps: int = 0, steps_per_epoch: int = 1
) -> optax.Schedule:
    """Makes a schedule, step → learning rate.

    Args:
      kind: the shape: constant; cosine, a half wave down to 0 (arXiv:1608.03983, eq. 5); cosine-restarts, such waves
        of 4, 8, 16 … epochs (the same, section 3), the last of which goes on to the end where no further one fits;
        flat-then-decay, constant for seven tenths of the epochs, then multiplied by one factor an epoch down to a
        hundredth in the last (arXiv:2202.03772, section 5); one-cycle, up and down with its peak at three tenths
        (arXiv:1708.07120); plateau is constant here, the optimizer scales it down.
      learning_rate: the peak.
      steps: of the whole training.
      warmup_steps: a linear rise from 0 before the shape begins; flat-then-decay counts them among its epochs.
      steps_per_epoch: needed for the shapes that count epochs.

    Returns:
      The optax schedule.

    Raises:
      InputError: there is no such schedule.
      ValueError: the warm-up is as long as the training, or one-cycle, which has a warm-up of its own, is given one.

    >>> schedule = make_schedule(Schedule.COSINE, 0.1, steps=100)
    >>> [round(float(schedule(step)), 3) for step in (0, 50, 100)]
    [0.1, 0.05, 0.0]
    """
    kind = choose(Schedule, kind, "kind")
    if not 0 <= warmup_steps < steps:
        raise ValueError(f"warmup_steps: expected 0 to {steps - 1}, found {warmup_steps}")
    if kind is Schedule.ONE_CYCLE:
        if warmup_steps:
            raise ValueError("warmup_steps: the one-cycle schedule has a warm-up of its own; give 0")
        return optax.cosine_onecycle_schedule(steps, learning_rate)
    shape = optax.constant_schedule(learning_rate)
    if kind is Schedule.COSINE:
        shape = optax.cosine_decay_schedule(learning_rate, steps - warmup_steps)
    elif kind is Schedule.COSINE_RESTARTS:
        shape = _make_restarts(learning_rate, steps - warmup_steps, steps_per_epoch)
    elif kind is Schedule.FLAT_THEN_DECAY:
        shape = _make_late_decay(learning_rate, steps, warmup_steps, steps_per_epoch)
    if not warmup_steps:
        return shape
    return optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warmup_steps), shape], [warmup_steps])


def _make_restarts(learning_rate: float, steps: int, steps_per_epoch: int) -> optax.Schedule:
    ends = [min(_FIRST_PERIOD * steps_per_epoch, steps)]
    while (longer := ends[-1] + (_FIRST_PERIOD << len(ends)) * steps_per_epoch) <= steps:
        ends.append(longer)
    ends[-1] = steps
    lengths = np.diff([0, *ends]).tolist()
    return optax.join_schedules([optax.cosine_decay_schedule(learning_rate, length) for length in lengths], ends[:-1])


def _make_late_decay(learning_rate: float, steps: int, before: int, steps_per_epoch: int) -> optax.Schedule:
    """Makes the decay of the last epochs, step → rate, where the first step is that after `before` others."""
    epochs = -(-steps // steps_per_epoch)
    decaying = max(1, int(_DECAYING * epochs))

    def rate(step: Any) -> Any:
        epoch = (jnp.asarray(step) + before) // steps_per_epoch
        return learning_rate * _LOWEST ** (jnp.clip(epoch + 1 - epochs + decaying, 0, decaying) / decaying)

    return rate


def hold(schedule: optax.Schedule, steps: int) -> optax.Schedule:
    """Makes a schedule keep the rate of its last step from then on.

    Args:
      schedule: step → learning rate.
      steps: that it was made for.

    Returns:
      The schedule.

    >>> held = hold(make_schedule(Schedule.COSINE, 0.1, steps=4), 4)
    >>> [round(float(held(step)), 4) for step in (0, 3, 4, 99)]
    [0.1, 0.0146, 0.0146, 0.0146]
    """
    return lambda step: schedule(jnp.minimum(step, steps - 1))


def learning_rates(schedule: optax.Schedule | None, state: TrainState) -> np.ndarray:
    """Computes the learning rate of the last step done, a plateau's reduction and a training's own factor included.

    Args:
      schedule: step → learning rate; None where the optimizer's state alone may tell it.
      state: after the step; of a single training, or of several.

    Returns:
      (1,), or (R,) of several; NaN where it is not known.
    """
    kinds = optax.contrib.ReduceLROnPlateauState | optax.InjectStatefulHyperparamsState

    def is_factor(node: object) -> bool:
        return isinstance(node, kinds) and (hasattr(node, "scale") or "learning_rate" in node.hyperparams)

    nodes = [node for node in jax.tree.leaves(state.opt_state, is_leaf=is_factor) if is_factor(node)]
    factors = [
        np.asarray(node.scale if hasattr(node, "scale") else node.hyperparams["learning_rate"]) for node in nodes
    ]
    if schedule is None:
        rates = np.full(np.atleast_1d(state.step).shape, 1.0 if factors else math.nan)
    else:
        rates = np.array([float(schedule(max(int(step) - 1, 0))) for step in np.atleast_1d(state.step)])
    return math.prod(factors, start=rates)

"""The exponential moving average of a training's parameters, which is validated, kept and used in their place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from hepjax.types import Array, PyTree, TrainState


def average_over_steps(average: PyTree, new: PyTree, step: Array, decay: float) -> PyTree:
    """Takes a step into an exponential moving average without the bias of its beginning.

    The share of the new values is (1 - decay) / (1 - decay^step), as if what was before the first step had never been:
    after one step the average is the new values, and what does not change stays as it is, bit by bit.

    Args:
      average: of the steps before.
      new: the values after this step, of the same structure; what is not floating point is taken as it is.
      step: () the number of this step, from 1.
      decay: the share of the old average that stays in the long run, from 0 to below 1.

    Returns:
      The average.

    Reference: D. P. Kingma, J. Ba, "Adam", arXiv:1412.6980, section 7.2.

    >>> average = average_over_steps(jnp.zeros(()), jnp.ones(()), jnp.int32(1), 0.5)
    >>> round(float(average_over_steps(average, jnp.array(4.0), jnp.int32(2), 0.5)), 4)
    3.0
    """
    share = (1 - decay) / -jnp.expm1(step * math.log(decay)) if decay else 1.0

    def mix(old: Array, now: Array) -> Array:
        return old + share * (now - old) if jnp.issubdtype(jnp.result_type(now), jnp.floating) else now

    return jax.tree.map(mix, average, new)


def averaged(state: TrainState) -> TrainState:
    """Returns the state whose parameters and other variables are their averages; the same where none are kept.

    Args:
      state: of a training, or of several.
    """
    if not jax.tree.leaves(state.average):
        return state
    params, model_state = state.average
    return state._replace(params=params, model_state=model_state)

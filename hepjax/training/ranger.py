"""Ranger, the optimizer of ParticleNet and Particle Transformer: rectified Adam inside Lookahead."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

if TYPE_CHECKING:
    from hepjax.types import Array, PyTree

_BETAS = (0.95, 0.999)
_EPSILON = 1e-5
_FIRST_RECTIFIED = 5.0
"""From which length of the average of squared gradients on updates are divided by it, as in the authors' code."""
_LOOK_EVERY = 6
_LOOK_SHARE = 0.5


class _Moments(NamedTuple):
    steps: Array
    """() int32, the steps done."""
    mean: PyTree
    square: PyTree


class _SlowWeights(NamedTuple):
    steps: Array
    """() int32, the steps done."""
    weights: PyTree


def rectified_adam(learning_rate: Any, weight_decay: float = 0.0, mask: Any = None) -> optax.GradientTransformation:
    """Makes Adam whose first steps are rectified, with β = 0.95 and 0.999, ε = 1e-5 and decoupled weight decay.

    While too few gradients are known to judge their variance, which is five steps here, the steps are those of
    momentum; later ones are Adam's, shortened by the expected excess of its variance. As in the authors' code, ε is
    added to the root of the average before the bias of its beginning is taken out.

    Args:
      learning_rate: a number, or step → number.
      weight_decay: what is taken off a weight in a step, in units of the weight and the learning rate.
      mask: parameters → bools, True for what decays; None is all.

    Returns:
      The optax transformation.

    Reference: L. Liu et al., "On the variance of the adaptive learning rate and beyond", arXiv:1908.03265, algorithm 2.

    >>> optimizer = rectified_adam(0.1)
    >>> updates, _ = optimizer.update({"w": jnp.ones(1)}, optimizer.init({"w": jnp.zeros(1)}), {"w": jnp.zeros(1)})
    >>> round(float(updates["w"][0]), 4)
    -0.1
    """
    return optax.chain(
        optax.GradientTransformation(_start_moments, _rectify),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )


def _start_moments(params: PyTree) -> _Moments:
    zeros = jax.tree.map(jnp.zeros_like, params)
    return _Moments(jnp.zeros((), jnp.int32), zeros, zeros)


def _rectify(grads: PyTree, state: _Moments, params: PyTree = None) -> tuple[PyTree, _Moments]:  # noqa: ARG001
    steps, (first, second) = state.steps + 1, _BETAS
    mean = jax.tree.map(lambda m, g: first * m + (1 - first) * g, state.mean, grads)
    square = jax.tree.map(lambda v, g: second * v + (1 - second) * g**2, state.square, grads)
    # The powers from logarithms: 1 - β^t of float32 would be wrong by percents in the first steps.
    of_mean, of_square = (-jnp.expm1(steps * math.log(beta)) for beta in _BETAS)
    longest = 2 / (1 - second) - 1
    length = longest - 2 * steps * (1 - of_square) / of_square
    rectified = length >= _FIRST_RECTIFIED
    counted = jnp.where(rectified, length, longest)
    excess = (counted - 4) * (counted - 2) * longest / ((longest - 4) * (longest - 2) * counted)
    factor = jnp.sqrt(excess * of_square)
    updates = jax.tree.map(
        lambda m, v: jnp.where(rectified, factor * m / (jnp.sqrt(v) + _EPSILON), m) / of_mean, mean, square
    )
    return updates, _Moments(steps, mean, square)


def lookahead() -> optax.GradientTransformation:
    """Makes Lookahead, which every six steps takes weights half of the way from where they were to where they are.

    It has to be the last of a chain of transformations, for it sees the weights as they will be.

    Returns:
      The optax transformation, whose state holds the slow weights.

    Reference: M. Zhang et al., "Lookahead optimizer: k steps forward, 1 step back", arXiv:1907.08610, algorithm 1.

    >>> optimizer, w = lookahead(), jnp.zeros(())
    >>> state = optimizer.init(w)
    >>> for _ in range(6):
    ...     update, state = optimizer.update(jnp.ones(()), state, w)
    ...     w = w + update
    >>> float(w)
    3.0
    """

    def start(params: PyTree) -> _SlowWeights:
        return _SlowWeights(jnp.zeros((), jnp.int32), jax.tree.map(jnp.array, params))

    def update(updates: PyTree, state: _SlowWeights, params: PyTree = None) -> tuple[PyTree, _SlowWeights]:
        steps = state.steps + 1
        meet = steps % _LOOK_EVERY == 0

        def look(slow: Array, weight: Array, step: Array) -> Array:
            return jnp.where(meet, slow + _LOOK_SHARE * (weight + step - slow), slow)

        slow = jax.tree.map(look, state.weights, params, updates)
        updates = jax.tree.map(lambda s, w, u: jnp.where(meet, s - w, u), slow, params, updates)
        return updates, _SlowWeights(steps, slow)

    return optax.GradientTransformation(start, update)

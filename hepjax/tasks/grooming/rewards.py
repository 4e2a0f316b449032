"""Rewards of grooming: for a mass near the resonance, and for the removal of soft wide-angle radiation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from collections.abc import Callable

    Reward = Callable[[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


class RewardConstants(NamedTuple):
    """Constants of arXiv:1903.09644, with the values of its published W groomer."""

    target: float = 80.385
    """The mass of the resonance, GeV."""
    width: float = 2.0
    """The width Γ of the mass reward 1 / π(1 + (m - m_target)² / Γ²) of signal, GeV."""
    background_width: float = 8.0
    """The width Γ of the mass reward (m / Γ) exp(-m / Γ) of background, GeV; infinity removes this reward."""
    background_weight: float = 1.8037814
    """The factor on rewards of background."""
    share: float = 0.15335298
    """The weight 1/N of the reward of the decision to keep or drop."""
    drop_angle: float = 0.59230896
    drop_share: float = 0.18111333
    drop_z: float = 0.39993994
    """The constants α₁, β₁ (`drop_share`) and z₁ of the reward for dropping, min(1, ΔR^α₁ (z₁ / z)^β₁)."""
    keep_angle: float = 0.65008098
    keep_share: float = 0.32916266
    keep_z: float = 0.02938580
    """The constants α₂, β₂ (`keep_share`) and z₂ of the reward for keeping, max(0, 1 - ΔR^α₂ (z₂ / z)^β₂)."""


_SMALLEST = 1e-30

W_BOSON = RewardConstants()
TOP_QUARK = RewardConstants(target=173.2, background_weight=1.0)
"""The published constants; the top groomer was trained with 20 % of background jets, the W groomer with 48 %."""


def make_reward(constants: RewardConstants = W_BOSON) -> Reward:
    """Makes the published reward of a decision, from the mass of the jet after it and from the splitting.

    Args:
      constants: constants of the reward.

    Returns:
      A function from (mass in GeV, z, ΔR, dropped, is signal) to the reward, for numbers or arrays of one shape.

    >>> reward = make_reward()
    >>> one = jnp.ones(())
    >>> round(float(reward(80.385 * one, 0.01 * one, 0.4 * one, one > 0, one > 0)), 3)  # soft, wide and dropped
    0.472
    >>> round(float(reward(60 * one, 0.4 * one, 0.01 * one, one > 0, one > 0)), 3)  # hard, collinear and dropped
    0.013
    """
    c = constants

    def reward(mass: jax.Array, z: jax.Array, delta_r: jax.Array, dropped: jax.Array, signal: jax.Array) -> jax.Array:
        ln_z, ln_r = jnp.log(jnp.maximum(z, _SMALLEST)), jnp.log(jnp.maximum(delta_r, _SMALLEST))
        drop = jnp.minimum(1, jnp.exp(c.drop_angle * ln_r + c.drop_share * (jnp.log(c.drop_z) - ln_z)))
        keep = jnp.maximum(0, 1 - jnp.exp(c.keep_angle * ln_r + c.keep_share * (jnp.log(c.keep_z) - ln_z)))
        near = 1 / (jnp.pi * (1 + ((mass - c.target) / c.width) ** 2))
        small = mass / c.background_width
        decision = c.share * jnp.where(dropped, drop, keep)
        background = c.background_weight * (small * jnp.exp(-small) + decision)
        return jnp.where(signal, near + decision, background)

    return reward

"""What grooming is rewarded for: a mass near the resonance, and radiation that is soft and wide left out."""

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
    """GeV, the mass of the resonance."""
    width: float = 2.0
    """GeV, Γ of the mass reward 1 / π(1 + (m - m_target)² / Γ²) of signal."""
    background_width: float = 8.0
    """GeV, Γ of the mass reward (m / Γ) exp(-m / Γ) of background, largest at m = Γ; infinity leaves it out."""
    background_weight: float = 1.8037814
    """By which rewards of background are multiplied."""
    share: float = 0.15335298
    """1/N, the weight of the reward of what is kept and what dropped."""
    drop_angle: float = 0.59230896
    drop_share: float = 0.18111333
    drop_z: float = 0.39993994
    """α₁, β₁ and z₁: dropping is worth min(1, ΔR^α₁ (z₁ / z)^β₁)."""
    keep_angle: float = 0.65008098
    keep_share: float = 0.32916266
    keep_z: float = 0.02938580
    """α₂, β₂ and z₂: keeping is worth max(0, 1 - ΔR^α₂ (z₂ / z)^β₂)."""


_SMALLEST = 1e-30

W_BOSON = RewardConstants()
TOP_QUARK = RewardConstants(target=173.2, background_weight=1.0)
"""As published; the authors trained the top groomer with a fifth of background jets, the W groomer with 48 %."""


def make_reward(constants: RewardConstants = W_BOSON) -> Reward:
    """The published reward of a decision: of the jet's mass after it, and of the splitting that it was about.

    Args:
      constants: its constants.

    Returns:
      The function (mass in GeV, z, ΔR, dropped, is signal) → reward, of numbers or of arrays of one shape.

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

"""Newtonian inspirals of two masses, in seconds, hertz and solar masses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from hepjax.types import Array

SUN = 4.925490947e-6
"""The mass of the sun in time units, G M / c³, seconds."""
RISE = 1 / 16
"""The duration of the fade-in of a chirp, seconds."""


def frequency_before(chirp_mass: Any, seconds: Any) -> Any:
    """Computes the frequency of a Newtonian inspiral at a time before its coalescence.

    f = (5 / 256 τ)^(3/8) (G M / c³)^(−5/8) / π (M. Maggiore, Gravitational Waves 1, 2008, eq. 4.19).

    Args:
      chirp_mass: (...) chirp masses, solar masses.
      seconds: (...) times τ before coalescence; broadcasts.

    Returns:
      (...) frequencies of the wave, Hz.

    >>> round(frequency_before(12.0, seconds_before(12.0, 50.0)), 6)
    50.0
    """
    return (5 / (256 * seconds)) ** 0.375 * (SUN * chirp_mass) ** -0.625 / math.pi


def seconds_before(chirp_mass: Any, frequency: Any) -> Any:
    """Computes the time before coalescence at which an inspiral has a frequency; inverse of `frequency_before`."""
    return 5 / 256 * (math.pi * frequency) ** (-8 / 3) * (SUN * chirp_mass) ** (-5 / 3)


def end_frequency(chirp_mass: Any) -> Any:
    """Computes the end frequency of two equal masses at the innermost stable circular orbit, c³ / (6^1.5 π G M).

    Args:
      chirp_mass: (...) chirp masses, solar masses; the total mass M is 2^1.2 times as large.

    Returns:
      (...) frequencies, Hz.

    >>> round(end_frequency(12.0), 1)
    159.5
    """
    return 1 / (6**1.5 * math.pi * SUN * 2**1.2 * chirp_mass)


@jax.jit
def chirp(times: Array, chirp_mass: Any, coalescence: Any, phase: Any, lowest: float = 30.0) -> jax.Array:
    """Computes a Newtonian inspiral, f ∝ (t_c − t)^(−3/8), amplitude ∝ f^(2/3), from `lowest` to its end frequency.

    It fades in within 1/16 s and fades out within one period of its end frequency. A chirp that would begin before the
    segment is cut and fades in at the start of the segment.

    Args:
      times: (N,) times, seconds.
      chirp_mass: () chirp mass, solar masses.
      coalescence: () time t_c of the coalescence, seconds.
      phase: () phase at coalescence, radians.
      lowest: initial frequency, Hz.

    Returns:
      (N,) float32 wave with amplitude 1 at the end frequency.

    >>> chirp(jnp.arange(1024) / 1024, 20.0, 0.8, 0.0).shape
    (1024,)
    """
    last = end_frequency(chirp_mass)
    shortest, longest = (seconds_before(chirp_mass, f) for f in (last, lowest))
    before = coalescence - times
    longest = jnp.minimum(longest, before[0])
    seconds = jnp.clip(before, shortest, longest)
    angle = phase - 2 * (seconds / (5 * SUN * chirp_mass)) ** 0.625
    rise, fall = (jnp.clip(x, 0, 1) for x in ((longest - before) / RISE, (before - shortest) * last))
    taper = jnp.square(jnp.sin(jnp.pi / 2 * rise) * jnp.sin(jnp.pi / 2 * fall))
    wave: jax.Array = taper * (frequency_before(chirp_mass, seconds) / last) ** (2 / 3) * jnp.cos(angle)
    return wave

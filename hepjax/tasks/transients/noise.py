"""Gaussian noise of any power spectral density, and whitening.

A segment is taken as periodic: its Fourier bins are then independent, whitening is exact, and a matched filter is what
theory says it is. Strain is in units of 1e-23, whose squares float32 can hold.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from hepjax.types import Array

LOWEST = 20.0
"""Hz, below which `detector_density` is flat."""


def detector_density(frequency: Any) -> Any:
    """The noise of a detector like Advanced LIGO: a wall at low frequencies, a rise at high ones.

    x^−4.14 − 5 x^−2 + 111 (1 − x² + x⁴/2) / (1 + x²/2), x = f / 215 Hz, times 1e-49 / Hz; flat below 20 Hz, where
    the fit ends (B. Sathyaprakash, B. Schutz, arXiv:0903.0338, table 1).

    Args:
      frequency: (...) Hz.

    Returns:
      (...) one-sided power spectral density, 1e-46 / Hz.

    >>> [round(float(detector_density(f)), 4) for f in (0.0, 20.0, 215.0, 1000.0)]
    [18.154, 18.154, 0.033, 2.004]
    """
    square = np.square(np.maximum(frequency, LOWEST) / 215)
    bucket = 111 * (1 - square + square**2 / 2) / (1 + square / 2)
    return 1e-3 * (square**-2.07 - 5 / square + bucket)


@partial(jax.jit, static_argnames="shape")
def coloured_noise(key: Array, spectrum: Array, rate: float, shape: tuple[int, ...] = ()) -> jax.Array:
    """Gaussian noise of a power spectral density.

    Its variance is the integral of the density by the trapezoidal rule on the segment's frequencies.

    Args:
      key: () typed PRNG key.
      spectrum: (N // 2 + 1,) one-sided density at the frequencies 0, rate / N, ..., rate / 2; N is even.
      rate: samples per second, Hz.
      shape: of the segments.

    Returns:
      (..., N) float32, ... the `shape`.

    >>> coloured_noise(jax.random.key(0), jnp.ones(513), 1024.0, (2,)).shape
    (2, 1024)
    """
    noise: jax.Array = colour(jax.random.normal(key, (*shape, 2 * (spectrum.shape[-1] - 1))), spectrum, rate)
    return noise


@jax.jit
def colour(white: Array, spectrum: Array, rate: float) -> jax.Array:
    """White noise of unit variance, (..., N), to noise of this density; undoes `whiten`."""
    return jnp.fft.irfft(jnp.fft.rfft(white) * jnp.sqrt(spectrum * (rate / 2)), white.shape[-1])


@jax.jit
def whiten(strain: Array, spectrum: Array, rate: float) -> jax.Array:
    """Divides each frequency by the noise there: noise becomes white, with unit variance.

    Args:
      strain: (..., N).
      spectrum: (N // 2 + 1,) one-sided power spectral density of its noise.
      rate: samples per second, Hz.

    Returns:
      (..., N) float32.

    Raises:
      InputError: the density is one of another number of samples.

    >>> noise = coloured_noise(jax.random.key(0), 7 * jnp.ones(513), 1024.0, (9,))
    >>> round(float(whiten(noise, 7 * jnp.ones(513), 1024.0).std()), 1)
    1.0
    """
    if strain.shape[-1] != 2 * (spectrum.shape[-1] - 1):
        raise InputError(
            f"strain: expected {2 * (spectrum.shape[-1] - 1)} samples, as the density has {spectrum.shape[-1]} "
            f"frequencies, found {strain.shape[-1]}"
        )
    return jnp.fft.irfft(jnp.fft.rfft(strain) / jnp.sqrt(spectrum * (rate / 2)), strain.shape[-1])


@jax.jit
def optimal_snr(signal: Array, spectrum: Array, rate: float) -> jax.Array:
    """The signal-to-noise ratio ρ of a matched filter that knows the signal: ρ² = 4 ∫ |h(f)|² / S(f) df.

    By Parseval's theorem that is the sum of squares of the whitened signal.

    Args:
      signal: (..., N).
      spectrum: (N // 2 + 1,) one-sided power spectral density of the noise.
      rate: samples per second, Hz.

    Returns:
      (...) float32.

    >>> round(float(optimal_snr(jnp.zeros(1024).at[5].set(3.0), jnp.full(513, 2 / 1024), 1024.0)), 4)
    3.0
    """
    return jnp.sqrt(jnp.sum(jnp.square(whiten(signal, spectrum, rate)), axis=-1))

"""Gaussian noise of any power spectral density, and whitening.

Segments are periodic: their Fourier bins are then independent, whitening is exact, and the matched filter agrees with
theory. Strain is in units of 1e-23, so that its squares fit in float32.
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
"""The frequency below which `detector_density` is constant, Hz."""


def detector_density(frequency: Any) -> Any:
    """Computes the noise density of a detector like Advanced LIGO, steep at low and rising at high frequencies.

    x^−4.14 − 5 x^−2 + 111 (1 − x² + x⁴/2) / (1 + x²/2), x = f / 215 Hz, times 1e-49 / Hz; flat below 20 Hz, where
    the fit ends (B. Sathyaprakash, B. Schutz, arXiv:0903.0338, table 1).

    Args:
      frequency: (...) frequencies, Hz.

    Returns:
      (...) one-sided power spectral densities, 1e-46 / Hz.

    >>> [round(float(detector_density(f)), 4) for f in (0.0, 20.0, 215.0, 1000.0)]
    [18.154, 18.154, 0.033, 2.004]
    """
    square = np.square(np.maximum(frequency, LOWEST) / 215)
    bucket = 111 * (1 - square + square**2 / 2) / (1 + square / 2)
    return 1e-3 * (square**-2.07 - 5 / square + bucket)


@partial(jax.jit, static_argnames="shape")
def colored_noise(key: Array, spectrum: Array, rate: float, shape: tuple[int, ...] = ()) -> jax.Array:
    """Draws Gaussian noise with a power spectral density.

    The variance of the noise is the integral of the density by the trapezoidal rule on the frequencies of the segment.

    Args:
      key: () typed PRNG key.
      spectrum: (N // 2 + 1,) one-sided density at the frequencies 0, rate / N, ..., rate / 2; N is even.
      rate: samples per second, Hz.
      shape: leading axes of the result.

    Returns:
      (..., N) float32 noise, with `shape` as the leading axes.

    >>> colored_noise(jax.random.key(0), jnp.ones(513), 1024.0, (2,)).shape
    (2, 1024)
    """
    noise: jax.Array = color_noise(jax.random.normal(key, (*shape, 2 * (spectrum.shape[-1] - 1))), spectrum, rate)
    return noise


@jax.jit
def color_noise(white: Array, spectrum: Array, rate: float) -> jax.Array:
    """Converts (..., N) white noise of unit variance to noise with this density; inverse of `whiten`."""
    return jnp.fft.irfft(jnp.fft.rfft(white) * jnp.sqrt(spectrum * (rate / 2)), white.shape[-1])


@jax.jit
def whiten(strain: Array, spectrum: Array, rate: float) -> jax.Array:
    """Divides each frequency by the noise level, which makes noise white with unit variance.

    Args:
      strain: (..., N) strain.
      spectrum: (N // 2 + 1,) one-sided power spectral density of the noise.
      rate: samples per second, Hz.

    Returns:
      (..., N) float32 whitened strain.

    Raises:
      InputError: the density belongs to another number of samples.

    >>> noise = colored_noise(jax.random.key(0), 7 * jnp.ones(513), 1024.0, (9,))
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
    """Computes the signal-to-noise ratio ρ of a matched filter for a known signal: ρ² = 4 ∫ |h(f)|² / S(f) df.

    By Parseval's theorem it is the root of the sum of squares of the whitened signal.

    Args:
      signal: (..., N) signal.
      spectrum: (N // 2 + 1,) one-sided power spectral density of the noise.
      rate: samples per second, Hz.

    Returns:
      (...) float32 ratios.

    >>> round(float(optimal_snr(jnp.zeros(1024).at[5].set(3.0), jnp.full(513, 2 / 1024), 1024.0)), 4)
    3.0
    """
    return jnp.sqrt(jnp.sum(jnp.square(whiten(signal, spectrum, rate)), axis=-1))

"""Parameters of a search for chirps, and simulated segments of data."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.transients.chirps import RISE, chirp, end_frequency, seconds_before
from hepjax.tasks.transients.noise import colored_noise, detector_density, optimal_snr

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array


@dataclasses.dataclass(frozen=True)
class Search:
    """Parameters of the signals and of the noise of a search."""

    rate: float = 1024.0
    """Number of samples per second, Hz."""
    seconds: float = 1.0
    """Length of a segment, seconds."""
    density: Callable[[Any], Any] = detector_density
    """A function from (...) frequencies in Hz to the (...) one-sided noise density, 1e-46 / Hz."""
    chirp_masses: tuple[float, float] = (12.0, 30.0)
    """Smallest and largest chirp mass, solar masses; uniform between."""
    coalescence: tuple[float, float] = (0.75, 0.95)
    """Earliest and latest coalescence, seconds after the segment's start; uniform between."""
    snr: tuple[float, float] = (3.0, 12.0)
    """Smallest and largest optimal signal-to-noise ratio; uniform between."""
    lowest: float = 30.0
    """Initial frequency of chirps, Hz; a chirp that does not fit in the segment begins with the segment."""

    def __post_init__(self) -> None:
        """Checks the parameters; raises InputError for invalid ranges or a density that is not positive."""
        _check_search(self)

    @property
    def samples(self) -> int:
        """Returns the number of samples of a segment, N."""
        return round(self.rate * self.seconds)

    @property
    def times(self) -> np.ndarray:
        """Returns the (N,) float64 times of the samples, seconds."""
        return np.arange(self.samples) / self.rate

    @property
    def spectrum(self) -> np.ndarray:
        """Returns the (N // 2 + 1,) float32 density of the noise at the frequencies of the segment."""
        with jax.ensure_compile_time_eval():
            return np.asarray(self.density(np.fft.rfftfreq(self.samples, 1 / self.rate)), np.float32)


class Transients(NamedTuple):
    """B segments of noise; every second segment has a chirp."""

    strain: Array
    """(B, N) float32 noise plus chirp, 1e-23."""
    signal: Array
    """(B, N) float32 chirp alone, 1e-23; 0 in segments without a chirp."""
    labels: Array
    """(B,) int32 labels, 1 for a chirp."""
    snr: Array
    """(B,) float32 optimal signal-to-noise ratio; 0 without a chirp."""
    chirp_mass: Array
    """(B,) float32 chirp mass, solar masses; 0 without a chirp."""
    coalescence: Array
    """(B,) float32 coalescence time, seconds; 0 without a chirp."""


@partial(jax.jit, static_argnums=(0, 2))
def draw_transients(search: Search, key: Array, count: int, louder: Any = 1.0) -> Transients:
    """Draws segments of noise, every second one with a chirp, as a compiled pure function of the key.

    Args:
      search: parameters of the search.
      key: () typed PRNG key.
      count: number of segments, B.
      louder: () factor on all signal-to-noise ratios: networks learn faster if they see loud chirps first (D. George,
        E. Huerta, arXiv:1701.00008).

    Returns:
      The segments.

    >>> draw_transients(Search(), jax.random.key(0), 2).labels.tolist()
    [0, 1]
    """
    noise_key, *keys = jax.random.split(key, 5)
    ranges = (search.chirp_masses, search.coalescence, search.snr, (0.0, 2 * math.pi))
    mass, coalescence, snr, phase = (
        jax.random.uniform(key, (count,), minval=low, maxval=high)
        for key, (low, high) in zip(keys, ranges, strict=True)
    )
    labels = jnp.arange(count) % 2
    make = jax.vmap(partial(chirp, jnp.asarray(search.times, jnp.float32), lowest=search.lowest))
    unscaled = make(mass, coalescence, phase)
    spectrum = jnp.asarray(search.spectrum)
    snr, mass, coalescence = (labels * x for x in (snr, mass, coalescence))
    snr = louder * snr
    signal = unscaled * (snr / optimal_snr(unscaled, spectrum, search.rate))[:, None]
    noise = colored_noise(noise_key, spectrum, search.rate, (count,))
    return Transients(noise + signal, signal, labels, snr, mass, coalescence)


def _check_search(search: Search) -> None:
    """Checks that the parameters of a search are consistent."""
    rate, low, high = search.rate, *search.chirp_masses
    for name, (first, last) in (
        ("chirp_masses", search.chirp_masses), ("coalescence", search.coalescence), ("snr", search.snr)
    ):  # fmt: skip
        if not 0 < first <= last < math.inf:
            raise InputError(f"{name}: expected positive numbers, the smaller one first, found {first:g} and {last:g}")
    if not (0 < rate < math.inf and 0 < search.seconds < math.inf) or search.samples % 2 or not search.samples:
        raise InputError(
            f"rate, seconds: expected an even number of samples, found {rate:g} Hz times {search.seconds:g} s"
        )
    if end_frequency(low) > rate / 2:
        raise InputError(
            f"rate: expected {2 * end_frequency(low):.0f} Hz or more, twice the end frequency of a chirp of {low:g} "
            f"solar masses, found {rate:g}; raise it, or the smallest chirp mass"
        )
    if not 0 < search.lowest < end_frequency(high):
        raise InputError(
            f"lowest: expected less than {end_frequency(high):.0f} Hz, the end frequency of a chirp of {high:g} solar "
            f"masses, found {search.lowest:g}"
        )
    earliest = seconds_before(high, end_frequency(high)) + RISE
    if not earliest < search.coalescence[0] <= search.coalescence[1] <= search.seconds:
        raise InputError(
            f"coalescence: expected {earliest:.3f} s or more, so that there is a chirp before it, and at most the "
            f"segment's {search.seconds:g} s, found {search.coalescence[0]:g} to {search.coalescence[1]:g}"
        )
    spectrum = search.spectrum
    bad = ~((spectrum > 0) & (spectrum < math.inf))
    if bad.any():
        at = int(np.argmax(bad))
        raise InputError(
            f"density: expected positive numbers at all frequencies, found {spectrum[at]:g} at "
            f"{at / search.seconds:g} Hz"
        )

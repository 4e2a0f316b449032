"""Reference searches for networks: the matched filter, the likelihood ratio, and excess power."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.transients.chirps import chirp
from hepjax.tasks.transients.noise import whiten

if TYPE_CHECKING:
    from hepjax.tasks.transients.search import Search
    from hepjax.types import Array

_STEP, _TOP = 1 / 64, 64.0  # step and end of the table of likelihood ratios


class Bank(NamedTuple):
    """A bank of M whitened templates."""

    spectra: Array
    """(M, N // 2 + 1) complex64 spectra, normalized so that the filter output has unit variance in either phase."""
    chirp_masses: Array
    """(M,) float32 chirp masses, solar masses."""


class FilterResult(NamedTuple):
    """The result of filtering B segments with a bank."""

    snr: Array
    """(B,) float32 largest signal-to-noise ratio over templates, times and phases."""
    chirp_mass: Array
    """(B,) float32 chirp mass of the template with the largest ratio, solar masses."""
    coalescence: Array
    """(B,) float32 coalescence time with the largest ratio, seconds."""
    likelihood_ratio: Array
    """(B,) float32 log-likelihood ratio of the segment with a chirp, averaged over all chirps, and without."""


def make_bank(search: Search, templates: int = 32) -> Bank:
    """Makes a bank of templates over the chirp masses, evenly spaced in the duration of a chirp, M^(−5/3).

    One template covers two phases in quadrature: the second phase is the first with each frequency rotated by 90°.

    Args:
      search: parameters of the search.
      templates: number of templates, M.

    Returns:
      The bank.

    Raises:
      InputError: there is no template.

    >>> from hepjax.tasks.transients import Search
    >>> make_bank(Search()).chirp_masses[jnp.array([0, 16, 31])].round().tolist()
    [12.0, 16.0, 30.0]
    """
    if templates < 1:
        raise InputError(f"templates: expected one or more, found {templates}")
    low, high = (mass ** (-5 / 3) for mass in search.chirp_masses)
    masses = np.linspace(low, high, templates if low > high else 1) ** -0.6
    bank: Bank = _make_templates(search, jnp.asarray(masses, jnp.float32))
    return bank


@partial(jax.jit, static_argnums=0)
def _make_templates(search: Search, masses: jax.Array) -> Bank:
    make: Any = jax.vmap(lambda mass: chirp(jnp.asarray(search.times), mass, search.coalescence[1], 0.0, search.lowest))
    whole = jnp.fft.rfft(whiten(make(masses), search.spectrum, search.rate))
    spectra = jnp.pad(whole[:, 1:-1], ((0, 0), (1, 1)))  # the lowest and highest frequencies have no phase
    norm = jnp.sqrt(2 * jnp.sum(jnp.square(jnp.abs(spectra)), axis=1, keepdims=True) / search.samples)
    return Bank(spectra / norm, masses)


@partial(jax.jit, static_argnums=0)
def matched_filter(search: Search, bank: Bank, strain: Array) -> FilterResult:
    """Filters segments with every template, at every coalescence time of the search and in both phases.

    The largest signal-to-noise ratio is the usual statistic. The likelihood ratio sums over all masses, times, phases
    and signal-to-noise ratios with the probabilities of `search`, Σ exp(−ρ²/2) I₀(ρ |z|) for the filter output z: it is
    the most efficient statistic at any false-alarm probability (J. Neyman, E. Pearson, 1933).

    Args:
      search: parameters of the search.
      bank: bank of templates.
      strain: (B, N) strain, 1e-23.

    Returns:
      The result for each segment.

    >>> from hepjax.tasks.transients import Search, draw_transients
    >>> transients = draw_transients(Search(), jax.random.key(0), 2, louder=5.0)
    >>> result = matched_filter(Search(), make_bank(Search()), transients.strain)
    >>> [snr > 10 for snr in result.snr.tolist()]
    [False, True]
    """
    lags = round((search.coalescence[1] - search.coalescence[0]) * search.rate) + 1
    table = jnp.asarray(_tabulate_evidence(search.snr))
    share = _log_template_shares(bank.chirp_masses) - math.log(lags)

    def filter_segment(segment: Array) -> FilterResult:
        data = jnp.fft.rfft(whiten(segment, jnp.asarray(search.spectrum), search.rate))
        products = data * bank.spectra.conj() * (2 / search.samples)
        # Lag 0 is a coalescence at the latest time; all other lags are earlier.
        output = jnp.fft.ifft(products, search.samples, axis=-1, norm="forward")
        z = jnp.abs(jnp.roll(output, lags - 1, axis=-1)[:, :lags])
        template, lag = jnp.unravel_index(jnp.argmax(z), z.shape)
        time = search.coalescence[1] - (lags - 1 - lag) / search.rate
        ratio = jax.nn.logsumexp(_interpolate_table(table, z) + share[:, None])
        return FilterResult(z[template, lag], bank.chirp_masses[template], time, ratio)

    result: FilterResult = jax.lax.map(filter_segment, strain, batch_size=64)
    return result


def _log_template_shares(masses: Array) -> jax.Array:
    """Returns the logarithm of the share of chirps, uniform in mass, that each template represents."""
    middles = (masses[1:] + masses[:-1]) / 2
    edges = jnp.concatenate([masses[:1], middles, masses[-1:]])
    width = jnp.abs(jnp.diff(edges)) if len(masses) > 1 else jnp.ones(1)
    return jnp.log(width / jnp.sum(width))


def _tabulate_evidence(snr: tuple[float, float], points: int = 64) -> np.ndarray:
    """Tabulates the logarithm of the mean over ρ of exp(−ρ²/2) I₀(ρ z), at z = 0, _STEP, ..., _TOP."""
    from scipy.special import ive, logsumexp

    low, high = snr
    rho = low + (high - low) * (np.arange(points) + 0.5) / points
    x = np.arange(0, _TOP + _STEP / 2, _STEP)[:, None] * rho
    return np.asarray(logsumexp(np.log(ive(0, x)) + x - rho**2 / 2, axis=1) - math.log(points), np.float32)


def _interpolate_table(table: jax.Array, z: jax.Array) -> jax.Array:
    """Interpolates a table linearly, and extrapolates beyond its end."""
    left = jnp.clip((z / _STEP).astype(jnp.int32), 0, len(table) - 2)
    return table[left] + (z / _STEP - left) * (table[left + 1] - table[left])


@partial(jax.jit, static_argnums=0)
def excess_power(search: Search, strain: Array) -> jax.Array:
    """Computes the mean square of the whitened segment, 1 for noise, a statistic without knowledge of the signal.

    Args:
      search: parameters of the search.
      strain: (B, N) strain, 1e-23.

    Returns:
      (B,) float32 mean squares.

    >>> from hepjax.tasks.transients import Search
    >>> excess_power(Search(), jnp.zeros((2, 1024))).tolist()
    [0.0, 0.0]
    """
    return jnp.mean(jnp.square(whiten(strain, search.spectrum, search.rate)), axis=-1)

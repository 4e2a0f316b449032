"""What networks are measured against: the matched filter, the likelihood ratio, and the excess of power."""

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

_STEP, _TOP = 1 / 64, 64.0  # of the table of likelihood ratios


class Bank(NamedTuple):
    """M templates, whitened."""

    spectra: Array
    """(M, N // 2 + 1) complex64, such that the filter's output has unit variance in either phase."""
    chirp_masses: Array
    """(M,) float32, solar masses."""


class Found(NamedTuple):
    """What a bank finds in B segments."""

    snr: Array
    """(B,) float32, the largest signal-to-noise ratio of all templates, times and phases."""
    chirp_mass: Array
    """(B,) float32, of the template that has it."""
    coalescence: Array
    """(B,) float32, where it has it, seconds."""
    likelihood_ratio: Array
    """(B,) float32, the logarithm of how much likelier the segment is with a chirp, averaged over all chirps."""


def make_bank(search: Search, templates: int = 32) -> Bank:
    """A bank of templates over the chirp masses, evenly spaced in the duration of a chirp, M^(−5/3).

    Two phases in quadrature are one template: the second is the first, each frequency turned by 90°.

    Args:
      search: what is searched for.
      templates: M.

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
    bank: Bank = _fill(search, jnp.asarray(masses, jnp.float32))
    return bank


@partial(jax.jit, static_argnums=0)
def _fill(search: Search, masses: jax.Array) -> Bank:
    make: Any = jax.vmap(lambda mass: chirp(jnp.asarray(search.times), mass, search.coalescence[1], 0.0, search.lowest))
    whole = jnp.fft.rfft(whiten(make(masses), search.spectrum, search.rate))
    spectra = jnp.pad(whole[:, 1:-1], ((0, 0), (1, 1)))  # both ends have no phase
    norm = jnp.sqrt(2 * jnp.sum(jnp.square(jnp.abs(spectra)), axis=1, keepdims=True) / search.samples)
    return Bank(spectra / norm, masses)


@partial(jax.jit, static_argnums=0)
def matched_filter(search: Search, bank: Bank, strain: Array) -> Found:
    """Filters segments with every template, at every time of coalescence that is searched and in both phases.

    The largest signal-to-noise ratio is the usual statistic. The likelihood ratio adds up all masses, times, phases and
    ratios as likely as `search` draws them, Σ exp(−ρ²/2) I₀(ρ |z|) for the filter's output z: of all functions of a
    segment it finds most chirps at any false-alarm probability (J. Neyman, E. Pearson, 1933).

    Args:
      search: what is searched for.
      bank: of its templates.
      strain: (B, N), 1e-23.

    Returns:
      What is found.

    >>> from hepjax.tasks.transients import Search, draw
    >>> some = draw(Search(), jax.random.key(0), 2, louder=5.0)
    >>> found = matched_filter(Search(), make_bank(Search()), some.strain)
    >>> [snr > 10 for snr in found.snr.tolist()]
    [False, True]
    """
    lags = round((search.coalescence[1] - search.coalescence[0]) * search.rate) + 1
    table = jnp.asarray(_evidence(search.snr))
    share = _log_shares(bank.chirp_masses) - math.log(lags)

    def one(segment: Array) -> Found:
        data = jnp.fft.rfft(whiten(segment, jnp.asarray(search.spectrum), search.rate))
        products = data * bank.spectra.conj() * (2 / search.samples)
        # Lag 0 is a coalescence at the latest time; the others come before.
        output = jnp.fft.ifft(products, search.samples, axis=-1, norm="forward")
        z = jnp.abs(jnp.roll(output, lags - 1, axis=-1)[:, :lags])
        template, lag = jnp.unravel_index(jnp.argmax(z), z.shape)
        time = search.coalescence[1] - (lags - 1 - lag) / search.rate
        ratio = jax.nn.logsumexp(_look_up(table, z) + share[:, None])
        return Found(z[template, lag], bank.chirp_masses[template], time, ratio)

    found: Found = jax.lax.map(one, strain, batch_size=64)
    return found


def _log_shares(masses: Array) -> jax.Array:
    """The logarithm of the share of all chirps, of which any mass is as likely, that each template stands for."""
    middles = (masses[1:] + masses[:-1]) / 2
    edges = jnp.concatenate([masses[:1], middles, masses[-1:]])
    width = jnp.abs(jnp.diff(edges)) if len(masses) > 1 else jnp.ones(1)
    return jnp.log(width / jnp.sum(width))


def _evidence(snr: tuple[float, float], points: int = 64) -> np.ndarray:
    """The logarithm of the mean over ρ of exp(−ρ²/2) I₀(ρ z), at z = 0, _STEP, ..., _TOP."""
    from scipy.special import ive, logsumexp

    low, high = snr
    rho = low + (high - low) * (np.arange(points) + 0.5) / points
    x = np.arange(0, _TOP + _STEP / 2, _STEP)[:, None] * rho
    return np.asarray(logsumexp(np.log(ive(0, x)) + x - rho**2 / 2, axis=1) - math.log(points), np.float32)


def _look_up(table: jax.Array, z: jax.Array) -> jax.Array:
    """Linear between the points of the table, and beyond the last ones."""
    left = jnp.clip((z / _STEP).astype(jnp.int32), 0, len(table) - 2)
    return table[left] + (z / _STEP - left) * (table[left + 1] - table[left])


@partial(jax.jit, static_argnums=0)
def excess_power(search: Search, strain: Array) -> jax.Array:
    """The mean square of the whitened segment, 1 for noise: what is left without knowing what to look for.

    Args:
      search: what is searched for.
      strain: (B, N), 1e-23.

    Returns:
      (B,) float32.

    >>> from hepjax.tasks.transients import Search
    >>> excess_power(Search(), jnp.zeros((2, 1024))).tolist()
    [0.0, 0.0]
    """
    return jnp.mean(jnp.square(whiten(strain, search.spectrum, search.rate)), axis=-1)

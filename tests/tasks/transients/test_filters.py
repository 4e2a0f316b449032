from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from hepjax import InputError
from hepjax.tasks.transients import Search, chirp, draw_transients, excess_power, make_bank, matched_filter, whiten

SEARCH = Search(rate=512.0)


@pytest.fixture(scope="module")
def bank():
    return make_bank(SEARCH)


@pytest.fixture(scope="module")
def transients():
    return jax.device_get(draw_transients(SEARCH, jax.random.key(0), 192, 1.0))


def test_a_dense_bank_finds_the_whole_ratio_of_a_chirp_without_noise(bank, transients):
    result, present = matched_filter(SEARCH, bank, transients.signal), transients.labels == 1
    share = np.asarray(result.snr)[present] / transients.snr[present]
    assert 0.96 < share.min() < share.max() < 1 + 1e-4
    assert np.abs(result.coalescence - transients.coalescence)[present].max() < 0.008
    assert np.abs(result.chirp_mass - transients.chirp_mass)[present].max() < 1.5
    poor = matched_filter(
        SEARCH, jax.tree.map(lambda x: jnp.tile(x[:1], (32, *[1] * (x.ndim - 1))), bank), transients.signal
    ).snr
    assert np.mean(np.asarray(poor)[present] / transients.snr[present]) < 0.8 < share.mean()


@pytest.mark.parametrize("phase", [0.0, 1.0, 2.5])
def test_the_output_for_a_template_itself_is_its_ratio(phase, bank):
    wave = whiten(chirp(jnp.asarray(SEARCH.times), bank.chirp_masses[7], 0.95, phase), SEARCH.spectrum, SEARCH.rate)
    strain = chirp(jnp.asarray(SEARCH.times), bank.chirp_masses[7], 0.95, phase)[None] * (
        9 / jnp.sqrt(jnp.sum(wave**2))
    )
    result = matched_filter(SEARCH, bank, jnp.tile(strain, (192, 1)))
    assert float(result.snr[0]) == pytest.approx(9, rel=2e-3)
    assert float(result.coalescence[0]) == pytest.approx(0.95)
    assert float(result.chirp_mass[0]) == pytest.approx(float(bank.chirp_masses[7]))


def test_the_output_in_noise_has_unit_variance_and_noise_is_on_average_as_likely_with_a_chirp_as_without():
    one = Search(rate=512.0, snr=(0.5, 1.0), chirp_masses=(20.0, 20.0), coalescence=(0.9, 0.9))
    noise = draw_transients(one, jax.random.key(3), 1280, 0.0).strain
    result = matched_filter(one, make_bank(one, 5), noise)
    z = np.asarray(result.snr, np.float64)  # of two phases
    assert np.mean(z**2) == pytest.approx(2, abs=5 * 2 / np.sqrt(1280))
    assert kstest(z, "rayleigh").pvalue > 1e-3
    ratio = np.exp(np.asarray(result.likelihood_ratio, np.float64))  # its mean over noise is 1
    assert ratio.mean() == pytest.approx(1, abs=5 * ratio.std() / np.sqrt(1280))
    assert ratio.std() > 0.2


def test_filters_agree_with_a_slow_sum_over_masses_times_and_phases(bank, transients):
    result = jax.tree.map(lambda x: np.asarray(x[:4]), matched_filter(SEARCH, bank, transients.strain))
    data = np.asarray(whiten(transients.strain[:4], SEARCH.spectrum, SEARCH.rate), np.float64)
    lags, z = 1 + round(0.2 * 512), []
    for mass in bank.chirp_masses:
        wave = whiten(chirp(jnp.asarray(SEARCH.times), mass, 0.95, 0.0), SEARCH.spectrum, SEARCH.rate)
        transform = np.fft.fft(np.asarray(wave, np.float64))
        transform[[0, *range(256, 512)]] = 0
        analytic = np.fft.ifft(transform)
        analytic /= np.linalg.norm(analytic.real)
        z.append(np.abs([[np.vdot(np.roll(analytic, -lag), x) for x in data] for lag in range(lags)]))
    z = np.array(z)  # masses, lags, segments
    np.testing.assert_allclose(result.snr, z.max(axis=(0, 1)), rtol=1e-3)
    masses = np.asarray(bank.chirp_masses, np.float64)
    share = np.abs(np.diff([12, *(masses[1:] + masses[:-1]) / 2, 30])) / 18
    angle = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    ratio = np.zeros_like(z)
    for rho in 3 + 9 * (np.arange(50) + 0.5) / 50:
        ratio += np.exp(rho * z[..., None] * np.cos(angle) - rho**2 / 2).mean(axis=-1) / 50
    np.testing.assert_allclose(result.likelihood_ratio, np.log(share @ ratio.mean(axis=1)), atol=0.01)


def test_power_is_one_in_noise_and_a_chirp_adds_its_square(transients):
    power, noise = excess_power(SEARCH, transients.strain), excess_power(SEARCH, transients.strain - transients.signal)
    assert float(noise.mean()) == pytest.approx(1, abs=5 * np.sqrt(2 / 512 / 192))
    assert float(noise.std()) == pytest.approx(np.sqrt(2 / 512), rel=0.2)
    assert float(jnp.mean(power - noise)) == pytest.approx(np.mean(transients.snr**2) / 512, rel=0.1)


def test_bad_input_is_refused_in_one_line(bank):
    with pytest.raises(InputError, match="templates: expected one or more, found 0"):
        make_bank(SEARCH, 0)
    with pytest.raises(InputError, match="strain: expected 512 samples, as the density has 257 frequencies, found 500"):
        matched_filter(SEARCH, bank, np.zeros((2, 500), np.float32))

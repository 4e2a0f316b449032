from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.signal import welch

from hepjax.tasks.transients import colored_noise, detector_density, optimal_snr, whiten

RATE, N = 1024.0, 1024
FREQUENCIES = np.fft.rfftfreq(N, 1 / RATE)
SPECTRUM = np.asarray(detector_density(FREQUENCIES), np.float32)


@pytest.fixture(scope="module")
def noise():
    return np.asarray(colored_noise(jax.random.key(1), SPECTRUM, RATE, (2000,)), np.float64)


def test_the_density_has_a_wall_a_bucket_and_a_rise():
    best = FREQUENCIES[np.argmin(SPECTRUM)]
    assert 150 < best < 300
    assert detector_density(20.0) > 500 * detector_density(best)
    assert detector_density(2000.0) > 100 * detector_density(best)
    assert (np.diff(detector_density(np.linspace(20, 150, 99))) < 0).all()
    assert detector_density(1.0) == detector_density(0.0) == detector_density(20.0)


def test_noise_has_its_density_by_welch_s_estimate(noise):
    f, result = welch(noise, RATE, "boxcar", nperseg=N, detrend=False)
    np.testing.assert_array_equal(f, FREQUENCIES)
    result[:, [0, -1]] *= 2  # SciPy counts half the power there, for no negative frequency folds onto them
    # Each estimate of 2,000 scatters by its own size; those at both ends, which are real, by √2 times that.
    assert np.abs(result.mean(axis=0) / SPECTRUM - 1).max() < 5 * np.sqrt(2 / 2000)


def test_a_long_stretch_of_noise_has_its_density_in_overlapping_windows():
    n = 2**18
    spectrum = detector_density(np.fft.rfftfreq(n, 1 / RATE)).astype(np.float32)
    f, result = welch(np.asarray(colored_noise(jax.random.key(2), spectrum, RATE), np.float64), RATE, nperseg=4096)
    band = (f > 25) & (f < 500)
    ratio = result[band] / detector_density(f[band])
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert ratio.std() < 0.2


def test_the_variance_of_noise_is_the_integral_of_its_density(noise):
    assert noise.var() == pytest.approx(np.trapezoid(SPECTRUM, FREQUENCIES), rel=0.02)


def test_whitened_noise_is_white(noise):
    white = np.asarray(whiten(noise.astype(np.float32), SPECTRUM, RATE), np.float64)
    assert white.var() == pytest.approx(1, abs=0.005)
    neighbors = [np.mean(white[:, lag:] * white[:, : N - lag]) for lag in (1, 2, 7, 100)]
    assert np.abs(neighbors).max() < 0.005
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) > 0.5 * noise.var()


def test_the_optimal_ratio_is_the_integral_over_frequencies(rng):
    signal = rng.normal(size=N) * np.exp(-(((np.arange(N) - 400) / 60) ** 2))
    turn = np.exp(-2j * np.pi * FREQUENCIES[:, None] * np.arange(N) / RATE)
    transform = turn @ signal / RATE
    expected = np.sqrt(4 * np.trapezoid(np.abs(transform) ** 2 / SPECTRUM.astype(float), FREQUENCIES))
    assert float(optimal_snr(signal.astype(np.float32), SPECTRUM, RATE)) == pytest.approx(expected, rel=1e-4)


def test_noise_is_a_function_of_its_key():
    one, same, other = (np.asarray(colored_noise(jax.random.key(k), SPECTRUM, RATE, (1,))) for k in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()

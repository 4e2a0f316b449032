from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from hepjax.tasks.transients import chirp, end_frequency, frequency_before, seconds_before
from hepjax.tasks.transients.chirps import RISE, SUN

TIMES = np.arange(1024) / 1024


@pytest.mark.parametrize("mass", [12.0, 30.0])
def test_the_frequency_grows_as_a_binary_loses_energy(mass):
    """Against df/dt = 96/5 π^(8/3) (G M / c³)^(5/3) f^(11/3)."""
    t0, t1 = seconds_before(mass, 30.0), seconds_before(mass, 60.0)
    grow = 96 / 5 * np.pi ** (8 / 3) * (SUN * mass) ** (5 / 3)
    result = solve_ivp(lambda _, f: grow * f ** (11 / 3), (0, t0 - t1), [30.0], rtol=1e-9, atol=1e-9)
    assert result.y[0, -1] == pytest.approx(60, rel=1e-6)
    assert frequency_before(mass, t1) == pytest.approx(60, rel=1e-12)


def test_a_heavy_pair_ends_at_a_low_frequency():
    assert end_frequency(12.0) == pytest.approx(4397 / (12 * 2**1.2), rel=1e-3)  # 4,397 Hz over M in solar masses
    assert end_frequency(24.0) == pytest.approx(end_frequency(12.0) / 2)


def test_a_chirp_is_the_cosine_of_its_phase_and_grows_with_its_frequency():
    mass, coalescence, phase = 20.0, 0.9, 0.7
    result = np.asarray(chirp(TIMES, mass, coalescence, phase), np.float64)
    first, last = (coalescence - seconds_before(mass, f) for f in (30.0, end_frequency(mass)))
    inside = (first + RISE < TIMES) & (last - 1 / end_frequency(mass) > TIMES)
    left = coalescence - np.linspace(first, last, 200_001)
    f = frequency_before(mass, left)
    cycles = np.concatenate([[0], np.cumsum((f[1:] + f[:-1]) / 2 * -np.diff(left))])
    start = phase - 2 * (left[0] / (5 * SUN * mass)) ** 0.625
    angle = start + 2 * np.pi * np.interp(TIMES[inside], coalescence - left, cycles)
    size = (frequency_before(mass, coalescence - TIMES[inside]) / end_frequency(mass)) ** (2 / 3)
    assert inside.sum() > 300
    np.testing.assert_allclose(result[inside], size * np.cos(angle), atol=2e-3)
    outside = (first >= TIMES) | (last <= TIMES)
    assert np.abs(result[outside]).max() == 0
    assert np.abs(result).max() <= 1


def test_a_chirp_longer_than_the_segment_is_cut_and_faded_in_at_its_start():
    mass = 12.0
    assert seconds_before(mass, 30.0) > 0.75
    early, late = (np.asarray(chirp(TIMES, mass, t, 0.3)) for t in (0.75, 1.0))
    assert early[0] == 0
    assert np.abs(early[:10]).max() < 0.05 * np.abs(early).max()
    rise, shift = round(RISE * 1024), 256
    np.testing.assert_allclose(early[rise : 1024 - shift], late[rise + shift :], atol=1e-3)

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError
from hepjax.tasks.transients import Search, draw_transients, optimal_snr

SEARCH = Search(rate=512.0)


@pytest.fixture(scope="module")
def segments():
    return jax.device_get(draw_transients(SEARCH, jax.random.key(0), 192, 1.0))


def test_every_second_segment_has_a_chirp_of_its_own_ratio(segments):
    np.testing.assert_array_equal(segments.labels, np.arange(192) % 2)
    result = np.asarray(optimal_snr(segments.signal, SEARCH.spectrum, SEARCH.rate))
    np.testing.assert_allclose(result, segments.snr, rtol=1e-4, atol=1e-6)
    assert not segments.signal[::2].any()


def test_chirps_are_as_likely_everywhere_in_their_ranges(segments):
    for result, (low, high) in (
        (segments.snr, SEARCH.snr),
        (segments.chirp_mass, SEARCH.chirp_masses),
        (segments.coalescence, SEARCH.coalescence),
    ):
        share = (result[1::2] - low) / (high - low)
        assert 0 <= share.min() < 0.05
        assert 0.95 < share.max() <= 1
        assert share.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * 96))
        assert not result[::2].any()


def test_segments_are_a_function_of_the_key_and_may_be_louder(segments):
    same, other, loud = (
        jax.device_get(draw_transients(SEARCH, jax.random.key(k), 192, x)) for k, x in ((0, 1.0), (1, 1.0), (0, 3.0))
    )
    np.testing.assert_array_equal(segments.strain, same.strain)
    assert not np.isclose(segments.strain, other.strain).all(axis=1).any()
    np.testing.assert_allclose(loud.snr, 3 * segments.snr, rtol=1e-6)
    np.testing.assert_allclose(loud.signal, 3 * segments.signal, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(loud.strain - loud.signal, segments.strain - segments.signal, atol=1e-2)


def test_the_density_may_be_a_jax_function():
    assert Search(rate=512.0, density=lambda f: 1 + jnp.square(f)).spectrum[2] == 5


@pytest.mark.parametrize(
    "options,words",
    [
        (
            {"rate": 256.0},
            "rate: expected 319 Hz or more, twice the end frequency of a chirp of 12 solar masses, found 256",
        ),
        ({"snr": (12.0, 3.0)}, "snr: expected positive numbers, the smaller one first, found 12 and 3"),
        ({"snr": (0.0, 3.0)}, "snr: expected positive"),
        ({"chirp_masses": (30.0, 12.0)}, "chirp_masses: expected positive numbers, the smaller one first"),
        ({"chirp_masses": (12.0, float("nan"))}, "chirp_masses: expected positive"),
        ({"coalescence": (0.9, 0.8)}, "coalescence: expected positive numbers, the smaller one first"),
        ({"coalescence": (0.05, 0.8)}, "coalescence: expected 0.097 s or more, so that there is a chirp before it"),
        ({"coalescence": (0.9, 1.2)}, "at most the segment's 1 s, found 0.9 to 1.2"),
        ({"rate": 511.0}, "expected an even number of samples, found 511 Hz times 1 s"),
        ({"seconds": float("inf")}, "expected an even number of samples"),
        (
            {"lowest": 70.0},
            "lowest: expected less than 64 Hz, the end frequency of a chirp of 30 solar masses, found 70",
        ),
        ({"density": lambda f: 100.0 - f}, "density: expected positive numbers at all frequencies, found 0 at 100 Hz"),
        ({"density": lambda f: f * np.nan}, "density: expected positive"),
    ],
    ids=lambda x: None if isinstance(x, dict) else x[:24],
)
def test_a_search_that_cannot_be_is_refused(options, words):
    with pytest.raises(InputError) as caught:
        Search(**{"rate": 512.0, **options})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)

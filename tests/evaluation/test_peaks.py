from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax import InputError
from hepjax.evaluation import bootstrap_peaks, peak, peak_figures

NUMBERS = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))


@given(st.lists(NUMBERS, min_size=1, max_size=25), st.floats(0.01, 1))
def test_no_window_between_two_values_is_smaller(values, share):
    result, held = peak(values, share), math.ceil(share * len(values) - 1e-9)
    windows = [(high - low, low) for low in values for high in values if sum(low <= x <= high for x in values) >= held]
    assert (result.width, result.low) == min(windows)
    assert result.high == pytest.approx(result.low + result.width)
    assert result.low <= result.place <= result.high


def test_the_window_of_a_normal_distribution(rng):
    result = peak(rng.normal(80, 10, 200_000), 0.4)
    assert result.width == pytest.approx(2 * 0.5244 * 10, rel=0.01)  # Φ(0.5244) = 0.7
    assert result.place == pytest.approx(80, abs=1)


def test_the_spread_is_that_of_other_samples(rng):
    widths, places = zip(
        *[(x.width, x.place) for x in (peak(rng.normal(80, 10, 400), 0.4) for _ in range(300))], strict=True
    )
    spreads = [bootstrap_peaks(rng.normal(80, 10, 400), 0.4, seed=s) for s in range(8)]
    # The smallest window is no smooth function of the sample: its bootstrap error is right to a third or so.
    assert np.mean([x.width.std() for x in spreads]) == pytest.approx(np.std(widths), rel=0.4)
    assert np.mean([x.place.std() for x in spreads]) == pytest.approx(np.std(places), rel=0.4)


def test_the_same_seed_draws_the_same_rows(rng):
    x = rng.normal(80, 10, 300)
    one, other = bootstrap_peaks(x, 0.68, seed=4), bootstrap_peaks(2 * x + 1, 0.68, seed=4)
    np.testing.assert_allclose(other.width, 2 * one.width)
    np.testing.assert_allclose(other.place, 2 * one.place + 1)
    assert one.width.shape == (200,)
    assert np.std(one.width - bootstrap_peaks(x, 0.68, seed=5).width) > 0


def test_the_background_in_the_window_is_counted(rng):
    x, background = rng.normal(80, 2, 1000), rng.uniform(0, 160, 5000)
    result = peak_figures(x, background)
    assert list(result) == ["40%", "68%"]
    assert result["68%"]["background"][0] > result["40%"]["background"][0]
    result = result["40%"]
    assert result["width"] == (peak(x, 0.4).width, bootstrap_peaks(x, 0.4).width.std())
    inside, error = result["background"]
    assert inside == pytest.approx(result["width"][0] / 160, abs=4 * error)
    assert error == pytest.approx(math.sqrt(inside * (1 - inside) / 5000))


@pytest.mark.parametrize(
    "values,share,words",
    [
        ([], 0.4, "one value or more"),
        ([[1.0]], 0.4, r"expected the shape \(N,\)"),
        ([1.0, np.nan], 0.4, "1 of 2 are NaN or infinite"),
        ([1.0], 0.0, "share: expected a number above 0 and up to 1, found 0"),
    ],
)
def test_bad_input_is_refused_in_one_line(values, share, words):
    for call in (peak, bootstrap_peaks):
        with pytest.raises(InputError, match=words):
            call(values, share)
    with pytest.raises(InputError, match="one value or more"):
        peak_figures([1.0], [])

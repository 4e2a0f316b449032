from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from hepjax.evaluation import auc, roc_curve
from hepjax.evaluation.comparison import _structural_components
from hepjax.evaluation.curve_intervals import _binormal_variance, auc_interval, rate_interval, rejection_limit
from hepjax.evaluation.spectra import cuts_of, spectra


def make(seed, signal, background, distance):
    is_signal = np.arange(signal + background) < signal
    return np.random.default_rng(seed).normal(distance * is_signal), is_signal


def test_of_many_jets_the_area_has_delongs_error():
    s, signal = make(0, 3000, 5000, 1.0)
    area = auc(roc_curve(s, signal))
    low, high = auc_interval(*cuts_of(spectra(s, signal, None)), area)
    parts = [_structural_components(s, signal, np.ones(5000)), _structural_components(-s, ~signal, np.ones(3000))]
    error = math.sqrt(sum(part.var(ddof=1) / part.size for part in parts))
    assert (high - low) / 2 == pytest.approx(error, rel=0.01)
    assert (high + low) / 2 == pytest.approx(area, abs=0.1 * error)


@pytest.mark.parametrize("area", [0.6, 0.9, 0.99])
def test_the_binormal_variance_is_that_of_gaussians(area):
    distance = math.sqrt(2) * stats.norm.ppf(area)
    # The chance that two signal jets score above one background jet.
    pair = integrate.quad(lambda x: stats.norm.cdf(distance - x) ** 2 * stats.norm.pdf(x), -8, 8)[0]
    expected = (area * (1 - area) + (12 + 30 - 2) * (pair - area**2)) / (12 * 30)
    assert _binormal_variance(area, 12, 30) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("area, order", [(1.0, 1), (0.0, -1)])
def test_separate_jets_leave_room(area, order):
    signal = np.arange(40) < 20
    low, high = auc_interval(*cuts_of(spectra(order * (40.0 - np.arange(40)), signal, None)), area)
    assert 0.005 < high - low < 0.1
    assert {low, high} & {area}


def test_intervals_lean_towards_a_half_and_mirror_each_other():
    s, signal = make(1, 20, 40, 2.0)
    area = auc(roc_curve(s, signal))
    low, high = auc_interval(*cuts_of(spectra(s, signal, None)), area)
    assert area - low > 1.1 * (high - area)
    mirrored = auc_interval(*cuts_of(spectra(-s, signal, None)), 1 - area)
    assert tuple(mirrored) == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_a_threshold_between_few_signal_jets_scatters():
    # Background jets so many that they add nothing: what is left is Woodruff's interval of a quantile.
    for seed in range(3):
        s, signal = make(seed, 25, 200_000, 0.0)
        low, high = rate_interval(*reversed(cuts_of(spectra(s, signal, None))), 0.5, (0.15865, 0.84135))
        ordered = np.sort((s[~signal][:, None] >= s[signal]).mean(axis=0))
        # The median lies between the i-th and the next of 25 as often as 25 coins show i heads.
        inside = sum(stats.binom.pmf(i, 25, 0.5) for i in range(1, 25) if low <= ordered[i - 1] and ordered[i] <= high)
        reached = sum(stats.binom.pmf(i, 25, 0.5) for i in range(1, 25) if low <= ordered[i] and ordered[i - 1] <= high)
        assert inside < 0.6827 < reached


def test_the_bound_allows_for_the_scatter_of_the_threshold():
    s, signal = make(3, 12, 3000, 1.5)
    few = rejection_limit(*cuts_of(spectra(s, signal, None)), 0.5)
    s, signal = make(3, 12_000, 3000, 1.5)
    many = rejection_limit(*cuts_of(spectra(s, signal, None)), 0.5)
    truth = 1 / stats.norm.sf(1.5)
    assert few < 0.7 * truth < 0.8 * truth < many < 1.05 * truth


def test_equal_weights_change_nothing():
    s, signal = make(4, 50, 400, 1.0)
    for call in (
        lambda cuts: auc_interval(*cuts, auc(roc_curve(s, signal))),
        lambda cuts: rate_interval(*cuts, 0.1, (0.1, 0.9)),
    ):
        plain, weighted = (call(cuts_of(spectra(s, signal, w))) for w in (None, np.full(450, 0.3)))
        assert tuple(plain) == pytest.approx(tuple(weighted), rel=1e-6)

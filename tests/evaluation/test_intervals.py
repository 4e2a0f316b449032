from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepjax.errors import InputError
from hepjax.evaluation.intervals import (
    binomial_interval,
    effective_count,
    effective_trials,
    mean_interval,
    poisson_upper,
    rejection_bound,
    share_interval,
)


@pytest.mark.parametrize("level", [0.5, 0.6827, 0.95, 0.999])
@pytest.mark.parametrize("total", [1, 2, 10, 1000, 1_000_000])
def test_clopper_pearson_is_scipys(total, level):
    passed = np.unique(np.linspace(0, total, 7).astype(int))
    low, high = binomial_interval(passed, total, level)
    for k, a, b in zip(passed, low, high, strict=True):
        expected = stats.binomtest(int(k), total).proportion_ci(level, "exact")
        assert (a, b) == pytest.approx((expected.low, expected.high), rel=1e-7, abs=1e-14)


@pytest.mark.parametrize("efficiency", [0.001, 0.03, 0.3, 0.5, 0.99])
def test_it_covers_at_least_as_often_as_it_says(efficiency):
    # Summed over all outcomes, so no luck is in it.
    counts = np.arange(101)
    low, high = binomial_interval(counts, 100)
    covered = stats.binom.pmf(counts, 100, efficiency)[(low <= efficiency) & (efficiency <= high)].sum()
    assert 0.6827 - 1e-9 <= covered < 1 + 1e-9


@given(st.floats(0, 1), st.floats(1e-3, 1e7), st.floats(0.01, 0.999))
def test_the_interval_holds_the_rate_and_shrinks_with_jets(rate, total, level):
    low, high = binomial_interval(rate * total, total, level)
    more = binomial_interval(4 * rate * total, 4 * total, level)
    assert 0 <= low <= high <= 1
    if level > 0.6 and total >= 1:
        assert low - 1e-9 <= rate <= high + 1e-9
        assert more.high - more.low <= high - low + 1e-9
    mirrored = binomial_interval(total - rate * total, total, level)
    assert mirrored.low == pytest.approx(1 - high, abs=1e-7)


def test_where_there_is_nothing_there_is_no_interval():
    low, high = binomial_interval([0, 0, 3], [0, 5, 3])
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[2]) == (0, 1)


def test_a_million_intervals_are_one_call():
    low, high = binomial_interval(np.arange(1000), 1e6)
    assert (np.diff(low) > 0).all()
    assert (np.diff(high) > 0).all()


@pytest.mark.parametrize("count", [0, 1, 3.5, 100])
@pytest.mark.parametrize("level", [0.6827, 0.9, 0.95])
def test_the_poisson_limit_is_scipys(count, level):
    assert poisson_upper(count, level) == pytest.approx(stats.chi2.ppf(level, 2 * count + 2) / 2, rel=1e-9)
    if count == int(count):
        assert stats.poisson.cdf(count, poisson_upper(count, level)) == pytest.approx(1 - level)


def test_no_background_in_n_gives_three_over_n():
    assert rejection_bound(0, 30_000) == pytest.approx(30_000 / poisson_upper(0), rel=1e-3)
    assert rejection_bound(0, 100) == pytest.approx(1 / (1 - 0.05 ** (1 / 100)))
    assert rejection_bound(5, 5) == 1


@pytest.mark.parametrize("passing", [0, 1, 9])
def test_the_bound_is_where_as_few_would_be_rare(passing):
    bound = rejection_bound(passing, 2000)
    assert stats.binom.cdf(passing, 2000, 1 / bound) == pytest.approx(0.05)
    assert bound < 2000 / max(passing, 1e-9)


def test_bounds_are_missed_as_seldom_as_said(rng):
    rate, total = 1 / 400, 1000
    result = np.array([rejection_bound(k, total) for k in range(30)])[rng.binomial(total, rate, 5000)]
    assert (result <= 1 / rate).mean() >= 0.95 - 0.01


def test_the_mean_has_students_interval(rng):
    x = rng.normal(3, 2, 11)
    expected = stats.t.interval(0.6827, 10, x.mean(), x.std(ddof=1) / math.sqrt(11))
    assert tuple(mean_interval(x)) == pytest.approx(expected)
    assert tuple(mean_interval(x, np.full(11, 0.2))) == pytest.approx(expected)
    assert mean_interval([4.0]) == (-math.inf, math.inf)


@pytest.mark.parametrize("passed", [0, 1, 5, 10])
def test_a_share_has_jeffreys_interval(passed):
    expected = stats.beta(passed + 0.5, 10.5 - passed).ppf([0.025, 0.975])
    for weights in (None, np.full(10, 3.0)):
        assert tuple(share_interval(np.arange(10) < passed, weights, 0.95)) == pytest.approx(tuple(expected))


def test_equal_weights_count_as_jets_and_one_heavy_jet_as_one():
    assert effective_count(np.full(50, 1e-200)) == pytest.approx(50)
    assert effective_count([1e6, 1, 1]) == pytest.approx(1, abs=1e-5)
    assert effective_count([0, 1, 1]) == 2
    assert effective_count([]) == 0


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30), st.floats(1e-3, 1e3))
def test_the_effective_count_has_no_unit_and_its_range(weights, scale):
    count = effective_count(weights)
    assert 1 - 1e-9 <= count <= len(weights) + 1e-9
    assert effective_count(np.multiply(weights, scale)) == pytest.approx(count)


def test_trials_of_weighted_jets_have_the_right_variance(rng):
    # Jets that pass are few and heavy: (Σw)²/Σw² would promise too much.
    heavy = np.array([50.0, 1.0])
    passed, total, trials, kish = [], [], [], []
    for _ in range(4000):
        counts = rng.poisson([100, 20_000])
        sums, squares = counts * heavy, counts * heavy**2
        passed.append(sums[0])
        total.append(sums.sum())
        trials.append(effective_trials(sums[0], squares[0], sums.sum(), squares.sum()))
        kish.append(sums.sum() ** 2 / squares.sum())
    rates = np.divide(passed, total)
    expected = rates.mean() * (1 - rates.mean()) / rates.var()
    assert np.mean(trials) == pytest.approx(expected, rel=0.08)  # four standard deviations of 4,000 samples' variance
    assert np.mean(kish) > 3 * expected


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0.01, 100))
def test_trials_of_equal_weights_are_the_number(passed, failed, w):
    n = passed + failed
    assert effective_trials(passed * w, passed * w**2, n * w, n * w**2) == pytest.approx(n, rel=1e-9)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: binomial_interval(3, 2), "passed: expected from 0 to the total, found 3 of 2"),
        (lambda: binomial_interval(-1, 2), "found -1 of 2"),
        (lambda: binomial_interval(math.nan, 2), "expected finite counts"),
        (lambda: binomial_interval(1, 2, 1.0), "level: expected a confidence between 0 and 1"),
        (lambda: binomial_interval(1, 2, math.nan), "level"),
        (lambda: rejection_bound(0, 0), "total: expected background jets, found none"),
        (lambda: rejection_bound(3, 2), "passed"),
        (lambda: poisson_upper(-1), "count: expected numbers of 0 or more, found -1"),
        (lambda: poisson_upper(1, 95), "level"),
        (lambda: effective_count([1, np.nan]), "weights: expected finite numbers"),
        (lambda: effective_count([0, 0]), "weights: expected a positive sum"),
        (lambda: effective_count([np.nan]), "weights: expected finite"),
        (lambda: effective_count(3.0), "weights: expected shape"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from hepjax.errors import InputError
from hepjax.evaluation.binned import bin_edges, class_rates_in_bins, jensen_shannon, rate_in_bins, sculpting
from hepjax.evaluation.intervals import binomial_interval
from hepjax.evaluation.working_points import selection
from hepjax.types import Scores


@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_a_loop_over_bins_says_the_same(seed, n):
    rng = np.random.default_rng(seed)
    values, selected, w = rng.integers(0, 12, n) / 2, rng.random(n) < 0.4, rng.choice([0.0, 1.0, 3.0], n)
    w[0] = 1
    edges = np.array([1.0, 2.5, 3.0, 5.0])
    for weights in (None, w):
        result = rate_in_bins(selected, values, edges, weights)
        each = np.ones(n) if weights is None else weights
        for b in range(3):
            inside = (values >= edges[b]) & ((values < edges[b + 1]) | ((b == 2) & (values == edges[3])))
            total = each[inside].sum()
            assert result.sums[b] == pytest.approx(total)
            if total == 0:
                assert np.isnan([result.rate[b], result.low[b], result.high[b]]).all()
                assert result.jets[b] == 0
            else:
                assert result.rate[b] == pytest.approx(each[inside & selected].sum() / total)
                assert result.jets[b] == pytest.approx(total**2 / (each[inside] ** 2).sum())
                assert 0 <= result.low[b] <= result.rate[b] + 1e-12 <= result.high[b] + 2e-12 <= 1 + 2e-12
        assert result.below == pytest.approx(each[values < 1].sum())
        assert result.above == pytest.approx(each[values > 5].sum())


def test_intervals_of_jets_are_exact_ones():
    selected = np.arange(30) < 7
    result = rate_in_bins(selected, np.zeros(30), [-1, 1])
    expected = stats.binomtest(7, 30).proportion_ci(0.6827, "exact")
    assert (result.low[0], result.high[0]) == pytest.approx((expected.low, expected.high))


def test_intervals_of_weighted_jets_cover(rng):
    # The jets that pass are few and heavy, which (Σw)²/Σw² alone would not know: it covers a third.
    rate, result = 0.02 * 20 / (0.02 * 20 + 0.98), []
    for _ in range(1000):
        selected = rng.random(2000) < 0.02
        result.append(rate_in_bins(selected, np.zeros(2000), [-1, 1], np.where(selected, 20.0, 1.0)))
    covered = np.mean([one.low[0] <= rate <= one.high[0] for one in result])
    assert 0.6827 - 0.04 < covered < 0.78
    alone = [binomial_interval(one.rate[0] * one.jets[0], one.jets[0]) for one in result]
    assert np.mean([low <= rate <= high for low, high in alone]) < 0.6


def test_weights_are_copies(rng):
    values, selected, copies = rng.normal(size=60), rng.random(60) < 0.5, rng.integers(0, 4, 60)
    copies[0] = 1
    edges = [-1, 0, 1]
    weighted = rate_in_bins(selected, values, edges, copies)
    repeated = rate_in_bins(np.repeat(selected, copies), np.repeat(values, copies), edges)
    np.testing.assert_allclose(weighted.rate, repeated.rate)
    np.testing.assert_allclose([weighted.below, weighted.above], [repeated.below, repeated.above])


def test_edges_hold_equally_many_jets(rng):
    values = rng.exponential(size=8000).astype(np.float32)
    result = rate_in_bins(np.ones(8000, bool), values)
    assert result.sums.tolist() == [1000] * 8
    assert (result.below, result.above) == (0, 0)
    assert (result.rate == 1).all()
    # Of whole numbers many are alike.
    multiplicity = rng.poisson(5, 1000)
    edges = bin_edges(multiplicity, bins=30)
    assert 3 < edges.size < 31
    assert (edges[0], edges[-1]) == (multiplicity.min(), multiplicity.max())


def test_one_cut_seen_in_bins_adds_up_to_itself(toy, rng):
    mass = rng.gamma(5, 20, toy.labels.size)
    selected = selection(toy, "t", 0.5)
    result = class_rates_in_bins(toy, selected, mass)
    assert list(result) == list(toy.classes)
    for c, name in enumerate(toy.classes):
        rows, rates = toy.labels == c, result[name]
        assert (rates.rate * rates.sums).sum() / rates.sums.sum() == pytest.approx(
            np.average(selected[rows], weights=toy.weights[rows])
        )
        one = rate_in_bins(selected[rows], mass[rows], rates.edges, toy.weights[rows])
        np.testing.assert_allclose(one.rate, rates.rate)
        np.testing.assert_allclose(one.high, rates.high)
    reached = (result["t"].rate * result["t"].sums).sum() / result["t"].sums.sum()
    assert 0.5 <= reached < 0.51


def test_a_class_without_jets_has_no_rates(toy):
    rows = toy.labels != 3
    part = Scores(toy.scores[rows], toy.labels[rows], toy.weights[rows], toy.classes)
    result = class_rates_in_bins(part, np.ones(rows.sum(), bool), np.arange(rows.sum()))
    assert np.isnan(result["z"].rate).all()
    assert result["z"].jets.tolist() == [0] * 8
    assert (result["g"].rate == 1).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1000))
def test_the_divergence_is_the_square_of_scipys_distance(seed, scale):
    rng = np.random.default_rng(seed)
    p, q = rng.integers(0, 5, (2, 6)) + np.eye(6)[:2]
    result = jensen_shannon(p, q)
    assert result == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-12)
    assert result == pytest.approx(jensen_shannon(q, p), abs=1e-12)
    assert result == pytest.approx(jensen_shannon(p * scale, q), abs=1e-12)
    assert 0 <= result <= 1


def test_many_divergences_are_one_call(rng):
    p, q = rng.random((5, 4)), rng.random(4)
    np.testing.assert_allclose(jensen_shannon(p, q), [jensen_shannon(one, q) for one in p])
    assert np.isnan(jensen_shannon([0, 0], [1, 1]))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_blind_cut_diverges_by_chance_alone(rng, weighted):
    n, excess = 4000, []
    mass, w = rng.exponential(size=n), rng.uniform(0.2, 2, n) if weighted else None
    for seed in range(60):
        result = sculpting(rng.random(n) < 0.1, mass, weights=w, seed=seed)
        excess.append((result.divergence - result.expected) / result.spread)
    assert abs(np.mean(excess)) < 0.6
    assert 0.6 < np.std(excess) < 1.5
    # For many jets it is (bins - 1) (1/selected - 1/all) / (8 ln 2); of weighted ones fewer count.
    if not weighted:
        assert result.expected == pytest.approx(39 * (1 / 400 - 1 / n) / (8 * np.log(2)), rel=0.2)


def test_a_cut_on_the_mass_is_seen(rng):
    mass = rng.exponential(60, 3000)
    result = sculpting((mass > 70) & (mass < 90), mass)
    assert result.divergence > result.expected + 10 * result.spread
    assert result.divergence > 0.5
    whole = sculpting(np.ones(3000, bool), mass)
    assert (whole.divergence, whole.expected) == pytest.approx((0, 0), abs=1e-12)


def test_what_lies_beyond_the_edges_counts_in_the_divergence():
    mass = np.r_[np.full(100, 5.0), np.full(100, 50.0)]
    result = sculpting(mass > 9, mass, edges=[0, 5, 10])
    assert result.outside == (0, 0.5)
    assert result.before.tolist() == [0, 100]
    assert result.after.tolist() == [0, 0]
    assert result.divergence == pytest.approx(jensen_shannon([0, 1], [1, 1]))


def test_nothing_selected_has_no_spectrum():
    assert sculpting(np.zeros(5, bool), np.arange(5)) is None
    assert sculpting(np.zeros(0, bool), np.zeros(0)) is None
    assert sculpting(np.arange(5) < 1, np.arange(5), weights=[0, 1, 1, 1, 1]) is None
    assert sculpting(np.arange(5) < 1, np.arange(5), weights=[1e-300, 1, 1, 1, 1]) is None


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda: rate_in_bins([True], [np.nan]),
            "values: expected finite numbers, found 1 NaN or infinite, first at row 0",
        ),
        (lambda: rate_in_bins([True], [[1.0]]), r"values: expected shape \(N,\)"),
        (lambda: rate_in_bins([True], ["a"]), "values: expected real numbers"),
        (lambda: rate_in_bins([1], [1.0]), r"selected: expected shape \(1,\) of True and False"),
        (lambda: rate_in_bins([True, False], [1.0]), "selected"),
        (lambda: rate_in_bins([True], [1.0], [1]), "edges: expected two or more rising numbers"),
        (lambda: rate_in_bins([True], [1.0], [1, 1]), "edges"),
        (lambda: rate_in_bins([True], [1.0], [0, np.inf]), "edges"),
        (lambda: rate_in_bins([True], [1.0], [0, 2], [-1.0]), "weights: expected a positive sum, found -1"),
        (lambda: rate_in_bins([True], [1.0], [0, 2], [0.0]), "weights: expected a positive sum"),
        (lambda: rate_in_bins([], []), "selected|values: expected one jet or more"),
        (lambda: bin_edges([1.0], bins=0), "bins: expected one or more"),
        (lambda: jensen_shannon([1, -1], [1, 1]), "first: expected finite counts of 0 or more"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()

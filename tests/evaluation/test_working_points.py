from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepjax.errors import InputError
from hepjax.evaluation.intervals import binomial_interval, effective_count
from hepjax.evaluation.roc import class_curve, roc_curve
from hepjax.evaluation.spectra import cuts_of, spectra
from hepjax.evaluation.working_points import selection, working_point, working_points
from hepjax.types import Scores


def brute(score, signal, w, efficiency=None, mistag_rate=None):
    """The threshold, by trying each."""
    total = [w[signal].sum(), w[~signal].sum()]
    cuts = [np.inf, *np.unique(score[w > 0])[::-1]]
    rates = [(w[signal & (score >= t)].sum() / total[0], w[~signal & (score >= t)].sum() / total[1]) for t in cuts]
    if efficiency is not None:
        return next((t, *r) for t, r in zip(cuts, rates, strict=True) if r[0] >= efficiency - 1e-12)
    return [(t, *r) for t, r in zip(cuts, rates, strict=True) if r[1] <= mistag_rate + 1e-12][-1]


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 9), st.floats(0.01, 1))
def test_a_loop_over_thresholds_finds_the_same(seed, n, levels, rate):
    rng = np.random.default_rng(seed)
    signal = np.arange(n) < max(1, n // 3)
    score = rng.integers(0, levels, n) + signal * 1.0
    w = rng.choice([0.0, 0.5, 1.0, 2.5], n)
    w[[0, -1]] = 1
    curve, counts = roc_curve(score, signal, w), (effective_count(w[signal]), effective_count(w[~signal]))
    for expected in ({"efficiency": rate}, {"mistag_rate": rate}):
        result = working_point(curve, *counts, **expected)
        assert (result.threshold, result.efficiency, result.mistag_rate) == pytest.approx(
            brute(score, signal, w, **expected)
        )
        low, high = result.threshold_interval
        assert low <= result.threshold <= high
        assert result.efficiency_interval == pytest.approx(
            binomial_interval(result.efficiency * counts[0], counts[0]), nan_ok=True
        )
        assert result.mistag_interval == pytest.approx(binomial_interval(result.mistag_rate * counts[1], counts[1]))


def test_the_threshold_is_covered_as_often_as_said(rng):
    # Of the standard normal the true threshold for 30 % is known.
    truth, hits, n = stats.norm.isf(0.3), 0, 200
    for _ in range(1500):
        score = np.r_[rng.normal(size=n), rng.normal(size=20) - 1]
        low, high = working_point(roc_curve(score, np.arange(n + 20) < n), n, 20, efficiency=0.3).threshold_interval
        hits += low <= truth <= high
    assert 0.6827 - 0.03 < hits / 1500 < 0.78


def test_the_threshold_of_a_mistag_rate_is_covered_too(rng):
    truth, hits, n = stats.norm.isf(0.1), 0, 300
    for _ in range(1500):
        score = np.r_[rng.normal(size=n), rng.normal(size=20) + 1]
        low, high = working_point(roc_curve(score, np.arange(n + 20) >= n), 20, n, mistag_rate=0.1).threshold_interval
        hits += low <= truth <= high
    assert 0.6827 - 0.03 < hits / 1500 < 0.82  # whole jets round the interval outwards


def test_the_interval_is_that_of_order_statistics():
    # Of 1,000 jets, the exact interval of a quantile runs between the order statistics that a binomial number picks.
    n, e = 1000, 0.3
    curve = roc_curve(np.r_[np.arange(n), -1], np.arange(n + 1) < n)
    low, high = working_point(curve, n, 1, efficiency=e).threshold_interval
    picked = n - stats.binom.ppf([1 - 0.3173 / 2, 0.3173 / 2], n, e)
    assert [low, high] == pytest.approx(picked, abs=2)


def test_ties_are_not_split():
    curve = roc_curve([1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 1])
    point = working_point(curve, 3, 3, efficiency=0.5)
    assert (point.threshold, point.efficiency, point.mistag_rate) == pytest.approx((1, 2 / 3, 2 / 3))
    nothing = working_point(curve, 3, 3, mistag_rate=0.5)
    assert (nothing.threshold, nothing.efficiency, nothing.mistag_rate) == (math.inf, 0, 0)


def test_jets_at_the_threshold_are_selected_in_float32_too(toy):
    scores = toy._replace(scores=toy.scores.astype(np.float32))
    for name, rate in (("t", 0.3), ("g", 0.777)):
        c = toy.classes.index(name)
        mine = toy.labels == c
        taken = selection(scores, name, rate)
        reached = np.average(taken[mine], weights=toy.weights[mine])
        lightest = toy.weights[mine].max() / toy.weights[mine].sum()
        assert rate <= reached <= rate + lightest
        point = working_point(class_curve(scores, name), 400, 1600, efficiency=rate)
        assert point.efficiency == pytest.approx(reached, abs=1e-12)
        assert point.mistag_rate == pytest.approx(np.average(taken[~mine], weights=toy.weights[~mine]), abs=1e-12)


def test_the_dictionary_is_json(toy):
    points = working_points(class_curve(toy, "t"), 350.0, 1500.0)
    assert json.loads(json.dumps(points, allow_nan=False)) == points
    assert [point["wanted_efficiency"] for point in points] == [0.3, 0.5, 0.8, None, None]
    assert [point["wanted_mistag_rate"] for point in points] == [None, None, None, 0.1, 0.01]
    for point in points:
        for key, interval in (("efficiency", "efficiency_interval"), ("mistag_rate", "mistag_interval")):
            assert point[interval][0] <= point[key] <= point[interval][1]
        assert point["threshold_interval"][0] <= point["threshold"] <= point["threshold_interval"][1]
    assert points[0]["threshold"] > points[1]["threshold"] > points[2]["threshold"]


def test_what_does_not_exist_is_none():
    assert working_points(None, 0, 10) == []
    alike = working_points(roc_curve(np.ones(40), np.arange(40) < 20), 20, 20)
    assert alike[0]["efficiency"] == alike[0]["mistag_rate"] == 1
    assert set(alike[3].values()) == {None, 0.1}
    assert selection(Scores(np.array([[0.6, 0.4]]), np.array([0]), None, ("q", "t")), "q", 0.5) is None


def test_one_jet_of_each_has_no_ends():
    result = working_point(roc_curve([1, 0], [1, 0]), 1, 1, efficiency=1.0)
    assert result.threshold == 1
    assert result.threshold_interval[0] == -math.inf
    assert result.efficiency_interval[0] == pytest.approx(0.3173 / 2)


@pytest.mark.parametrize(
    "wanted, words",
    [
        ({}, "expected one of both"),
        ({"efficiency": 0.5, "mistag_rate": 0.5}, "expected one of both"),
        ({"efficiency": 0.0}, "efficiency: expected a signal efficiency above 0 up to 1, found 0"),
        ({"efficiency": math.nan}, "efficiency"),
        ({"mistag_rate": 1.5}, "mistag_rate: expected a background efficiency from 0 to 1, found 1.5"),
        ({"efficiency": 0.5, "level": 2}, "level"),
    ],
)
def test_bad_wishes_are_named(wanted, words):
    with pytest.raises(InputError, match=words):
        working_point(roc_curve([1, 0], [1, 0]), 1, 1, **wanted)


def test_bad_input_is_named(toy):
    with pytest.raises(InputError, match="signal: expected a positive number of jets, found 0"):
        working_point(roc_curve([1, 0], [1, 0]), 0, 1, efficiency=0.5)
    with pytest.raises(InputError, match="name: expected one of g, q, w, z, t, found 'x'"):
        selection(toy, "x", 0.5)
    with pytest.raises(InputError, match="scores: expected finite"):
        selection(toy._replace(scores=np.full_like(toy.scores, np.nan)), "t", 0.5)


def test_cuts_of_weighted_jets_know_that_those_that_pass_are_heavy():
    """Background jets of high score weigh ten times as much: a mistag rate scatters more than equal ones would."""
    signal, rates, inside = np.arange(6000) < 1000, [], {"cuts": 0, "count": 0}
    for seed in range(200):
        score = np.random.default_rng(seed).random(6000)
        w = np.where(score > 0.98, 10.0, 1.0)
        curve = roc_curve(score, signal, w)
        cuts = cuts_of(spectra(score, signal, w))
        at = np.searchsorted(-curve.thresholds, -0.98)
        known = {"cuts": cuts, "count": [effective_count(w[flags]) for flags in (signal, ~signal)]}
        for kind, counts in known.items():
            point = working_point(curve, *counts, mistag_rate=float(curve.fpr[at]))
            inside[kind] += point.mistag_interval.low <= 0.2 / 1.18 <= point.mistag_interval.high
        rates.append(curve.fpr[at])
    assert np.mean(rates) == pytest.approx(0.2 / 1.18, rel=0.05)
    assert 0.6 < inside["cuts"] / 200 < 0.82
    assert inside["count"] < inside["cuts"] - 20

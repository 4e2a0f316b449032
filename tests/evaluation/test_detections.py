from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from hepjax import InputError
from hepjax.evaluation import auc, detections, roc_curve

EDGES = [1.0, 2.0, 4.0]


@pytest.fixture
def samples(rng):
    snr = np.concatenate([np.zeros(8000), rng.uniform(1, 4, 4000)])
    return snr, {"good": rng.normal(snr), "blind": rng.normal(size=snr.size)}


def test_efficiencies_are_those_of_a_known_statistic(samples):
    snr, statistics = samples
    result = detections(statistics, snr, EDGES, (0.05, 0.01))
    for probability in (0.05, 0.01):
        cut = norm.isf(probability)
        for i, (low, high) in enumerate(itertools.pairwise(EDGES)):
            expected = norm.sf(cut - np.linspace(low, high, 200)).mean()
            one = result["good"].efficiency[probability]
            assert one.rate[i] == pytest.approx(expected, abs=0.04)
            assert one.low[i] < one.rate[i] < one.high[i]
        np.testing.assert_allclose(result["blind"].efficiency[probability].rate, probability, atol=0.015)
    assert list(result["good"].efficiency) == [0.05, 0.01]


def test_the_auc_has_an_interval_and_a_distance_to_the_first_search(samples):
    snr, statistics = samples
    result = detections(statistics, snr, EDGES)
    for name, values in statistics.items():
        exact = auc(roc_curve(values, snr > 0))
        assert result[name].auc == pytest.approx(exact, abs=1e-9)
        assert result[name].interval.low < exact < result[name].interval.high
        assert result[name].difference.value == pytest.approx(exact - result["good"].auc, abs=1e-9)
    assert result["good"].difference == (0, 0, 1)
    assert result["blind"].difference.p < 1e-6


def test_only_the_order_of_a_statistic_counts_and_ties_stay_ties():
    snr = np.repeat([0.0, 5.0], 50)
    values = np.round(np.random.default_rng(1).normal(snr / 4), 0)
    one, other = (detections({"a": x}, snr, [4, 6], (0.1,))["a"] for x in (values, 1000 * np.arctan(values)))
    assert one.auc == other.auc == pytest.approx(auc(roc_curve(values, snr > 0)))
    assert one.efficiency[0.1].rate == other.efficiency[0.1].rate


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(InputError, match=r"statistics: expected shape \(4,\) of a, as snr, found \(3,\)"):
        detections({"a": np.zeros(3)}, [0, 0, 5, 5])
    with pytest.raises(InputError, match="found no signal"):
        detections({"a": np.zeros(4)}, np.zeros(4))
    with pytest.raises(InputError, match="NaN"):
        detections({"a": [0, np.nan, 1, 1]}, [0, 0, 5, 5])

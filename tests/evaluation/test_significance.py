from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax.errors import InputError
from hepjax.evaluation.roc import roc_curve
from hepjax.evaluation.significance import improvement, max_significance_improvement, significance_improvement
from hepjax.evaluation.spectra import spectra


def test_a_loop_over_thresholds_says_the_same(rng):
    signal = rng.random(400) < 0.5
    score = (rng.normal(size=400) + 1.5 * signal).round(1)
    background = int((~signal).sum())
    best = (0.0, 0.0)
    for threshold in np.unique(score):
        passing = int((score[~signal] >= threshold).sum())
        if passing >= 10:
            efficiency = (score[signal] >= threshold).mean()
            best = max(best, (efficiency / math.sqrt(passing / background), efficiency))
    result = max_significance_improvement(roc_curve(score, signal), background)
    assert result == pytest.approx(best, rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.floats(0, 3))
def test_the_rule_of_ten_holds_and_no_cut_is_one(seed, distance):
    rng = np.random.default_rng(seed)
    signal = np.arange(120) < 60
    curve = roc_curve(rng.normal(size=120) + distance * signal, signal)
    factor = significance_improvement(curve, 60)
    assert np.isnan(factor[curve.fpr * 60 < 9.5]).all()
    assert np.isfinite(factor[curve.fpr * 60 > 9.5]).all()
    assert factor[-1] == 1
    result = max_significance_improvement(curve, 60)
    assert result.value >= 1
    assert result.value == pytest.approx(np.nanmax(factor))


def test_ten_jets_of_three_hundred_are_ten():
    # 10/300 · 300 is 10 within rounding only.
    curve = roc_curve(np.r_[np.full(40, 2.0), np.full(290, 1.0)], np.arange(330) < 30)
    assert max_significance_improvement(curve, 300).value == pytest.approx(math.sqrt(30))
    assert max_significance_improvement(curve, 299).value == 1


def test_too_few_background_jets_have_none():
    curve = roc_curve([3, 2, 1, 0], [1, 1, 0, 0])
    assert max_significance_improvement(curve, 2) is None
    # All score alike: only no cut at all is left.
    assert max_significance_improvement(roc_curve(np.ones(40), np.arange(40) < 20), 20) == (1.0, 1.0)


@pytest.mark.parametrize("background", [0, -1, math.nan, math.inf])
def test_background_is_a_number_of_jets(background):
    with pytest.raises(InputError, match="background: expected a positive number"):
        max_significance_improvement(roc_curve([1, 0], [1, 0]), background)


@pytest.mark.parametrize("distance, truth", [(1.0, 1.2587), (1.5, 2.0528)])
def test_the_bias_of_the_maximum_is_removed(distance, truth):
    """The largest of Gaussians apart, for tens of background jets of a thousand: inside its curve, or at its end."""
    signal, found = np.arange(1300) < 300, []
    for seed in range(60):
        jets = spectra(np.random.default_rng(seed).normal(distance * signal), signal, None)
        found.append(improvement(jets))
    observed, estimated = (np.mean([getattr(x, key) for x in found]) for key in ("observed", "value"))
    spread = np.std([x.value for x in found])
    assert observed - truth > 0.5 * spread
    assert abs(estimated - truth) < 0.5 * spread
    assert all(1 <= x.interval.low <= x.value <= x.interval.high for x in found)


def test_ten_jets_of_either_kind_are_the_least():
    for signal, background, enough in ((10, 10, True), (9, 40, False), (40, 9, False)):
        jets = spectra(np.arange(signal + background), np.arange(signal + background) >= background, None)
        assert (improvement(jets) is not None) == enough


def test_where_almost_no_jet_of_others_passes_the_estimate_is_finite():
    # Few heavy jets decide which cut is best, so that a fifth of the jets may have none of them.
    signal = np.arange(600) < 300
    w = np.where(np.arange(600) % 25 == 0, 1.0, 1e-6)
    best = improvement(spectra(np.random.default_rng(0).normal(2.0 * signal), signal, w))
    assert 1 <= best.interval.low <= best.value <= best.interval.high < 10


def test_a_tagger_that_guesses_gains_nothing():
    signal = np.arange(2000) < 1000
    scores = (np.random.default_rng(seed).normal(size=2000) for seed in range(30))
    values = [improvement(spectra(s, signal, None)).value for s in scores]
    assert 1 <= min(values) < np.mean(values) < 1.1

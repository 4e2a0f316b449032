from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax.errors import InputError
from hepjax.evaluation.roc import roc_curve
from hepjax.evaluation.significance import max_significance_improvement, significance_improvement


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

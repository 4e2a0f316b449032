from __future__ import annotations

import math

import pytest
from scipy import stats

from hepjax.evaluation import fold_intervals


@pytest.mark.parametrize("trainings", [10, 7, 3])
def test_folds_that_are_left_have_learned_from_all_others(trainings):
    """Of ten folds, each training has learned from eight and was tested on one, whatever became of the others."""
    low, high = fold_intervals({"auc": 0.9}, {"auc": 0.01}, 10, trainings=trainings)["auc"]
    expected = stats.t(trainings - 1).ppf(0.84135) * 0.01 * math.sqrt(1 / trainings + 1 / 8)
    assert (high - low) / 2 == pytest.approx(expected, rel=1e-9)
    assert (high + low) / 2 == pytest.approx(0.9)


def test_nested_figures_keep_their_trainings_and_none_stays_none():
    mean, spread = {"w": {"auc": 0.9, "rejection": None}}, {"w": {"auc": 0.01, "rejection": None}}
    nested = fold_intervals(mean, spread, 5, trainings=3)["w"]
    assert nested == {"auc": fold_intervals({"auc": 0.9}, {"auc": 0.01}, 5, trainings=3)["auc"], "rejection": None}

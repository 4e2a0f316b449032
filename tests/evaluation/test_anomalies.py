"""Figures of an anomaly score: against scikit-learn, and what is said where jets are few."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hepjax import InputError, evaluation
from hepjax.types import Scores


def answers(p, truth, classes=("background", "t")):
    return Scores(np.stack([1 - p, p], axis=1), np.asarray(truth), None, classes)


def test_figures_are_those_of_the_score(rng):
    truth = np.repeat([0, 1], [600, 300])
    p = np.clip(rng.normal(0.4 + 0.2 * truth, 0.15), 0, 1)
    result = evaluation.anomaly_figures(answers(p, truth))
    assert result["auc"]["value"] == pytest.approx(roc_auc_score(truth, p))
    assert result["auc"]["interval"][0] < result["auc"]["value"] < result["auc"]["interval"][1]
    threshold = np.quantile(p[truth == 1], 0.5)
    passing = np.mean(p[truth == 0] >= threshold)
    assert result["background_rejection_at_0.5"]["value"] == pytest.approx(1 / passing, rel=0.05)
    assert json.loads(json.dumps(result)) == result


def test_a_rejection_of_few_jets_is_a_bound():
    truth = np.repeat([0, 1], [50, 50])
    result = evaluation.anomaly_figures(answers(np.linspace(0, 1, 100), truth))
    assert result["auc"]["value"] == 1
    for key in ("background_rejection_at_0.3", "background_rejection_at_0.5"):
        assert result[key]["value"] is None
        assert result[key]["bound"] == pytest.approx(50 / 3, rel=0.1)  # none of 50 at 95 % confidence


@pytest.mark.parametrize(
    "scores, words",
    [
        (Scores(np.full((4, 3), 1 / 3), np.array([0, 1, 2, 0]), None, ("g", "q", "t")), "expected two classes"),
        (answers(np.full(4, 0.5), [0, 0, 0, 0]), "found no jet of one of background, t"),
    ],
)
def test_scores_that_tell_nothing_are_refused(scores, words):
    with pytest.raises(InputError, match=words):
        evaluation.anomaly_figures(scores)

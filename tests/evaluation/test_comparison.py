from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hepjax.errors import InputError
from hepjax.evaluation import auc, background_rejection, class_curve, compare_scores, figures_of_merit, roc_curve
from hepjax.types import Scores


@pytest.fixture
def pair(toy, rng):
    """A tagger, and one a little worse on the same jets."""
    logits = np.log(toy.scores) + rng.normal(scale=0.5, size=toy.scores.shape)
    p = np.exp(logits)
    first = toy._replace(weights=None)
    return first, first._replace(scores=p / p.sum(axis=1, keepdims=True))


def delong_by_pairs(a, b, signal):
    """Straight from the paper: the matrix of comparisons, its rows' and columns' means, and their covariances."""
    rows, columns = [], []
    for s in (a, b):
        wins = (s[signal][:, None] > s[~signal]) + 0.5 * (s[signal][:, None] == s[~signal])
        rows.append(wins.mean(axis=1))
        columns.append(wins.mean(axis=0))
    covariance = np.cov(rows) / signal.sum() + np.cov(columns) / (~signal).sum()
    return rows[1].mean() - rows[0].mean(), np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])


@pytest.mark.parametrize("digits", [2, 12])
def test_auc_is_delongs(pair, digits):
    pair = [part._replace(scores=(p := part.scores.round(digits)) / p.sum(axis=1, keepdims=True)) for part in pair]
    result = compare_scores(*pair)["classes"]
    for c, name in enumerate(pair[0].classes):
        value, error = delong_by_pairs(*(part.scores[:, c] for part in pair), pair[0].labels == c)
        ours = result[name]["auc"]
        assert (ours.value, ours.error) == (pytest.approx(value, abs=1e-12), pytest.approx(error, rel=1e-10))
        assert ours.p == pytest.approx(2 * stats.norm.sf(abs(value / error)))


def test_accuracy_is_mcnemars(pair):
    right = [part.scores.argmax(axis=1) == part.labels for part in pair]
    alone = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    ours = compare_scores(*pair)["accuracy"]
    assert ours.value == pytest.approx((alone[0] - alone[1]) / 2000)
    assert ours.p == pytest.approx(stats.binomtest(alone[0], sum(alone)).pvalue)


def test_loss_is_a_paired_test(pair):
    costs = [-np.log(part.scores[np.arange(2000), part.labels]) for part in pair]
    ours, oracle = compare_scores(*pair)["loss"], stats.ttest_rel(costs[1], costs[0])
    assert ours.value == pytest.approx(np.mean(costs[1] - costs[0]))
    assert ours.value / ours.error == pytest.approx(oracle.statistic, rel=1e-3)


def test_rejections_are_compared_by_their_ratio(pair):
    ours = compare_scores(*pair)["classes"]["w"]["background_rejection_at_0.5"]
    signal, scores = pair[0].labels == 2, [part.scores[:, 2] for part in pair]

    def ratio(rows):
        result = [background_rejection(roc_curve(s[rows], signal[rows]), 0.5) for s in scores]
        return result[1] / result[0]

    rng = np.random.default_rng(3)
    samples = [ratio(rng.integers(2000, size=2000)) for _ in range(200)]
    assert ours.value == pytest.approx(ratio(np.arange(2000)), rel=0.02)
    assert ours.error == pytest.approx(np.std(samples), rel=0.3)


def test_a_tagger_does_not_differ_from_itself_and_differences_have_a_sign(pair):
    same = compare_scores(pair[0], pair[0])
    for one in (same["accuracy"], same["loss"], *(x for part in same["classes"].values() for x in part.values())):
        assert (one.error, one.p) == (0, 1)
    present, back = compare_scores(*pair), compare_scores(*reversed(pair))
    assert present["loss"].value == -back["loss"].value > 0
    assert present["classes"]["t"]["auc"].value < 0
    assert present["classes"]["t"]["auc"].value == pytest.approx(-back["classes"]["t"]["auc"].value)
    area = [auc(class_curve(part, "t")) for part in pair]
    assert present["classes"]["t"]["auc"].value == pytest.approx(area[1] - area[0], abs=1e-12)


def test_equally_good_taggers_seldom_differ(rng):
    """Two taggers with the same noise: p-values are even, so 5 of 100 lie below 0.05."""
    low = 0
    for _ in range(100):
        labels = rng.integers(0, 2, 400)
        shared = rng.normal(size=400)
        p = [1 / (1 + np.exp(shared + rng.normal(size=400) + labels)) for _ in range(2)]
        pair = [Scores(np.stack([x, 1 - x], axis=1), labels, None, ("s", "b")) for x in p]
        low += compare_scores(*pair)["classes"]["s"]["auc"].p < 0.05
    assert low <= 13  # four standard deviations above 5


def test_a_weight_of_zero_leaves_a_jet_out(pair):
    weights = np.where(np.arange(2000) < 1500, 1.0, 0.0)
    weighted = compare_scores(*(part._replace(weights=weights) for part in pair))
    cut = compare_scores(*(part._replace(scores=part.scores[:1500], labels=part.labels[:1500]) for part in pair))
    for key in ("value", "error"):
        assert getattr(weighted["loss"], key) == pytest.approx(getattr(cut["loss"], key))
        ours, alone = (result["classes"]["g"]["auc"] for result in (weighted, cut))
        assert getattr(ours, key) == pytest.approx(getattr(alone, key))


def test_an_absent_class_has_no_difference(pair):
    rows = pair[0].labels != 3
    result = compare_scores(*(part._replace(scores=part.scores[rows], labels=part.labels[rows]) for part in pair))
    assert result["classes"]["z"] == {"auc": None, "background_rejection_at_0.5": None}
    assert result["classes"]["t"]["auc"] is not None


def test_too_few_background_jets_have_no_ratio():
    labels = np.repeat([0, 1], 200)
    p = np.where(labels == 0, 0.9, 0.1) + np.linspace(0, 0.05, 400)
    p[-5:] = 0.99
    scores = Scores(np.stack([p, 1 - p], axis=1), labels, None, ("s", "b"))
    assert figures_of_merit(scores)["classes"]["s"]["background_rejection_at_0.5"] == 40
    assert compare_scores(scores, scores)["classes"]["s"]["background_rejection_at_0.5"] is None


def test_other_jets_are_refused(pair):
    with pytest.raises(InputError, match="same jets for both"):
        compare_scores(pair[0], pair[1]._replace(labels=np.roll(pair[1].labels, 1)))
    with pytest.raises(InputError, match="same jets for both"):
        compare_scores(pair[0], pair[1]._replace(weights=np.ones(2000)))
    with pytest.raises(InputError, match="2000 and 1999"):
        compare_scores(pair[0], pair[1]._replace(scores=pair[1].scores[1:], labels=pair[1].labels[1:]))
    with pytest.raises(InputError, match="classes: expected those of the first tagger, g, q, w, z, t"):
        compare_scores(pair[0], pair[1]._replace(classes=("a", "b", "c", "d", "e")))

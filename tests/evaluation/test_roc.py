"""ROC curves against scikit-learn, against counting by hand, and against their symmetries."""

from __future__ import annotations

import math

import chex
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from hepjax.errors import InputError
from hepjax.evaluation import (
    auc,
    background_rejection,
    class_curves,
    fpr_at_tpr,
    pairwise_auc,
    roc_curve,
    tpr_at_fpr,
)
from hepjax.evaluation.roc import rising_sums
from hepjax.types import Scores


@st.composite
def jets(draw, weighted=True):
    """Scores with many ties, flags with both kinds, and weights of which some are 0."""
    n = draw(st.integers(2, 60))
    score = draw(
        hnp.arrays(
            np.float64, n, elements=st.one_of(st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0]), st.floats(-1e6, 1e6))
        )
    )
    signal = draw(hnp.arrays(np.bool_, n))
    signal[0], signal[-1] = True, False
    weights = draw(hnp.arrays(np.float64, n, elements=st.one_of(st.just(0.0), st.floats(1e-3, 1e3))))
    weights[0] = max(weights[0], 0.5)
    weights[-1] = max(weights[-1], 0.5)
    return score, signal, weights if weighted else None


@given(jets(), st.booleans())
@settings(deadline=None)
def test_equals_scikit_learn(example, weighted):
    score, signal, weights = example
    weights = weights if weighted else None
    curve = roc_curve(score, signal, weights)
    fpr, tpr, thresholds = sk.roc_curve(signal, score, sample_weight=weights, drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr, rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.tpr, tpr, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert auc(curve) == pytest.approx(sk.roc_auc_score(signal, score, sample_weight=weights), abs=1e-12)


@given(jets())
@settings(deadline=None)
def test_auc_is_the_chance_of_the_right_order(example):
    score, signal, weights = example
    above = score[signal][:, None] - score[~signal][None, :]
    pairs = np.outer(weights[signal], weights[~signal])
    chance = ((above > 0) * pairs).sum() + 0.5 * ((above == 0) * pairs).sum()
    assert auc(roc_curve(score, signal, weights)) == pytest.approx(chance / pairs.sum(), abs=1e-12)


@given(jets())
@settings(deadline=None)
def test_each_point_is_what_its_threshold_selects(example):
    score, signal, weights = example
    curve = roc_curve(score, signal, weights)
    for fpr, tpr, threshold in zip(*curve, strict=True):
        selected = score >= threshold
        assert tpr == pytest.approx(weights[selected & signal].sum() / weights[signal].sum(), abs=1e-12)
        assert fpr == pytest.approx(weights[selected & ~signal].sum() / weights[~signal].sum(), abs=1e-12)


@given(jets(weighted=False))
@settings(deadline=None)
def test_a_monotone_transform_changes_nothing(example):
    score, signal, _ = example
    ranks = np.unique(score, return_inverse=True)[1]
    before, after = roc_curve(score, signal), roc_curve(np.exp(ranks / 7) - 3, signal)
    chex.assert_trees_all_equal(before[:2], after[:2])


@given(jets(weighted=False))
@settings(deadline=None)
def test_swapping_signal_and_background_gives_one_minus_auc(example):
    score, signal, _ = example
    assert auc(roc_curve(score, ~signal)) == pytest.approx(1 - auc(roc_curve(score, signal)), abs=1e-12)
    assert auc(roc_curve(-score, ~signal)) == pytest.approx(auc(roc_curve(score, signal)), abs=1e-12)


@given(jets(weighted=False), st.data())
@settings(deadline=None)
def test_a_weight_is_a_number_of_copies(example, data):
    score, signal, _ = example
    copies = data.draw(hnp.arrays(np.int64, score.size, elements=st.integers(0, 3)))
    copies[[0, -1]] += 1
    weighted = roc_curve(score, signal, copies.astype(float))
    repeated = roc_curve(np.repeat(score, copies), np.repeat(signal, copies))
    chex.assert_trees_all_close(weighted, repeated, rtol=0, atol=1e-13)


def test_the_order_of_the_jets_does_not_matter(rng):
    score, signal, weights = rng.normal(size=500).round(1), rng.random(500) < 0.3, rng.random(500)
    order = rng.permutation(500)
    before, after = roc_curve(score, signal, weights), roc_curve(score[order], signal[order], weights[order])
    chex.assert_trees_all_close(before, after, rtol=0, atol=1e-13)


def test_equal_weights_are_exact():
    score, signal = np.arange(300) % 7, np.arange(300) % 3 == 0
    chex.assert_trees_all_equal(roc_curve(score, signal), roc_curve(score, signal, np.full(300, 0.1)))


def test_constant_scores_are_one_diagonal_step():
    curve = roc_curve(np.ones(10), np.arange(10) < 4)
    assert curve.fpr.tolist() == curve.tpr.tolist() == [0.0, 1.0]
    assert auc(curve) == 0.5
    assert tpr_at_fpr(curve, 0.1) == pytest.approx(0.1)
    assert background_rejection(curve, 0.5) == pytest.approx(2.0)


def test_a_perfect_tagger_has_no_background_left():
    curve = roc_curve([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0])
    assert auc(curve) == 1.0
    assert tpr_at_fpr(curve, 0.0) == 1.0
    assert fpr_at_tpr(curve, 1.0) == 0.0
    assert background_rejection(curve, 0.8) == math.inf


def test_the_ends_of_steps():
    # Up to (0, 1/2), right to (1/2, 1/2), up to (1/2, 1), right to (1, 1).
    curve = roc_curve([4, 3, 2, 1], [1, 0, 1, 0])
    assert tpr_at_fpr(curve, 0.0) == 0.5
    assert tpr_at_fpr(curve, 0.5) == 1.0
    assert tpr_at_fpr(curve, 0.49) == 0.5
    assert tpr_at_fpr(curve, 1.0) == 1.0
    assert fpr_at_tpr(curve, 0.0) == 0.0
    assert fpr_at_tpr(curve, 0.5) == 0.0
    assert fpr_at_tpr(curve, 0.51) == 0.5
    assert fpr_at_tpr(curve, 1.0) == 0.5


@given(jets(), st.floats(0, 1))
@settings(deadline=None)
def test_reading_a_curve_follows_interpolation_and_never_falls(example, rate):
    curve = roc_curve(*example)
    assert tpr_at_fpr(curve, rate) == pytest.approx(np.interp(rate, curve.fpr, curve.tpr), abs=1e-9)
    assert tpr_at_fpr(curve, rate) >= tpr_at_fpr(curve, rate / 2)
    assert fpr_at_tpr(curve, tpr_at_fpr(curve, rate)) <= rate + 1e-9


def test_a_gaussian_shift_gives_the_known_curve(rng):
    # Two unit normals a distance d apart: AUC = Φ(d/√2).
    signal = rng.random(400_000) < 0.5
    score = rng.normal(size=signal.size) + 1.5 * signal
    expected = 0.5 * (1 + math.erf(1.5 / 2))
    assert auc(roc_curve(score, signal)) == pytest.approx(expected, abs=0.002)


def test_class_curves_are_one_against_the_rest(toy):
    curves = class_curves(toy)
    assert list(curves) == list(toy.classes)
    for c, name in enumerate(toy.classes):
        expected = sk.roc_auc_score(toy.labels == c, toy.scores[:, c], sample_weight=toy.weights)
        assert auc(curves[name]) == pytest.approx(expected, abs=1e-12)


def test_pairwise_auc_uses_the_jets_of_both_classes_only(toy):
    matrix = pairwise_auc(toy)
    assert np.isnan(np.diag(matrix)).all()
    for a in range(5):
        for b in set(range(5)) - {a}:
            rows = np.isin(toy.labels, (a, b))
            p, labels, weights = toy.scores[rows], toy.labels[rows], toy.weights[rows]
            expected = sk.roc_auc_score(labels == a, p[:, a] / (p[:, a] + p[:, b]), sample_weight=weights)
            assert matrix[a, b] == pytest.approx(expected, abs=1e-12)


def test_pairwise_auc_where_neither_class_has_any_probability():
    p = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.6, 0.4, 0.0]])
    matrix = pairwise_auc(Scores(p, np.array([0, 1, 0]), np.ones(3), ("a", "b", "c")))
    assert matrix[0, 1] == 0.75
    assert np.isnan(matrix[0, 2])


def test_jets_without_weight_do_not_make_a_class():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    curves = class_curves(Scores(p, np.array([0, 1, 0]), np.array([1.0, 0.0, 1.0]), ("q", "t")))
    assert curves == {"q": None, "t": None}


@pytest.mark.parametrize(
    "scores, signal, weights, words",
    [
        ([0.1, np.nan], [0, 1], None, "scores: expected finite numbers, found 1 NaN or infinite, first at row 1"),
        ([0.1, np.inf], [0, 1], None, "first at row 1"),
        ([], [], None, "one jet or more"),
        ([[0.1], [0.2]], [0, 1], None, r"expected shape \(N,\)"),
        (["a", "b"], [0, 1], None, "real numbers"),
        ([0.1, 0.2], [0, 1, 1], None, r"is_signal: expected shape \(2,\)"),
        ([0.1, 0.2], [0, 2], None, "is_signal: expected True and False"),
        ([0.1, 0.2], [1, 1], None, "found no background"),
        ([0.1, 0.2], [0, 0], None, "found no signal"),
        ([0.1, 0.2], [0, 1], [1, 0], "found no signal"),
        ([0.1, 0.2], [0, 1], [1, -1], "weights: expected a positive sum, found 0"),
        ([0.1, 0.2], [0, 1], [1, np.nan], "weights: expected finite"),
        ([0.1, 0.2], [0, 1], [0, 0], "weights: expected a positive sum"),
        ([0.1, 0.2], [0, 1], [1], r"weights: expected shape \(2,\)"),
    ],
)
def test_bad_input_is_named(scores, signal, weights, words):
    with pytest.raises(InputError, match=words):
        roc_curve(scores, signal, weights)


@pytest.mark.parametrize("read", [tpr_at_fpr, fpr_at_tpr, background_rejection])
@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_an_efficiency_is_a_fraction(read, value):
    with pytest.raises(InputError, match="from 0 to 1"):
        read(roc_curve([0.1, 0.2], [0, 1]), value)


class TestNegativeWeights:
    """Sums of weights over falling scores, which do not only rise."""

    def test_a_jet_of_weight_minus_one_takes_an_equal_one_away(self, rng):
        score, signal = np.round(rng.random(200), 2), rng.random(200) < 0.5
        plain = roc_curve(score, signal, np.ones(200))
        canceled = roc_curve(
            np.concatenate([score, score[:40], score[:40]]),
            np.concatenate([signal, signal[:40], signal[:40]]),
            np.repeat([1.0, -1.0], [240, 40]),
        )
        np.testing.assert_allclose(canceled.tpr, plain.tpr, atol=1e-12)
        np.testing.assert_allclose(canceled.fpr, plain.fpr, atol=1e-12)

    @pytest.mark.parametrize("share", [0.1, 0.3])
    def test_the_curve_rises_and_is_near_that_of_the_same_jets_without(self, rng, share):
        signal = np.arange(40_000) % 2 == 0
        score = rng.normal(size=40_000) + signal
        curve = roc_curve(score, signal, np.where(rng.random(40_000) < share, -1.0, 1.0))
        for rates in (curve.fpr, curve.tpr):
            assert (rates[0], rates[-1]) == (0, 1)
            assert (np.diff(rates) >= 0).all()
        assert auc(curve) == pytest.approx(auc(roc_curve(score, signal)), abs=0.02)

    @given(st.lists(st.integers(-3, 4), min_size=2, max_size=12))
    def test_rising_sums_are_as_near_as_any_rising_function(self, values):
        sums = np.cumsum(values)
        assume(sums[-1] > 0)
        found = rising_sums(np.array(values, float))
        assert (np.diff(found) >= 0).all()
        assert found[-1] == sums[-1]
        drops = max([0, *(sums[i] - sums[j] for j in range(len(sums)) for i in range(j))])
        inside = np.clip(sums, 0, sums[-1])
        # No rising function can be nearer than half of the deepest drop.
        assert np.abs(found - inside).max() <= drops / 2 + 1e-12

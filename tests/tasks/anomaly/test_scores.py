"""Jets to learn the background from, and scores: slow loops, symmetries, and all that is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import mahalanobis
from sklearn.metrics import roc_auc_score

from hepjax import InputError, evaluation
from hepjax.tasks.anomaly import scores as anomalies

CLASSES = ("g", "q", "w", "t")


@pytest.fixture
def labels(rng):
    return rng.integers(4, size=4000)


def test_pure_background_is_all_of_its_classes(labels):
    rows = anomalies.background_rows(labels, 2)
    assert rows.tolist() == [i for i, label in enumerate(labels) if label in (0, 1)]


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.001, 0.1), seed=st.integers(0, 9))
def test_contamination_is_the_share_that_was_asked_for(share, seed):
    labels = np.arange(4000) % 4 - 1
    rows = anomalies.background_rows(labels, 2, share=share, seed=seed)
    strange = labels[rows] >= 2
    assert set(labels[rows]) == {0, 1, 2}
    assert abs(strange.sum() - share * len(rows)) < 0.5 + share
    assert (np.diff(rows) > 0).all()
    assert np.isin(np.flatnonzero((labels == 0) | (labels == 1)), rows).all()


def test_contamination_is_drawn_by_the_seed_from_all_others(labels):
    first, again, other = (anomalies.background_rows(labels, 2, share=0.05, seed=seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
    assert set(labels[first]) == {0, 1, 2, 3}


def test_too_few_jets_for_a_contamination_are_refused():
    with pytest.raises(InputError, match=r"--contamination: 0.1 of 800 .* are 89 anomalies, of 5 that there are"):
        anomalies.background_rows(np.repeat([0, 1, 2], [400, 400, 5]), 2, share=0.1)


@pytest.mark.parametrize("share, good", [(0.0, True), (0.1, True), (0.2, False), (1e-4, False), (float("nan"), False)])
def test_shares(share, good):
    assert anomalies.is_anomaly_share_valid(share) is good


def test_latent_distance_is_scipys_mahalanobis(rng):
    codes, others = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)) + 2, rng.normal(size=(5, 3))
    inverse = np.linalg.inv(np.cov(codes.T, bias=True))
    oracle = [mahalanobis(code, codes.mean(axis=0), inverse) ** 2 for code in others]
    fitted = anomalies.fit_codes(codes)
    np.testing.assert_allclose(anomalies.latent_distance(fitted, others), oracle, rtol=1e-9)
    assert anomalies.latent_distance(fitted, codes).mean() == pytest.approx(3)


def test_latent_distance_passes_over_directions_that_are_dead(rng):
    codes = np.concatenate([rng.normal(size=(50, 2)), np.full((50, 1), 4.0)], axis=1)
    pure = anomalies.latent_distance(anomalies.fit_codes(codes[:, :2]), codes[:, :2])
    np.testing.assert_allclose(anomalies.latent_distance(anomalies.fit_codes(codes), codes), pure, rtol=1e-9)
    narrow = rng.normal(size=(50, 1))
    np.testing.assert_allclose(
        anomalies.latent_distance(anomalies.fit_codes(narrow), narrow), stats.zscore(narrow[:, 0]) ** 2, rtol=1e-9
    )


@pytest.mark.parametrize("codes", [np.zeros((1, 2)), np.array([[0.0, 1.0], [np.nan, 0.0], [1.0, 1.0]])])
def test_codes_that_say_nothing_are_refused(codes):
    with pytest.raises(InputError, match=r"codes: expected two or more finite ones, found [12]"):
        anomalies.fit_codes(codes)


def test_combined_is_fishers_method(rng):
    background = rng.normal(size=(2, 99))
    scores = np.concatenate([background[:, ::17], [[-9.0, 9.0]] * 2], axis=1)  # between them -ln p is a line
    chances = [[(1 + np.sum(b >= x)) / 100 for x in s] for b, s in zip(background, scores, strict=True)]
    oracle = [stats.combine_pvalues(p, method="fisher").statistic / 2 for p in np.transpose(chances)]
    np.testing.assert_allclose(
        anomalies.combine_anomaly_scores([anomalies.fit_score_tail(b) for b in background], scores), oracle
    )


def test_a_tail_of_many_jets_is_nearly_that_of_all(rng):
    values = rng.exponential(size=50_000)
    few = anomalies.fit_score_tail(values)
    assert len(few.thresholds) <= 1024
    at = np.array([0.01, 0.5, 1.0, 3.0, 6.0, values.max() + 1])
    exact = -np.log([(1 + np.sum(values >= x)) / 50_001 for x in at])
    np.testing.assert_allclose(anomalies.score_rarity(few, at), exact, atol=0.03)


def test_rounding_does_not_matter_at_the_scores_of_background_jets(rng):
    values = rng.normal(size=50)
    tail = anomalies.fit_score_tail(values)
    near = [anomalies.score_rarity(tail, values * factor) for factor in (1 - 1e-7, 1 + 1e-7)]
    np.testing.assert_allclose(*near, atol=1e-4)
    assert anomalies.score_rarity(anomalies.fit_score_tail(np.zeros(4)), np.array([0.0, 1.0])) == pytest.approx(
        [0, np.log(5)]
    )


def test_weights_count_jets_of_a_tail_and_of_codes(rng):
    values, counts = rng.normal(size=20), rng.integers(1, 4, size=20)
    scaled = counts * (20 / counts.sum())
    chance = (1 + scaled[values >= values[7]].sum()) / 21
    tail = anomalies.fit_score_tail(values, counts.astype(float))
    assert anomalies.score_rarity(tail, values[7:8])[0] == pytest.approx(-np.log(chance))
    codes = rng.normal(size=(20, 2))
    weighted, repeated = anomalies.fit_codes(codes, counts), anomalies.fit_codes(np.repeat(codes, counts, axis=0))
    np.testing.assert_allclose(
        anomalies.latent_distance(weighted, codes), anomalies.latent_distance(repeated, codes), rtol=1e-9
    )


@pytest.mark.parametrize("values", [[], [1.0, np.inf]])
def test_scores_that_say_nothing_are_refused(values):
    with pytest.raises(InputError, match="scores: expected finite ones of validation jets"):
        anomalies.fit_score_tail(values)


def test_told_from_keeps_the_order_of_jets_and_ties(labels, rng):
    scores = rng.integers(50, size=len(labels)) - 20.0 + labels
    result = anomalies.as_classifier_scores(scores, labels, CLASSES, ("w", "t"), ("g", "q"))
    assert result.classes == ("background", "w+t")
    assert evaluation.auc(evaluation.class_curve(result, "w+t")) == pytest.approx(roc_auc_score(labels > 1, scores))
    part = anomalies.as_classifier_scores(scores, labels, CLASSES, ("t",), ("q",))
    assert len(part.labels) == np.isin(labels, (1, 3)).sum()


@pytest.mark.parametrize(
    "given, words",
    [
        ({"anomalies": ("z",)}, r"anomalies: expected classes of which there are jets \(g, q, w, t\), found z"),
        ({"anomalies": ()}, "anomalies: expected .* found none"),
        ({"background": ("b",)}, "background: expected .* found b"),
        ({"background": ("g", "t")}, "anomalies: expected classes other than the background's, found t beside g, t"),
        ({"scores": np.full(4000, np.inf)}, "scores: expected finite numbers, found .* that are not"),
    ],
)
def test_jets_that_cannot_be_told_apart_are_refused(labels, given, words):
    with pytest.raises(InputError, match=words):
        anomalies.as_classifier_scores(
            **{
                "scores": np.zeros(4000),
                "labels": labels,
                "classes": CLASSES,
                "anomalies": ("t",),
                "background": ("g", "q"),
            }
            | given
        )

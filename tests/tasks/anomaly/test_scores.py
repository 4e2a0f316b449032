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
    rows = anomalies.background_rows(labels, CLASSES)
    assert rows.tolist() == [i for i, label in enumerate(labels) if label in (0, 1)]
    assert set(labels[anomalies.background_rows(labels, CLASSES, ("t",))]) == {3}


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.001, 0.1), seed=st.integers(0, 9))
def test_contamination_is_the_share_that_was_asked_for(share, seed):
    labels = np.arange(4000) % 4
    rows = anomalies.background_rows(labels, CLASSES, anomalies=("t",), share=share, seed=seed)
    strange = np.isin(labels[rows], (2, 3))
    assert set(labels[rows][strange]) == {3}
    assert abs(strange.sum() - share * len(rows)) < 0.5 + share
    assert (np.diff(rows) > 0).all()
    assert np.isin(np.flatnonzero(labels < 2), rows).all()


def test_contamination_is_drawn_by_the_seed_from_all_others(labels):
    first, again, other = (anomalies.background_rows(labels, CLASSES, share=0.05, seed=seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
    assert set(labels[first]) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "given, words",
    [
        ({"background": ("g", "b")}, r"background: expected classes of which there are jets \(g, q, w, t\), found b"),
        ({"background": ()}, "background: expected .* found none"),
        ({"share": 0.2}, "contamination: expected 0 or a share from 0.001 to 0.1, found 0.2"),
        ({"share": 1e-4}, "contamination: expected 0 or a share"),
        ({"share": -0.01}, "contamination: expected 0 or a share"),
        ({"share": float("nan")}, "contamination: expected 0 or a share"),
        ({"share": 0.01, "anomalies": ("h",)}, "anomalies: expected classes of which there are jets"),
        ({"share": 0.01, "anomalies": ("q", "t")}, "anomalies: expected classes other than the background's, found q"),
        ({"share": 0.01, "background": ("g", "q", "w", "t")}, "anomalies: expected .* found none"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(labels, given, words):
    with pytest.raises(InputError, match=words):
        anomalies.background_rows(labels, CLASSES, **given)


@pytest.mark.parametrize("counts, share", [((20, 20, 0, 5), 0.001), ((400, 400, 0, 5), 0.1)])
def test_too_few_jets_for_a_contamination_are_refused(counts, share):
    with pytest.raises(InputError, match=r"contamination: .* expected one or more; give more jets"):
        anomalies.background_rows(np.repeat(np.arange(4), counts), CLASSES, share=share)


def test_amplitudes_are_a_distance_of_hellinger(rng):
    images = rng.exponential(size=(2, 4, 5, 1)) * (rng.random((2, 4, 5, 1)) < 0.5)
    x = anomalies.amplitudes(images).astype(np.float64)
    p, q = (image.ravel() / image.sum() for image in images)
    hellinger = 1 - sum(np.sqrt(a * b) for a, b in zip(p, q, strict=True))
    assert np.mean((x[0] - x[1]) ** 2) == pytest.approx(2 * hellinger, rel=1e-5)
    np.testing.assert_allclose(anomalies.amplitudes(7 * images), x, rtol=1e-5)
    assert (anomalies.amplitudes(np.zeros((1, 2, 2, 1))) == 0).all()


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
    one = rng.normal(size=(50, 1))
    np.testing.assert_allclose(
        anomalies.latent_distance(anomalies.fit_codes(one), one), stats.zscore(one[:, 0]) ** 2, rtol=1e-9
    )


@pytest.mark.parametrize("codes", [np.zeros((1, 2)), np.array([[0.0, 1.0], [np.nan, 0.0], [1.0, 1.0]])])
def test_codes_that_say_nothing_are_refused(codes):
    with pytest.raises(InputError, match=r"codes: expected two or more finite ones, found [12]"):
        anomalies.fit_codes(codes)


def test_combined_is_fishers_method(rng):
    background, scores = rng.normal(size=(2, 99)), rng.normal(size=(2, 6))
    chances = [[(1 + np.sum(b >= x)) / 100 for x in s] for b, s in zip(background, scores, strict=True)]
    oracle = [stats.combine_pvalues(p, method="fisher").statistic / 2 for p in np.transpose(chances)]
    np.testing.assert_allclose(anomalies.combine_scores(scores, background), oracle)


def test_told_from_keeps_the_order_of_jets_and_ties(labels, rng):
    scores = rng.integers(50, size=len(labels)) - 20.0 + labels
    result = anomalies.as_classifier_scores(scores, labels, CLASSES, ("w", "t"))
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
            **{"scores": np.zeros(4000), "labels": labels, "classes": CLASSES, "anomalies": ("t",)} | given
        )

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from hepjax.evaluation import accuracy, confusion_matrix, normalize_rows


def test_equals_scikit_learn(toy):
    predicted = toy.scores.argmax(axis=1)
    expected = sk.confusion_matrix(toy.labels, predicted, sample_weight=toy.weights)
    result = confusion_matrix(toy)
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    np.testing.assert_allclose(
        normalize_rows(result), sk.confusion_matrix(toy.labels, predicted, sample_weight=toy.weights, normalize="true")
    )
    assert accuracy(result) == pytest.approx(
        sk.accuracy_score(toy.labels, predicted, sample_weight=toy.weights), abs=1e-12
    )


def test_the_first_index_is_the_truth(toy):
    """A tagger that always says g fills the first column with each class's weight."""
    always_g = np.zeros_like(toy.scores)
    always_g[:, 0] = 1
    result = confusion_matrix(toy._replace(scores=always_g))
    np.testing.assert_allclose(result[:, 0], np.bincount(toy.labels, weights=toy.weights))
    assert not result[:, 1:].any()


def test_a_class_without_jets_has_an_empty_row(toy):
    rows = toy.labels != 2
    part = toy._replace(scores=toy.scores[rows], labels=toy.labels[rows], weights=toy.weights[rows])
    fractions = normalize_rows(confusion_matrix(part))
    assert np.isnan(fractions[2]).all()
    np.testing.assert_allclose(fractions[[0, 1, 3, 4]].sum(axis=1), 1)


def test_relabelling_the_classes_permutes_the_matrix(toy, rng):
    order = rng.permutation(5)
    place = np.argsort(order)
    renamed = toy._replace(scores=toy.scores[:, order], labels=place[toy.labels])
    np.testing.assert_allclose(confusion_matrix(renamed), confusion_matrix(toy)[np.ix_(order, order)])

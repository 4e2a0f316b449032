"""Trees and support vectors: against what scikit-learn says without us, and where classes are missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from hepjax import InputError, evaluation
from hepjax.tasks.classification import baselines

RNG = np.random.default_rng(0)


def draw(count, classes=3):
    labels = RNG.integers(classes, size=count)
    return RNG.normal(size=(count, 2)) + 2 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[labels], labels


TRAIN, VAL, (X, Y) = draw(300), draw(200), draw(500)
METHODS = [baselines.boosted_trees, baselines.support_vectors]


def bayes():
    """(N, 3) what nobody can do better than."""
    p = np.exp(-((X[:, None] - 2 * np.array([[0, 0], [1, 0], [0, 1]])) ** 2).sum(axis=-1) / 2)
    return p / p.sum(axis=1, keepdims=True)


def aucs(p):
    return np.array([evaluation.auc(evaluation.roc_curve(p[:, c], c == Y)) for c in range(3)])


@pytest.mark.parametrize("method", METHODS)
def test_it_is_nearly_as_good_as_one_can_be(method):
    p = method(TRAIN, VAL, 3)(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (aucs(p) > aucs(bayes()) - 0.05).all()
    assert (aucs(p) <= aucs(bayes()) + 0.02).all()
    assert np.mean(p.argmax(axis=1) == Y) > np.mean(bayes().argmax(axis=1) == Y) - 0.06
    assert -np.log(p[np.arange(len(Y)), Y] + 1e-9).mean() < 1.0  # a guess has 1.1


def test_pairs_are_scaled_by_the_validation_part_and_multiplied():
    p = baselines.support_vectors(TRAIN, VAL, 3, penalty=10.0, width=0.1)(X)
    products = np.ones((len(X), 3))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        of_pair = np.isin(TRAIN[1], (i, j))
        machine = SVC(C=10.0, gamma=0.1).fit(TRAIN[0][of_pair], TRAIN[1][of_pair] == i)
        of_pair = np.isin(VAL[1], (i, j))
        margin = machine.decision_function(VAL[0][of_pair])[:, None]
        platt = LogisticRegression(C=1e3).fit(margin, VAL[1][of_pair] == i)
        q = expit(platt.coef_[0, 0] * machine.decision_function(X) + platt.intercept_[0])
        products[:, i] *= q
        products[:, j] *= 1 - q
    np.testing.assert_allclose(p, products / products.sum(axis=1, keepdims=True), atol=0.01)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("present", [(1, 3), (0, 2, 3)])
def test_classes_without_jets_have_no_probability(method, present):
    (x, y), (x_val, y_val) = (draw(400, 4) for _ in range(2))
    rows, rows_val = np.isin(y, present), np.isin(y_val, present)
    p = method((x[rows], y[rows]), (x_val[rows_val], y_val[rows_val]), 4)(x_val[rows_val])
    assert p.shape == (rows_val.sum(), 4)
    assert p[:, [c for c in range(4) if c not in present]].sum() == 0
    assert np.mean(p.argmax(axis=1) == y_val[rows_val]) > 0.75


@pytest.mark.parametrize("method", METHODS)
def test_bad_input(method, monkeypatch):
    x, y = TRAIN
    with pytest.raises(InputError, match=r"train: expected \(N, F\) features and \(N,\) labels, found \(300,\)"):
        method((x[:, 0], y), VAL, 3)
    with pytest.raises(InputError, match="train: expected finite features, found NaN"):
        method((x * np.nan, y), VAL, 3)
    with pytest.raises(InputError, match="train: expected jets of two classes or more, found 1"):
        method((x, 0 * y), VAL, 3)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match=rf"{method.__name__}: needs scikit-learn; pip install 'hepjax\[trees\]'"):
        method(TRAIN, VAL, 3)


def test_a_class_that_cannot_be_scaled():
    x, y = VAL
    with pytest.raises(InputError, match="val: expected jets of each class of train, found none of 2"):
        baselines.support_vectors(TRAIN, (x[y < 2], y[y < 2]), 3)

"""Permutation importance: against scikit-learn, and what shuffling must and must not touch."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import inspection, metrics
from sklearn.linear_model import LogisticRegression

from hepjax import InputError, evaluation
from hepjax.evaluation.explanation import log_likelihood, mean_auc, permutation_importance
from hepjax.types import Scores, Sequences

N, F = 300, 4


@pytest.fixture(scope="module")
def jets():
    """Three classes that lie apart along the first two of four features."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 3
    x = rng.normal(size=(N, F))
    x[:, 0] += 2 * labels
    x[:, 1] += labels == 1
    return x, labels


@pytest.fixture(scope="module")
def model(jets):
    return LogisticRegression().fit(*jets)


@pytest.mark.parametrize(
    "metric, scoring", [(mean_auc, "roc_auc_ovr"), (log_likelihood, "neg_log_loss")], ids=["AUC", "loss"]
)
def test_scikit_learn(jets, model, metric, scoring):
    result = permutation_importance(model.predict_proba, *jets, metric, repeats=30)
    oracle = inspection.permutation_importance(model, *jets, scoring=scoring, n_repeats=30, random_state=0)
    assert result.drops.shape == (F, 30)
    np.testing.assert_allclose(result.mean, result.drops.mean(1))
    np.testing.assert_allclose(result.std, result.drops.std(1))
    spread = np.hypot(result.std, oracle.importances_std) / np.sqrt(30)
    assert (np.abs(result.mean - oracle.importances_mean) < 4 * spread).all()
    assert result.mean[0] > 20 * spread[0]
    assert np.abs(np.log(result.std / oracle.importances_std)).max() < np.log(2)


def test_metrics(jets, model):
    x, labels = jets
    p = model.predict_proba(x)
    rounded = p.round(1) / p.round(1).sum(1, keepdims=True)  # with ties
    for each in (p, rounded):
        expected = metrics.roc_auc_score(labels, each, multi_class="ovr")
        assert mean_auc(each, labels) == pytest.approx(expected, abs=1e-12)
        curves = evaluation.class_curves(Scores(each, labels, None, ("a", "b", "c")))
        selected = np.mean([evaluation.auc(curve) for curve in curves.values()])
        assert mean_auc(each, labels) == pytest.approx(selected, abs=1e-12)
    assert log_likelihood(p, labels) == pytest.approx(-metrics.log_loss(labels, p), abs=1e-12)
    assert np.isfinite(log_likelihood(np.eye(2, dtype=np.float32), np.array([1, 0])))
    with pytest.raises(InputError, match="two classes or more"):
        mean_auc(p, np.zeros(N, int))


def test_an_ignored_feature_has_exactly_0(jets):
    x, labels = jets
    result = permutation_importance(soft, x, labels, groups=[[0], [1], [2, 3]])
    assert result.mean[0] > 0.1
    assert not result.drops[1:].any()


def soft(x):
    """Looks at the first feature only."""
    e = np.exp(x[:, :1] * np.arange(3))
    return e / e.sum(1, keepdims=True)


def test_a_group_does_not_care_for_the_others(jets):
    x, labels = jets
    alone = permutation_importance(soft, x, labels, groups=[[0]])
    among = permutation_importance(soft, x, labels, groups=[[1], [0], [2]])
    np.testing.assert_array_equal(alone.drops[0], among.drops[1])
    other = permutation_importance(soft, x, labels, groups=[[0]], seed=1)
    assert (alone.drops != other.drops).all()


def test_of_two_that_say_the_same_only_the_group_counts():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(500, 1)), 2, axis=1)
    labels = (x[:, 0] > 0).astype(int)

    def score(x):
        p = 1 / (1 + np.exp(-5 * x.max(1)))
        return np.stack([1 - p, p], axis=1)

    result = permutation_importance(score, x, labels, groups=[[0], [1], [0, 1]])
    assert result.score == 1
    assert result.mean[2] == pytest.approx(0.5, abs=0.05)  # nothing but chance is left
    assert (result.mean[:2] < 0.3).all()


class TestParticles:
    def test_shuffles_real_particles_and_nothing_else(self):
        rng = np.random.default_rng(0)
        mask = np.arange(6) < rng.integers(0, 7, size=(40, 1))
        values = np.where(mask[..., None], rng.normal(size=(40, 6, 3)), 0).astype(np.float32)
        observed = []

        def score(x):
            observed.append(x)
            return np.full((40, 2), 0.5)

        groups = [[1], [0, 2]]
        permutation_importance(score, Sequences(values, mask), np.arange(40) % 2, groups=groups, repeats=2)
        assert len(observed) == 1 + 2 * 2
        for call, x in enumerate(observed[1:]):
            group = groups[call // 2]
            rest = [column for column in range(3) if column not in group]
            assert x.values.dtype == np.float32
            np.testing.assert_array_equal(x.mask, mask)
            assert not x.values[~mask].any()
            np.testing.assert_array_equal(x.values[..., rest], values[..., rest])
            shuffled, before = (np.float64(v[mask][:, group]) for v in (x.values, values))
            assert (shuffled != before).mean() > 0.9
            order, start = (np.lexsort(rows.T) for rows in (shuffled, before))
            np.testing.assert_array_equal(shuffled[order], before[start])  # columns of a group move together

    def test_importance(self):
        """Jets differ by the sum of one column."""
        rng = np.random.default_rng(1)
        mask = np.arange(5) < rng.integers(1, 6, size=(200, 1))
        values = np.where(mask[..., None], rng.normal(size=(200, 5, 2)), 0)
        labels = (values[..., 1].sum(1) > 0).astype(int)

        def score(x):
            p = 1 / (1 + np.exp(-x.values[..., 1].sum(1)))
            return np.stack([1 - p, p], axis=1)

        result = permutation_importance(score, Sequences(values, mask), labels)
        assert result.mean[0] == 0
        assert result.mean[1] == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"inputs": np.zeros((N, 4, 4, 1))}, r"inputs: expected \(N, F\).*found shape \(300, 4, 4, 1\)"),
        ({"labels": np.zeros(3, int)}, "labels: expected 300 class indices, found int64 of shape"),
        ({"labels": np.zeros(N)}, "labels: expected 300 class indices, found float64"),
        ({"groups": [[0], []]}, r"groups: expected different columns from 0 to 3 in each, found \[\]"),
        ({"groups": [[4]]}, r"found \[4\]"),
        ({"groups": [[1, 1]]}, r"found \[1, 1\]"),
        ({"repeats": 0}, "repeats: expected 1 or more, found 0"),
    ],
)
def test_refused(jets, changes, words):
    arguments = {"inputs": jets[0], "labels": jets[1], **changes}
    with pytest.raises(InputError, match=words):
        permutation_importance(soft, **arguments)

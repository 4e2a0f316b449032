from __future__ import annotations

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from hepjax.errors import InputError
from hepjax.evaluation import (
    calibration_figures,
    class_curve,
    compare_scores,
    cross_entropy,
    expected_calibration_error,
    figures_of_merit,
    max_significance_improvement,
    measure,
    remarks,
)
from hepjax.types import Scores

KEYS = {
    "auc",
    "tpr_at_fpr_0.1",
    "tpr_at_fpr_0.01",
    "background_rejection_at_0.3",
    "background_rejection_at_0.5",
    "background_rejection_at_0.8",
    "max_significance_improvement",
    "max_significance_improvement_at",
}


def _rows(scores, rows):
    return scores._replace(scores=scores.scores[rows], labels=scores.labels[rows], weights=scores.weights[rows])


def test_the_whole_dictionary(toy):
    result = figures_of_merit(toy)
    assert set(result) == {
        "accuracy", "loss", "classes", "bounds", "working_points", "pairwise_auc", "confusion", "jets", "effective_jets"
    }  # fmt: skip
    assert list(result["classes"]) == ["g", "q", "w", "z", "t"]
    assert result["jets"] == dict(zip(toy.classes, np.bincount(toy.labels).tolist(), strict=True))
    predicted = toy.scores.argmax(axis=1)
    assert result["accuracy"] == pytest.approx(sk.accuracy_score(toy.labels, predicted, sample_weight=toy.weights))
    assert result["loss"] == pytest.approx(sk.log_loss(toy.labels, toy.scores, sample_weight=toy.weights), abs=1e-12)
    for c, name in enumerate(toy.classes):
        figures = result["classes"][name]
        assert set(figures) == KEYS
        fpr, tpr, _ = sk.roc_curve(
            toy.labels == c, toy.scores[:, c], sample_weight=toy.weights, drop_intermediate=False
        )
        assert figures["auc"] == pytest.approx(sk.auc(fpr, tpr), abs=1e-12)
        assert figures["tpr_at_fpr_0.01"] == pytest.approx(np.interp(0.01, fpr, tpr), abs=1e-9)
        assert figures["background_rejection_at_0.5"] == pytest.approx(1 / np.interp(0.5, tpr, fpr), rel=1e-6)
        assert set(result["pairwise_auc"][name]) == set(toy.classes) - {name}
    assert result["confusion"] == pytest.approx(sk.confusion_matrix(toy.labels, predicted, sample_weight=toy.weights))
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_two_classes_mirror_each_other(rng):
    p = rng.random(300)
    scores = Scores(np.stack([p, 1 - p], axis=1), (rng.random(300) > p).astype(int), np.ones(300), ("s", "b"))
    result = figures_of_merit(scores)
    assert result["classes"]["s"]["auc"] == pytest.approx(result["classes"]["b"]["auc"], abs=1e-12)
    assert result["pairwise_auc"]["s"]["b"] == pytest.approx(result["classes"]["s"]["auc"], abs=1e-12)


def test_a_class_without_jets_is_null(toy):
    result = figures_of_merit(_rows(toy, toy.labels != 3))
    assert result["jets"]["z"] == 0
    assert set(result["classes"]["z"].values()) == {None}
    assert set(result["pairwise_auc"]["z"].values()) == {None}
    assert result["pairwise_auc"]["g"]["z"] is None
    assert result["classes"]["g"]["auc"] is not None
    json.dumps(result, allow_nan=False)


def test_one_class_alone_still_has_accuracy_and_loss(toy):
    result = figures_of_merit(_rows(toy, toy.labels == 0))
    assert result["accuracy"] > 0.5
    assert math.isfinite(result["loss"])
    assert all(value is None for figures in result["classes"].values() for value in figures.values())


def test_a_perfect_tagger_gives_null_rejections_and_no_loss():
    labels = np.arange(50) % 5
    result = figures_of_merit(Scores(np.eye(5)[labels], labels, np.ones(50), tuple("gqwzt")))
    assert result["accuracy"] == 1.0
    assert str(result["loss"]) == "0.0"
    assert result["classes"]["g"] == {
        "auc": 1.0,
        "tpr_at_fpr_0.1": 1.0,
        "tpr_at_fpr_0.01": 1.0,
        "background_rejection_at_0.3": None,
        "background_rejection_at_0.5": None,
        "background_rejection_at_0.8": None,
        "max_significance_improvement": 1.0,
        "max_significance_improvement_at": 1.0,
    }
    assert result["bounds"]["g"]["background_rejection_at_0.5"] == pytest.approx(1 / stats.beta(1, 40).ppf(0.95))


@pytest.mark.parametrize("above", [1, 9, 10])
def test_a_rejection_is_quoted_with_its_bound_whatever_number_passes(above):
    """Of 1,000 background jets a few score as high as half of the signal."""
    labels = np.repeat([0, 1], [100, 1000])
    p = np.concatenate([np.full(50, 0.9), np.full(50, 0.4), np.full(above, 0.9), np.full(1000 - above, 0.1)])
    for weights in (None, np.full(1100, 7.0)):
        result = figures_of_merit(Scores(np.stack([p, 1 - p], axis=1), labels, weights, ("s", "b")))
        for efficiency in (0.5, 0.8):
            key = f"background_rejection_at_{efficiency}"
            assert result["classes"]["s"][key] == pytest.approx(1000 / above)
            assert 1 < result["bounds"]["s"][key] < 1000 / above
        assert result["bounds"]["s"][key] == pytest.approx(1 / stats.beta(above + 1, 1000 - above).ppf(0.95), rel=1e-4)


def test_the_significance_improvement_is_below_the_largest_observed(toy):
    result = figures_of_merit(toy)["classes"]
    for c, name in enumerate(toy.classes):
        w = toy.weights[toy.labels != c]
        observed = max_significance_improvement(class_curve(toy, name), w.sum() ** 2 / (w**2).sum())
        assert 0.7 * observed.value < result[name]["max_significance_improvement"] < observed.value
        assert result[name]["max_significance_improvement_at"] == pytest.approx(observed.efficiency, abs=0.01)


def test_effective_jets(toy):
    result = figures_of_merit(toy)["effective_jets"]
    w = toy.weights[toy.labels == 2]
    assert result["w"] == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert figures_of_merit(toy._replace(weights=None))["effective_jets"]["w"] == len(w)


def test_a_probability_that_underflowed_has_a_finite_loss():
    scores = Scores(np.array([[1.0, 0.0]]), np.array([1]), np.ones(1), ("a", "b"))
    assert cross_entropy(scores) == pytest.approx(-math.log(np.finfo(np.float32).tiny))


def test_weights_are_copies_and_their_scale_does_not_matter(toy):
    copies = np.arange(2000) % 3
    weighted = figures_of_merit(toy._replace(weights=0.5 * copies))
    repeated = figures_of_merit(_rows(toy, np.repeat(np.arange(2000), copies))._replace(weights=np.ones(copies.sum())))
    for key in ("accuracy", "loss"):
        assert weighted[key] == pytest.approx(repeated[key], rel=1e-12)
    for name in toy.classes:
        result, expected = (dict(part["classes"][name]) for part in (weighted, repeated))
        for key in KEYS:  # copies are more jets than weights, on which it rests whether a number is quoted
            rests = key.startswith("max") or (key.startswith("background") and None in (result[key], expected[key]))
            assert rests or result[key] == pytest.approx(expected[key], rel=1e-9), key
        assert result["background_rejection_at_0.8"] is not None
        assert weighted["pairwise_auc"][name] == pytest.approx(repeated["pairwise_auc"][name], rel=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_scores_from_jax_are_welcome(toy, dtype):
    scores = toy._replace(scores=jnp.asarray(toy.scores, dtype), labels=jnp.asarray(toy.labels))
    tolerance = 1e-4 if dtype == jnp.float32 else 2e-2
    assert figures_of_merit(scores)["loss"] == pytest.approx(figures_of_merit(toy)["loss"], abs=tolerance)


@pytest.mark.parametrize(
    "change, words",
    [
        (
            {"classes": ("g", "q", "w", "z")},
            r"scores: expected shape \(N, 4\), one column per class, found \(2000, 5\)",
        ),
        ({"classes": ("g", "q", "w", "z", "z")}, "classes: expected two or more different names"),
        ({"scores": np.zeros((0, 5))}, "found none"),
        ({"labels": np.full(2000, 5)}, "labels: expected indices from 0 to 4, found 5 at row 0"),
        ({"labels": np.full(2000, -1)}, "found -1"),
        ({"labels": np.zeros(2000)}, "integer class indices, found dtype float64"),
        ({"labels": np.zeros((2000, 5), int)}, r"labels: expected shape \(2000,\)"),
        ({"weights": np.full(2000, -1.0)}, "weights: expected a positive sum, found -2000"),
        ({"weights": np.zeros(2000)}, "positive sum"),
        ({"weights": np.ones(3)}, r"weights: expected shape \(2000,\)"),
        ({"scores": np.full((2000, 5), 3.0)}, "found row 0 with sum 15"),
    ],
)
def test_bad_scores_are_named(toy, change, words):
    with pytest.raises(InputError, match=words):
        figures_of_merit(toy._replace(**change))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_bad_row_is_named(toy, value):
    p = toy.scores.copy()
    p[[7, 90], 1] = value
    with pytest.raises(InputError, match="found 2 NaN or infinite, first at row 7"):
        figures_of_merit(toy._replace(scores=p))


def test_negative_probabilities_are_refused_even_if_the_sum_is_one(toy):
    p = toy.scores.copy()
    p[3] = [1.5, -0.5, 0, 0, 0]
    with pytest.raises(InputError, match=r"found row 3 with sum 1 and minimum -0\.5"):
        figures_of_merit(toy._replace(scores=p))


class TestNegativeWeights:
    """Jets of weight -1 take away what equal jets give."""

    @staticmethod
    def doubled(toy, rng):
        """The jets, and some of them twice more with opposite weights."""
        rows = np.concatenate([np.arange(2000), np.repeat(rng.permutation(2000)[:300], 2)])
        weights = np.concatenate([toy.weights, np.tile([1.0, -1.0], 300)])
        return toy._replace(scores=toy.scores[rows], labels=toy.labels[rows], weights=weights)

    def test_figures_are_those_without_pairs(self, toy, rng):
        plain, found = figures_of_merit(toy), figures_of_merit(self.doubled(toy, rng))
        for key in ("accuracy", "loss"):
            assert found[key] == pytest.approx(plain[key], rel=1e-9)
        np.testing.assert_allclose(found["confusion"], plain["confusion"], rtol=1e-9)
        for name, of_class in found["classes"].items():
            assert of_class["max_significance_improvement"] is None
            for key in ("auc", "tpr_at_fpr_0.1", "background_rejection_at_0.5"):
                assert of_class[key] == pytest.approx(plain["classes"][name][key], rel=1e-6)
            assert found["effective_jets"][name] < plain["effective_jets"][name]

    def test_intervals_are_wider_and_json(self, toy, rng):
        found, plain = (measure(scores) for scores in (self.doubled(toy, rng), toy))
        json.dumps(found, allow_nan=False)
        for width in (found["intervals"]["accuracy"], found["intervals"]["classes"]["t"]["auc"]):
            assert width[1] > width[0]
        both = [np.ptp(each["intervals"]["classes"]["t"]["auc"]) for each in (found, plain)]
        assert both[0] > both[1]

    def test_calibration_remarks_and_comparison(self, toy, rng):
        scores = self.doubled(toy, rng)
        figures = calibration_figures(scores, scores)
        assert 0.5 < figures["temperature"] < 2
        assert figures["expected_calibration_error"] == pytest.approx(expected_calibration_error(toy), rel=1e-6)
        assert remarks(scores)[0].startswith("11.5% of the jets have negative weights: all are worth ")
        assert compare_scores(scores, scores)["accuracy"].value == 0

    def test_a_class_that_weighs_nothing_is_refused(self, toy):
        weights = np.where(toy.labels == 2, -toy.weights, toy.weights)
        with pytest.raises(InputError, match="weights: expected a positive sum for the jets of w, found -"):
            figures_of_merit(toy._replace(weights=weights))

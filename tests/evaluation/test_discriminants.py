from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax.errors import InputError
from hepjax.evaluation.discriminants import class_fractions, discriminant, discriminant_curve
from hepjax.evaluation.roc import auc, pairwise_auc, roc_curve
from hepjax.types import Scores

BCU = ("b", "c", "u")


def probabilities(rng, n=50, classes=3, spread=2.0):
    p = np.exp(spread * rng.normal(size=(n, classes)))
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("f_c", [0.0, 0.018, 0.3, 1.0])
def test_the_formula_of_flavour_tagging(rng, f_c):
    p = probabilities(rng)
    expected = [math.log(b / (f_c * c + (1 - f_c) * u)) for b, c, u in p]
    np.testing.assert_allclose(discriminant(p, BCU, "b", {"c": f_c, "u": 1 - f_c}), expected, rtol=1e-12, atol=1e-12)


def test_several_signals_have_fractions_too(rng):
    p = probabilities(rng, classes=5)
    expected = np.log((0.25 * p[:, 2] + 0.75 * p[:, 3]) / (p[:, 0] + p[:, 1] + p[:, 4]) * 3)
    result = discriminant(p, tuple("gqwzt"), {"w": 0.25, "z": 0.75})
    np.testing.assert_allclose(result, expected, rtol=1e-12)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_it_only_compares(seed, share):
    p, mixture = probabilities(np.random.default_rng(seed)), {"c": share, "u": 1 - share}
    result = discriminant(p, BCU, "b", mixture)
    # Signal and background swapped, it changes its sign.
    np.testing.assert_allclose(discriminant(p, BCU, mixture, "b"), -result, atol=1e-12)
    # The order of the classes does not matter.
    np.testing.assert_allclose(discriminant(p[:, ::-1], BCU[::-1], "b", mixture), result, atol=1e-12)
    # Nor does a class that is not used.
    wider = np.concatenate([p * 0.4, np.full((len(p), 1), 0.6)], axis=1)
    np.testing.assert_allclose(discriminant(wider, (*BCU, "tau"), "b", mixture), result, atol=1e-12)


def test_of_one_background_it_orders_jets_as_the_ratio_does(rng):
    p, labels = probabilities(rng, 400), rng.integers(0, 3, 400)
    curve = discriminant_curve(Scores(p, labels, None, BCU), "b", "u")
    rows = labels != 1
    ratio = roc_curve(p[rows, 0] / (p[rows, 0] + p[rows, 2]), labels[rows] == 0)
    np.testing.assert_array_equal(curve.fpr, ratio.fpr)
    np.testing.assert_array_equal(curve.tpr, ratio.tpr)


def test_its_auc_is_the_pairwise_one(toy):
    matrix = pairwise_auc(toy)
    for a, b in ((0, 1), (2, 3), (4, 0)):
        result = auc(discriminant_curve(toy, toy.classes[a], toy.classes[b]))
        assert result == pytest.approx(matrix[a, b], abs=1e-12)


def test_with_the_right_fractions_it_is_the_best(rng):
    # One dimension, three Gaussians with equal numbers: p is exact, and the background is 9 parts c and 1 part u.
    n = 60_000
    labels = rng.choice(3, n, p=[0.5, 0.45, 0.05])
    x = rng.normal(size=n) + np.array([0.0, 1.0, -2.0])[labels]
    p = np.exp(-((x[:, None] - [0.0, 1.0, -2.0]) ** 2) / 2)
    scores = Scores(p / p.sum(axis=1, keepdims=True), labels, None, BCU)
    right, wrong = (auc(discriminant_curve(scores, "b", {"c": f, "u": 1 - f})) for f in (0.9, 0.1))
    assert right > wrong + 0.01


def test_zeros_stay_finite():
    p = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1e-300, 1 - 1e-300, 0.0]])
    result = discriminant(p, BCU, "b", {"c": 0.5, "u": 0.5})
    assert np.isfinite(result).all()
    assert result[0] == -math.log(np.finfo(np.float32).tiny)
    assert result[1] < -86
    # Neither has any probability: it cannot be told.
    assert discriminant(p, BCU, "b", "u")[1] == 0


def test_float32_is_computed_in_float64(rng):
    p = probabilities(rng).astype(np.float32)
    result = discriminant(p, BCU, "b", "c")
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, discriminant(p.astype(np.float64), BCU, "b", "c"))


def test_the_curve_takes_only_the_classes_it_tells_apart(toy):
    rows = np.isin(toy.labels, (0, 1, 4))
    curve = discriminant_curve(toy, "t", {"g": 0.5, "q": 0.5})
    value = np.log(toy.scores[:, 4] / (toy.scores[:, 0] + toy.scores[:, 1]) * 2)
    assert auc(curve) == pytest.approx(auc(roc_curve(value[rows], toy.labels[rows] == 4, toy.weights[rows])), abs=1e-12)
    # A fraction of 0 takes the jets out as well.
    assert auc(discriminant_curve(toy, "t", {"g": 1.0, "q": 0.0})) == auc(discriminant_curve(toy, "t", "g"))


def test_a_class_without_jets_has_no_curve():
    one = Scores(np.array([[0.5, 0.3, 0.2]]), np.array([0]), None, BCU)
    assert discriminant_curve(one, "b") is None
    assert discriminant_curve(one, "c", "u") is None


@pytest.mark.parametrize(
    "signal, background, words",
    [
        ("x", None, "signal: expected classes out of b, c, u, found 'x'"),
        ("b", {"c": 0.5, "x": 0.5}, "background: expected classes out of b, c, u, found 'x'"),
        ("b", {"c": 0.2, "u": 0.2}, "background: expected fractions that add up to 1, found 0.4; divide them"),
        ("b", {"c": 1.2, "u": -0.2}, "background: expected a fraction from 0 to 1 for 'u', found -0.2"),
        ("b", {"c": math.nan}, "found nan"),
        ("b", {}, "add up to 1, found 0"),
        ("b", {"b": 0.5, "c": 0.5}, "background: expected classes other than the signal's, found 'b'"),
        ({"b": 0.2, "c": 0.3, "u": 0.5}, None, "background: expected a class or more besides the signal"),
    ],
)
def test_bad_mixtures_are_named(signal, background, words):
    with pytest.raises(InputError, match=words):
        class_fractions(BCU, signal, background)


@pytest.mark.parametrize(
    "p", [np.array([[0.5, 0.5]]), np.array([[np.nan, 0.5, 0.5]]), np.array([[2.0, 3.0, 1.0]]), 3.0, []]
)
def test_what_are_no_probabilities_is_named(p):
    with pytest.raises(InputError, match="scores: expected"):
        discriminant(p, BCU, "b")

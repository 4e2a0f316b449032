from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from hepjax.errors import InputError
from hepjax.evaluation.calibration import (
    COLDEST,
    HOTTEST,
    apply_temperature,
    brier_score,
    calibration_noise,
    expected_calibration_error,
    fit_temperature,
    maximum_calibration_error,
    reliability,
    scale_scores,
)
from hepjax.evaluation.intervals import binomial_interval
from hepjax.evaluation.metrics import cross_entropy
from hepjax.types import Scores

NAMES = tuple("gqwzt")


def honest(rng, n, temperature=1.0, classes=5, weights=None):
    """Scores whose probabilities at T = 1 / temperature would be frequencies."""
    z = 1.5 * rng.normal(size=(n, classes))
    labels = np.array([rng.choice(classes, p=p) for p in softmax(z, axis=1)]) if n < 5000 else _drawn(rng, z)
    return Scores(softmax(z * temperature, axis=1), labels, weights, NAMES[:classes])


def _drawn(rng, z):
    return np.argmax(z + rng.gumbel(size=z.shape), axis=1)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_a_class_is_reliable_as_scikit_learn_says(toy, bins):
    for c, name in enumerate(toy.classes):
        result = reliability(toy._replace(weights=None), bins, of_class=name)
        truth, messages = calibration_curve(toy.labels == c, toy.scores[:, c], n_bins=bins)
        full = result.weights > 0
        np.testing.assert_allclose(result.accuracy[full], truth, atol=1e-12)
        np.testing.assert_allclose(result.confidence[full], messages, atol=1e-12)
        assert np.isnan(result.accuracy[~full]).all()


def test_a_loop_over_bins_says_the_same(toy):
    result, best = reliability(toy, 10), toy.scores.argmax(axis=1)
    messages, right = toy.scores.max(axis=1), best == toy.labels
    for b in range(10):
        rows = (messages > result.edges[b]) & (messages <= result.edges[b + 1])
        w = toy.weights[rows]
        assert result.weights[b] == pytest.approx(w.sum())
        if rows.any():
            assert result.accuracy[b] == pytest.approx(np.average(right[rows], weights=w))
            assert result.confidence[b] == pytest.approx(np.average(messages[rows], weights=w))
            assert result.low[b] <= result.accuracy[b] + 1e-12
            assert result.high[b] >= result.accuracy[b] - 1e-12
        else:
            assert np.isnan([result.accuracy[b], result.confidence[b], result.low[b], result.high[b]]).all()
    full = result.weights > 0
    gaps = np.abs(result.accuracy - result.confidence)[full]
    assert expected_calibration_error(toy, 10) == pytest.approx(
        (result.weights[full] * gaps).sum() / result.weights.sum()
    )
    assert maximum_calibration_error(toy, 10) == pytest.approx(gaps.max())


def test_its_intervals_are_exact_ones(toy):
    jets = toy._replace(weights=None)
    result = reliability(jets)
    full = result.weights > 0
    low, high = binomial_interval(np.round(result.accuracy * result.weights)[full], result.weights[full])
    np.testing.assert_allclose(result.low[full], low, atol=1e-12)
    np.testing.assert_allclose(result.high[full], high, atol=1e-12)


def test_honest_scores_lie_in_their_intervals(rng):
    result = reliability(honest(rng, 40_000))
    full = result.weights > 0
    inside = (result.low <= result.confidence) & (result.confidence <= result.high)
    assert 0.4 < inside[full].mean() < 1.01
    wider = np.abs(result.confidence - result.accuracy)[full] / (result.high - result.low)[full]
    assert wider.max() < 2.5


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("of_class", [None, "t"])
def test_the_noise_is_what_honest_scores_show(rng, weighted, of_class):
    result = []
    for _ in range(60):
        scores = honest(rng, 5000, weights=rng.uniform(0.1, 2, 5000) if weighted else None)
        noise = calibration_noise(scores, of_class=of_class)
        result.append(expected_calibration_error(scores, of_class=of_class) / noise)
    assert np.mean(result) == pytest.approx(1, abs=0.12)


def test_brier_is_scikit_learns(toy):
    assert brier_score(toy) == pytest.approx(
        np.average(((toy.scores - np.eye(5)[toy.labels]) ** 2).sum(axis=1), weights=toy.weights), abs=1e-12
    )
    two = Scores(
        toy.scores[:, :2] / toy.scores[:, :2].sum(axis=1, keepdims=True), toy.labels % 2, toy.weights, ("a", "b")
    )
    expected = sk.brier_score_loss(two.labels, two.scores[:, 1], sample_weight=two.weights)
    assert brier_score(two) == pytest.approx(2 * expected, abs=1e-12)


@pytest.mark.parametrize("sharper", [0.4, 0.9, 1.0, 1.7, 4.0])
def test_a_known_temperature_is_found(rng, sharper):
    scores = honest(rng, 40_000, temperature=sharper)
    assert fit_temperature(scores) == pytest.approx(sharper, rel=0.02)
    scaled = scale_scores(scores, fit_temperature(scores))
    assert expected_calibration_error(scaled) < 2 * calibration_noise(scaled)
    assert cross_entropy(scaled) <= cross_entropy(scores)
    assert fit_temperature(scaled) == pytest.approx(1, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3))
def test_it_is_the_minimum_that_a_search_finds(seed, spread):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 60)
    z = spread * rng.normal(size=(60, 3))
    z[np.arange(60), labels] += rng.choice([0.0, 1.5], 60)
    scores = Scores(softmax(z, axis=1), labels, rng.choice([0.0, 1.0, 2.0], 60), NAMES[:3])
    assume(len(set(labels[scores.weights > 0])) == 3)

    def loss(log_inverse):
        q = softmax(np.log(scores.scores) * math.exp(log_inverse), axis=1)
        return np.average(-np.log(np.maximum(q[np.arange(60), labels], 1e-300)), weights=scores.weights)

    best = minimize_scalar(
        loss, bounds=(-math.log(HOTTEST), -math.log(COLDEST)), method="bounded", options={"xatol": 1e-9}
    )
    if abs(best.x) > 3.5:  # near the bounds, where it may be refused
        return
    assert fit_temperature(scores) == pytest.approx(math.exp(-best.x), rel=1e-4)
    assert loss(-math.log(fit_temperature(scores))) <= best.fun + 1e-12


def test_of_two_classes_it_is_a_logistic_regression_without_intercept(rng):
    scores = honest(rng, 4000, temperature=2.0, classes=2, weights=rng.uniform(0.1, 2, 4000))
    z = np.log(scores.scores[:, 1:] / scores.scores[:, :1])
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(z, scores.labels, scores.weights)
    assert fit_temperature(scores) == pytest.approx(1 / model.coef_[0, 0], rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 10), st.floats(0.5, 10))
def test_temperatures_multiply_and_keep_the_order(seed, a, b):
    p = softmax(3 * np.random.default_rng(seed).normal(size=(8, 4)), axis=1)
    twice, once = apply_temperature(apply_temperature(p, a), b), apply_temperature(p, a * b)
    big = once > 1e-30
    np.testing.assert_allclose(twice[big], once[big], rtol=1e-6)
    np.testing.assert_allclose(once.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(once.argmax(axis=1), p.argmax(axis=1))
    np.testing.assert_allclose(apply_temperature(p, 1.0), p, rtol=1e-12)


def test_zeros_and_many_rows():
    p = np.tile(np.array([[1.0, 0.0], [0.25, 0.75]], np.float32), (10_000, 1))
    result = apply_temperature(p, 2.0)
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result[::2], np.tile(result[:1], (10_000, 1)))
    np.testing.assert_array_equal(result[1::2], np.tile(result[1:2], (10_000, 1)))
    assert result[0, 1] < 1e-18


def test_float32_and_zeros_can_be_fitted(rng):
    scores = honest(rng, 6000, temperature=30.0)
    assert (scores.scores.astype(np.float32) == 0).any()
    result = fit_temperature(scores._replace(scores=scores.scores.astype(np.float32)))
    assert result == pytest.approx(30, rel=0.3)  # what underflowed is not what it was


def test_jets_without_weight_do_not_count(toy):
    rows = np.arange(2000) < 1500
    lightless = toy._replace(weights=np.where(rows, toy.weights, 0))
    part = Scores(toy.scores[rows], toy.labels[rows], toy.weights[rows], toy.classes)
    assert fit_temperature(lightless) == pytest.approx(fit_temperature(part), rel=1e-9)
    assert expected_calibration_error(lightless) == pytest.approx(expected_calibration_error(part))
    assert brier_score(lightless) == pytest.approx(brier_score(part))


def test_a_single_jet():
    one = Scores(np.array([[0.8, 0.2]]), np.array([0]), None, ("q", "t"))
    assert expected_calibration_error(one) == pytest.approx(0.2)
    assert brier_score(one) == pytest.approx(0.08)
    with pytest.raises(InputError, match="two classes"):
        fit_temperature(one)


EYE = np.eye(2)[[0, 1, 0, 1]]


@pytest.mark.parametrize(
    "p, labels, words",
    [
        (EYE, [0, 1, 0, 1], "every jet is called right"),
        (EYE * 0.2 + 0.4, [0, 1, 0, 1], "from 0.02, found none: as good as every jet is called right"),
        (EYE, [1, 0, 1, 0], "up to 50, found none: they are no better than a guess"),
        (EYE * 0.2 + 0.4, [0, 1, 1, 0], "no better than a guess"),
        (np.full((4, 2), 0.5), [0, 1, 0, 1], "the same for all classes"),
        (EYE, [1, 1, 1, 1], "expected jets of two classes or more to fit a temperature"),
        (np.full((4, 2), np.nan), [0, 1, 0, 1], "scores: expected finite"),
        (EYE, [0, 1, 0, 2], "labels: expected indices from 0 to 1, found 2"),
    ],
)
def test_what_no_temperature_fits_is_refused(p, labels, words):
    with pytest.raises(InputError, match=words):
        fit_temperature(Scores(p, np.array(labels), None, ("q", "t")))


def test_five_equal_probabilities_are_refused_too():
    labels = np.arange(50) % 5
    with pytest.raises(InputError, match="the same for all classes"):
        fit_temperature(Scores(np.full((50, 5), np.float32(0.2)), labels, None, NAMES))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda toy: reliability(toy, 0), "bins: expected one or more, found 0"),
        (lambda toy: reliability(toy, of_class="x"), "of_class: expected one of g, q, w, z, t, found 'x'"),
        (lambda toy: reliability(toy._replace(weights=-toy.weights)), "weights: expected a positive sum"),
        (lambda toy: reliability(toy._replace(weights=0 * toy.weights)), "weights: expected a positive sum"),
        (lambda toy: scale_scores(toy, 0.0), "temperature: expected a positive number, found 0"),
        (lambda toy: scale_scores(toy, math.nan), "temperature"),
    ],
)
def test_bad_input_is_named(toy, call, words):
    with pytest.raises(InputError, match=words):
        call(toy)

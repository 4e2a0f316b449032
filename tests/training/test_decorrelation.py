"""Distance correlation against its definition, and the contest of a tagger with its adversary."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.training import decorrelation, losses
from hepjax.training.decorrelation import (
    ADVERSARY,
    BINS,
    correlation_loss,
    make_adversarial_contest,
    make_contest_loss,
    reverse_gradient,
    signal_log_odds,
    without_adversary,
)

distance_correlation = jax.jit(decorrelation.distance_correlation)
BACKGROUND = jnp.array([True, True, False, False])
SIGNAL = [2, 3]


def by_definition(x, y, weights):
    """Loops over pairs, in float64."""
    n, w = len(x), np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)

    def centered(v):
        v = np.asarray(v, np.float64).reshape(n, -1)
        d = np.array([[np.linalg.norm(v[i] - v[j]) for j in range(n)] for i in range(n)])
        row = [sum(w[k] * d[i, k] for k in range(n)) for i in range(n)]
        return np.array([[d[i, j] - row[i] - row[j] + np.dot(w, row) for j in range(n)] for i in range(n)])

    a, b = centered(x), centered(y)
    ab, aa, bb = (
        sum(w[i] * w[j] * (p * q)[i, j] for i in range(n) for j in range(n)) for p, q in ((a, b), (a, a), (b, b))
    )
    return ab / np.sqrt(aa * bb)


def sample(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = x[:, :2] ** 2 + 0.3 * rng.normal(size=(n, 2))
    return x.astype(np.float32), y.astype(np.float32), rng.uniform(0.2, 2, n).astype(np.float32)


def test_distance_correlation_is_its_definition():
    x, y, w = sample()
    assert distance_correlation(x, y, w) == pytest.approx(by_definition(x, y, w), rel=1e-4)
    assert distance_correlation(x[:, 0], y[:, 0]) == pytest.approx(
        by_definition(x[:, 0], y[:, 0], np.ones(40)), rel=1e-4
    )


def test_distance_correlation_does_not_care_for_units_place_order_and_direction():
    x, y, w = sample()
    expected, order = float(distance_correlation(x, y, w)), np.random.default_rng(1).permutation(40)
    turned = x @ np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0].astype(np.float32)
    assert distance_correlation(-7 * x + 3, y / 100, w) == pytest.approx(expected, rel=1e-3)
    assert distance_correlation(turned, y, 5 * w) == pytest.approx(expected, rel=1e-4)
    assert distance_correlation(x[order], y[order], w[order]) == pytest.approx(expected, rel=1e-4)
    assert distance_correlation(y, x, w) == pytest.approx(expected, rel=1e-4)


def test_a_weight_of_two_is_the_jet_twice():
    x, y, _ = sample(12)
    w = np.ones(12, np.float32)
    w[3] = 2
    twice = [np.concatenate([v, v[3:4]]) for v in (x, y)]
    assert distance_correlation(x, y, w) == pytest.approx(float(distance_correlation(*twice)), rel=1e-4)


def test_what_has_no_weight_changes_nothing_even_nan():
    x, y, w = sample(20)
    w[5:9] = 0
    x[5:9], y[5:7] = np.nan, np.inf
    kept = w > 0
    value, gradient = jax.jit(jax.value_and_grad(decorrelation.distance_correlation))(jnp.asarray(x), y, w)
    assert value == pytest.approx(float(distance_correlation(x[kept], y[kept], w[kept])), rel=1e-4)
    assert np.isfinite(gradient).all()
    assert (np.asarray(gradient)[5:9] == 0).all()


def test_dependence_is_seen_where_correlation_is_not_and_independence_is_near_zero():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 800)).astype(np.float32)
    assert abs(np.corrcoef(x, x**2)[0, 1]) < 0.15
    assert distance_correlation(x, x**2) > 0.2
    assert distance_correlation(x, z) < 0.01
    assert distance_correlation(x, np.ones(800, np.float32)) == 0


def test_odds_are_those_of_one_class_against_the_background():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32))
    p = jax.nn.softmax(logits)
    found = jax.nn.sigmoid(signal_log_odds(logits, BACKGROUND, SIGNAL))
    for column, c in enumerate(SIGNAL):
        np.testing.assert_allclose(found[:, column], p[:, c] / (p[:, c] + p[:, 0] + p[:, 1]), rtol=1e-5)
    # Where all classes are background, it is each against the rest.
    everything = jax.nn.sigmoid(signal_log_odds(logits, jnp.ones(4, bool), range(4)))
    np.testing.assert_allclose(everything, p, rtol=1e-5)


def jets(n, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)).astype(np.float32)
    labels = rng.integers(4, size=n)
    return jnp.asarray(logits), jnp.asarray(labels), jnp.ones(n), jnp.asarray(rng.random(n, np.float32))


def test_the_correlation_is_that_of_background_jets_by_what_a_cut_would_take():
    logits, labels, weights, nuisance = jets(60)
    loss = losses.categorical_cross_entropy
    plain = float(loss(logits, labels, weights))
    rows = np.asarray(labels) < 2
    d = np.asarray(jax.nn.sigmoid(signal_log_odds(logits, BACKGROUND, SIGNAL)))[rows]
    each = [by_definition(d[:, i], np.asarray(nuisance)[rows], d[:, i]) for i in range(2)]
    found = jax.jit(correlation_loss(loss, 3.0, BACKGROUND, SIGNAL))(logits, labels, weights, nuisance)
    assert found - plain == pytest.approx(3 * np.average(each, weights=d.sum(axis=0)), rel=1e-3)
    assert jax.jit(correlation_loss(loss, 0.0, BACKGROUND, SIGNAL))(logits, labels, weights, nuisance) == pytest.approx(
        plain
    )


def test_of_many_jets_groups_are_looked_at_and_padding_changes_nothing():
    logits, labels, weights, nuisance = jets(2502)
    total = jax.jit(correlation_loss(lambda *_: jnp.zeros(()), 1.0, BACKGROUND, [2]))
    parts = [tuple(x[i : i + 834] for x in (logits, labels, weights, nuisance)) for i in range(0, 2502, 834)]
    counts = [float((jax.nn.sigmoid(signal_log_odds(p[0], BACKGROUND, [2]))[:, 0] * (p[1] < 2)).sum()) for p in parts]
    expected = np.average([float(total(*part)) for part in parts], weights=counts)
    assert total(logits, labels, weights, nuisance) == pytest.approx(expected, abs=1e-5)
    few = jets(50)
    padded = [
        jnp.concatenate([x, jnp.full((9, *x.shape[1:]), fill, x.dtype)])
        for x, fill in zip(few, (jnp.nan, 0, 0, 0), strict=True)
    ]
    assert total(*padded) == pytest.approx(float(total(*few)), rel=1e-5)
    assert np.isfinite(jax.grad(total)(*padded)).all()


def linear(params, model_state, inputs, mask, key):
    return inputs @ params["w"], model_state


def test_the_tagger_s_gradient_is_reversed_and_the_adversary_s_is_not():
    _, labels, weights, nuisance = jets(30)
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.normal(size=(30, 5)).astype(np.float32))
    params = {"w": jnp.asarray(rng.normal(size=(5, 4)).astype(np.float32))}
    other = {"w": jnp.asarray(rng.normal(size=(2, BINS)).astype(np.float32))}
    loss = losses.categorical_cross_entropy

    @jax.jit
    def value(strength, params, other):
        both = make_adversarial_contest(linear, linear, strength, BACKGROUND, SIGNAL)
        outputs, _ = both({**params, ADVERSARY: other}, {}, x, weights > 0, None)
        return make_contest_loss(loss, BACKGROUND, SIGNAL)(outputs, labels, weights, nuisance)

    plain = jax.grad(lambda params: loss(x @ params["w"], labels, weights))(params)["w"]
    tagger = [np.asarray(jax.grad(value, 1)(s, params, other)["w"] - plain) for s in (1.0, 4.0)]
    np.testing.assert_allclose(tagger[1], 4 * tagger[0], rtol=1e-3, atol=1e-6)
    assert np.abs(tagger[0]).max() > 1e-4
    own = [np.asarray(jax.grad(value, 2)(s, params, other)["w"]) for s in (1.0, 4.0)]
    np.testing.assert_allclose(own[0], own[1], rtol=1e-5)
    # A step of the adversary lowers the loss; one of the tagger along the reversed part raises what it lacks.
    better = {"w": other["w"] - 0.1 * own[0]}
    assert value(1.0, params, better) < value(1.0, params, other)
    hidden = {"w": params["w"] - 0.01 * tagger[0]}

    def known(params):
        return loss(x @ params["w"], labels, weights) - value(1.0, params, other)

    assert known(hidden) < known(params)


def test_the_contest_s_loss_counts_the_nats_that_the_adversary_knows():
    logits, labels, weights, nuisance = jets(40)
    loss = losses.categorical_cross_entropy
    total = make_contest_loss(loss, BACKGROUND, SIGNAL)
    plain = float(loss(logits, labels, weights))
    assert total((logits, jnp.zeros((40, BINS))), labels, weights, nuisance) == pytest.approx(plain, abs=1e-5)
    sure = 100 * jax.nn.one_hot((nuisance * BINS).astype(int), BINS)
    assert total((logits, sure), labels, weights, nuisance) == pytest.approx(plain - np.log(BINS), abs=1e-4)
    assert np.isfinite(total((logits, sure), labels, weights, jnp.ones(40)))  # the last rank is in the last part


def test_reversed_gradients_go_through_vmap_and_jit():
    gradient = jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(reverse_gradient(x, 0.5) ** 2))))(jnp.ones((2, 3)))
    np.testing.assert_array_equal(gradient, -np.ones((2, 3)))
    assert without_adversary({"a": 1, ADVERSARY: 2}) == {"a": 1}

"""k-means against scikit-learn's, slow loops, and what must hold of any clusters."""

from __future__ import annotations

import sys
from functools import partial

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from hepjax import InputError, read_jets
from hepjax.inputs import apply_scaling, fit_scaling, tabular
from hepjax.tasks.clustering import kmeans, kmeans_from, nearest

module = sys.modules["hepjax.tasks.clustering.kmeans"]
N, K, STARTS = 1000, 5, 8


@pytest.fixture(scope="module")
def jets():
    """(1000, 16) scaled observables of the sample's jets."""
    x = tabular(read_jets()[:N])
    return apply_scaling(fit_scaling(x), x)


def inertia(x, centers, labels):
    return ((np.asarray(x, np.float64) - np.asarray(centers, np.float64)[np.asarray(labels)]) ** 2).sum(axis=1)


def assert_like(fitted, oracle):
    np.testing.assert_array_equal(fitted.labels, oracle.labels_)
    np.testing.assert_allclose(
        fitted.centers, oracle.cluster_centers_, atol=2e-6 * np.abs(oracle.cluster_centers_).max()
    )
    assert float(fitted.inertia) == pytest.approx(oracle.inertia_, rel=2e-6)
    assert int(fitted.iterations) == oracle.n_iter_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(4))
def test_from_given_centres_it_is_that_of_scikit_learn(jets, seed, dtype):
    first = jets[np.random.default_rng(seed).choice(N, K, replace=False)]
    x = jets.astype(dtype)
    result = kmeans_from(x, first)
    assert_like(result, KMeans(K, init=first.astype(dtype), n_init=1).fit(x))
    assert 3 < int(result.iterations) < 100


@pytest.mark.parametrize("most, tolerance", [(4, 1e-4), (300, 0.0), (300, 0.03)])
def test_it_stops_where_scikit_learn_does(jets, most, tolerance):
    first = jets[:K]
    oracle = KMeans(K, init=first, n_init=1, max_iter=most, tol=tolerance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # that it did not converge
        oracle.fit(jets)
    assert_like(kmeans_from(jets, first, iterations=most, tolerance=tolerance), oracle)


def test_far_from_zero_little_is_lost(jets):
    """What the host holds in float64 is centered before it becomes float32."""
    x = jets.astype(np.float64)
    first = x[:K]
    result = kmeans_from(x + 1e6, first + 1e6)
    expected = kmeans_from(x, first)
    np.testing.assert_array_equal(result.labels, expected.labels)
    assert float(result.inertia) == pytest.approx(float(expected.inertia), rel=1e-5)


def test_the_best_of_several_starts_is_as_good_as_scikit_learn_s(jets):
    oracle = KMeans(K, n_init=STARTS, random_state=0).fit(jets)
    result = kmeans(jets, K, jax.random.key(1), starts=STARTS)
    assert float(result.inertia) == pytest.approx(oracle.inertia_, rel=2e-3)
    assert float(result.inertia) == pytest.approx(inertia(jets, result.centers, result.labels).sum(), rel=1e-5)
    np.testing.assert_array_equal(nearest(jets, result.centers), result.labels)


def test_the_lowest_inertia_is_kept_and_every_start_has_its_own_key(jets):
    keys = jax.random.split(jax.random.key(7), STARTS)
    alone = [
        float(module._best_kmeans_run(jets, jnp.ones(N), keys[np.full(STARTS, i)], K, 300, 1e-4).inertia)
        for i in range(STARTS)
    ]
    together = [float(kmeans(jets, K, jax.random.key(7), starts=STARTS).inertia) for _ in range(2)]
    assert together[0] == together[1] == pytest.approx(min(alone), rel=1e-5)
    assert max(alone) > 1.001 * min(alone)


def test_a_second_centre_is_drawn_by_its_squared_distance():
    """Of 2 trials the one of the lower inertia is kept; compared with the probabilities of all outcomes."""
    x = np.array([[0.0], [1.0], [3.0], [7.0]])
    points, draw_centers = jnp.asarray(x, jnp.float32), module._kmeans_plus_plus_centers
    draw = jax.jit(jax.vmap(lambda key: draw_centers(points, jnp.ones(4), key, 2)))
    samples = np.asarray(draw(jax.random.split(jax.random.key(0), 20_000)))[..., 0]
    expected = {}
    for first in x[:, 0]:
        squares = (x[:, 0] - first) ** 2
        then = [np.minimum(squares, (x[:, 0] - other) ** 2).sum() for other in x[:, 0]]
        for i, p in enumerate(squares / squares.sum()):
            for j, q in enumerate(squares / squares.sum()):
                pair = (first, x[i if then[i] <= then[j] else j, 0])
                expected[pair] = expected.get(pair, 0) + p * q / 4
    for pair, p in expected.items():
        result = (samples == pair).all(axis=1).mean()
        assert result == pytest.approx(p, abs=4.5 * np.sqrt(p * (1 - p) / 20_000) + 1e-9)


def test_seeds_are_different_jets_down_to_the_last():
    x = np.repeat([[1000.0, 0.0], [1001.0, 0.0], [1000.0, 1.0]], 4, axis=0)
    for seed in range(5):
        result = kmeans(x, 3, jax.random.key(seed), starts=2)
        assert float(result.inertia) == 0
        assert sorted(result.centers.tolist()) == [[1000, 0], [1000, 1], [1001, 0]]


class TestEmptyClusters:
    x = np.array([[0.0], [1.0], [2.0], [10.0], [30.0]], np.float32)

    def test_goes_to_the_farthest_jet(self):
        result = kmeans_from(self.x, np.array([[1.0], [-100.0]]))
        assert result.centers.tolist() == [[3.25], [30.0]]
        assert result.labels.tolist() == [0, 0, 0, 0, 1]

    def test_two_go_to_different_ones(self):
        result = kmeans_from(self.x, np.array([[1.0], [-100.0], [-200.0]]))
        assert sorted(result.centers[:, 0].tolist()) == [1.0, 10.0, 30.0]
        assert float(result.inertia) == 2

    def test_a_jet_without_weight_is_not_taken(self):
        result = kmeans_from(self.x, np.array([[1.0], [-100.0]]), weights=[1, 1, 1, 1, 0])
        assert result.centers.tolist() == [[1.0], [10.0]]
        assert int(result.labels[-1]) == 1

    def test_scikit_learn_moves_them_alike(self, jets):
        first = np.concatenate([jets[:4], np.full((1, 16), 50, np.float32)])
        assert_like(kmeans_from(jets, first), KMeans(K, init=first, n_init=1).fit(jets))


def test_weights_are_repetitions(jets):
    weights = np.random.default_rng(0).integers(0, 4, N)
    first = jets[weights > 0][:K]
    result = kmeans_from(jets, first, weights=weights)
    repeated = kmeans_from(np.repeat(jets, weights, axis=0), first)
    np.testing.assert_allclose(result.centers, repeated.centers, atol=1e-5)
    np.testing.assert_array_equal(np.repeat(result.labels, weights), repeated.labels)
    assert float(result.inertia) == pytest.approx(float(repeated.inertia), rel=1e-5)


def test_under_jit_it_is_the_same(jets):
    compiled = jax.jit(lambda x, first: (kmeans_from(x, first), nearest(x, first)))
    result, labels = compiled(jets, jets[:K])
    np.testing.assert_array_equal(result.labels, kmeans_from(jets, jets[:K]).labels)
    np.testing.assert_array_equal(labels, nearest(jets, jets[:K]))
    shapes = jax.eval_shape(partial(kmeans, clusters=K, starts=3), jets, key=jax.random.key(0))
    assert [leaf.shape for leaf in shapes] == [(K, 16), (N,), (), ()]


def test_memory_is_that_of_jets_times_clusters(jets):
    keys = jax.random.split(jax.random.key(0), STARTS)
    compiled = module._best_kmeans_run.lower(jets, jnp.ones(N), keys, K, 300, 1e-4).compile()
    needed = compiled.memory_analysis().temp_size_in_bytes
    assert 0 < needed < 4 * (4 * STARTS * N * K + 2 * N * 16) < 4 * STARTS * N * K * 16 / 2


@hypothesis.given(
    st.lists(st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 2), min_size=12, max_size=12), st.integers(0, 2**31)
)
@hypothesis.settings(max_examples=25)
def test_no_jet_would_be_better_off_elsewhere(points, seed):
    x = np.array(points, np.float32)
    hypothesis.assume(len(np.unique(x - x.mean(axis=0, dtype=np.float64).astype(np.float32), axis=0)) >= 3)
    result = kmeans(x, 3, jax.random.key(seed), starts=2)
    squares = ((x[:, None].astype(np.float64) - np.asarray(result.centers, np.float64)) ** 2).sum(axis=-1)
    selected = squares[np.arange(12), np.asarray(result.labels)]
    assert (selected <= squares.min(axis=1) + 1e-5 * (1 + np.ptp(x) ** 2)).all()
    assert float(result.inertia) == pytest.approx(selected.sum(), rel=1e-4, abs=1e-3)
    assert float(result.inertia) <= ((x - x.mean(axis=0)) ** 2).sum() * (1 + 1e-4) + 1e-3


GOOD = np.arange(12.0).reshape(6, 2)
BAD = np.array([[0, 1], [2, np.nan], [4, 5], [np.inf, 0]])


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda key: kmeans(GOOD, 7, key),
            "clusters: expected at most as many as there are different jets, 6, found 7",
        ),
        (lambda key: kmeans(np.ones((50, 2)), 2, key), "different jets, 1, found 2; ask for fewer, or give more jets"),
        (lambda key: kmeans_from(np.repeat(GOOD[:2], 9, 0), GOOD[:3]), "different jets, 2, found 3"),
        (lambda key: kmeans(GOOD, 3, key, weights=[1, 1, 0, 0, 0, 0]), "different jets, 2, found 3"),
        (lambda key: kmeans(GOOD, 0, key), "clusters: expected 1 or more, found 0"),
        (lambda key: kmeans(GOOD, 2, key, starts=0), "starts: expected 1 or more, found 0"),
        (lambda key: kmeans(GOOD, 2, key, iterations=0), "iterations: expected 1 or more, found 0"),
        (
            lambda key: kmeans(BAD, 2, key),
            "x: expected finite numbers, found 2 NaN or infinite, first in row 1, column 1",
        ),
        (lambda key: kmeans_from(GOOD, BAD), "centers: expected finite numbers, found 2"),
        (lambda key: kmeans_from(GOOD, np.ones((2, 3))), "centers: expected 2 columns, found 3"),
        (lambda key: kmeans_from(GOOD, GOOD[:2], iterations=0), "iterations: expected 1 or more, found 0"),
        (lambda key: kmeans(GOOD[0], 1, key), r"x: expected shape \(N, F\), a row for each jet, found \(2,\)"),
        (lambda key: kmeans(GOOD[:0], 1, key), r"x: expected shape \(N, F\), a row for each jet, found \(0, 2\)"),
        (lambda key: kmeans(GOOD, 2, key, weights=[1, 2]), r"weights: expected shape \(6,\), one for each jet"),
        (
            lambda key: kmeans(GOOD, 2, key, weights=[1, 1, 1, 1, 1, -2]),
            "weights: expected finite numbers of 0 or more",
        ),
        (lambda key: nearest(GOOD, np.ones((2, 3))), "x: expected 3 columns, found 2; give the same features"),
        (lambda key: jax.jit(lambda x: kmeans(x, 7, key))(GOOD), "different jets, 6, found 7"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call(jax.random.key(0))

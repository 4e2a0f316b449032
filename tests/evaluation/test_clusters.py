"""Agreement of clusters with classes: against scikit-learn, slow loops, and under what must not matter."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from hepjax import InputError
from hepjax.evaluation import adjusted_rand_index, cluster_figures, cluster_table, purity

PAIRS = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(0, k), min_size=n, max_size=n) for k in (4, 6)))
)


@given(PAIRS)
def test_scikit_learn_and_slow_loops(pair):
    clusters, labels = pair
    assert adjusted_rand_index(clusters, labels) == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-12)
    right = sum(max(np.bincount([y for k, y in zip(*pair, strict=True) if k == c])) for c in set(clusters))
    assert purity(clusters, labels) == pytest.approx(right / len(labels), abs=1e-12)
    table = cluster_table(clusters, labels)
    assert table.sum() == len(labels)
    assert all(table[k, c] == sum(p == (k, c) for p in zip(*pair, strict=True)) for k, c in np.ndindex(table.shape))


def test_rand_counts_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.integers(3, size=30), rng.integers(4, size=30)
    b[:15] = a[:15]
    pairs = [(a[i] == a[j], b[i] == b[j]) for i, j in combinations(range(30), 2)]
    together, one, other = (sum(map(bool, x)) for x in zip(*((p and q, p, q) for p, q in pairs), strict=True))
    chance = one * other / len(pairs)
    assert adjusted_rand_index(a, b) == pytest.approx((together - chance) / ((one + other) / 2 - chance), abs=1e-12)


def test_names_of_clusters_do_not_matter_and_chance_is_zero():
    rng = np.random.default_rng(0)
    labels = rng.integers(5, size=20_000)
    clusters = np.where(rng.random(20_000) < 0.7, labels, rng.integers(5, size=20_000))
    renamed = np.array([7, 0, 3, 2, 9])[clusters]
    assert purity(renamed, labels) == purity(clusters, labels) == pytest.approx(0.76, abs=0.01)
    assert adjusted_rand_index(renamed, labels) == pytest.approx(adjusted_rand_index(clusters, labels), abs=1e-12)
    assert adjusted_rand_index(labels, clusters) == pytest.approx(adjusted_rand_index(clusters, labels), abs=1e-12)
    assert adjusted_rand_index(rng.permutation(clusters), labels) == pytest.approx(0, abs=0.002)
    assert purity(np.zeros(20_000, int), labels) == np.bincount(labels).max() / 20_000


def test_a_million_jets_overflow_nothing():
    labels = np.arange(4_000_000) % 4
    assert adjusted_rand_index(labels, labels) == 1
    assert adjusted_rand_index(0 * labels, 0 * labels) == 1
    assert adjusted_rand_index(labels // 2, labels) == pytest.approx(0.5, abs=1e-6)


def test_errors_are_those_of_new_samples():
    rng = np.random.default_rng(1)

    def sample():
        labels = rng.integers(5, size=1000)
        return np.where(rng.random(1000) < 0.6, labels, rng.integers(5, size=1000)), labels

    samples = [sample() for _ in range(300)]
    figures = cluster_figures(*samples[0])
    assert figures == cluster_figures(*samples[0])
    assert figures != cluster_figures(*samples[0], seed=1)
    for name, figure in (("purity", purity), ("adjusted_rand_index", adjusted_rand_index)):
        value, error = figures[name]
        assert value == pytest.approx(figure(*samples[0]), abs=1e-12)
        assert error == pytest.approx(np.std([figure(*one) for one in samples]), rel=0.2)


@pytest.mark.parametrize(
    "clusters, labels, words",
    [
        ([0, 1], [0, 1, 1], "labels: expected those of 2 jets, as clusters has, found 3"),
        ([], [], r"clusters: expected shape \(N,\) of indices from 0, one jet or more, found float64 of shape \(0,\)"),
        ([0.5, 1], [0, 1], "clusters: expected .* found float64"),
        ([0, 1], [0, -1], "labels: expected .*, smallest -1"),
        ([[0, 1]], [0], r"clusters: expected .* of shape \(1, 2\)"),
    ],
)
def test_bad_input(clusters, labels, words):
    for figure in (purity, adjusted_rand_index, cluster_figures):
        with pytest.raises(InputError, match=words):
            figure(clusters, labels)

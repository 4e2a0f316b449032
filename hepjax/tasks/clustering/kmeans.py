"""k-means clustering with K centers, each the mean of its nearest jets."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.clustering._feature_tables import (
    checked_features,
    column_means,
    is_traced_table,
    subtract_column_means,
)

if TYPE_CHECKING:
    from hepjax.types import Array

_EXACT = jax.lax.Precision.HIGHEST
_ROUNDING = 1e-6
"""The relative squared distance below which k-means++ treats two jets as equal."""


class Clusters(NamedTuple):
    """K clusters of N jets with F features."""

    centers: Array
    """(K, F) float32 centers."""
    labels: Array
    """(N,) int32 indices of the nearest center of each jet."""
    inertia: Array
    """() float32, the weighted sum of squared distances to the nearest center."""
    iterations: Array
    """() int32 number of iterations."""


class _State(NamedTuple):
    centers: jax.Array
    labels: jax.Array
    done: jax.Array
    iteration: jax.Array


def kmeans(
    x: Any,
    clusters: int,
    key: jax.Array,
    *,
    weights: Any = None,
    starts: int = 10,
    iterations: int = 300,
    tolerance: float = 1e-4,
) -> Clusters:
    """Returns the best of several runs of k-means that start from different k-means++ centers.

    The first center is a random jet. Each further center is the best of 2 + ln K jets, drawn with a probability
    proportional to the squared distance to the nearest center so far. All runs are one program, which needs memory for
    starts · N · K distances. The function also works under `jax.jit`, where only shapes are checked.

    Args:
      x: (N, F) features; scale them first, because large features dominate.
      clusters: number of clusters, K.
      key: () typed PRNG key.
      weights: (N,) non-negative jet weights; None means 1. A jet of weight 0 gets a label but has no influence.
      starts: number of runs.
      iterations: maximum number of iterations of a run.
      tolerance: a run ends when no label changes, or when the summed squared shift of the centers is at most this share
        of the mean variance of the features.

    Returns:
      The result of the run with the lowest inertia.

    Raises:
      InputError: there are fewer different jets than clusters, numbers are not finite, or shapes do not fit.

    References: D. Arthur, S. Vassilvitskii, "k-means++", SODA 2007, section 2.2, and section 5 for the best of
    several; S. Lloyd, IEEE Trans. Inf. Theory 28 (1982) 129.

    >>> x = np.repeat([[0.0, 0.0], [1.0, 1.0], [9.0, 9.0]], 4, axis=0)
    >>> clusters = kmeans(x, 3, jax.random.key(0), starts=2)
    >>> sorted(clusters.centers.tolist()), float(clusters.inertia)
    ([[0.0, 0.0], [1.0, 1.0], [9.0, 9.0]], 0.0)
    """
    for name, number in (("clusters", clusters), ("starts", starts), ("iterations", iterations)):
        if number < 1:
            raise InputError(f"{name}: expected 1 or more, found {number}")
    table = checked_features(x)
    w = _checked_kmeans_weights(weights, len(table))
    shift = column_means(table)
    centered = subtract_column_means(table, shift)
    _check_enough_distinct_jets(centered, w, clusters)
    best: Clusters = _best_kmeans_run(centered, w, jax.random.split(key, starts), clusters, iterations, tolerance)
    return best._replace(centers=best.centers + shift)


def kmeans_from(
    x: Any, centers: Any, *, weights: Any = None, iterations: int = 300, tolerance: float = 1e-4
) -> Clusters:
    """Runs k-means from specified centers.

    The center of an empty cluster moves to the jet that is farthest from its center, a second one to the next farthest,
    so that no cluster stays empty if there are enough jets.

    Args:
      x: (N, F) features.
      centers: (K, F) initial centers.
      weights: (N,) non-negative jet weights; None means 1.
      iterations: maximum number of iterations.
      tolerance: tolerance as in `kmeans`.

    Returns:
      The clusters.

    Raises:
      InputError: for the reasons of `kmeans`.

    >>> clusters = kmeans_from(np.array([[0.0], [1.0], [10.0]]), np.array([[5.0], [6.0]]))
    >>> clusters.centers.tolist(), clusters.labels.tolist(), int(clusters.iterations)
    ([[0.5], [10.0]], [0, 0, 1], 2)
    """
    table = checked_features(x)
    w = _checked_kmeans_weights(weights, len(table))
    first = checked_features(centers, "centers", table.shape[1])
    if iterations < 1:
        raise InputError(f"iterations: expected 1 or more, found {iterations}")
    shift = column_means(table)
    centered = subtract_column_means(table, shift)
    _check_enough_distinct_jets(centered, w, len(first))
    result: Clusters = _single_kmeans_run(centered, w, subtract_column_means(first, shift), iterations, tolerance)
    return result._replace(centers=result.centers + shift)


def nearest(x: Any, centers: Any) -> jax.Array:
    """Returns the cluster of each jet for centers that were fitted before.

    Args:
      x: (N, F) features.
      centers: (K, F) centers, from `Clusters`.

    Returns:
      (N,) int32 indices of the nearest center; the first of several at equal distance.

    Raises:
      InputError: shapes do not fit, or numbers are not finite.

    >>> nearest(np.array([[0.2], [7.0]]), np.array([[0.0], [10.0]])).tolist()
    [0, 1]
    """
    table, means = checked_features(x), checked_features(centers, "centers")
    shift = column_means(means)
    features = subtract_column_means(checked_features(table, columns=means.shape[1]), shift)
    labels: jax.Array = _jitted_nearest(features, subtract_column_means(means, shift))[0]
    return labels


def _checked_kmeans_weights(weights: Any, n: int) -> jax.Array:
    """Checks jet weights and returns them as (N,) float32."""
    if weights is None:
        return jnp.ones(n)
    w = jnp.asarray(weights, jnp.float32)
    if w.shape != (n,):
        raise InputError(f"weights: expected shape ({n},), one for each jet, found {w.shape}")
    if not is_traced_table(w):
        bad = ~(np.isfinite(w) & (np.asarray(w) >= 0))
        if bad.any():
            raise InputError(f"weights: expected finite numbers of 0 or more, found {w[bad.argmax()]}; leave jets out")
    return w


def _check_enough_distinct_jets(x: jax.Array, w: jax.Array, clusters: int) -> None:
    """Checks that there are at least as many different jets as clusters."""
    different = x.shape[0]
    if not (is_traced_table(x) or is_traced_table(w)):
        counted = np.asarray(x)[np.asarray(w) > 0]
        different = len(np.unique(counted[: 4 * clusters], axis=0))  # a few jets usually decide, which saves time
        if different < clusters:
            different = len(np.unique(counted, axis=0))
    if different < clusters:
        raise InputError(
            f"clusters: expected at most as many as there are different jets, {different}, found {clusters}; "
            "ask for fewer, or give more jets"
        )


@partial(jax.jit, static_argnames=("clusters",))
def _best_kmeans_run(
    x: jax.Array, w: jax.Array, keys: jax.Array, clusters: int, iterations: int, tolerance: float
) -> Clusters:
    def run(key: jax.Array) -> Clusters:
        return _lloyd_iterations(x, w, _kmeans_plus_plus_centers(x, w, key, clusters), iterations, tolerance)

    runs = jax.vmap(run)(keys)
    # A loop over runs: each of them needs an N x F array.
    runs = runs._replace(inertia=jax.lax.map(lambda clusters: _kmeans_inertia(x, w, clusters), runs))
    best = jnp.argmin(runs.inertia)
    return Clusters(*(values[best] for values in runs))


@jax.jit
def _single_kmeans_run(x: jax.Array, w: jax.Array, first: jax.Array, iterations: int, tolerance: float) -> Clusters:
    clusters = _lloyd_iterations(x, w, first, iterations, tolerance)
    return clusters._replace(inertia=_kmeans_inertia(x, w, clusters))


def _kmeans_plus_plus_centers(x: jax.Array, w: jax.Array, key: jax.Array, clusters: int) -> jax.Array:
    """Draws (K, F) initial centers by k-means++, all different if there are enough jets."""
    trials = 2 + int(math.log(clusters))
    lengths = jnp.sum(x**2, axis=-1)

    def squares(centers: jax.Array) -> jax.Array:
        """Returns (T, N) squared distances, 0 for the same jet, which is never drawn again."""
        both = lengths + jnp.sum(centers**2, axis=-1, keepdims=True)
        distances = both - 2 * jnp.matmul(centers, x.T, precision=_EXACT)
        return jnp.where(distances > _ROUNDING * both, distances, 0.0)

    def add(i: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        centers, distances = state
        chances = w * jnp.where(i == 0, 1.0, distances)
        candidates = x[jax.random.categorical(jax.random.fold_in(key, i), jnp.log(chances), shape=(trials,))]
        updated = jnp.minimum(distances, squares(candidates))
        best = jnp.where(i == 0, 0, jnp.argmin(jnp.sum(updated * w, axis=-1)))
        return centers.at[i].set(candidates[best]), updated[best]

    start = jnp.zeros((clusters, x.shape[1])), jnp.full(x.shape[0], jnp.inf)
    centers: jax.Array = jax.lax.fori_loop(0, clusters, add, start)[0]
    return centers


def _lloyd_iterations(x: jax.Array, w: jax.Array, first: jax.Array, iterations: int, tolerance: float) -> Clusters:
    """Iterates Lloyd's algorithm and returns the clusters, with the inertia not yet computed."""
    share, lengths = w / jnp.sum(w), jnp.sum(x**2, axis=-1)
    mean = jnp.matmul(share, x, precision=_EXACT)
    least = tolerance * jnp.mean(jnp.matmul(share, (x - mean) ** 2, precision=_EXACT))

    def step(s: _State) -> _State:
        labels, halves = _nearest_centers(x, s.centers)
        centers = _cluster_means(x, w, labels, jnp.where(w > 0, lengths + 2 * halves, 0.0), s.centers)
        still = jnp.all(labels == s.labels) | (jnp.sum((centers - s.centers) ** 2) <= least)
        return _State(centers, labels, still, s.iteration + 1)

    start = _State(first, jnp.full(x.shape[0], -1, jnp.int32), jnp.array(False), jnp.array(0, jnp.int32))
    last = jax.lax.while_loop(lambda s: ~s.done & (s.iteration < iterations), step, start)
    return Clusters(last.centers, _nearest_centers(x, last.centers)[0], jnp.zeros(()), last.iteration)


def _nearest_centers(x: jax.Array, centers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns (N,) int32 nearest centers, and (N,) |c|²/2 - x·c, half the squared distances minus |x|²/2."""
    halves = jnp.sum(centers**2, axis=-1) / 2 - jnp.matmul(x, centers.T, precision=_EXACT)
    return jnp.argmin(halves, axis=-1).astype(jnp.int32), jnp.min(halves, axis=-1)


_jitted_nearest = jax.jit(_nearest_centers)


def _kmeans_inertia(x: jax.Array, w: jax.Array, clusters: Clusters) -> jax.Array:
    return jnp.sum(w * jnp.sum((x - clusters.centers[clusters.labels]) ** 2, axis=-1))


def _cluster_means(x: jax.Array, w: jax.Array, labels: jax.Array, squares: jax.Array, old: jax.Array) -> jax.Array:
    """Returns (K, F) means of the clusters, after empty clusters got the jets that are farthest from their centers."""
    n, k = x.shape[0], old.shape[0]
    empty = jnp.zeros(k).at[labels].add(w) == 0
    far, rows = jax.lax.top_k(squares, k)
    place = jnp.cumsum(empty) - 1
    taken = jnp.where(empty & (far[place] > 0), rows[place], n)  # n is out of range and is ignored
    members = jax.nn.one_hot(labels.at[taken].set(jnp.arange(k, dtype=jnp.int32), mode="drop"), k) * w[:, None]
    total = jnp.sum(members, axis=0)[:, None]
    sums = jnp.matmul(members.T, x, precision=_EXACT)
    return jnp.where(total > 0, sums / jnp.where(total > 0, total, 1.0), old)

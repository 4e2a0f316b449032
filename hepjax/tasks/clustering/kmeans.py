"""k-means: K centres, each the mean of the jets that are nearest to it."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.clustering._inputs import checked, less, middle, traced

if TYPE_CHECKING:
    from hepjax.types import Array

_EXACT = jax.lax.Precision.HIGHEST
_ROUNDING = 1e-6
"""Of squared lengths; jets that are nearer to each other are the same to k-means++."""


class Clusters(NamedTuple):
    """K clusters of N jets with F features."""

    centres: Array
    """(K, F) float32."""
    labels: Array
    """(N,) int32, the nearest centre of each jet."""
    inertia: Array
    """() float32, the weighted sum of squared distances to the nearest centre."""
    iterations: Array
    """() int32, how often the centres were moved."""


class _State(NamedTuple):
    centres: jax.Array
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
    """The best of several runs of k-means, each from centres of its own that k-means++ draws.

    The first centre is a jet at random. Each further one is the best of 2 + ln K jets, drawn with a probability that
    grows with the squared distance to the nearest centre so far. All runs are one program, which needs memory for
    starts · N · K distances. Works under `jax.jit` too, where only shapes are checked.

    Args:
      x: (N, F) features; scale them first, for large ones decide.
      clusters: K.
      key: () typed PRNG key.
      weights: (N,) example weights, 0 or more; None is 1. A jet of weight 0 gets a label and counts nowhere.
      starts: how many runs.
      iterations: the most of each run.
      tolerance: a run ends when no label changes, or when the centres move, squared and summed, by no more than this
        share of the mean variance of the features.

    Returns:
      The run of the lowest inertia.

    Raises:
      InputError: there are fewer different jets than clusters, numbers are not finite, or shapes do not fit.

    References: D. Arthur, S. Vassilvitskii, "k-means++", SODA 2007, section 2.2, and section 5 for the best of
    several; S. Lloyd, IEEE Trans. Inf. Theory 28 (1982) 129.

    >>> x = np.repeat([[0.0, 0.0], [1.0, 1.0], [9.0, 9.0]], 4, axis=0)
    >>> found = kmeans(x, 3, jax.random.key(0), starts=2)
    >>> sorted(found.centres.tolist()), float(found.inertia)
    ([[0.0, 0.0], [1.0, 1.0], [9.0, 9.0]], 0.0)
    """
    for name, number in (("clusters", clusters), ("starts", starts), ("iterations", iterations)):
        if number < 1:
            raise InputError(f"{name}: expected 1 or more, found {number}")
    table = checked(x)
    w = _weights(weights, len(table))
    shift = middle(table)
    near = less(table, shift)
    _check_different(near, w, clusters)
    found: Clusters = _best(near, w, jax.random.split(key, starts), clusters, iterations, tolerance)
    return found._replace(centres=found.centres + shift)


def kmeans_from(
    x: Any, centres: Any, *, weights: Any = None, iterations: int = 300, tolerance: float = 1e-4
) -> Clusters:
    """k-means from given centres.

    A centre that no jet is nearest to goes to the jet that is farthest from its own centre, a second such one to the
    next farthest, so that no cluster stays empty while there are jets to give it.

    Args:
      x: (N, F) features.
      centres: (K, F), to start from.
      weights: (N,) example weights, 0 or more; None is 1.
      iterations: the most.
      tolerance: as in `kmeans`.

    Returns:
      The clusters.

    Raises:
      InputError: as `kmeans`.

    >>> found = kmeans_from(np.array([[0.0], [1.0], [10.0]]), np.array([[5.0], [6.0]]))
    >>> found.centres.tolist(), found.labels.tolist(), int(found.iterations)
    ([[0.5], [10.0]], [0, 0, 1], 2)
    """
    table = checked(x)
    w = _weights(weights, len(table))
    first = checked(centres, "centres", table.shape[1])
    if iterations < 1:
        raise InputError(f"iterations: expected 1 or more, found {iterations}")
    shift = middle(table)
    near = less(table, shift)
    _check_different(near, w, len(first))
    found: Clusters = _single(near, w, less(first, shift), iterations, tolerance)
    return found._replace(centres=found.centres + shift)


def nearest(x: Any, centres: Any) -> jax.Array:
    """The clusters of other jets.

    Args:
      x: (N, F) features.
      centres: (K, F), of `Clusters`.

    Returns:
      (N,) int32, the index of the nearest centre; of equally near ones the first.

    Raises:
      InputError: shapes do not fit, or numbers are not finite.

    >>> nearest(np.array([[0.2], [7.0]]), np.array([[0.0], [10.0]])).tolist()
    [0, 1]
    """
    table, places = checked(x), checked(centres, "centres")
    shift = middle(places)
    found: jax.Array = _jitted_nearest(less(checked(table, columns=places.shape[1]), shift), less(places, shift))[0]
    return found


def _weights(weights: Any, n: int) -> jax.Array:
    """(N,) float32."""
    if weights is None:
        return jnp.ones(n)
    w = jnp.asarray(weights, jnp.float32)
    if w.shape != (n,):
        raise InputError(f"weights: expected shape ({n},), one for each jet, found {w.shape}")
    if not traced(w):
        bad = ~(np.isfinite(w) & (np.asarray(w) >= 0))
        if bad.any():
            raise InputError(f"weights: expected finite numbers of 0 or more, found {w[bad.argmax()]}; leave jets out")
    return w


def _check_different(x: jax.Array, w: jax.Array, clusters: int) -> None:
    """Refuses to make more clusters than there are different jets."""
    found, few = x.shape[0], 0
    if not (traced(x) or traced(w)):
        there = np.asarray(x)[np.asarray(w) > 0]
        few = len(np.unique(there[: 4 * clusters], axis=0))  # of many jets, some are enough to see it
        found = few if few >= clusters else len(np.unique(there, axis=0))
    if found < clusters:
        raise InputError(
            f"clusters: expected at most as many as there are different jets, {found}, found {clusters}; "
            "ask for fewer, or give more jets"
        )


@partial(jax.jit, static_argnames=("clusters",))
def _best(x: jax.Array, w: jax.Array, keys: jax.Array, clusters: int, iterations: int, tolerance: float) -> Clusters:
    def one(key: jax.Array) -> Clusters:
        return _lloyd(x, w, _seeds(x, w, key, clusters), iterations, tolerance)

    found = jax.vmap(one)(keys)
    found = found._replace(inertia=jax.lax.map(lambda some: _inertia(x, w, some), found))  # one after another: N x F
    best = jnp.argmin(found.inertia)
    return Clusters(*(values[best] for values in found))


@jax.jit
def _single(x: jax.Array, w: jax.Array, first: jax.Array, iterations: int, tolerance: float) -> Clusters:
    found = _lloyd(x, w, first, iterations, tolerance)
    return found._replace(inertia=_inertia(x, w, found))


def _seeds(x: jax.Array, w: jax.Array, key: jax.Array, clusters: int) -> jax.Array:
    """(K, F) jets, all different if there are enough."""
    trials = 2 + int(math.log(clusters))
    lengths = jnp.sum(x**2, axis=-1)

    def squares(centres: jax.Array) -> jax.Array:
        """(T, N), 0 for the same jet, which is never drawn again."""
        both = lengths + jnp.sum(centres**2, axis=-1, keepdims=True)
        found = both - 2 * jnp.matmul(centres, x.T, precision=_EXACT)
        return jnp.where(found > _ROUNDING * both, found, 0.0)

    def add(i: jax.Array, so_far: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        centres, distances = so_far
        chances = w * jnp.where(i == 0, 1.0, distances)
        drawn = x[jax.random.categorical(jax.random.fold_in(key, i), jnp.log(chances), shape=(trials,))]
        then = jnp.minimum(distances, squares(drawn))
        best = jnp.where(i == 0, 0, jnp.argmin(jnp.sum(then * w, axis=-1)))
        return centres.at[i].set(drawn[best]), then[best]

    start = jnp.zeros((clusters, x.shape[1])), jnp.full(x.shape[0], jnp.inf)
    centres: jax.Array = jax.lax.fori_loop(0, clusters, add, start)[0]
    return centres


def _lloyd(x: jax.Array, w: jax.Array, first: jax.Array, iterations: int, tolerance: float) -> Clusters:
    """The clusters, whose inertia is still 0."""
    share, lengths = w / jnp.sum(w), jnp.sum(x**2, axis=-1)
    mean = jnp.matmul(share, x, precision=_EXACT)
    least = tolerance * jnp.mean(jnp.matmul(share, (x - mean) ** 2, precision=_EXACT))

    def step(s: _State) -> _State:
        labels, halves = _nearest(x, s.centres)
        centres = _means(x, w, labels, jnp.where(w > 0, lengths + 2 * halves, 0.0), s.centres)
        still = jnp.all(labels == s.labels) | (jnp.sum((centres - s.centres) ** 2) <= least)
        return _State(centres, labels, still, s.iteration + 1)

    start = _State(first, jnp.full(x.shape[0], -1, jnp.int32), jnp.array(False), jnp.array(0, jnp.int32))
    last = jax.lax.while_loop(lambda s: ~s.done & (s.iteration < iterations), step, start)
    return Clusters(last.centres, _nearest(x, last.centres)[0], jnp.zeros(()), last.iteration)


def _nearest(x: jax.Array, centres: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(N,) int32, and (N,) |c|²/2 - x·c of the nearest: half the squared distance, but for |x|²/2."""
    halves = jnp.sum(centres**2, axis=-1) / 2 - jnp.matmul(x, centres.T, precision=_EXACT)
    return jnp.argmin(halves, axis=-1).astype(jnp.int32), jnp.min(halves, axis=-1)


_jitted_nearest = jax.jit(_nearest)


def _inertia(x: jax.Array, w: jax.Array, found: Clusters) -> jax.Array:
    return jnp.sum(w * jnp.sum((x - found.centres[found.labels]) ** 2, axis=-1))


def _means(x: jax.Array, w: jax.Array, labels: jax.Array, squares: jax.Array, old: jax.Array) -> jax.Array:
    """(K, F) means of the jets of each label, once empty clusters got the jets that are farthest from their centres."""
    n, k = x.shape[0], old.shape[0]
    empty = jnp.zeros(k).at[labels].add(w) == 0
    far, rows = jax.lax.top_k(squares, k)
    place = jnp.cumsum(empty) - 1
    taken = jnp.where(empty & (far[place] > 0), rows[place], n)  # n is no jet
    members = jax.nn.one_hot(labels.at[taken].set(jnp.arange(k, dtype=jnp.int32), mode="drop"), k) * w[:, None]
    total = jnp.sum(members, axis=0)[:, None]
    sums = jnp.matmul(members.T, x, precision=_EXACT)
    return jnp.where(total > 0, sums / jnp.where(total > 0, total, 1.0), old)

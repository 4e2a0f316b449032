"""Principal components, the orthogonal directions of largest variance of jets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.clustering._feature_tables import checked_features, column_means, subtract_column_means

if TYPE_CHECKING:
    from hepjax.types import Array

_EXACT = jax.lax.Precision.HIGHEST
_ROTATED = 256
"""The largest number of columns for rotations of pairs; for more columns LAPACK is much faster, but less exact."""
_SWEEPS = 30
_ORTHOGONAL = 1e-6
"""The largest cosine between columns that counts as rounding error."""


class PrincipalComponents(NamedTuple):
    """The C principal components of jets with F features."""

    mean: Array
    """(F,) float32 mean of the features."""
    components: Array
    """(C, F) float32 unit vectors by falling variance; the entry of largest magnitude of each is positive."""
    variance: Array
    """(C,) float32 variances of the jets along the components, with N - 1 in the denominator."""
    ratio: Array
    """(C,) float32 shares of the total variance."""


def fit_pca(x: Any, components: int) -> PrincipalComponents:
    """Computes the principal components of jets.

    Columns may differ in scale by many orders of magnitude: even a variance far below the largest one is accurate. For
    that purpose the columns of the triangular factor of x are rotated pair by pair until all are orthogonal (one-sided
    Jacobi), which never adds large to small numbers. Other decompositions resolve a small variance only to 1e-7 of the
    largest one, and so does this function if both N and F are above 256. It also works under `jax.jit`.

    Args:
      x: (N, F) features; F may be larger than N. Float64 NumPy arrays are centered before the conversion to float32.
      components: number of components, C, at most N and at most F.

    Returns:
      The principal components.

    Raises:
      InputError: there are fewer jets or features than components, only one jet, or numbers that are not finite.

    References: K. Pearson, Phil. Mag. 2 (1901) 559; for the rotations J. Demmel, K. Veselić, SIAM J. Matrix Anal.
    Appl. 13 (1992) 1204.

    >>> axes = fit_pca(np.array([[0.0, 0.0], [3.0, 4.0]]), 1)
    >>> axes.mean.tolist(), np.round(axes.components.tolist(), 4).tolist(), axes.variance.round(2).tolist()
    ([1.5, 2.0], [[0.6, 0.8]], [12.5])
    """
    table = checked_features(x)
    n, features = table.shape
    if n < 2:
        raise InputError(f"x: expected two jets or more, found {n}")
    for what, most in (("features", features), ("jets", n)):
        if not 1 <= components <= most:
            raise InputError(
                f"components: expected 1 to {most}, for there are {most} {what}, found {components}; ask for fewer"
            )
    shift = column_means(table)
    full = _fit_components(subtract_column_means(table, shift))
    return PrincipalComponents(full.mean + shift, *(values[:components] for values in full[1:]))


def apply_pca(axes: PrincipalComponents, x: Any) -> jax.Array:
    """Computes the coordinates of jets along the components.

    Args:
      axes: result of `fit_pca`.
      x: (N, F) features.

    Returns:
      (N, C) float32 coordinates.

    Raises:
      InputError: the number of features differs, or numbers are not finite.

    >>> axes = fit_pca(np.array([[0.0, 0.0], [3.0, 4.0]]), 1)
    >>> round(float(apply_pca(axes, np.array([[6.0, 8.0]]))[0, 0]), 3)
    7.5
    """
    z: jax.Array = _project_on_components(
        subtract_column_means(checked_features(x, columns=axes.components.shape[1]), axes.mean), axes.components
    )
    return z


def invert_pca(axes: PrincipalComponents, z: Any) -> jax.Array:
    """Reconstructs the features of jets from coordinates, without the omitted components.

    Args:
      axes: result of `fit_pca`.
      z: (N, C) coordinates.

    Returns:
      (N, F) float32 features.

    Raises:
      InputError: the number of coordinates differs from that of the components, or numbers are not finite.

    >>> axes = fit_pca(np.array([[0.0, 0.0], [3.0, 4.0]]), 1)
    >>> invert_pca(axes, np.array([[7.5]])).round(4).tolist()
    [[6.0, 8.0]]
    """
    table = jnp.asarray(checked_features(z, "z", len(axes.components)), jnp.float32)
    x: jax.Array = _restore_from_components(table, axes.components, axes.mean)
    return x


@jax.jit
def _project_on_components(x: jax.Array, components: jax.Array) -> jax.Array:
    return jnp.matmul(x, components.T, precision=_EXACT)


@jax.jit
def _restore_from_components(z: jax.Array, components: jax.Array, mean: jax.Array) -> jax.Array:
    return jnp.matmul(z, components, precision=_EXACT) + mean


@jax.jit
def _fit_components(x: jax.Array) -> PrincipalComponents:
    """Computes all principal components of centered features."""
    n = x.shape[0]
    mean = jnp.mean(x, axis=0)
    x = x - mean
    scale = jnp.max(jnp.abs(x))
    x = x / jnp.where(scale > 0, scale, 1.0)
    if n >= x.shape[1]:
        lengths, directions = _jacobi_singular_vectors(jnp.linalg.qr(x, mode="r"))
    else:
        q, r = jnp.linalg.qr(x.T)
        lengths, directions = _jacobi_singular_vectors(r.T)
        directions = directions @ q.T
    variance = (lengths * scale) ** 2 / (n - 1)
    largest = jnp.take_along_axis(directions, jnp.argmax(jnp.abs(directions), axis=1)[:, None], axis=1)
    ratio = lengths**2 / jnp.where(scale > 0, jnp.sum(lengths**2), 1.0)
    return PrincipalComponents(mean, directions * jnp.where(largest < 0, -1.0, 1.0), variance, ratio)


def _jacobi_singular_vectors(m: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns (K,) falling singular values of a square matrix, and its (K, K) right singular vectors as rows."""
    k = m.shape[1]
    if k > _ROTATED:
        _, lengths, directions = jnp.linalg.svd(m)
        return lengths, directions
    order = jnp.argsort(-jnp.sum(m**2, axis=0))  # falling columns converge faster
    even = jnp.zeros((k, k % 2))
    # The upper block holds the columns that become orthogonal, the lower block the product of all rotations.
    both = jnp.concatenate([jnp.concatenate([m, even], 1)[:, jnp.append(order, jnp.arange(k, k + k % 2))],
                            jnp.eye(k + k % 2)])  # fmt: skip
    rounds = jnp.asarray(_round_robin_pairs(k + k % 2))

    def rotate(both: jax.Array, pairs: jax.Array) -> tuple[jax.Array, jax.Array]:
        a, b = both[:, pairs[0]], both[:, pairs[1]]
        aa, bb, ab = (jnp.sum(u[:k] * v[:k], axis=0) for u, v in ((a, a), (b, b), (a, b)))
        size = jnp.sqrt(aa) * jnp.sqrt(bb)
        cosine = jnp.where(size > 0, jnp.abs(ab) / jnp.where(size > 0, size, 1.0), 0.0)
        oblique = cosine > _ORTHOGONAL
        zeta = (bb - aa) / (2 * jnp.where(oblique, ab, 1.0))
        t = jnp.where(oblique, jnp.where(zeta < 0, -1.0, 1.0) / (jnp.abs(zeta) + jnp.hypot(1.0, zeta)), 0.0)
        c = 1 / jnp.sqrt(1 + t**2)
        s = c * t
        both = both.at[:, pairs[0]].set(c * a - s * b).at[:, pairs[1]].set(s * a + c * b)
        return both, jnp.max(cosine)

    def sweep(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        both, cosines = jax.lax.scan(rotate, state[0], rounds)
        return both, jnp.max(cosines), state[2] + 1

    def oblique(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        return (state[1] > _ORTHOGONAL) & (state[2] < _SWEEPS)

    both, _, _ = jax.lax.while_loop(oblique, sweep, (both, jnp.array(1.0), jnp.array(0)))
    lengths = jnp.sqrt(jnp.sum(both[:k] ** 2, axis=0))
    falling = jnp.argsort(-lengths)[:k]
    directions = jnp.zeros((k, k)).at[order].set(both[k : 2 * k, falling])
    return lengths[falling], directions.T


def _round_robin_pairs(k: int) -> np.ndarray:
    """Returns (k - 1, 2, k / 2) pairs of an even number of columns, each pair once, in round-robin order."""
    table = np.arange(k)
    rounds = []
    for _ in range(k - 1):
        rounds.append((table[: k // 2], table[k // 2 :][::-1]))
        table = np.concatenate([table[:1], np.roll(table[1:], 1)])
    return np.array(rounds)

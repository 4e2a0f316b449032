"""How well clusters, which were made without labels, agree with the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation.bootstrap import REPLICATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def cluster_table(clusters: Any, labels: Any) -> NDArray[np.int64]:
    """How many jets of each class lie in each cluster.

    Args:
      clusters: (N,) cluster indices from 0.
      labels: (N,) class indices from 0.

    Returns:
      (K, C) counts, K and C the largest index plus one.

    Raises:
      InputError: the two do not fit each other, are no indices, or there are no jets.

    >>> cluster_table([0, 0, 1], [2, 0, 1]).tolist()
    [[1, 0, 1], [0, 1, 0]]
    """
    a, b = _indices(clusters, "clusters"), _indices(labels, "labels")
    if len(a) != len(b):
        raise InputError(f"labels: expected those of {len(a)} jets, as clusters has, found {len(b)}")
    shape = (int(a.max()) + 1, int(b.max()) + 1)
    return np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1]).reshape(shape)


def purity(clusters: Any, labels: Any) -> float:
    """The share of jets that belong to the largest class of their cluster.

    It is the accuracy of whoever knows the largest class of each cluster. It grows with the number of clusters, and is
    never below the share of the largest class.

    Args:
      clusters: (N,) cluster indices from 0.
      labels: (N,) class indices from 0.

    Returns:
      The purity, from 0 to 1.

    Raises:
      InputError: as `cluster_table`.

    Reference: C. Manning, P. Raghavan, H. Schütze, Introduction to Information Retrieval (2008), eq. 182.

    >>> purity([0, 0, 0, 1], [0, 0, 1, 1])
    0.75
    """
    return float(_purity(cluster_table(clusters, labels)))


def adjusted_rand_index(clusters: Any, labels: Any) -> float:
    """The share of pairs of jets that clusters and classes agree about, 0 where it is that of chance, 1 at most.

    Args:
      clusters: (N,) cluster indices from 0.
      labels: (N,) class indices from 0.

    Returns:
      The index; it may be a little below 0. It is 1 where both put all jets together, or both no two.

    Raises:
      InputError: as `cluster_table`.

    Reference: L. Hubert, P. Arabie, J. Classif. 2 (1985) 193, eq. 5.

    >>> adjusted_rand_index([1, 1, 0, 0], [0, 0, 1, 1]), round(adjusted_rand_index([0, 0, 0, 1], [0, 0, 1, 1]), 3)
    (1.0, 0.0)
    """
    return float(_rand(cluster_table(clusters, labels)))


def cluster_figures(clusters: Any, labels: Any, *, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Purity and adjusted Rand index with their bootstrap standard deviations.

    Of 200 samples of as many jets; the clusters are taken as they are.

    Args:
      clusters: (N,) cluster indices from 0.
      labels: (N,) class indices from 0.
      seed: of the samples.

    Returns:
      purity and adjusted_rand_index, each with its standard deviation.

    Raises:
      InputError: as `cluster_table`.

    >>> found = cluster_figures([0, 0, 0, 1] * 100, [0, 0, 1, 1] * 100)
    >>> {name: (round(value, 2), round(error, 2)) for name, (value, error) in found.items()}
    {'purity': (0.75, 0.02), 'adjusted_rand_index': (0.25, 0.05)}
    """
    table = cluster_table(clusters, labels)
    n = int(table.sum())
    # What a sample of jets has in each cell is all that counts.
    drawn = np.random.default_rng(seed).multinomial(n, table.ravel() / n, REPLICATES).reshape(-1, *table.shape)
    return {
        name: (float(figure(table)), float(np.std(figure(drawn), ddof=1)))
        for name, figure in (("purity", _purity), ("adjusted_rand_index", _rand))
    }


def _indices(values: Any, name: str) -> NDArray[np.int64]:
    found = np.asarray(values)
    if found.ndim != 1 or found.size == 0 or found.dtype.kind not in "iu" or found.min() < 0:
        raise InputError(
            f"{name}: expected shape (N,) of indices from 0, one jet or more, found {found.dtype} of shape "
            f"{found.shape}{'' if found.size == 0 or found.dtype.kind not in 'iu' else f', smallest {found.min()}'}"
        )
    return found.astype(np.int64)


def _purity(table: NDArray[np.int64]) -> Any:
    """Of tables (..., K, C)."""
    return table.max(axis=-1).sum(axis=-1) / table.sum(axis=(-2, -1))


def _rand(table: NDArray[np.int64]) -> Any:
    """Of tables (..., K, C)."""

    def pairs(counts: NDArray[np.int64]) -> Floats:
        return counts * (counts - 1.0) / 2

    both = pairs(table).sum(axis=(-2, -1))
    one, other = (pairs(table.sum(axis=axis)).sum(axis=-1) for axis in (-1, -2))
    n = table.sum(axis=(-2, -1))
    chance = one * other / np.maximum(pairs(n), 1)
    room = (one + other) / 2 - chance
    return np.where(room > 0, (both - chance) / np.where(room > 0, room, 1), 1.0)

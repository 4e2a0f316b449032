"""Agreement of unsupervised clusters with the classes of jets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation.intervals import REPLICATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def cluster_table(clusters: Any, labels: Any) -> NDArray[np.int64]:
    """Counts the jets of each class in each cluster.

    Args:
      clusters: (N,) cluster indices from 0.
      labels: (N,) class indices from 0.

    Returns:
      (K, C) counts, K and C the largest index plus one.

    Raises:
      InputError: the arrays have different lengths, do not hold indices, or there are no jets.

    >>> cluster_table([0, 0, 1], [2, 0, 1]).tolist()
    [[1, 0, 1], [0, 1, 0]]
    """
    a, b = _cluster_indices(clusters, "clusters"), _cluster_indices(labels, "labels")
    if len(a) != len(b):
        raise InputError(f"labels: expected those of {len(a)} jets, as clusters has, found {len(b)}")
    shape = (int(a.max()) + 1, int(b.max()) + 1)
    return np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1]).reshape(shape)


def purity(clusters: Any, labels: Any) -> float:
    """Computes the share of jets that belong to the largest class of their cluster.

    It is the accuracy of predicting the largest class of each cluster. It grows with the number of clusters and is
    never below the share of the largest class.

    Args:
      clusters: (N,) cluster indices from 0.
      labels: (N,) class indices from 0.

    Returns:
      The purity, from 0 to 1.

    Raises:
      InputError: for the reasons of `cluster_table`.

    Reference: C. Manning, P. Raghavan, H. Schütze, Introduction to Information Retrieval (2008), eq. 182.

    >>> purity([0, 0, 0, 1], [0, 0, 1, 1])
    0.75
    """
    return float(_purity_of_tables(cluster_table(clusters, labels)))


def adjusted_rand_index(clusters: Any, labels: Any) -> float:
    """Computes the share of pairs of jets on which clusters and classes agree, scaled to 0 at chance and 1 at most.

    Args:
      clusters: (N,) cluster indices from 0.
      labels: (N,) class indices from 0.

    Returns:
      The index; it may be slightly negative. It is 1 where both group all jets together, or both separate all jets.

    Raises:
      InputError: for the reasons of `cluster_table`.

    Reference: L. Hubert, P. Arabie, J. Classif. 2 (1985) 193, eq. 5.

    >>> adjusted_rand_index([1, 1, 0, 0], [0, 0, 1, 1]), round(adjusted_rand_index([0, 0, 0, 1], [0, 0, 1, 1]), 3)
    (1.0, 0.0)
    """
    return float(_adjusted_rand_of_tables(cluster_table(clusters, labels)))


def cluster_figures(clusters: Any, labels: Any, *, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Computes purity and adjusted Rand index with their bootstrap standard deviations.

    The bootstrap draws 200 samples of as many jets and keeps the clusters fixed.

    Args:
      clusters: (N,) cluster indices from 0.
      labels: (N,) class indices from 0.
      seed: seed of the samples.

    Returns:
      `purity` and `adjusted_rand_index`, each with its standard deviation.

    Raises:
      InputError: for the reasons of `cluster_table`.

    >>> figures = cluster_figures([0, 0, 0, 1] * 100, [0, 0, 1, 1] * 100)
    >>> {name: (round(value, 2), round(error, 2)) for name, (value, error) in figures.items()}
    {'purity': (0.75, 0.02), 'adjusted_rand_index': (0.25, 0.05)}
    """
    table = cluster_table(clusters, labels)
    n = int(table.sum())
    # The figures depend on the cell counts alone, so that sampling cells replaces sampling jets.
    samples = np.random.default_rng(seed).multinomial(n, table.ravel() / n, REPLICATES).reshape(-1, *table.shape)
    return {
        name: (float(figure(table)), float(np.std(figure(samples), ddof=1)))
        for name, figure in (("purity", _purity_of_tables), ("adjusted_rand_index", _adjusted_rand_of_tables))
    }


def _cluster_indices(values: Any, name: str) -> NDArray[np.int64]:
    indices = np.asarray(values)
    integers = indices.size > 0 and indices.dtype.kind in "iu"
    if indices.ndim != 1 or not integers or indices.min() < 0:
        raise InputError(
            f"{name}: expected shape (N,) of indices from 0, one jet or more, found {indices.dtype} of shape "
            f"{indices.shape}{f', smallest {indices.min()}' if integers else ''}"
        )
    return indices.astype(np.int64)


def _purity_of_tables(table: NDArray[np.int64]) -> Any:
    """Computes the purity of tables (..., K, C)."""
    return table.max(axis=-1).sum(axis=-1) / table.sum(axis=(-2, -1))


def _adjusted_rand_of_tables(table: NDArray[np.int64]) -> Any:
    """Computes the adjusted Rand index of tables (..., K, C)."""

    def count_pairs(counts: NDArray[np.int64]) -> Floats:
        return counts * (counts - 1.0) / 2

    both = count_pairs(table).sum(axis=(-2, -1))
    in_clusters, in_classes = (count_pairs(table.sum(axis=axis)).sum(axis=-1) for axis in (-1, -2))
    n = table.sum(axis=(-2, -1))
    chance = in_clusters * in_classes / np.maximum(count_pairs(n), 1)
    largest = (in_clusters + in_classes) / 2 - chance
    return np.where(largest > 0, (both - chance) / np.where(largest > 0, largest, 1), 1.0)

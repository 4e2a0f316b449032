"""Standardization by statistics of the training part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.types import Moments, Scaling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepjax.types import Array


def fit_scaling(x: np.ndarray, mask: np.ndarray | None = None) -> Scaling:
    """Computes mean and standard deviation of each feature, to be fitted on the training part only.

    Args:
      x: (..., F) features.
      mask: (...) bool, the rows that count; None is all. Padding never counts.

    Returns:
      (F,) mean and (F,) standard deviation, float32, computed in float64; the deviation of a constant feature is 1.

    Raises:
      InputError: no row counts.

    >>> fit_scaling(np.array([[1.0, 5.0], [3.0, 5.0]]))
    Scaling(mean=array([2., 5.], dtype=float32), std=array([1., 1.], dtype=float32))
    """
    return scaling_of([moments(x, mask)])


def moments(x: np.ndarray, mask: np.ndarray | None = None) -> Moments:
    """Computes what a part of the data adds to its mean and standard deviation.

    Args:
      x: (..., F) features.
      mask: (...) bool, the rows that count; None is all.

    Returns:
      Their number, mean and squares, in float64.

    >>> moments(np.array([[1.0], [3.0]]))
    Moments(rows=2, mean=array([2.]), squares=array([2.]))
    """
    rows = x.reshape(-1, x.shape[-1]) if mask is None else x[mask]
    if len(rows) == 0:
        return Moments(0, np.zeros(x.shape[-1]), np.zeros(x.shape[-1]))
    return Moments(len(rows), rows.mean(axis=0, dtype=np.float64), len(rows) * rows.var(axis=0, dtype=np.float64))


def scaling_of(parts: Iterable[Moments]) -> Scaling:
    """Combines the scaling of all data from the moments of its parts, as if it were one.

    Args:
      parts: one or more.

    Returns:
      As `fit_scaling`.

    Raises:
      InputError: no row counts.

    >>> scaling_of([moments(np.array([[1.0]])), moments(np.array([[3.0]]))])
    Scaling(mean=array([2.], dtype=float32), std=array([1.], dtype=float32))
    """
    counts, means, squares = (np.stack(column) for column in zip(*parts, strict=True))
    if counts.sum() == 0:
        raise InputError("scaling: no rows to fit on; the training part is empty or wholly masked")
    share = (counts / counts.sum())[:, None]
    mean = (share * means).sum(axis=0)
    std = np.sqrt(squares.sum(axis=0) / counts.sum() + (share * (means - mean) ** 2).sum(axis=0))
    # Rounding gives a constant feature a tiny width; dividing by it would blow noise up to size one.
    constant = std <= 1e-7 * np.abs(mean)
    return Scaling(mean.astype(np.float32), np.where(constant, 1.0, std).astype(np.float32))


def apply_scaling(scaling: Scaling, x: Any, mask: Array | None = None) -> Any:
    """Standardizes: (x − mean) / std, and 0 where masked.

    Args:
      scaling: what `fit_scaling` gave.
      x: (..., F) features, NumPy or JAX.
      mask: (...) bool, False for padding; None is all True.

    Returns:
      (..., F), of the kind and dtype of x.

    >>> apply_scaling(Scaling(np.array([2.0]), np.array([4.0])), np.array([[4.0], [-2.0]])).tolist()
    [[0.5], [-1.0]]
    """
    xp = x.__array_namespace__()
    scaled = xp.astype((x - scaling.mean) / scaling.std, x.dtype)
    return scaled if mask is None else xp.where(mask[..., None], scaled, xp.zeros_like(scaled))

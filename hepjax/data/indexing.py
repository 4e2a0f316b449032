"""Indices of arrays on disk, brought into one form."""

from __future__ import annotations

from typing import Any

import numpy as np


def normalize_index(key: Any, shape: tuple[int, ...]) -> list[Any]:
    """An index of an array of this shape, without `...`, so that its first entry is that of the rows.

    Args:
      key: what stands in the brackets.
      shape: the array's shape.

    Returns:
      One slice, integer or array per axis; a mask over several axes becomes its places.

    Raises:
      IndexError: the index has too many entries, or a mask does not fit.
      TypeError: an entry is none that NumPy's basic and integer indexing knows.

    >>> normalize_index((..., 3), (10, 20, 16))
    [slice(None, None, None), slice(None, None, None), 3]
    """
    keys = [_normalize_index_entry(k) for k in (key if isinstance(key, tuple) else (key,))]
    widths = [k.ndim if isinstance(k, np.ndarray) and k.dtype == bool else 1 for k in keys if k is not Ellipsis]
    missing = len(shape) - sum(widths)
    if missing < 0 or len(keys) - len(widths) > 1:
        raise IndexError(f"too many indices, or more than one `...`, for an array of shape {shape}")
    if len(keys) == len(widths):
        keys.append(Ellipsis)
    place = next(i for i, k in enumerate(keys) if k is Ellipsis)
    keys[place : place + 1] = [slice(None)] * missing
    rows = keys[0]
    if isinstance(rows, np.ndarray) and rows.dtype == bool:
        if rows.shape != shape[: rows.ndim]:
            raise IndexError(f"a mask of shape {rows.shape} does not fit an array of shape {shape}")
        keys[:1] = rows.nonzero()
    return keys


def _normalize_index_entry(k: Any) -> Any:
    """Checks one entry of an index: a slice, `...`, an integer, or an array of integers or bool."""
    if k is Ellipsis or isinstance(k, slice):
        return k
    array = np.asarray(k)
    if array.size == 0 and isinstance(k, list):
        array = array.astype(int)
    if array.dtype != bool and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"jets on disk are indexed with slices, integers and arrays of integers or bool; found {k!r}")
    if array.ndim == 0 and array.dtype == bool:
        raise TypeError(f"jets on disk cannot be indexed with a single {k!r}; read them first, with [:]")
    return array if array.ndim else int(array)

"""Whole chunks of a dataset, several at a time: h5py reads and decompresses under one lock, isal does not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import h5py
import numpy as np
from isal import igzip_lib, isal_zlib

if TYPE_CHECKING:
    from collections.abc import Callable

    ReadRows = Callable[[int, int], np.ndarray]

_SHUFFLE, _GZIP = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE
_PIPELINES: tuple[list[int], ...] = ([], [_SHUFFLE], [_GZIP], [_SHUFFLE, _GZIP])
"""The filters, in the order of writing, that are undone here."""


def make_read(dataset: h5py.Dataset) -> ReadRows:
    """The quickest way to read rows of one chunk.

    Chunks of whole rows, stored plainly or by gzip with or without the shuffle filter, are read as they are and decoded
    here; anything else is left to h5py, with the same result.

    Args:
      dataset: of an open file.

    Returns:
      The function (first, last) → the rows from `first` up to `last`, which lie in one chunk; maybe read-only. It
      raises one of h5py's errors, or ValueError, where the chunk is damaged.
    """
    filters = _filters(dataset)
    if filters is None:
        return lambda first, last: dataset[first:last]
    dtype, chunk = dataset.dtype, dataset.chunks
    size = dtype.itemsize * math.prod(chunk)

    def read(first: int, last: int) -> np.ndarray:
        start = first - first % chunk[0]
        skipped, data = dataset.id.read_direct_chunk((start, *[0] * (len(chunk) - 1)))
        if filters and len(data) == size and start + chunk[0] > len(dataset):
            return np.asarray(dataset[first:last])  # HDF5 can leave a last chunk unfiltered without saying so
        for place in reversed(range(len(filters))):
            if not skipped >> place & 1:
                data = _inflate(data, size) if filters[place] == _GZIP else _unshuffle(data, dtype.itemsize)
        if len(data) != size:
            raise ValueError(f"a chunk of {dataset.name} has {len(data)} bytes, expected {size}")
        return np.frombuffer(data, dtype).reshape(chunk)[first - start : last - start]

    return read


def _filters(dataset: h5py.Dataset) -> list[int] | None:
    """The filters of a dataset in the order of writing; None where h5py has to read it."""
    if dataset.chunks is None or dataset.chunks[1:] != dataset.shape[1:]:
        return None
    if dataset.id.get_type() != h5py.h5t.py_create(dataset.dtype):
        return None  # numbers that NumPy does not have
    created, width = dataset.id.get_create_plist(), dataset.dtype.itemsize
    filters = [created.get_filter(place) for place in range(created.get_nfilters())]
    if width not in (2, 4, 8) or any(code == _SHUFFLE and values != (width,) for code, _, values, _ in filters):
        return None
    codes = [code for code, *_ in filters]
    return codes if codes in _PIPELINES else None


def _inflate(data: bytes, size: int) -> bytes:
    try:
        return isal_zlib.decompress(data, bufsize=size)  # at once: a fifth faster than into a buffer that grows
    except (igzip_lib.IsalError, MemoryError, OverflowError) as error:  # type: ignore[misc]  # typed as a value
        raise ValueError(f"a chunk cannot be decompressed: {error}") from error


def _unshuffle(data: bytes, width: int) -> np.ndarray:
    """Undoes the shuffle filter, which stores the first bytes of all numbers, then the second ones, and so on."""
    planes = np.frombuffer(data, np.uint8).reshape(width, -1)
    # Shifts run through the memory in order: three times faster than a transposition.
    numbers: np.ndarray = planes[-1].astype(f"<u{width}")
    for plane in planes[-2::-1]:
        numbers <<= 8
        numbers |= plane
    return numbers.view(np.uint8)

"""Whole chunks of a dataset, several at a time: h5py reads and decompresses under one lock, isal does not."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import h5py
import numpy as np
from isal import igzip_lib, isal_zlib

from hepjax.data.hdf5.storage import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable

    ReadRows = Callable[[int, int], np.ndarray]

_SHUFFLE, _GZIP = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE
_FLETCHER = h5py.h5z.FILTER_FLETCHER32
_RATIO = 1032
"""Gzip makes a byte of at most so many."""
_PIPELINES: tuple[list[int], ...] = ([], [_SHUFFLE], [_GZIP], [_SHUFFLE, _GZIP])
"""The filters, in the order of writing, that are undone here."""


def make_chunk_reader(dataset: h5py.Dataset) -> ReadRows:
    """The quickest way to read rows of one chunk.

    Chunks of whole rows, stored plainly or by gzip with or without the shuffle filter, are read as they are and decoded
    here; anything else is left to h5py, with the same result.

    Args:
      dataset: of an open file.

    Returns:
      The function (first, last) → the rows from `first` up to `last`, which lie in one chunk; maybe read-only. It
      raises one of h5py's errors, or ValueError, where the chunk is damaged.
    """
    codes = _codes(dataset)
    filters = _chunk_filters(dataset, codes)
    if filters is None:

        def leave(first: int, last: int) -> np.ndarray:
            if _GZIP in codes:
                _check_unpacked(dataset, codes, first, last)
            return np.asarray(dataset[first:last])

        return leave
    dtype, chunk = dataset.dtype, dataset.chunks
    size = dtype.itemsize * math.prod(chunk)

    def read_chunk_rows(first: int, last: int) -> np.ndarray:
        start = first - first % chunk[0]
        skipped, data = dataset.id.read_direct_chunk((start, *[0] * (len(chunk) - 1)))
        if filters and len(data) == size and start + chunk[0] > len(dataset):
            return np.asarray(dataset[first:last])  # HDF5 can leave a last chunk unfiltered without saying so
        for place in reversed(range(len(filters))):
            if not skipped >> place & 1:
                data = _inflate_chunk(data, size) if filters[place] == _GZIP else _unshuffle_chunk(data, dtype.itemsize)
        if len(data) != size:
            raise ValueError(f"a chunk of {dataset.name} has {len(data)} bytes, expected {size}")
        return np.frombuffer(data, dtype).reshape(chunk)[first - start : last - start]

    return read_chunk_rows


def _codes(dataset: h5py.Dataset) -> list[int]:
    """The filters of a dataset in the order of writing."""
    created = dataset.id.get_create_plist()
    return [created.get_filter(place)[0] for place in range(created.get_nfilters())]


def _chunk_filters(dataset: h5py.Dataset, codes: list[int]) -> list[int] | None:
    """The filters of a dataset in the order of writing; None where h5py has to read it."""
    if dataset.chunks is None or dataset.chunks[1:] != dataset.shape[1:]:
        return None
    if dataset.id.get_type() != h5py.h5t.py_create(dataset.dtype):
        return None  # numbers that NumPy does not have
    created, width = dataset.id.get_create_plist(), dataset.dtype.itemsize
    filters = [created.get_filter(place) for place in range(created.get_nfilters())]
    if width not in (2, 4, 8) or any(code == _SHUFFLE and values != (width,) for code, _, values, _ in filters):
        return None
    return codes if codes in _PIPELINES else None


def _check_unpacked(dataset: h5py.Dataset, codes: list[int], first: int, last: int) -> None:
    """Refuses chunks of these rows that unpack to more than memory holds, which HDF5 finds out too late."""
    shape, chunk, most = dataset.shape, dataset.chunks, LARGEST // _RATIO ** codes.count(_GZIP)
    starts = [range(0, size, step) for size, step in zip(shape[1:], chunk[1:], strict=True)]
    for offset in itertools.product(range(first - first % chunk[0], last, chunk[0]), *starts):
        if dataset.id.get_chunk_info_by_coord(offset).size <= most:
            continue
        skipped, data = dataset.id.read_direct_chunk(offset)
        for place in reversed(range(len(codes))):
            if skipped >> place & 1 or codes[place] == _SHUFFLE:
                continue
            if codes[place] == _GZIP:
                data = _inflate_chunk(data, LARGEST)
            elif codes[place] == _FLETCHER:
                data = data[:-4]
            else:
                break


def _inflate_chunk(data: bytes, size: int) -> bytes:
    """Undoes gzip; a chunk that goes on beyond its size is noticed before memory is set aside for the rest."""
    stream = isal_zlib.decompressobj()
    try:
        inflated: bytes = stream.decompress(data, max_length=size + 1)
    except (igzip_lib.IsalError, MemoryError, OverflowError) as error:  # type: ignore[misc]  # typed as a value
        raise ValueError(f"a chunk cannot be decompressed: {error}") from error
    if not stream.eof:
        raise ValueError("a chunk cannot be decompressed: it is incomplete, or larger than its dataset says")
    return inflated


def _unshuffle_chunk(data: bytes, width: int) -> np.ndarray:
    """Undoes the shuffle filter, which stores the first bytes of all numbers, then the second ones, and so on."""
    planes = np.frombuffer(data, np.uint8).reshape(width, -1)
    # Shifts run through the memory in order: three times faster than a transposition.
    numbers: np.ndarray = planes[-1].astype(f"<u{width}")
    for plane in planes[-2::-1]:
        numbers <<= 8
        numbers |= plane
    return numbers.view(np.uint8)

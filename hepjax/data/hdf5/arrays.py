"""HDF5 files of any layout: arrays, compound tables, and lists by index, wherever they lie in the file."""

from __future__ import annotations

import collections
import math
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hepjax.data.atomic_hdf5 import open_hdf5_file
from hepjax.data.containers import Array, Contents, Ragged
from hepjax.data.hdf5.storage import LARGEST, Place, check_data, chunk_bytes, find_dataset, find_group, open_dataset
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hepjax.data.kept import Kept

FIELD = ":"
"""Between the path of a table and one of its fields."""
_INDEX = "_index"
"""The end of the name of the starts of lists that lie one after the other in a dataset."""
_NAMES = "cols"
"""The attribute with the names of the columns of a dataset."""
_PYTABLES = b"_i_"
"""The beginning of the groups in which PyTables keeps indexes, which are no data."""
_MOST, _DEEPEST = 10_000, 5
"""Datasets of a file, and groups inside each other."""
_CHUNKS = (100, 20_000)
"""The fewest and most jets that are read at a time, if they are not too large."""
_AT_ONCE, _FEW_AT_ONCE = 2**26, 2**28
"""The bytes of a dataset that are read at a time, and those of the fewest jets."""


def contents(path: Path, allow_external: bool = False) -> Contents:
    """Lists the arrays of numbers in a file.

    Args:
      path: the file.
      allow_external: let its data lie in files outside its folder.

    Returns:
      The arrays whose first axis is that of most data for each of its entries, which are the jets. A dataset X with
      starts X_index is one of lists; a field of a table is an array of its own.

    Raises:
      InputError: a dataset is damaged, has data elsewhere that may not be read, or there are too many.
    """
    with open_hdf5_file(path) as file:
        found = dict(_datasets(Place(file, path, allow_external)))
        passed = {name: problem for name, item in found.items() if (problem := _problem(item))}
        datasets = {name: item for name, item in found.items() if name not in passed}
        starts = {name: f"{name}{_INDEX}" for name in datasets if f"{name}{_INDEX}" in datasets}
        counts: collections.Counter[int] = collections.Counter()
        for name, item in datasets.items():
            if name in starts:
                counts[len(datasets[starts[name]]) - 1] += math.prod(item.shape[1:])
            elif name not in starts.values():
                counts[len(item)] += item.dtype.itemsize * math.prod(item.shape[1:])
        jets = max(counts, key=lambda count: (counts[count], count), default=0)
        arrays: dict[str, Array] = {}
        chunk = _CHUNKS[1]
        for name, item in datasets.items():
            if name in starts and len(datasets[starts[name]]) == jets + 1:
                arrays[name] = Array((None, *item.shape[1:]), _column_names(item))
            elif len(item) == jets and name not in starts.values():
                check_data(path, name, item)
                passed |= {f"{name}{FIELD}{field}": problem for field, problem in _passed_fields(item)}
                arrays.update(_arrays_of_dataset(name, item))
                chunk = min(chunk, _rows_at_once(item))
        return Contents(jets, arrays, chunk, passed=passed)


def read(
    path: Path,
    names: Sequence[str],
    first: int,
    last: int,
    kept: Kept,  # noqa: ARG001 - chunks of HDF5 are small, and each has a beginning of its own
) -> dict[str, np.ndarray | Ragged]:
    """Reads rows of arrays.

    Args:
      path: the file.
      names: of the arrays, from `contents`.
      first: first row.
      last: row behind the last.
      kept: is not used.

    Returns:
      Name → (last - first, ...) values, or lists.

    Raises:
      InputError: the file is damaged.
    """
    with open_hdf5_file(path) as file:
        tables: dict[str, list[str]] = collections.defaultdict(list)
        for name in names:
            table, _, field = name.partition(FIELD)
            tables[table] += [field] if field else []
        rows: dict[str, np.ndarray | Ragged] = {}
        for table, fields in tables.items():
            dataset = open_dataset(file, table)
            index = f"{table}{_INDEX}"
            if fields:
                block = dataset.fields(fields)[first:last]
                rows |= {f"{table}{FIELD}{field}": block[field] for field in fields}
            elif index in file:
                rows[table] = _lists(path, table, dataset, open_dataset(file, index)[first : last + 1])
            else:
                rows[table] = dataset[first:last]
        return rows


def _lists(path: Path, name: str, dataset: Any, starts: np.ndarray) -> Ragged:
    counts = np.diff(starts.astype(np.int64))
    if (counts < 0).any() or int(starts[-1]) > len(dataset):
        raise InputError(f"{path}: {name}{_INDEX} has starts that are not in {name}; make the file again")
    if (size := int(starts[-1] - starts[0]) * math.prod(dataset.shape[1:]) * dataset.dtype.itemsize) > LARGEST:
        raise InputError(f"{path}: {name} has lists of {size / 2**30:.1f} GiB for {len(counts)} jets; make it again")
    return Ragged(dataset[int(starts[0]) : int(starts[-1])], counts)


def _datasets(place: Place, group: str = "", depth: int = 0) -> Iterator[tuple[str, h5py.Dataset]]:
    """All datasets, at any depth, by their paths."""
    opened = place.file["/"] if not group else find_group(place, group)
    if opened is None or depth > _DEEPEST:
        return
    listed = list(opened.id)
    if len(listed) > _MOST:
        raise InputError(
            f"{place.path}: {len(listed)} objects in {group or 'the root'}, more than {_MOST}; divide them"
        )
    for raw in listed:
        name = f"{group}/{raw.decode(errors='surrogateescape')}".lstrip("/")
        if raw.startswith(_PYTABLES):
            continue
        if (item := find_dataset(place, name)) is not None:
            yield name, item
        else:
            yield from _datasets(place, name, depth + 1)


def _problem(item: h5py.Dataset) -> str:
    """Why a dataset is passed over, in words that follow "is"; of a table, some fields may be."""
    kinds = [item.dtype[field].base.kind for field in item.dtype.names or ()] or [item.dtype.kind]
    if not {*kinds} & {*"biuf"}:
        return "text" if h5py.check_string_dtype(item.dtype) else f"of the type {item.dtype}"
    return f"of the shape {item.shape}" if item.ndim == 0 or 0 in item.shape[1:] else ""


def _arrays_of_dataset(name: str, item: h5py.Dataset) -> Mapping[str, Array]:
    if item.dtype.names is None:
        return {name: Array(tuple(item.shape[1:]), _column_names(item))}
    return {
        f"{name}{FIELD}{field}": Array((*item.shape[1:], *item.dtype[field].shape))
        for field in item.dtype.names
        if item.dtype[field].base.kind in "biuf"
    }


def _passed_fields(item: h5py.Dataset) -> Iterator[tuple[str, str]]:
    for field in item.dtype.names or ():
        if item.dtype[field].base.kind not in "biuf":
            yield field, f"of the type {item.dtype[field]}"


def _column_names(item: h5py.Dataset) -> tuple[str, ...]:
    """The names of the last axis, where an attribute has them."""
    listed = item.attrs.get(_NAMES)
    if listed is None or item.ndim < 2 or np.shape(listed) != (item.shape[-1],):
        return ()
    return tuple(name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name) for name in listed)


def _rows_at_once(item: h5py.Dataset) -> int:
    """The rows of whole chunks that are read at a time, or parts of large chunks."""
    row = max(math.prod(item.shape[1:]) * item.dtype.itemsize, 1)
    rows = item.chunks[0] if item.chunks else 1
    rows *= max(1, _AT_ONCE // max(chunk_bytes(item), row * rows))
    return int(max(rows, min(_CHUNKS[0], _FEW_AT_ONCE // row), 1))

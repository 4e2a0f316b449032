"""The files behind lazy jets: which rows they are, and how fields of `Jets` are read or computed."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.dataset import gev_factors
from hepjax.data.derived import derived_blocks, first_bad_value, needs
from hepjax.data.labels import check_labels, classes_of_columns
from hepjax.data.threads import physical_memory, run_in_threads
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hepjax.data.containers import JetFile
    from hepjax.data.derived import Needs

Rows = slice | np.ndarray

_INDEX_BYTES = 32
"""The bytes that the row numbers of a jet take while it is read."""
_DTYPES = {"mask": np.dtype(bool), "labels": np.dtype(np.int32)}
"""All other fields are float32."""
_ROWS = 500
"""The jets whose columns are computed at a time."""


def field_dtype(field: str) -> np.dtype[Any]:
    """Returns the type of the values of a field of `Jets`.

    >>> field_dtype("mask")
    dtype('bool')
    """
    return _DTYPES.get(field, np.dtype(np.float32))


@dataclasses.dataclass(frozen=True)
class Store:
    """The files that hold the rows of lazy jets."""

    files: tuple[JetFile, ...]
    slots: int
    image_sizes: dict[str, tuple[int, int]]
    rows: np.ndarray | None = None
    """(N,) ascending rows, counted over all files, that a selection left; None is all."""
    cut_flow: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Cut → how many jets it left, beside those before it."""

    def __len__(self) -> int:
        """The number of jets."""
        return sum(file.header.jets for file in self.files) if self.rows is None else len(self.rows)

    def shape(self, field: str) -> tuple[int, ...]:
        """The shape of a field."""
        dataset = self.files[0].dataset
        columns = {"constituents": dataset.particle_columns, "observables": dataset.jet_columns}
        return (len(self), *self._tail(field, len(columns.get(field, ()))))

    def bytes_read(self, fields: Sequence[str]) -> int:
        """Counts the bytes of a jet that are read and made for some fields."""
        dataset = self.files[0].dataset
        made = sum(math.prod(self.shape(field)[1:]) * field_dtype(field).itemsize for field in fields)
        if not dataset.derived:
            return made + _INDEX_BYTES
        what = needs(dataset, self.files[0].header, fields).dataset
        read = 4 * self.slots * len(what.particle_columns) + 8 * len(what.jet_columns)
        return made + read + _INDEX_BYTES

    def read(self, fields: Sequence[str], rows: Rows) -> dict[str, np.ndarray]:
        """Reads or computes the fields' rows; each chunk is read once, several at a time."""
        count = len(range(*rows.indices(len(self)))) if isinstance(rows, slice) else len(rows)
        if (needed := count * self.bytes_read(fields)) > physical_memory():
            raise InputError(
                f"{self.files[0].header.path}: {count:,} jets take {needed / 1e9:,.1f} GB, more than the memory "
                "of this machine; read fewer at a time, such as jets[:1000]"
            )
        wanted = _row_numbers(rows, len(self))
        wanted = wanted if self.rows is None else self.rows[wanted]
        first = self.files[0]
        if not first.dataset.derived:
            return self._read_files(fields, wanted, self.files, field_dtype)
        what = needs(first.dataset, first.header, fields)
        files = tuple(file._replace(dataset=what.dataset) for file in self.files)
        read = self._read_files(
            what.fields,
            wanted,
            files,
            # Whole numbers, such as those of events, are exact in float64.
            lambda field: np.dtype(np.float64) if field == "observables" and what.columns else field_dtype(field),
        )
        return self._compute(what, fields, read, wanted)

    def _read_files(
        self,
        fields: Sequence[str],
        wanted: np.ndarray,
        files: Sequence[JetFile],
        dtype: Callable[[str], np.dtype[Any]],
    ) -> dict[str, np.ndarray]:
        """Reads fields of rows that are counted over all files, in GeV."""
        dataset = files[0].dataset
        columns = {"constituents": dataset.particle_columns, "observables": dataset.jet_columns}
        out = {
            field: np.empty((len(wanted), *self._tail(field, len(columns.get(field, ())))), dtype(field))
            for field in fields
        }
        order = np.argsort(wanted, kind="stable")
        tasks: list[Callable[[], None]] = []
        offset = 0
        for file in files:
            count = file.header.jets
            low, high = np.searchsorted(wanted, (offset, offset + count), sorter=order)
            if low < high:
                places = order[low:high]
                tasks += file.container.read(file, self.slots, out, wanted[places] - offset, places)
            offset += count
        run_in_threads(tasks)
        for field, names in columns.items():
            if field in out and (factors := gev_factors(dataset, names)) is not None:
                out[field] *= factors
        return out

    def _compute(
        self, what: Needs, fields: Sequence[str], read: dict[str, np.ndarray], wanted: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Computes what expressions give, some thousand jets at a time."""
        out = {field: read[field] for field in fields if field not in what.columns}
        out |= {field: np.empty((len(wanted), *self.shape(field)[1:]), field_dtype(field)) for field in what.columns}
        if what.columns:
            starts = range(0, len(wanted), _ROWS)
            parts = [slice(start, min(start + _ROWS, len(wanted))) for start in starts]
            run_in_threads([functools.partial(self._compute_part, what, read, wanted, out, part) for part in parts])
        if "observables" in out:
            out["observables"] = out["observables"].astype(np.float32, copy=False)
        return out

    def _compute_part(
        self, what: Needs, read: dict[str, np.ndarray], wanted: np.ndarray, out: dict[str, np.ndarray], part: slice
    ) -> None:
        computed, mask = derived_blocks(what, read, part)
        rows = wanted[part]
        for field, values in computed.items():
            bad = first_bad_value(values, mask if field == "constituents" else None)
            if bad is not None:
                path, row = self._place(int(rows[bad[0]]))
                name = what.columns[field][bad[1]]
                expression = self.files[0].dataset.derived.get(name, name)
                raise InputError(
                    f"{path}: derived column {name} = {expression} is NaN, infinite or beyond float32 in row {row}; "
                    "correct the expression, or leave such jets out by a selection"
                )
            if field == "labels":
                out[field][part] = self._labels(values, rows)
            elif field == "constituents":
                out[field][part, : mask.shape[1]], out[field][part, mask.shape[1] :] = values, 0
            else:
                out[field][part] = values[:, 0] if field == "weights" else values

    def _labels(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n,) int32 classes of label columns that were computed."""
        dataset, labels = self.files[0].dataset, np.empty(len(rows), np.int32)
        ends = np.cumsum([file.header.jets for file in self.files])
        which = np.searchsorted(ends, rows, side="right")
        for i in np.unique(which).tolist():
            path, here = self.files[i].header.path, which == i
            check_labels(path, dataset, values[here], rows[here] - ends[i] + self.files[i].header.jets)
            labels[here] = classes_of_columns(dataset, path, values[here])
        return labels

    def _place(self, row: int) -> tuple[Path, int]:
        """The file of a row that is counted over all files, and the row in it."""
        for file in self.files:
            if row < file.header.jets:
                return file.header.path, row
            row -= file.header.jets
        raise IndexError(row)

    def _tail(self, field: str, columns: int) -> tuple[int, ...]:
        tails: dict[str, tuple[int, ...]] = {
            "constituents": (self.slots, columns),
            "mask": (self.slots,),
            "observables": (columns,),
            "labels": (),
            "weights": (),
            **self.image_sizes,
        }
        return tails[field]


def _row_numbers(rows: Rows, count: int) -> np.ndarray:
    """The numbers of the rows, from 0, of so many in all; the others cost nothing."""
    if isinstance(rows, slice):
        return np.arange(*rows.indices(count))
    if rows.dtype == bool:
        return np.arange(count)[rows]
    if rows.size and not (-count <= rows.min() and rows.max() < count):
        raise IndexError(f"rows {rows.min()} to {rows.max()} are not all among {count} jets")
    numbers: np.ndarray = np.where(rows < 0, rows + count, rows).astype(np.int64)
    return numbers

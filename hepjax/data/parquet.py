"""Parquet files: columns of numbers are of jets, columns of lists are of particles. Needs pyarrow."""

from __future__ import annotations

import collections
import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.columnar import columnar_container
from hepjax.data.containers import LIST_PARTICLES, Array, Contents, Ragged
from hepjax.data.recognition import DESCRIPTION
from hepjax.data.remote import open_source
from hepjax.errors import InputError, import_extra, one_line

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from hepjax.data.kept import Kept

LARGEST, _PART = 2**30, 2**27
"""The most bytes of a group of rows that are read at once; larger groups are read in parts of so many bytes."""
_BYTES, _LEVELS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4}, 4
"""The bytes of a value in memory, if not 8, and those of its place in a list."""
_RATIO = 30
"""Groups larger than `LARGEST` that unpack to more than so many times their size in the file are refused."""
PARTICLES = "hepjax_particles"
"""The attribute that says how many particles per jet were kept."""
_MOST_PARTICLES = 100_000
_PRIVATE = (DESCRIPTION, PARTICLES, "ARROW:schema", "pandas", "ak:parameters", "awkward_array_metadata")
"""Attributes for programs, not for people."""


def _contents(path: Path, allow_external: bool) -> Contents:  # noqa: ARG001 - a file has no data elsewhere
    with _open(path) as file:
        with _damage(path):
            kinds = [(field.name, field.type) for field in file.schema_arrow]
        if twice := [name for name, count in collections.Counter(name for name, _ in kinds).items() if count > 1]:
            raise InputError(f"{path}: names {', '.join(twice)} more than once; rename or remove the copies")
        arrays = {name: Array(shape) for name, kind in kinds if (shape := _shape(kind)) is not None}
        texts = _texts(file)
        kept = texts.get(PARTICLES, "")
        return Contents(
            file.metadata.num_rows,
            arrays,
            _chunk(file.metadata),
            texts.get(DESCRIPTION),
            int(kept) if kept.isdecimal() and 0 < int(kept) <= _MOST_PARTICLES else LIST_PARTICLES,
            {name: f"of the type {kind}" for name, kind in kinds if name not in arrays},
        )


def _chunk(metadata: Any) -> int:
    """The rows that are read at a time: those of a group, or fewer where groups are large."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    rows = [
        min(group.num_rows, max(1, group.num_rows * LARGEST // max(group.total_byte_size, 1)))
        for group in groups
        if group.num_rows
    ]
    return int(max(rows, default=1))


def _shape(kind: Any) -> tuple[int | None, ...] | None:
    """The shape of a jet's values of a type of Arrow; None where they are no numbers."""
    types = import_extra("pyarrow.types", "parquet")
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return ()
    if types.is_list(kind) or types.is_large_list(kind):
        return (None,) if _shape(kind.value_type) == () else None
    if types.is_fixed_size_list(kind):
        return (kind.list_size,) if _shape(kind.value_type) == () else None
    return None


def _read(path: Path, names: Sequence[str], first: int, last: int, kept: Kept) -> dict[str, np.ndarray | Ragged]:
    with kept.opened(path, lambda: _open(path)) as file:
        start, tables = 0, []
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            low, high = max(first - start, 0), min(last - start, group.num_rows)
            if low < high:
                tables.append(_rows(path, file, number, tuple(names), slice(low, high), kept))
            start += group.num_rows
        with _damage(path):
            table = import_extra("pyarrow", "parquet").concat_tables(tables)
            columns = {name: table.column(name).combine_chunks() for name in names}
        if table.num_rows != last - first:
            raise InputError(f"{path}: damaged, rows {first} to {last} are incomplete; fetch or make it again")
        return {name: _values(path, name, column, first) for name, column in columns.items()}


def _rows(path: Path, file: Any, number: int, names: tuple[str, ...], rows: slice, kept: Kept) -> Any:
    """Reads rows of a group: a small one is decoded and kept for the next rows, a large one is read in a line."""
    group = file.metadata.row_group(number)
    with _damage(path):
        size, packed = _size(group, names)
    if size > LARGEST and size > _RATIO * packed:
        raise InputError(
            f"{path}: a group of {group.num_rows} rows unpacks {packed / 2**20:.1f} MiB to {size / 2**30:.1f} GiB, "
            f"more than the {LARGEST >> 30} GiB that are read at once; write the file again with smaller row groups"
        )

    def decode() -> Any:
        with _damage(path):
            return file.read_row_group(number, columns=list(names), use_threads=False)

    count = rows.stop - rows.start
    if count == group.num_rows and size <= LARGEST:
        return decode()
    if size <= kept.most:
        whole = kept.decoded(path, (number, names), decode, lambda table: int(table.nbytes))
        return whole.slice(rows.start, count)
    batch = max(1, group.num_rows * _PART // size)
    return _next_rows(path, number, names, rows, batch, kept)


def _next_rows(path: Path, number: int, names: tuple[str, ...], rows: slice, batch: int, kept: Kept) -> Any:
    """Goes on in a group where an earlier read has ended, or begins anew."""
    handle = kept.take(path, (number, names, rows.start))
    if handle is None:
        handle = kept.open(path, contextlib.closing(_decoded_in_line(path, number, names, batch)))
        next(handle.value)
        for start in range(0, rows.start, batch):
            handle.value.send(min(batch, rows.start - start))
    with handle.stack:
        table = handle.value.send(rows.stop - rows.start)
        kept.give_back((number, names, rows.stop), handle)
    return table


def _decoded_in_line(path: Path, number: int, names: tuple[str, ...], batch: int) -> Generator[Any, int, None]:
    """Gives as many of the next rows of a group as it is sent; part by part is decoded, each once."""
    arrow, left = import_extra("pyarrow", "parquet"), []
    with _open(path) as file, _damage(path):
        count = yield
        for part in file.iter_batches(batch, row_groups=[number], columns=list(names), use_threads=False):
            left.append(part)
            while sum(map(len, left)) >= count:
                table = arrow.Table.from_batches(left)
                left = table.slice(count).to_batches()
                count = yield table.slice(0, count)
        yield arrow.Table.from_batches(left)  # too few, which the reader refuses


def _size(group: Any, names: Sequence[str]) -> tuple[int, int]:
    """The bytes of columns of a group of rows, in memory and in the file."""
    unpacked = packed = 0
    for column in map(group.column, range(group.num_columns)):
        path = column.path_in_schema
        if any(path == name or path.startswith(f"{name}.") for name in names):
            width = _BYTES.get(column.physical_type, 8) + _LEVELS
            unpacked += max(column.total_uncompressed_size, width * column.num_values)
            packed += column.total_compressed_size
    return unpacked, packed


def _values(path: Path, name: str, column: Any, first: int) -> np.ndarray | Ragged:
    types = import_extra("pyarrow.types", "parquet")
    if not types.is_list(column.type) and not types.is_large_list(column.type):
        if types.is_fixed_size_list(column.type):
            _check_present(path, name, column, first)
            return _numbers(path, name, column.flatten()).reshape(len(column), column.type.list_size)
        return _numbers(path, name, column, first)
    _check_present(path, name, column, first)
    return Ragged(_numbers(path, name, column.flatten()), np.diff(column.offsets.to_numpy()).astype(np.int64))


def _numbers(path: Path, name: str, column: Any, first: int | None = None) -> np.ndarray:
    _check_present(path, name, column, first)
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _check_present(path: Path, name: str, column: Any, first: int | None) -> None:
    if column.null_count:
        row = "" if first is None else f", the first in row {first + int(np.argmax(column.is_null().to_numpy(False)))}"
        raise InputError(f"{path}: column {name} has {column.null_count} missing values{row}; remove those jets")


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    parquet = import_extra("pyarrow.parquet", "parquet", path)
    with open_source(path, "a Parquet file of jets") as source:
        with _damage(path):
            file = parquet.ParquetFile(source, page_checksum_verification=True)
        with file:
            yield file


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Converts what pyarrow raises for a damaged file, or one that is no Parquet file."""
    arrow = import_extra("pyarrow", "parquet", path)
    try:
        yield
    except (OSError, MemoryError, UnicodeDecodeError, arrow.ArrowException) as error:
        words = one_line(error)
        if "codec" in words.lower() and "support" in words.lower():
            raise InputError(f"{path}: {words}; install a pyarrow that has it, or write the file with zstd") from error
        raise InputError(f"{path}: cannot be read as Parquet ({words}); fetch or make it again") from error


def _texts(file: Any) -> dict[str, str]:
    """The attributes of an open file."""
    held = (file.schema_arrow.metadata or {}).items()
    return {key.decode(errors="backslashreplace"): value.decode(errors="backslashreplace") for key, value in held}


def _attributes(path: Path) -> dict[str, str]:
    with _open(path) as file:
        return {key: value for key, value in _texts(file).items() if key not in _PRIVATE}


CONTAINER = columnar_container("Parquet", (".parquet", ".pq"), contents=_contents, read=_read, attributes=_attributes)

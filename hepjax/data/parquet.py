"""Parquet files: columns of numbers are of jets, columns of lists are of particles. Needs pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.columnar import columnar_container
from hepjax.data.containers import LIST_PARTICLES, Array, Contents, Ragged
from hepjax.data.recognition import DESCRIPTION
from hepjax.errors import InputError, file_problem, import_extra

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LARGEST = 2**30
"""The most bytes that the columns of a group of rows may take."""
PARTICLES = "hepjax_particles"
"""The attribute that says how many particles per jet were kept."""
_MOST_PARTICLES = 100_000
_PRIVATE = (DESCRIPTION, PARTICLES, "ARROW:schema", "pandas", "ak:parameters", "awkward_array_metadata")
"""Attributes for programs, not for people."""


def _contents(path: Path, allow_external: bool) -> Contents:  # noqa: ARG001 - a file has no data elsewhere
    with _open(path) as file:
        arrays = {field.name: Array(shape) for field in file.schema_arrow if (shape := _shape(field.type)) is not None}
        groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        texts = _texts(file)
        kept = texts.get(PARTICLES, "")
        return Contents(
            file.metadata.num_rows,
            arrays,
            max(groups, default=1) or 1,
            texts.get(DESCRIPTION),
            int(kept) if kept.isdecimal() and 0 < int(kept) <= _MOST_PARTICLES else LIST_PARTICLES,
        )


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


def _read(path: Path, names: Sequence[str], first: int, last: int) -> dict[str, np.ndarray | Ragged]:
    with _open(path) as file:
        start, tables = 0, []
        for group in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            low, high = max(first, start), min(last, start + count)
            if low < high:
                _check_size(path, file.metadata.row_group(group), names)
                tables.append(_rows(path, file, group, names).slice(low - start, high - low))
            start += count
        table = import_extra("pyarrow", "parquet").concat_tables(tables)
        return {name: _values(path, name, table.column(name).combine_chunks()) for name in names}


def _rows(path: Path, file: Any, group: int, names: Sequence[str]) -> Any:
    try:
        return file.read_row_group(group, columns=list(names), use_threads=False)
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(f"{path}: damaged ({_one_line(error)}); fetch or make it again") from error


def _values(path: Path, name: str, column: Any) -> np.ndarray | Ragged:
    types = import_extra("pyarrow.types", "parquet")
    if column.null_count:
        raise InputError(f"{path}: column {name} has {column.null_count} missing values; remove those jets")
    if not types.is_list(column.type) and not types.is_large_list(column.type):
        if types.is_fixed_size_list(column.type):
            return _numbers(path, name, column.flatten()).reshape(len(column), column.type.list_size)
        return _numbers(path, name, column)
    return Ragged(_numbers(path, name, column.flatten()), np.diff(column.offsets.to_numpy()).astype(np.int64))


def _numbers(path: Path, name: str, column: Any) -> np.ndarray:
    if column.null_count:
        raise InputError(f"{path}: column {name} has {column.null_count} missing values; remove those jets")
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _check_size(path: Path, group: Any, names: Sequence[str]) -> None:
    """Refuses a group of rows that unpacks to more than memory is set aside for."""
    wanted, size = {*names}, 0
    for i in range(group.num_columns):
        column = group.column(i)
        if column.path_in_schema.split(".")[0] in wanted:
            size += max(column.total_uncompressed_size, 8 * column.num_values)
    if size > LARGEST:
        raise InputError(
            f"{path}: a group of {group.num_rows} rows unpacks to {size / 2**30:.1f} GiB, more than the "
            f"{LARGEST >> 30} GiB that are read at once; write the file again with smaller row groups"
        )


def _open(path: Path) -> Any:
    parquet = import_extra("pyarrow.parquet", "parquet")
    if problem := file_problem(path):
        raise InputError(f"{path}: {problem}; give a Parquet file of jets")
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({_one_line(error)}); fetch or make it again") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _texts(file: Any) -> dict[str, str]:
    """The attributes of an open file."""
    held = (file.schema_arrow.metadata or {}).items()
    return {key.decode(errors="backslashreplace"): value.decode(errors="backslashreplace") for key, value in held}


def _attributes(path: Path) -> dict[str, str]:
    with _open(path) as file:
        return {key: value for key, value in _texts(file).items() if key not in _PRIVATE}


CONTAINER = columnar_container("Parquet", (".parquet", ".pq"), contents=_contents, read=_read, attributes=_attributes)

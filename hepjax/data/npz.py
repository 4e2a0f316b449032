"""NumPy archives (.npz): arrays by name, whose first axis is that of the jets; pickles are refused, never loaded."""

from __future__ import annotations

import math
import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from hepjax.data.columnar import columnar_container
from hepjax.data.containers import Array, Contents
from hepjax.errors import InputError, file_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hepjax.data.containers import Ragged

_AT_ONCE = 2**26
"""The bytes of an array that are read at a time."""
_DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError)


class _Member(NamedTuple):
    """An array of an archive, unread."""

    file: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def row(self) -> int:
        """The bytes of a jet."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def _contents(path: Path, allow_external: bool) -> Contents:  # noqa: ARG001 - an archive has no data elsewhere
    with _open(path) as archive:
        members = _members(path, archive)
    counts = [member.shape[0] for member in members.values()]
    jets = max(counts, key=counts.count, default=0)
    rows = {name: member for name, member in members.items() if member.shape[0] == jets}
    arrays = {name: Array(member.shape[1:]) for name, member in rows.items()}
    largest = max((member.row for member in rows.values()), default=1)
    return Contents(jets, arrays, max(1, _AT_ONCE // max(largest, 1)))


def _members(path: Path, archive: zipfile.ZipFile) -> Mapping[str, _Member]:
    """The arrays of numbers in an archive, by name."""
    members = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        try:
            with archive.open(info) as file:
                version = npy.read_magic(file)
                read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
                if read is None:
                    raise ValueError(f"version {version} of the format of NumPy")
                shape, fortran, dtype = read(file)
                start = file.tell()
        except _DAMAGED as error:
            raise InputError(f"{path}: {name} is no array of NumPy ({error}); fetch or make it again") from error
        if dtype.hasobject:
            raise InputError(f"{path}: {name} holds Python objects, which may run code; save it as numbers")
        if info.file_size - start != math.prod(shape) * dtype.itemsize:
            raise InputError(f"{path}: {name} is incomplete; fetch or make it again")
        if dtype.kind in "biuf" and shape and not (fortran and len(shape) > 1):
            members[name] = _Member(info.filename, dtype, shape)
    return members


def _read(path: Path, names: Sequence[str], first: int, last: int) -> dict[str, np.ndarray | Ragged]:
    with _open(path) as archive:
        members = _members(path, archive)
        return {name: _rows(path, archive, members[name], first, last) for name in names}


def _rows(path: Path, archive: zipfile.ZipFile, member: _Member, first: int, last: int) -> np.ndarray:
    try:
        with archive.open(member.file) as file:
            header = archive.getinfo(member.file).file_size - math.prod(member.shape) * member.dtype.itemsize
            file.seek(header + first * member.row)
            data = file.read((last - first) * member.row)
    except (*_DAMAGED, MemoryError) as error:
        raise InputError(f"{path}: {member.file} is damaged ({error}); fetch or make it again") from error
    if len(data) != (last - first) * member.row:
        raise InputError(f"{path}: {member.file} is incomplete; fetch or make it again")
    return np.frombuffer(data, member.dtype).reshape(last - first, *member.shape[1:])


def _open(path: Path) -> zipfile.ZipFile:
    if problem := file_problem(path):
        raise InputError(f"{path}: {problem}; give a NumPy archive of jets")
    try:
        return zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise InputError(f"{path}: cannot be read as a NumPy archive ({error}); fetch or make it again") from error


def _attributes(path: Path) -> dict[str, str]:  # noqa: ARG001 - archives have none
    return {}


CONTAINER = columnar_container("NumPy", (".npz",), contents=_contents, read=_read, attributes=_attributes)

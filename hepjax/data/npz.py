"""NumPy archives (.npz): arrays by name, whose first axis is that of the jets; pickles are refused, never loaded.

`FILE.npz:train` is the part of an archive whose arrays are called `X_train`, `y_train` and so on.
"""

from __future__ import annotations

import collections
import contextlib
import math
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from hepjax.data.columnar import columnar_container
from hepjax.data.containers import Array, Contents, split_tree
from hepjax.data.inflate import InflateStates
from hepjax.data.remote import open_source
from hepjax.errors import InputError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hepjax.data.containers import Ragged
    from hepjax.data.kept import Kept

_AT_ONCE = 2**26
"""The bytes of an array that are read at a time."""
_LARGEST = 2**30
"""The most bytes of a jet."""
_MOST = 10_000
"""Arrays of an archive."""
_DAMAGED = (
    OSError, ValueError, EOFError, SyntaxError, TypeError, ArithmeticError, NotImplementedError, RuntimeError,
    MemoryError, UnicodeError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error,
)  # fmt: skip
"""What zipfile and NumPy raise for what is damaged, depending on where."""
_READ_HEADER = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class _Member(NamedTuple):
    """An array of an archive, unread."""

    file: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    transposed: bool

    @property
    def row(self) -> int:
        """The bytes of a jet."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def _contents(path: Path, allow_external: bool) -> Contents:  # noqa: ARG001 - an archive has no data elsewhere
    with _open(path) as archive:
        members = _members(path, archive)
    passed = {name: problem for name, member in members.items() if (problem := _problem(member))}
    counts = [member.shape[0] for name, member in members.items() if name not in passed]
    jets = max(counts, key=counts.count, default=0)
    rows = {name: member for name, member in members.items() if name not in passed and member.shape[0] == jets}
    arrays = {name: Array(member.shape[1:]) for name, member in rows.items()}
    largest = max((member.row for member in rows.values()), default=1)
    if largest > _LARGEST:
        raise InputError(
            f"{path}: a jet takes {largest / 2**30:.1f} GiB, more than {_LARGEST >> 30} GiB; make it again"
        )
    return Contents(jets, arrays, max(1, _AT_ONCE // max(largest, 1)), passed=passed)


def _problem(member: _Member) -> str:
    """Why an array is passed over, in words that follow "is"."""
    if member.dtype.kind not in "biuf":
        return f"of the type {member.dtype}"
    if member.transposed:
        return "in Fortran order"
    return "" if member.shape else "a single number"


def _members(path: Path, archive: zipfile.ZipFile) -> Mapping[str, _Member]:
    """The arrays of numbers in an archive, or in the part of it that was asked for, by name."""
    members: dict[str, _Member] = {}
    for info in archive.infolist()[: _MOST + 1]:
        name = info.filename.removesuffix(".npy")
        if info.is_dir():
            continue
        if not name.isprintable():
            raise InputError(f"{path}: an array has the name {ascii(name)[:100]}, which is no text; make it again")
        if name in members or len(members) == _MOST:
            raise InputError(f"{path}: {'two arrays' if name in members else 'too many arrays,'} {name}; make it again")
        with _damage(path, name), archive.open(info) as file:
            version = npy.read_magic(file)
            if version not in _READ_HEADER:
                raise ValueError(f"version {version} of the format of NumPy")
            shape, fortran, dtype = _READ_HEADER[version](file)
            start = file.tell()
        if dtype.hasobject:
            raise InputError(f"{path}: {name} holds Python objects, which may run code; save it as numbers")
        if min(shape, default=0) < 0 or info.file_size - start != math.prod(shape) * dtype.itemsize:
            raise InputError(f"{path}: {name} is incomplete; fetch or make it again")
        members[name] = _Member(info.filename, dtype, shape, fortran and len(shape) > 1)
    return _part(path, members)


def _part(path: Path, members: Mapping[str, _Member]) -> Mapping[str, _Member]:
    """The arrays of a part, such as X_train and y_train, without its name; all where there are no parts."""
    parts: dict[str, dict[str, _Member]] = collections.defaultdict(dict)
    for name, member in members.items():
        stem, _, end = name.rpartition("_")
        parts[end][stem] = member
    part = split_tree(path)[1]
    if part is not None and (part not in parts or "" in parts[part]):
        held = [end for end, arrays in parts.items() if "" not in arrays]
        raise InputError(f"{path}: has no arrays …_{part}; its parts are {', '.join(held) or 'none'}")
    if part is not None:
        return parts[part]
    divided = len(parts) > 1 and len({frozenset(arrays) for arrays in parts.values()}) == 1
    if divided and "" not in next(iter(parts.values())) and len({x.shape[:1] for x in members.values()}) > 1:
        raise InputError(f"{path}: has the parts {', '.join(parts)}; say which, such as {path}:{next(iter(parts))}")
    return members


def _read(path: Path, names: Sequence[str], first: int, last: int, kept: Kept) -> dict[str, np.ndarray | Ragged]:
    with kept.opened(split_tree(path)[0], lambda: _open_with_members(path), str(path)) as (archive, members):
        if gone := [name for name in names if name not in members]:
            raise InputError(f"{path}: has lost {gone[0]} since it was opened; open it again")
        return {name: _rows(path, archive, members[name], first, last, kept) for name in names}


@contextlib.contextmanager
def _open_with_members(path: Path) -> Iterator[tuple[zipfile.ZipFile, Mapping[str, _Member]]]:
    with _open(path) as archive:
        yield archive, _members(path, archive)


def _rows(path: Path, archive: zipfile.ZipFile, member: _Member, first: int, last: int, kept: Kept) -> np.ndarray:
    with _damage(path, member.file):
        info = archive.getinfo(member.file)
        header = info.file_size - math.prod(member.shape) * member.dtype.itemsize
        start, stop = header + first * member.row, header + last * member.row
        if info.compress_type == zipfile.ZIP_DEFLATED:
            states = kept.decoded(
                split_tree(path)[0], member.file, lambda: InflateStates(archive, info), lambda _: info.file_size // 1000
            )
            data = states.read(archive, start, stop)
        else:
            with archive.open(member.file) as file:
                file.seek(start)  # the checksum of what was not read whole is not compared
                data = file.read(stop - start)
    if len(data) != (last - first) * member.row:
        raise InputError(f"{path}: {member.file} is incomplete; fetch or make it again")
    return np.frombuffer(data, member.dtype).reshape(last - first, *member.shape[1:])


@contextlib.contextmanager
def _damage(path: Path, name: str) -> Iterator[None]:
    """Converts what zipfile and NumPy raise for a damaged array."""
    try:
        yield
    except InputError:
        raise
    except _DAMAGED as error:
        raise InputError(
            f"{path}: {name} is damaged or no array ({one_line(error)}); fetch or make it again"
        ) from error


@contextlib.contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    file, _ = split_tree(path)
    with open_source(file, "a NumPy archive of jets") as source:
        try:
            archive = zipfile.ZipFile(source)
        except InputError:
            raise
        except _DAMAGED as error:
            raise InputError(
                f"{file}: cannot be read as a NumPy archive ({one_line(error)}); fetch or make it again"
            ) from error
        with archive:
            yield archive


def _attributes(path: Path) -> dict[str, str]:
    part = split_tree(path)[1]
    return {} if part is None else {"part": part}


CONTAINER = columnar_container("NumPy", (".npz",), contents=_contents, read=_read, attributes=_attributes)

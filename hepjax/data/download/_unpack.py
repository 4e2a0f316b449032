"""Unpacking of a verified archive into a folder of files of jets, which appears complete or not at all."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import tarfile
import zlib
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from hepjax.data.atomic_hdf5 import escape_control_characters
from hepjax.data.download._body import MAGIC
from hepjax.errors import InputError, file_problem

if TYPE_CHECKING:
    from pathlib import Path

    from hepjax.data.download._records import Archive, Check, Progress

_DATA = (".h5", ".root", ".parquet", ".npz")
"""The ends of the names of files that are unpacked."""
_MAX_UNPACKED = 64 << 30  # bytes that an archive may unpack to; the largest public one has 2.7 GB packed
_MOST_MEMBERS = 100_000
_LARGEST_HEADER = 1 << 24
_MANIFEST = "manifest.json"


def unpacked_files(folder: Path, archive: Archive) -> list[Path]:
    """Returns the files of a split that was unpacked before; an empty list if it was not."""
    split = folder / archive.split
    if not split.exists():
        return []
    remedy = f"Move {split} away and fetch again"
    sizes = _read_manifest(split / _MANIFEST)
    if sizes is None:
        raise InputError(f"{split}: was not made by `hepjax fetch` (no readable {_MANIFEST}). {remedy}")
    files = [split / name for name in sorted(sizes)]
    for path in files:
        if not path.is_file() or path.stat().st_size != sizes[path.name] or not has_magic(path):
            raise InputError(
                f"{path}: missing or changed, expected {sizes[path.name]} bytes of {_kind(path)}. {remedy}"
            )
    return files


def _read_manifest(path: Path) -> dict[str, int] | None:
    """Reads the names and sizes of the files of a folder; None where a manifest is missing or of another form."""
    if file_problem(path):
        return None
    try:
        sizes = json.loads(path.read_text())["files"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    if not isinstance(sizes, dict) or not sizes:
        return None
    good = (name == PurePosixPath(name).name and type(size) is int for name, size in sizes.items())
    return sizes if all(good) else None


def has_magic(path: Path) -> bool:
    """Returns whether a file begins as those of its name do."""
    magic = MAGIC[path.suffix]
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _kind(path: Path) -> str:
    return "HDF5" if path.suffix == ".h5" else path.suffix


def unpack_archive(path: Path, split: Path, sha256: str, report: Progress, check: Check | None) -> None:
    """Unpacks the files of jets of an archive into the folder `split`, which appears only after success."""
    work = split.with_name(f".{split.name}.unpacking")
    shutil.rmtree(work, ignore_errors=True)  # left over from a killed run
    work.mkdir()
    try:
        files = _extract_members(path, work, report)
        if not files:
            raise InputError(f"{path}: holds no .h5 file, and none of another kind. Delete it and fetch it again")
        for file in files:
            if not has_magic(file):
                raise InputError(
                    f"{path}: its member {escape_control_characters(file.name)} is not {_kind(file)}. Delete the "
                    "archive and fetch it again"
                )
            if check:
                check(file)
        manifest = {"archive": path.name, "sha256": sha256, "files": {file.name: file.stat().st_size for file in files}}
        (work / _MANIFEST).write_text(json.dumps(manifest, indent=1))
        path.with_name(f"{path.name}.sha256").write_text(f"{sha256}  {path.name}\n")
        work.replace(split)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _extract_members(path: Path, work: Path, report: Progress) -> list[Path]:
    """Writes the files of jets in an archive directly into `work`, without using paths from the archive."""
    size, total = path.stat().st_size, 0
    files: list[Path] = []
    try:
        with path.open("rb") as raw, _stream(path, raw) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for count, member in enumerate(tar):
                total += member.size
                name = _safe_member_name(path, member, work, total=total, count=count)
                if name is not None:
                    files.append(work / name)
                    with tar.extractfile(member) as inside, files[-1].open("xb") as outside:  # type: ignore[union-attr]
                        shutil.copyfileobj(inside, outside, 1 << 20)
                report(f"unpacking {path.name}", raw.tell(), size)
            while stream.read(1 << 20):  # to the end, where gzip keeps its checksum
                if stream.tell() > 2 * _MAX_UNPACKED:
                    raise tarfile.ReadError("goes on behind its last member")
    except InputError:
        raise
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"{path}: broken archive ({escape_control_characters(error)}). Delete it and fetch it again"
        ) from error
    except FileExistsError as error:
        raise InputError(
            f"{path}: holds two files named {escape_control_characters(files[-1].name)}. Delete it and fetch it again"
        ) from error
    return files


def _stream(path: Path, raw: IO[bytes]) -> contextlib.AbstractContextManager[Any]:
    return _Stream(fileobj=raw) if path.suffix == ".gz" else contextlib.nullcontext(raw)


class _Stream(gzip.GzipFile):
    """The unpacked bytes; members are copied piece by piece, so that only a forged header asks for many at once."""

    def read(self, size: int | None = -1) -> bytes:
        """Reads so many bytes."""
        if size is None or not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError("a header is too large")
        return super().read(size)


def _safe_member_name(path: Path, member: tarfile.TarInfo, work: Path, *, total: int, count: int) -> str | None:
    """Returns the file name of a member to keep, or None to skip it; raises an error for a malicious member."""
    inside = PurePosixPath(member.name)
    problem = None
    try:
        tarfile.data_filter(member, str(work))
    except tarfile.FilterError as error:
        problem = str(error)
    if inside.is_absolute() or ".." in inside.parts or not (member.isreg() or member.isdir()):
        problem = "only plain files and folders under relative paths are allowed"
    if total > _MAX_UNPACKED:
        problem = f"unpacks to more than {_MAX_UNPACKED >> 30} GiB"
    if count >= _MOST_MEMBERS:
        problem = f"there are more than {_MOST_MEMBERS} members"
    if problem:
        raise InputError(
            f"{path}: refused because of its member {member.name!a}: "
            f"{escape_control_characters(problem)}. Nothing was unpacked"
        )
    # macOS adds a hidden file with attributes for each file.
    is_data = member.isreg() and inside.suffix in _DATA and not inside.name.startswith(".")
    return inside.name if is_data else None

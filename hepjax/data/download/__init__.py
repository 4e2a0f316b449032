"""Public records of jets, downloaded, verified and unpacked into local files.

A folder of unpacked files appears complete or not at all, and an interrupted download resumes at the same byte.
"""

from __future__ import annotations

import contextlib
import errno
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from hepjax.data.download._records import SOURCES, Archive, Record, Retry, Source, select
from hepjax.errors import InputError, file_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hepjax.data.download._records import Check, Progress

__all__ = ["SOURCES", "Archive", "Record", "Retry", "Source", "fetch", "train_line"]

_RETRY = Retry()


def fetch(
    record: Record,
    to: Path | None = None,
    *,
    progress: Progress | None = None,
    check: Check | None = None,
    parts: Sequence[str] = (),
    numbers: range | None = None,
    sources: Mapping[Record, Source] = SOURCES,
    retry: Retry = _RETRY,
) -> list[Path]:
    """Downloads, verifies and unpacks a public record; does nothing if the record is already unpacked.

    The files go to `to/<record>/train`, `to/<record>/val` and so on; the archives stay next to these folders and may be
    deleted. A file must have its pinned size and checksum, or the ones that the record lists if none are pinned; an
    archive must be complete and contain files of jets only. Its SHA-256 sum is written to `<file>.sha256`, and any
    later copy must have the same sum. A second process waits for the first.

    Args:
      record: the record to download.
      to: folder for the record; None means the user's cache folder.
      progress: called with a description, the number of finished bytes, and the total number (None if unknown).
      check: called with each file before it counts as finished; raises `InputError` to refuse it.
      parts: such as train; none is all but an example.
      numbers: which files of each part, from 0; None is all.
      sources: addresses and checksums.
      retry: delays and time limits.

    Returns:
      The files of jets, those of each part together.

    Raises:
      InputError: the record is not available, has changed, or does not fit on the disk.

    >>> [record.value for record in Record][:4]
    ['jets-30p', 'jets-100p', 'jets-150p', 'top-tagging']
    """
    from hepjax.data.download._unpack import unpacked_files

    source = sources[record]
    chosen = select(source, parts, numbers)
    folder = (_download_cache_folder() if to is None else Path(to).expanduser()) / record.value
    report = progress or _ignore_transfer_progress
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock_download_folder(folder):
            for archive in chosen:
                if not archive.packed:
                    files.append(_fetch_file(folder / archive.split, archive, source, retry, report, check))
                    continue
                files += unpacked_files(folder, archive) or _download_and_unpack(
                    folder, archive, source, retry, report, check
                )
    except OSError as error:
        raise InputError(_disk_space_error(folder, error)) from error
    return files


def _ignore_transfer_progress(what: str, done: int, total: int | None) -> None:
    """Ignores a progress report."""


def _download_cache_folder() -> Path:
    import pooch

    return Path(pooch.os_cache("hepjax"))


@contextlib.contextmanager
def _lock_download_folder(folder: Path) -> Iterator[None]:
    """Locks the folder against other processes; the system releases the lock when the process ends."""
    import fcntl

    lock = folder / ".lock"
    if lock.exists() and (problem := file_problem(lock)):
        raise InputError(f"{lock}: {problem}. Delete it and run again")
    with lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _disk_space_error(folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{folder}: the disk is full. Free some space and run again: the download goes on where it stopped"
    return f"{error.filename or folder}: {error.strerror or error}. Choose a folder that can be written to"


def _recorded_sum(path: Path) -> str | None:
    """Reads the checksum of an archive that was fetched before; None where there is none."""
    if not path.exists():
        return None
    problem, checksum = file_problem(path), ""
    if not problem:
        with path.open("rb") as file:
            checksum = next(iter(file.read(1000).decode(errors="replace").split()), "")
        if not checksum:
            return None
    if problem or len(checksum) != 64 or not {*checksum} <= {*"0123456789abcdef"}:
        raise InputError(
            f"{path}: expected a SHA-256 sum, found {problem or ascii(checksum[:20])}. Delete it and run again"
        )
    return checksum


def _fetch_file(
    folder: Path, archive: Archive, source: Source, retry: Retry, report: Progress, check: Check | None
) -> Path:
    """Downloads a file of jets, unless it is there and as large as when it was verified."""
    from hepjax.data.download._unpack import has_magic

    path, record = folder / archive.name, folder / f"{archive.name}.sha256"
    folder.mkdir(exist_ok=True)
    if path.exists() and not file_problem(path) and _recorded_sum(record):
        words = record.read_text().split()
        if words[-1] == str(path.stat().st_size) and has_magic(path):
            return path
        raise InputError(f"{path}: has changed since it was fetched. Delete it and fetch it again")
    sha256 = _verified(path, archive, source, retry, report)
    if check:
        check(path)
    record.write_text(f"{sha256}  {path.name}  {path.stat().st_size}\n")
    return path


def _verified(path: Path, archive: Archive, source: Source, retry: Retry, report: Progress) -> str:
    """Verifies a file, which is downloaded if it is missing, and returns its SHA-256 sum."""
    from hepjax.data.download import _download

    recorded = _recorded_sum(path.with_name(f"{path.name}.sha256"))
    if not archive.md5 and not archive.adler32 and not recorded:
        archive = _download.with_listed_checksum(archive, source.page, retry)
    if not path.exists():
        return _download.download(path, archive, recorded, source, retry, report)
    problem = file_problem(path)
    if not problem:
        sha256, problem = _download.verify_archive(path, archive, recorded, report)
    if problem:
        raise InputError(f"{path}: {problem}. Delete it and fetch it again")
    return sha256


def _download_and_unpack(
    folder: Path, archive: Archive, source: Source, retry: Retry, report: Progress, check: Check | None
) -> list[Path]:
    """Downloads an archive if it is missing, verifies and unpacks it."""
    from hepjax.data.download import _unpack

    path = folder / archive.name
    sha256 = _verified(path, archive, source, retry, report)
    _unpack.unpack_archive(path, folder / archive.split, sha256, report, check)
    return _unpack.unpacked_files(folder, archive)


def train_line(files: Sequence[Path]) -> str:
    """Returns the command that trains on fetched files, with the parts that the record comes with.

    >>> train_line([Path("d/top-tagging/train/train.h5"), Path("d/top-tagging/test/test.h5")])
    'hepjax train --data d/top-tagging/train --test d/top-tagging/test'
    """
    folders = list(dict.fromkeys(file.parent for file in files))
    parts: dict[str, list[str]] = {}
    for folder in folders:
        part = folder.name.partition("-")[0]
        parts.setdefault(part if part in ("val", "test") else "data", []).append(shlex.quote(str(folder)))
    data = parts.pop("data", None) or parts.pop(next(iter(parts)))
    words = [f"--data {' '.join(data)}", *(f"--{part} {' '.join(of_part)}" for part, of_part in parts.items())]
    return f"hepjax train {' '.join(words)}"

"""Public records of jets, downloaded, verified and unpacked into local HDF5 files.

A folder of unpacked files appears complete or not at all, and an interrupted download resumes at the same byte.
"""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path
from typing import TYPE_CHECKING

from hepjax.data.download._records import SOURCES, Archive, Record, Retry, Source
from hepjax.errors import InputError, file_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hepjax.data.download._records import Check, Progress

__all__ = ["SOURCES", "Archive", "Record", "Retry", "Source", "fetch"]

_RETRY = Retry()


def fetch(
    record: Record,
    to: Path | None = None,
    *,
    progress: Progress | None = None,
    check: Check | None = None,
    sources: Mapping[Record, Source] = SOURCES,
    retry: Retry = _RETRY,
) -> list[Path]:
    """Downloads, verifies and unpacks a public record; does nothing if the record is already unpacked.

    The files go to `to/<record>/train` and `to/<record>/val`; the archives stay next to these folders and may be
    deleted. An archive must have its pinned size and MD5 sum, or the ones that the record lists if none are pinned; it
    must be complete and contain HDF5 files only. Its SHA-256 sum is written to `<archive>.sha256`, and any later copy
    must have the same sum. A second process waits for the first.

    Args:
      record: the record to download.
      to: folder for the record; None means the user's cache folder.
      progress: called with a description, the number of finished bytes, and the total number (None if unknown).
      check: called with each unpacked file before its folder counts as finished; raises `InputError` to refuse it.
      sources: addresses and checksums.
      retry: delays and time limits.

    Returns:
      The HDF5 files, training files first, sorted by name.

    Raises:
      InputError: the record is not available, has changed, or does not fit on the disk.

    Examples:
      >>> [record.value for record in Record]
      ['jets-30p', 'jets-100p', 'jets-150p']
    """
    from hepjax.data.download._unpack import unpacked_files

    source = sources[record]
    folder = (_download_cache_folder() if to is None else Path(to).expanduser()) / record.value
    report = progress or _ignore_transfer_progress
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock_download_folder(folder):
            for archive in source.archives:
                files += unpacked_files(folder, archive) or _download_and_unpack(
                    folder, archive, source.page, retry, report, check
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


def _download_and_unpack(
    folder: Path, archive: Archive, page: str, retry: Retry, report: Progress, check: Check | None
) -> list[Path]:
    """Downloads an archive if it is missing, verifies and unpacks it."""
    from hepjax.data.download import _download, _unpack

    path, record = folder / archive.name, folder / f"{archive.name}.sha256"
    recorded = _recorded_sum(record)
    if not archive.md5 and not recorded:
        archive = _download.with_listed_checksum(archive, page, retry)
    if path.exists():
        if problem := file_problem(path):
            raise InputError(f"{path}: {problem}. Delete it and fetch it again")
        sha256, problem = _download.verify_archive(path, archive, recorded, report)
        if problem:
            raise InputError(f"{path}: {problem}. Delete it and fetch it again")
    else:
        sha256 = _download.download(path, archive, recorded, page, retry, report)
    _unpack.unpack_archive(path, folder / archive.split, sha256, report, check)
    return _unpack.unpacked_files(folder, archive)

"""The lock of a run folder, which lets one training at a time go on in it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
from typing import TYPE_CHECKING

from hepjax.errors import InputError, errors_of_writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = ".lock"

log = logging.getLogger("hepjax")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other trainings out of a run folder inside a `with`.

    The system releases the lock when a process ends, however it ends. It holds on other machines too where the file
    system shares locks, as NFS does.

    Args:
      folder: of the run.

    Yields:
      Nothing.

    Raises:
      InputError: another training is going on there.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as name, locked(pathlib.Path(name)):
    ...     pass
    """
    path = folder / _NAME
    with errors_of_writing(path):
        handle = _open_locked(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still locked
        os.close(handle)


def _open_locked(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            raise InputError(
                f"{path.parent}: is being trained by {holder or 'another process'}; wait until it ends, or end it first"
            ) from error
        except OSError as error:  # a file system without locks
            log.warning("%s: cannot be locked (%s); take care that nothing else trains there", path.parent, error)
            return handle
        # The process that had the lock may have removed the file in between.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(handle)):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
                return handle
        os.close(handle)

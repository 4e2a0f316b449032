"""HDF5 files: new ones whole or not at all, even on a full disk; old ones with errors that name them."""

from __future__ import annotations

import contextlib
import glob
import io
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.data.remote import RemotePath, open_source
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import h5py


_BROKEN = (OSError, RuntimeError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError, MemoryError)
"""What h5py raises for a file whose structure is damaged, depending on where."""


SUFFIXES = (".h5", ".hdf5", ".hdf")
"""The ends of the names of HDF5 files, the first one that of new files."""
_PARTIAL = ".{}.{}.part"


class NewFile(NamedTuple):
    """A file that is being written."""

    file: Any
    """The open `h5py.File`."""
    check: Callable[[], None]
    """Raises what went wrong so far, if anything did; flush the file first."""


@contextlib.contextmanager
def new_hdf5_file(path: Path, name: str | None = None) -> Iterator[NewFile]:
    """Opens a new HDF5 file to write to.

    The file has a temporary name in its folder until the context ends well; otherwise nothing remains of it.

    Args:
      path: a file that does not exist yet.
      name: what messages call it; None is its path.

    Yields:
      The open file, and a function that raises what went wrong so far.

    Raises:
      InputError: the file exists or cannot be written.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, new_hdf5_file(pathlib.Path(folder, "a.h5")) as new:
    ...     new.file["x"] = 1
    """
    import h5py

    name = str(path) if name is None else name
    check_new_hdf5_path(path, name)
    partial = path.with_name(_PARTIAL.format(path.name, os.getpid()))
    try:
        with _clear_hdf5_errors(name), _open_partial_file(partial) as raw:
            try:
                with h5py.File(raw, "w") as file:
                    yield NewFile(file, raw.check)
            except OSError:
                raw.check()  # what HDF5 says of a file that lacks a part matters less than why it does
                raise
            raw.sync()
        check_new_hdf5_path(path, name)
        with _clear_hdf5_errors(name):
            _move_into_place(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def open_hdf5_file(path: Path, kind: str = "file of the public jet layout") -> Iterator[h5py.File]:
    """Opens an HDF5 file for one read: no handle outlives it, so processes never share one.

    Args:
      path: the file.
      kind: what it should be, for messages.

    Yields:
      The open file.

    Raises:
      InputError: the file is missing, no regular file, unreadable, being written, not HDF5, or damaged.
    """
    import h5py

    with open_source(path, f"the path of a {kind}", raises=False) as source:
        try:
            file = h5py.File(source, "r")
        except _BROKEN as error:
            raise InputError(f"{path}: {_why_not_open(path, error, kind)}") from error
        try:
            with file:
                yield file
        except InputError:
            raise
        except _BROKEN as error:
            raise InputError(f"{path}: damaged; fetch or make it again ({escape_control_characters(error)})") from error


def _why_not_open(path: Path, error: Exception, kind: str) -> str:
    import h5py

    said = escape_control_characters(error)
    if isinstance(error, PermissionError):
        return f"cannot be read ({error.strerror or said}); give a {kind} that you may read"
    if "lock file" in said or said.endswith("is already open for write"):
        return "is open elsewhere, where it is written; wait until it is closed, or give a copy"
    if "already open for" in said:
        return (
            "is being written elsewhere, or the program that wrote it has crashed; wait until it is closed, or repair "
            f"a copy by h5clear -s ({said})"
        )
    try:
        if "signature not found" in said if isinstance(path, RemotePath) else not h5py.is_hdf5(path):
            return f"not an HDF5 file; give a {kind}"
    except OSError as unread:  # such as of /proc
        return f"cannot be read ({os.strerror(unread.errno) if unread.errno else said}); give a {kind}"
    return f"cannot be opened, perhaps truncated; fetch or make it again ({said})"


def escape_control_characters(text: object) -> str:
    r"""Makes text of a file fit for a message: control characters are escaped.

    >>> escape_control_characters("a\nb")
    'a\\nb'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def decode_text(value: object) -> str:
    """Returns a text of a file, which may be stored as bytes, or as the text that Python 3 shows of bytes.

    >>> decode_text(b"g"), decode_text("b'g'"), decode_text("g")
    ('g', 'g', 'g')
    """
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return text[2:-1] if text[:2] in {"b'", 'b"'} and len(text) > 3 and text[-1] == text[1] else text


def check_new_hdf5_path(path: Path, name: str | None = None) -> None:
    """Raises InputError where a new file cannot be made.

    Args:
      path: the file.
      name: what messages call it; None is its path.

    Raises:
      InputError: the file exists, or its folder does not or is not writable.

    >>> import pathlib
    >>> check_new_hdf5_path(pathlib.Path("new.h5"))
    """
    name = str(path) if name is None else name
    if path.exists():
        raise InputError(f"{name}: exists already; give another name or delete it")
    if not path.parent.is_dir():
        raise InputError(f"{name}: cannot be written, the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{name}: cannot be written, the folder {path.parent} is not writable; give another place")


def remove_partial_files(path: Path) -> None:
    """Deletes what killed processes left of a new file, which nobody else may be writing.

    Args:
      path: the file that they did not finish.

    >>> import pathlib
    >>> remove_partial_files(pathlib.Path("new.h5"))
    """
    for partial in path.parent.glob(_PARTIAL.format(glob.escape(path.name), "[0-9]*")):
        with contextlib.suppress(OSError):
            partial.unlink()


class _WriteError(Exception):
    """Kept apart from the OSErrors of the caller's own code."""


def _open_partial_file(path: Path) -> _PatientFile:
    try:
        return _PatientFile(path, "w+b")
    except OSError as error:
        raise _WriteError from error


def _move_into_place(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        raise _WriteError from error


class _PatientFile(io.FileIO):
    """A file that keeps a failed write to itself until it is asked: HDF5 ends the whole process when one fails."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Writes all of it, or remembers why not."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self.failure is None:
            try:
                done += os.write(self.fileno(), view[done:])
            except OSError as error:
                self.failure = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Sets the length, or remembers why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = error
            return size or 0

    def check(self) -> None:
        """Raises the first failure, if there was one."""
        if self.failure is not None:
            raise _WriteError from self.failure

    def sync(self) -> None:
        """Brings everything to the disk; some file systems tell only now that it is full."""
        self.check()
        try:
            os.fsync(self.fileno())
        except OSError as error:
            raise _WriteError from error


@contextlib.contextmanager
def _clear_hdf5_errors(name: str) -> Iterator[None]:
    try:
        yield
    except _WriteError as error:
        cause = error.__cause__
        reason = (isinstance(cause, OSError) and cause.strerror) or cause
        raise InputError(f"{name}: cannot be written ({reason}); free some space or give another place") from error

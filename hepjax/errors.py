"""Exceptions for bad user input and for lost processes of a run."""

from __future__ import annotations

import contextlib
import importlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_KINDS = {
    stat.S_IFDIR: "a folder, not a file",
    stat.S_IFIFO: "a pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}
"""The kinds of path that are not regular files, and the words for them."""


class InputError(ValueError):
    """An error in the user's input; its message names the file or argument, the problem, and the remedy in one line.

    The command line prints it without a traceback and exits with status 2.
    """


class NotFiniteError(InputError):
    """The error of columns with values that are NaN, infinite, or beyond float32."""

    def __init__(self, message: str, columns: tuple[str, ...], of_jets: bool, row: int) -> None:
        """Adds to the message what a reader needs to go on without them.

        Args:
          message: one line.
          columns: all that have such values, among the rows that were read.
          of_jets: True for columns of jets, False for those of particles.
          row: the first of such rows, in its file.
        """
        super().__init__(message)
        self.columns, self.of_jets, self.row = columns, of_jets, row


class CallbackError(InputError):
    """The error of a callback of `hepjax.train` that raised another one, which is its cause."""


class LostProcessError(RuntimeError):
    """The error that is raised when another process of this run has ended."""


class Terminated(KeyboardInterrupt):
    """Raised when the process receives SIGTERM, which ends it as Ctrl-C does; `hepjax` exits with status 143."""


def file_problem(path: str | os.PathLike[str]) -> str:
    """Says why a path is not a regular file, without opening it: opening a pipe may wait for ever.

    Args:
      path: what is to be read as a file.

    Returns:
      Words for a message; empty for a regular file, or a link to one.

    >>> file_problem("no-such-file.h5"), file_problem("/")
    ('no such file', 'a folder, not a file')
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - any path, not only a Path
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except (OSError, ValueError) as error:  # a loop of links, no permission, a name too long, a zero byte
        return f"cannot be found ({getattr(error, 'strerror', None) or error})"
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def import_extra(module: str, extra: str, path: str | os.PathLike[str] | None = None) -> ModuleType:
    """Imports a module of a package that only an extra of hepjax installs.

    Args:
      module: such as "pyarrow.parquet".
      extra: name of the extra.
      path: of the file that needs it, for the message.

    Returns:
      The module.

    Raises:
      InputError: the package is not installed; gives the command that installs it.

    >>> import_extra("no_such_package", "parquet")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: needs the package no_such_package; pip install 'hepjax[parquet]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        start = "" if path is None else f"{os.fspath(path)}: "
        raise InputError(f"{start}needs the package {package}; pip install 'hepjax[{extra}]'") from error


@contextlib.contextmanager
def errors_of_writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Converts an OSError in the block to an InputError that names the file.

    Args:
      path: path of the file that the block writes.

    Yields:
      Nothing.

    Raises:
      InputError: the block raised an OSError other than a broken pipe.

    >>> with errors_of_writing("a.txt"):
    ...     pass
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be written ({reason}); free some space or give another place") from error


@contextlib.contextmanager
def errors_of_reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Converts an OSError in the block to an InputError that names the file.

    Args:
      path: path of the file that the block reads.

    Yields:
      Nothing.

    Raises:
      InputError: the block raised an OSError.

    >>> with errors_of_reading("a.txt"):
    ...     pass
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be read ({reason}); look at its permissions, or copy it again") from error


def one_line(error: BaseException, most: int = 200) -> str:
    r"""Returns what another library says of a problem, fit for one line of a message.

    >>> one_line(ValueError("bad\n  file\x00"))
    'bad file\\x00'
    """
    words = " ".join(str(error).split()) or type(error).__name__
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)[:most]

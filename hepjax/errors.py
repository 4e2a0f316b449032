"""Exceptions for bad user input and for lost processes of a run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


class InputError(ValueError):
    """An error in the user's input; its message names the file or argument, the problem, and the remedy in one line.

    The command line prints it without a traceback and exits with status 2.
    """


class LostProcessError(RuntimeError):
    """The error that is raised when another process of this run has ended."""


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Converts an OSError in the block to an InputError that names the file.

    Args:
      path: path of the file that the block writes.

    Yields:
      Nothing.

    Raises:
      InputError: the block raised an OSError other than a broken pipe.

    >>> with writing("a.txt"):
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
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Converts an OSError in the block to an InputError that names the file.

    Args:
      path: path of the file that the block reads.

    Yields:
      Nothing.

    Raises:
      InputError: the block raised an OSError.

    >>> with reading("a.txt"):
    ...     pass
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be read ({reason}); look at its permissions, or copy it again") from error

"""The exceptions that are no bug: the user's input was bad, or another process of a run has ended."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


class InputError(ValueError):
    """Bad input: one clear line that names the file or argument, what was found, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


class LostProcessError(RuntimeError):
    """Another process of this run has ended."""


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Names the file where something cannot be written to the disk.

    Args:
      path: what is being written inside the `with`.

    Yields:
      Nothing.

    Raises:
      InputError: in place of an OSError, which may not know its file.

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

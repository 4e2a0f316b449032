"""Files and folders that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError, errors_of_writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_new(folder: Path | None, remedy: str = "give another name") -> None:
    """Refuses a folder that exists, before any work is done.

    Args:
      folder: where results are to go; None is a new folder anyway.
      remedy: what the user can do.

    Raises:
      InputError: it exists.
    """
    if folder is not None and folder.exists():
        raise InputError(f"--out {folder}: exists already; {remedy}")


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name when it is complete, or not at all.

    Args:
      path: the folder; it must not exist.

    Yields:
      The folder to fill.

    Raises:
      InputError: it exists, or cannot be written.
    """
    check_new(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with errors_of_writing(path):
        try:
            part.mkdir(parents=True)
            yield part
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, in UTF-8, so that it is either whole or what it was.

    Args:
      path: the file.
      text: its new content.

    Raises:
      InputError: it cannot be written.
    """
    write_bytes(path, text.encode())


def write_json(path: Path, tree: Any) -> None:
    """Writes a JSON file so that it is either whole or what it was.

    Args:
      path: the file.
      tree: its new content: dicts, lists, words and numbers, those of NumPy and JAX too.

    Raises:
      InputError: it cannot be written.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(path := Path(folder) / "figures.json", {"auc": (0.5, 0.25)})
    ...     json.loads(path.read_text())
    {'auc': [0.5, 0.25]}
    """
    write_text(path, json.dumps(tree, indent=2, default=float) + "\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file so that it is either whole or what it was.

    Args:
      path: the file.
      data: its new content.

    Raises:
      InputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with errors_of_writing(path):
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

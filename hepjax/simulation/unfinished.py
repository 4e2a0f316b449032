"""What was finished of a file that is being made: parts of so many rows, each whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from hepjax.errors import InputError
from hepjax.simulation.files import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_RECIPE = "recipe.json"
_BROKEN = (OSError, ValueError, KeyError, EOFError, BadZipFile)


def folder_of(path: Path) -> Path:
    """Where the parts of a file are until it is whole.

    >>> import pathlib
    >>> folder_of(pathlib.Path("jets.h5")).name
    'jets.h5.unfinished'
    """
    return path.with_name(f"{path.name}.unfinished")


def begin(path: Path, recipe: Mapping[str, object]) -> int:
    """Makes the folder of parts, or looks into the one that an earlier run left.

    Args:
      path: the file that is to be made.
      recipe: what its content depends on; JSON.

    Returns:
      How many parts, from the first on, are whole.

    Raises:
      InputError: the folder is of another recipe, or cannot be written.
    """
    folder, text = folder_of(path), json.dumps(recipe, indent=1)
    with _writing(folder):
        folder.mkdir(exist_ok=True)
        if not (folder / _RECIPE).exists():
            _write(folder / _RECIPE, text.encode())
        found = (folder / _RECIPE).read_text()
    if found != text:
        raise InputError(f"{folder}: was begun {_difference(found, recipe)}; ask for the same, or delete it")
    whole = 0
    while _is_whole(_part(folder, whole)):
        whole += 1
    return whole


def save(path: Path, number: int, rows: Rows) -> None:
    """Keeps a part.

    Args:
      path: the file that is to be made.
      number: the how-manieth part.
      rows: its jets.

    Raises:
      InputError: it cannot be written.
    """
    part = _part(folder_of(path), number)
    arrays = {name: array for name, array in rows._asdict().items() if array is not None}
    temporary = part.with_suffix(".tmp.npz")
    with _writing(part):
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(part)


def load(path: Path, parts: int) -> Iterator[Rows]:
    """The parts of a file, in order.

    Args:
      path: the file that is to be made.
      parts: how many there are.

    Yields:
      Their jets.
    """
    for number in range(parts):
        yield _read(_part(folder_of(path), number))


def end(path: Path) -> None:
    """Deletes the parts.

    Args:
      path: the file that was made.
    """
    shutil.rmtree(folder_of(path))


def _part(folder: Path, number: int) -> Path:
    return folder / f"part_{number:05d}.npz"


def _read(part: Path) -> Rows:
    with part.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        return Rows(**{name: file[name] for name in file.files})


def _is_whole(part: Path) -> bool:
    """Whether all of it can be read: the checksums of its arrays tell."""
    with contextlib.suppress(*_BROKEN):
        _read(part)
        return True
    return False


def _difference(found: str, recipe: Mapping[str, object]) -> str:
    """In words, where a recipe is another one."""
    with contextlib.suppress(ValueError, AttributeError):
        old, new = json.loads(found), json.loads(json.dumps(recipe))
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                return f"with {name} {old.get(name)!r}, not {new.get(name)!r}"
    return "otherwise"


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be written ({reason}); free some space or give another place") from error

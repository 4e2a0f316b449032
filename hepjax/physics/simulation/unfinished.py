"""What was finished of a file that is being made: parts of so many rows, each whole or not there."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from typing import IO, TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from hepjax.data.atomic_hdf5 import remove_leftovers
from hepjax.errors import InputError, writing
from hepjax.physics.simulation.files import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_RECIPE, _LOCK = "recipe.json", "lock"
_BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile)

_log = logging.getLogger(__name__)


class BusyError(InputError):
    """Another run is making this file, or has just made it."""


def folder_of(path: Path) -> Path:
    """Where the parts of a file are until it is whole.

    >>> import pathlib
    >>> folder_of(pathlib.Path("jets.h5")).name
    'jets.h5.unfinished'
    """
    return path.with_name(f"{path.name}.unfinished")


@contextlib.contextmanager
def begun(path: Path, recipe: Mapping[str, object]) -> Iterator[int]:
    """Holds the folder of a file's parts against other processes: a new one, or what an earlier run left.

    The folder goes when the context ends well, or when no part is in it.

    Args:
      path: the file that is to be made.
      recipe: what its content depends on; JSON.

    Yields:
      How many parts, from the first on, are whole.

    Raises:
      BusyError: another process holds the folder, or has just made the file.
      InputError: the parts are of another recipe, or the folder cannot be written.
    """
    folder = folder_of(path)
    with _locked(path):
        _check_recipe(folder, recipe)
        remove_leftovers(path)
        try:
            yield _whole_parts(folder)
        except BaseException:
            if not _has_parts(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


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
    with _new(part) as file:
        np.savez(file, **arrays)


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


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Makes the folder and holds it. The system frees the lock when a process ends, however it ends."""
    import fcntl

    folder = folder_of(path)
    busy = f"{path}: another run is making it; wait for that one, or give another name"
    with contextlib.ExitStack() as stack:
        with writing(folder):
            folder.mkdir(exist_ok=True)
            try:
                file = stack.enter_context((folder / _LOCK).open("ab"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, FileNotFoundError) as error:
                raise BusyError(busy) from error
            except OSError:
                _log.info("%s: locks do not work on this file system; let one run at a time make a file", folder)
        if path.exists():
            shutil.rmtree(folder, ignore_errors=True)
            raise BusyError(f"{path}: another run has just made it; give another name")
        yield


def _check_recipe(folder: Path, recipe: Mapping[str, object]) -> None:
    file, text = folder / _RECIPE, json.dumps(recipe, indent=1)
    if not _has_parts(folder):
        with _new(file) as new:
            new.write(text.encode())
        return
    found = file.read_text() if file.exists() else ""
    if found != text:
        raise InputError(f"{folder}: was begun {_difference(found, recipe)}; ask for the same, or delete it")


def _difference(found: str, recipe: Mapping[str, object]) -> str:
    """In words, where a recipe is another one."""
    with contextlib.suppress(ValueError, AttributeError):
        old, new = json.loads(found), json.loads(json.dumps(recipe))
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                return f"with {name} {old.get(name)!r}, not {new.get(name)!r}"
    return "otherwise"


def _part(folder: Path, number: int) -> Path:
    return folder / f"part_{number:06d}.npz"


def _has_parts(folder: Path) -> bool:
    return any(folder.glob("part_*.npz"))


def _read(part: Path) -> Rows:
    with part.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        return Rows(**{name: file[name] for name in file.files})


def _whole_parts(folder: Path) -> int:
    """How many parts can be read to their ends: the checksums of their arrays tell."""
    whole = 0
    while _part(folder, whole).exists():
        try:
            _read(_part(folder, whole))
        except _BROKEN:
            _log.warning("%s: damaged; this part is made again, and what comes after it", _part(folder, whole))
            break
        whole += 1
    return whole


@contextlib.contextmanager
def _new(path: Path) -> Iterator[IO[bytes]]:
    """A file that is there when it is whole and on the disk, and not before."""
    temporary = path.with_suffix(".tmp")
    with writing(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

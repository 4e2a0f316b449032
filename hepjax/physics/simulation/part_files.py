"""The finished parts of a file that is being made, each whole or not there."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from hepjax.data.atomic_hdf5 import remove_partial_files
from hepjax.errors import InputError, errors_of_writing
from hepjax.physics.simulation.cuts import Cuts
from hepjax.physics.simulation.files import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_RECIPE, _LOCK, _CUTS = "recipe.json", "lock", "cuts"
_PARTS = "part_*.npz"
_BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile)

_log = logging.getLogger(__name__)


class Part(NamedTuple):
    """Consecutive jets of a file, and how they were chosen."""

    rows: Rows
    cuts: Cuts


class BusyError(InputError):
    """Another run is making this file, or has just made it."""


def parts_folder(path: Path) -> Path:
    """Returns the folder that keeps the parts of a file until it is whole.

    >>> import pathlib
    >>> parts_folder(pathlib.Path("jets.h5")).name
    'jets.h5.unfinished'
    """
    return path.with_name(f"{path.name}.unfinished")


@contextlib.contextmanager
def lock_parts_folder(path: Path, recipe: Mapping[str, object]) -> Iterator[int]:
    """Holds the folder of a file's parts against other processes: a new one, or the one that an earlier run left.

    The folder goes when the context ends well, or when no part is in it.

    Args:
      path: the file that is to be made.
      recipe: the choices that its content depends on; JSON.

    Yields:
      The number of whole parts, from the first on.

    Raises:
      BusyError: another process holds the folder, or has just made the file.
      InputError: the parts are of another recipe, or the folder cannot be written.
    """
    folder = parts_folder(path)
    with _make_and_lock_folder(path):
        _check_parts_recipe(folder, recipe)
        remove_partial_files(path)
        try:
            yield _count_whole_parts(folder)
        except BaseException:
            if not _has_parts(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def save_part(path: Path, number: int, part: Part) -> None:
    """Keeps a part.

    Args:
      path: the file that is to be made.
      number: its place among the parts, from 0.
      part: its jets.

    Raises:
      InputError: it cannot be written.
    """
    arrays: dict[str, Any] = {name: array for name, array in part.rows._asdict().items() if array is not None}
    arrays[_CUTS] = np.array(part.cuts)
    with _new_part_file(_part_file_path(parts_folder(path), number)) as file:
        np.savez(file, **arrays)


def load_parts(path: Path, parts: int) -> Iterator[Part]:
    """Reads the parts of a file, in order.

    Args:
      path: the file that is to be made.
      parts: their number.

    Yields:
      Their jets.
    """
    for number in range(parts):
        yield _read_part(_part_file_path(parts_folder(path), number))


def discard_parts(path: Path) -> None:
    """Deletes the parts of a file, which are not worth keeping.

    Args:
      path: the file that was to be made.
    """
    for part in parts_folder(path).glob(_PARTS):
        part.unlink()


@contextlib.contextmanager
def _make_and_lock_folder(path: Path) -> Iterator[None]:
    """Makes the folder and holds it. The system frees the lock when a process ends, however it ends."""
    import fcntl

    folder = parts_folder(path)
    busy = f"{path}: another run is making it; wait for that one, or give another name"
    with contextlib.ExitStack() as stack:
        with errors_of_writing(folder):
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


def _check_parts_recipe(folder: Path, recipe: Mapping[str, object]) -> None:
    file, text = folder / _RECIPE, json.dumps(recipe, indent=1)
    if not _has_parts(folder):
        with _new_part_file(file) as new:
            new.write(text.encode())
        return
    stored = file.read_text() if file.exists() else ""
    if stored != text:
        raise InputError(f"{folder}: was begun {_recipe_difference(stored, recipe)}; ask for the same, or delete it")


def _recipe_difference(stored: str, recipe: Mapping[str, object]) -> str:
    """Says how a stored recipe differs."""
    with contextlib.suppress(ValueError, AttributeError):
        old, new = json.loads(stored), json.loads(json.dumps(recipe))
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                return f"with {name} {old.get(name)!r}, not {new.get(name)!r}"
    return "otherwise"


def _part_file_path(folder: Path, number: int) -> Path:
    return folder / f"part_{number:06d}.npz"


def _has_parts(folder: Path) -> bool:
    return any(folder.glob(_PARTS))


def _read_part(path: Path) -> Part:
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    cuts = Cuts(*map(int, arrays.pop(_CUTS)))
    return Part(Rows(**arrays), cuts)


def _count_whole_parts(folder: Path) -> int:
    """Counts the parts that can be read to their ends: their arrays have checksums."""
    whole = 0
    while _part_file_path(folder, whole).exists():
        try:
            _read_part(_part_file_path(folder, whole))
        except _BROKEN:
            _log.warning(
                "%s: damaged; this part is made again, and what comes after it", _part_file_path(folder, whole)
            )
            break
        whole += 1
    return whole


@contextlib.contextmanager
def _new_part_file(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file that appears when it is whole and on the disk."""
    temporary = path.with_suffix(".tmp")
    with errors_of_writing(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

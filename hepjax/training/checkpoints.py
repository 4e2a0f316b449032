"""Pytrees in one file each, written so that a kill or a full disk at any moment leaves the last good file."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from hepjax.errors import InputError, writing
from hepjax.training.ensembles import Many
from hepjax.types import Epoch

if TYPE_CHECKING:
    from pathlib import Path

    from hepjax.types import Progress

_MAGIC = b"hepjax checkpoint 1\n"

T = TypeVar("T")


def save(path: Path, tree: Any) -> None:
    """Writes a pytree: to a temporary file, flushed to the disk, then renamed over the old one.

    Args:
      path: the file; its folder must exist.
      tree: arrays, numbers, typed PRNG keys, in tuples, NamedTuples and dicts.

    Raises:
      InputError: the disk is full or not writable; the old file is then as it was.

    >>> import pathlib, tempfile, numpy as np
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.msgpack"
    >>> save(path, {"w": np.ones(2)})
    >>> restore(path, {"w": np.zeros(2)})
    {'w': array([1., 1.])}
    """
    data = serialization.to_bytes(jax.tree.map(_plain, tree))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path):
        try:
            with part.open("wb") as file:
                file.write(_MAGIC + zlib.crc32(data).to_bytes(4, "little") + data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def restore(path: Path, template: T) -> T:
    """Reads what `save` wrote.

    Args:
      path: the file.
      template: a pytree of the same structure and shapes, as from a fresh start; an array without elements stands for
        one of any shape.

    Returns:
      The saved tree, bitwise.

    Raises:
      InputError: the file is missing, damaged, from a newer hepjax, or of another structure than the template.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; is this the folder of a run that was trained?")
    raw = path.read_bytes()
    if not raw.startswith(_MAGIC):
        raise InputError(f"{path}: not a checkpoint of this version of hepjax; upgrade hepjax, or train again")
    head, data = raw[len(_MAGIC) : len(_MAGIC) + 4], raw[len(_MAGIC) + 4 :]
    if zlib.crc32(data).to_bytes(4, "little") != head:
        raise InputError(f"{path}: damaged, its checksum does not match; train again")
    try:
        plain = serialization.from_bytes(jax.tree.map(_plain, template), data)
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: holds another model than the one asked for ({error})") from error
    for saved, wanted in zip(jax.tree.leaves(plain), jax.tree.leaves(jax.tree.map(_plain, template)), strict=True):
        if np.shape(saved) != np.shape(wanted) and np.size(wanted):
            raise InputError(f"{path}: holds another model: shape {np.shape(saved)}, expected {np.shape(wanted)}")
    tree: T = jax.tree.map(_like, template, plain)
    return tree


def save_progress(path: Path, progress: Progress) -> None:
    """Writes a training, history and all, so that it can go on from there.

    Args:
      path: the file; its folder must exist.
      progress: after an epoch.

    Raises:
      InputError: as `save`.
    """
    save(path, (progress._replace(history=()), np.array(progress.history, dtype=np.float64)))


def restore_progress(path: Path, template: Progress) -> Progress:
    """Reads what `save_progress` wrote.

    Args:
      path: the file.
      template: the progress from `start`, of the same model and optimizer.

    Returns:
      The saved progress, bitwise.

    Raises:
      InputError: as `restore`.
    """
    progress, rows = restore(path, (template._replace(history=()), np.empty(0)))
    return progress._replace(history=_history(rows))


def save_many(path: Path, many: Many) -> None:
    """Writes many trainings so that they can go on from there, on any number of devices.

    Args:
      path: the file; its folder must exist.
      many: after an epoch.

    Raises:
      InputError: as `save`.
    """
    members = tuple((one._replace(history=()), np.array(one.history, np.float64)) for one in many.members)
    state, best = (jax.tree.map(lambda x: x[: len(members)], states) for states in (many.state, many.best))
    save(path, (state, best, members))


def restore_many(path: Path, template: Many) -> Many:
    """Reads what `save_many` wrote.

    Args:
      path: the file.
      template: from `start_many`, of the same model and optimizer, and as many members.

    Returns:
      The saved trainings, bitwise.

    Raises:
      InputError: as `restore`.
    """
    count, blank = len(template.members), tuple((one._replace(history=()), np.empty(0)) for one in template.members)
    own, rest = (
        jax.tree.map(lambda x, part=part: x[part], template.state) for part in (slice(count), slice(count, None))
    )
    state, best, members = restore(path, (own, own, blank))
    # What fills up the devices is as at the start.
    state, best = (jax.tree.map(lambda *x: jnp.concatenate(x), some, rest) for some in (state, best))
    return Many(state, best, tuple(one._replace(history=_history(rows)) for one, rows in members))


def _history(rows: np.ndarray) -> tuple[Epoch, ...]:
    return tuple(Epoch(int(row[0]), *map(float, row[1:])) for row in np.atleast_2d(rows) if len(row))


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(template: Any, leaf: Any) -> Any:
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(template)) if _is_key(template) else leaf


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)

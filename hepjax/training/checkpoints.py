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
from hepjax.types import Ensemble, Epoch, Progress

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"hepjax checkpoint 1\n"
_FORMAT = 2
"""Of a saved ensemble."""

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
    data = serialization.to_bytes(jax.tree.map(_without_key_type, tree))
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
      template: a pytree of the same structure and shapes, such as `jax.eval_shape` gives; an array without elements
        stands for one of any shape.

    Returns:
      The saved tree, bitwise.

    Raises:
      InputError: the file is missing, damaged, from a newer hepjax, or of another structure than the template.
    """
    return _fill(path, _read(path), template)


def save_ensemble(path: Path, ensemble: Ensemble) -> None:
    """Writes one or several trainings, history and all, so that they can go on, on any number of devices.

    Args:
      path: the file; its folder must exist.
      ensemble: after an epoch.

    Raises:
      InputError: as `save`.
    """
    states = (ensemble.state, ensemble.best)
    if ensemble.stacked:  # without what fills up the devices
        states = jax.tree.map(lambda x: x[: len(ensemble.members)], states)
    members = tuple((progress._replace(history=()), np.array(progress.history, float)) for progress in ensemble.members)
    save(path, {"format": _FORMAT, "states": states, "members": members})


def restore_ensemble(path: Path, template: Ensemble) -> Ensemble:
    """Reads what `save_ensemble` wrote.

    Args:
      path: the file.
      template: from `start`, of the same model and optimizer, and as many members.

    Returns:
      The saved trainings, bitwise.

    Raises:
      InputError: as `restore`; or an older hepjax wrote the file.
    """
    count, start = len(template.members), template.state
    if template.stacked:
        start = jax.tree.map(lambda x: x[:count], start)
    saved = _read(path)
    if "format" not in saved:  # hepjax 0.1
        raise InputError(f"{path}: an older hepjax wrote it, and its training cannot go on; start a new run")
    blank = ((Progress(), np.empty(0)),) * count
    tree: Any = _fill(path, saved, {"format": _FORMAT, "states": (start, start), "members": blank})
    state, best = tree["states"]
    if template.stacked:  # what fills up the devices is as at the start
        rest = jax.tree.map(lambda x: x[count:], template.state)
        state, best = (jax.tree.map(lambda *x: jnp.concatenate(x), saved, rest) for saved in (state, best))
    members = tuple(progress._replace(history=_history(rows)) for progress, rows in tree["members"])
    return Ensemble(state, best, members)


def _read(path: Path) -> Any:
    """Reads a file that is whole, as nested dicts."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; is this the folder of a run that was trained?")
    raw = path.read_bytes()
    if not raw.startswith(_MAGIC):
        raise InputError(f"{path}: not a checkpoint of this version of hepjax; upgrade hepjax, or train again")
    checksum, data = raw[len(_MAGIC) : len(_MAGIC) + 4], raw[len(_MAGIC) + 4 :]
    if zlib.crc32(data).to_bytes(4, "little") != checksum:
        raise InputError(f"{path}: damaged, its checksum does not match; train again")
    return serialization.msgpack_restore(data)


def _fill(path: Path, saved: Any, template: T) -> T:
    """Gives nested dicts the structure of a template."""
    expected = jax.tree.map(_without_key_type, template)
    try:
        plain = serialization.from_state_dict(expected, saved)
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: holds another model than the one asked for ({error})") from error
    for leaf, like in zip(jax.tree.leaves(plain), jax.tree.leaves(expected), strict=True):
        if np.shape(leaf) != np.shape(like) and np.size(like):
            raise InputError(f"{path}: holds another model: shape {np.shape(leaf)}, expected {np.shape(like)}")
    tree: T = jax.tree.map(_with_key_type, template, plain)
    return tree


def _history(rows: np.ndarray) -> tuple[Epoch, ...]:
    return tuple(Epoch(int(row[0]), *map(float, row[1:])) for row in np.atleast_2d(rows) if len(row))


def _without_key_type(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _with_key_type(template: Any, leaf: Any) -> Any:
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(template)) if _is_key(template) else leaf


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)

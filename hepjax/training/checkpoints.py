"""Pytrees in one file each, written so that a kill or a full disk at any moment leaves the last good file."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from hepjax.errors import InputError, errors_of_reading, errors_of_writing
from hepjax.types import Ensemble, Epoch, Progress

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"hepjax checkpoint 2\n"
_OLD_MAGIC = b"hepjax checkpoint 1\n"
"""Of files that do not say which training they are of."""
_DIGEST = 32
"""Bytes of the training's identity."""
_FORMAT = 2
"""Of a saved ensemble."""

T = TypeVar("T")


def save(path: Path, tree: Any, identity: str = "") -> None:
    """Writes a pytree: to a temporary file, flushed to the disk, then renamed over the old one.

    Args:
      path: the file; its folder must exist.
      tree: arrays, numbers, typed PRNG keys, in tuples, NamedTuples and dicts.
      identity: of the training, 64 hexadecimal digits; "" where it has none.

    Raises:
      InputError: the disk is full or not writable; the old file is then as it was.

    >>> import pathlib, tempfile, numpy as np
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.msgpack"
    >>> save(path, {"w": np.ones(2)})
    >>> restore(path, {"w": np.zeros(2)})
    {'w': array([1., 1.])}
    """
    data = bytes.fromhex(identity).ljust(_DIGEST, b"\0")
    data += serialization.to_bytes(jax.tree.map(_raw_random_keys, tree))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with errors_of_writing(path):
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


def restore(path: Path, template: T, identity: str | None = None) -> T:
    """Reads what `save` wrote.

    Args:
      path: the file.
      template: a pytree of the same structure and shapes, such as `jax.eval_shape` gives; an array without elements
        stands for one of any shape.
      identity: of the training that it must be of; None is any.

    Returns:
      The saved tree, bitwise.

    Raises:
      InputError: the file is missing, damaged, from a newer hepjax, of another training, or of another structure than
        the template.
    """
    return _fill_checkpoint_template(path, _read_checkpoint(path, identity), template)


def check_ensemble(path: Path, identity: str | None = None) -> None:
    """Refuses a file that holds no trainings that could go on, of whatever model.

    Args:
      path: the file.
      identity: as in `restore`.

    Raises:
      InputError: as in `restore`.
    """
    saved = _read_checkpoint(path, identity)
    states, whole = saved.get("states"), {"format", "states", "members"}
    if "format" in saved and ({*saved} != whole or not isinstance(states, dict) or {*states} != {"0", "1"}):
        raise InputError(f"{path}: damaged, it holds no trainings; train again")


def save_ensemble(path: Path, ensemble: Ensemble, identity: str = "") -> None:
    """Writes one or several trainings, history and all, so that they can go on, on any number of devices.

    Args:
      path: the file; its folder must exist.
      ensemble: after an epoch.
      identity: as in `save`.

    Raises:
      InputError: as `save`.
    """
    states = (ensemble.state, ensemble.best)
    if ensemble.stacked:  # without what fills up the devices
        states = jax.tree.map(lambda x: x[: len(ensemble.members)], states)
    members = tuple((progress._replace(history=()), np.array(progress.history, float)) for progress in ensemble.members)
    save(path, {"format": _FORMAT, "states": states, "members": members}, identity)


def restore_ensemble(path: Path, template: Ensemble, identity: str | None = None) -> Ensemble:
    """Reads what `save_ensemble` wrote.

    Args:
      path: the file.
      template: from `start`, of the same model and optimizer, and as many members.
      identity: as in `restore`.

    Returns:
      The saved trainings, bitwise.

    Raises:
      InputError: as `restore`; or an older hepjax wrote the file.
    """
    count, start = len(template.members), template.state
    if template.stacked:
        start = jax.tree.map(lambda x: x[:count], start)
    saved = _read_checkpoint(path, identity)
    if "format" not in saved:  # hepjax 0.1
        raise InputError(f"{path}: an older hepjax wrote it, and its training cannot go on; start a new run")
    blank = ((Progress(), np.empty(0)),) * count
    tree: Any = _fill_checkpoint_template(path, saved, {"format": _FORMAT, "states": (start, start), "members": blank})
    state, best = tree["states"]
    if template.stacked:  # what fills up the devices is as at the start
        rest = jax.tree.map(lambda x: x[count:], template.state)
        state, best = (jax.tree.map(lambda *x: jnp.concatenate(x), saved, rest) for saved in (state, best))
    members = tuple(
        progress._replace(history=_history_of_checkpoint(path, rows, progress.epoch))
        for progress, rows in tree["members"]
    )
    return Ensemble(state, best, members)


def _read_checkpoint(path: Path, identity: str | None) -> dict[str, Any]:
    """Reads a file that is whole, and of the training that is asked for, as nested dicts."""
    if not path.is_file():
        found = "a file, found something else" if path.exists() else "the checkpoint of a training, found none"
        raise InputError(
            f"{path}: expected {found}; there is no such checkpoint: train again, or copy the whole folder"
        )
    with errors_of_reading(path):
        raw = path.read_bytes()
    if not raw.startswith((_MAGIC, _OLD_MAGIC)):
        raise InputError(f"{path}: not a checkpoint of this version of hepjax; upgrade hepjax, or train again")
    checksum, data = raw[len(_MAGIC) : len(_MAGIC) + 4], raw[len(_MAGIC) + 4 :]
    if zlib.crc32(data).to_bytes(4, "little") != checksum:
        raise InputError(f"{path}: damaged, its checksum does not match; train again")
    known, data = (data[:_DIGEST].hex(), data[_DIGEST:]) if raw.startswith(_MAGIC) else ("", data)
    if identity is not None and known.ljust(2 * _DIGEST, "0") != identity.ljust(2 * _DIGEST, "0"):
        raise InputError(f"{path}: is of another training than experiment.json beside it; copy both from one run")
    try:
        saved = serialization.msgpack_restore(data)
    except Exception as error:  # whatever flax and msgpack say of bytes that hepjax did not write
        raise InputError(f"{path}: damaged ({error!r:.200}); train again") from error
    if not isinstance(saved, dict):
        raise InputError(f"{path}: damaged, it holds no parameters; train again")
    return saved


def _fill_checkpoint_template(path: Path, saved: Any, template: T) -> T:
    """Gives nested dicts the structure of a template."""
    expected = jax.tree.map(_raw_random_keys, template)
    try:
        plain = serialization.from_state_dict(expected, saved)
        pairs = list(zip(jax.tree.leaves(plain), jax.tree.leaves(expected), strict=True))
    except Exception as error:  # whatever flax says of another structure
        raise InputError(f"{path}: holds another model than the one asked for ({error!s:.200})") from error
    for leaf, like in pairs:
        if np.shape(leaf) != np.shape(like) and np.size(like):
            raise InputError(f"{path}: holds another model: shape {np.shape(leaf)}, expected {np.shape(like)}")
        found, wanted = (getattr(x, "dtype", None) or np.asarray(x).dtype for x in (leaf, like))
        if found.kind != wanted.kind or (hasattr(like, "dtype") and np.size(like) and found != wanted):
            raise InputError(f"{path}: holds another model: numbers of type {found}, expected {wanted}")
    tree: T = jax.tree.map(_typed_random_keys, template, plain)
    return tree


def _history_of_checkpoint(path: Path, rows: np.ndarray, epoch: int) -> tuple[Epoch, ...]:
    if len(rows) != epoch or (epoch and rows.shape != (epoch, len(Epoch._fields))):
        raise InputError(f"{path}: damaged, the history of {epoch} epochs has the shape {np.shape(rows)}; train again")
    return tuple(Epoch(int(row[0]), *map(float, row[1:])) for row in rows)


def _raw_random_keys(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_random_key(leaf) else leaf


def _typed_random_keys(template: Any, leaf: Any) -> Any:
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(template)) if _is_random_key(template) else leaf


def _is_random_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)

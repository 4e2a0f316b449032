"""Jets → an HDF5 file of the public layout. Needs nothing of the extra `sim`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import schema
from hepjax.errors import InputError
from hepjax.hdf5_files import new_file

CHUNK_ROWS = 1000
_MANTISSA_BITS = 23  # of float32

Attribute = str | int | float
Append = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def write_jets(
    path: str | Path,
    constituents: np.ndarray,
    observables: np.ndarray,
    labels: np.ndarray,
    *,
    attributes: Mapping[str, Attribute],
    mantissa_bits: int | None = None,
) -> None:
    """Writes N jets to a new file of the public layout (Zenodo 3601436), without images.

    Args:
      path: a file that does not exist yet; it appears complete or not at all.
      constituents: (N, P, 16) the columns `schema.PARTICLE_COLUMNS`; E = 0 marks padding.
      observables: (N, 53) the columns `schema.OBSERVABLE_COLUMNS`.
      labels: (N,) integer indices into `schema.CLASSES`.
      attributes: where the jets come from; the file's root attributes.
      mantissa_bits: round the constituents to this many explicit mantissa bits, so that they compress better;
        None loses nothing.

    Raises:
      InputError: an array has the wrong shape, the file exists, or it cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_jets(f"{folder}/a.h5", np.ones((2, 3, 16)), np.ones((2, 53)), np.array([0, 4]), attributes={})
    """
    constituents = np.asarray(constituents)
    if constituents.ndim != 3:
        raise InputError(f"constituents: expected shape (N, P, 16), found {constituents.shape}")
    with jet_writer(path, constituents.shape[1], attributes=attributes, mantissa_bits=mantissa_bits) as append:
        append(constituents, observables, labels)


@contextlib.contextmanager
def jet_writer(
    path: str | Path, particles: int, *, attributes: Mapping[str, Attribute], mantissa_bits: int | None = None
) -> Iterator[Append]:
    """Opens a new file of the public layout, to be written block after block.

    The file has a temporary name in its folder until the context ends well; otherwise nothing remains of it.

    Args:
      path: a file that does not exist yet.
      particles: P, the particles kept per jet.
      attributes: the file's root attributes.
      mantissa_bits: as in `write_jets`.

    Yields:
      A function `(constituents, observables, labels)` that appends the jets of one block.

    Raises:
      InputError: the file exists or cannot be written, or a block has the wrong shape.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, jet_writer(f"{folder}/a.h5", 3, attributes={}) as append:
    ...     append(np.ones((2, 3, 16)), np.ones((2, 53)), np.array([0, 4]))
    """
    check_mantissa_bits(mantissa_bits)
    with new_file(Path(path)) as new:
        _create(new.file, particles, attributes)
        pending: list[tuple[np.ndarray, np.ndarray]] = []

        def append(constituents: np.ndarray, observables: np.ndarray, labels: np.ndarray) -> None:
            _check_block(constituents, observables, labels, particles)
            columns = np.asarray(constituents, np.float32)
            pending.append((round_mantissas(columns, mantissa_bits), jet_columns(observables, labels)))
            # Whole chunks only: each is compressed once, and a full disk shows at once.
            pending[:] = _write(new.file, pending, CHUNK_ROWS)
            new.check()

        yield append
        _write(new.file, pending, 1)


def check_mantissa_bits(bits: int | None) -> None:
    """Raises InputError unless the number of mantissa bits is None or 1 to 23.

    >>> check_mantissa_bits(12)
    """
    if bits is not None and not 1 <= bits <= _MANTISSA_BITS:
        raise InputError(f"mantissa_bits: expected 1 to {_MANTISSA_BITS} or None, found {bits}")


def round_mantissas(x: np.ndarray, bits: int | None) -> np.ndarray:
    """Rounds finite float32 numbers to the nearest with `bits` explicit mantissa bits, ties to even.

    Args:
      x: float32 of any shape.
      bits: explicit mantissa bits, 1 to 23; None or 23 changes nothing.

    Returns:
      The rounded numbers: relative error at most 2**-(bits + 1).

    >>> round_mantissas(np.array([1.3], np.float32), 2).tolist()
    [1.25]
    """
    check_mantissa_bits(bits)
    if bits is None or bits == _MANTISSA_BITS:
        return x
    dropped = _MANTISSA_BITS - bits
    pattern = np.ascontiguousarray(x, np.float32).view(np.uint32)
    # The carry of the addition walks into the exponent by itself, which is the correct rounding up.
    half = np.uint32((1 << (dropped - 1)) - 1) + ((pattern >> np.uint32(dropped)) & np.uint32(1))
    return ((pattern + half) & ~np.uint32((1 << dropped) - 1)).view(np.float32)


def jet_columns(observables: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The columns `schema.JET_COLUMNS`: observables, one-hot labels, and `j_undef` = 0.

    Args:
      observables: (N, 53).
      labels: (N,) integer indices into `schema.CLASSES`.

    Returns:
      (N, 59) float32.

    >>> jet_columns(np.zeros((1, 53)), np.array([2]))[0, -6:].tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    """
    one_hot = np.asarray(labels)[:, None] == np.arange(len(schema.CLASSES))
    undefined = np.zeros((len(one_hot), 1))
    return np.concatenate([observables, one_hot, undefined], axis=1).astype(np.float32)


def _check_block(constituents: np.ndarray, observables: np.ndarray, labels: np.ndarray, particles: int) -> None:
    count = len(labels)
    expected = {
        "constituents": (np.shape(constituents), (count, particles, len(schema.PARTICLE_COLUMNS))),
        "observables": (np.shape(observables), (count, len(schema.OBSERVABLE_COLUMNS))),
    }
    for name, (found, wanted) in expected.items():
        if found != wanted:
            raise InputError(f"{name}: expected shape {wanted}, found {found}")
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer) or np.any((labels < 0) | (labels >= len(schema.CLASSES))):
        raise InputError(f"labels: expected integers from 0 to {len(schema.CLASSES) - 1}, found {np.unique(labels)}")


def _create(file: Any, particles: int, attributes: Mapping[str, Attribute]) -> None:
    for name, value in attributes.items():
        file.attrs[name] = value
    columns = len(schema.PARTICLE_COLUMNS)
    file.create_dataset(schema.PARTICLE_NAMES, data=np.array((*schema.PARTICLE_COLUMNS, schema.PARTICLE_ID), "S"))
    file.create_dataset(schema.JET_NAMES, data=np.array(schema.JET_COLUMNS, "S"))
    options = {"dtype": np.float32, "compression": "gzip", "compression_opts": 4, "shuffle": True}
    file.create_dataset(
        schema.CONSTITUENTS,
        (0, particles, columns),
        maxshape=(None, particles, columns),
        chunks=(CHUNK_ROWS, particles, columns),
        **options,
    )
    width = len(schema.JET_COLUMNS)
    file.create_dataset(schema.JETS, (0, width), maxshape=(None, width), chunks=(CHUNK_ROWS, width), **options)


def _write(
    file: Any, pending: list[tuple[np.ndarray, np.ndarray]], multiple: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Writes as many pending rows as fill a multiple of rows; returns the rest."""
    rows = sum(len(jets) for _, jets in pending)
    full = rows - rows % multiple
    if full == 0:
        return pending
    blocks = [np.concatenate(arrays) for arrays in zip(*pending, strict=True)]
    for name, block in zip((schema.CONSTITUENTS, schema.JETS), blocks, strict=True):
        dataset = file[name]
        start = dataset.shape[0]
        dataset.resize(start + full, axis=0)
        dataset[start:] = block[:full]
    file.flush()
    return [(blocks[0][full:], blocks[1][full:])]

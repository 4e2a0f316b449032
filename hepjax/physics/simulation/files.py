"""Jets → an HDF5 file of the public layout, with event weights where there are any. Needs no extra package."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hepjax.data.atomic_hdf5 import new_hdf5_file
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics import particle_ids

CHUNK_ROWS = 1000
WEIGHTS = "weights"
"""The dataset of the jets' event weights, the nominal ones: (N,) float64."""
NAMED_WEIGHTS, WEIGHT_NAMES = "namedWeights", "weightNames"
"""The datasets of all other weights, (N, W) float64, and of their names."""
_MANTISSA_BITS = 23  # of float32

Attribute = str | int | float


class Layout(NamedTuple):
    """The part of each jet that is written."""

    particles: int = 30
    """P, the hardest particles."""
    truth: bool = False
    """Write the jets' origin too: the datasets `particleType`, `particleCharge`, `jetParton` and `jetPartonDecays`,
    which readers pass over."""
    mantissa_bits: int | None = None
    """Round the particles to this many explicit mantissa bits, so that they compress better; None loses nothing."""


LAYOUT = Layout()


class Rows(NamedTuple):
    """n jets as they are written; without truth, its three fields are None."""

    constituents: np.ndarray
    """(n, P, 16) the columns `hls4ml.PARTICLE_COLUMNS`; E = 0 marks padding."""
    observables: np.ndarray
    """(n, 53) the columns `hls4ml.OBSERVABLE_COLUMNS`."""
    labels: np.ndarray
    """(n,) integer indices into `hls4ml.CLASSES`; -1 where the class is not known, then for all."""
    ids: np.ndarray | None = None
    """(n, P) PDG identities of the particles; 22 and 130 are calorimeter cells, 0 is padding."""
    parton: np.ndarray | None = None
    """(n, 5) momentum (px, py, pz, E), GeV, and PDG identity of the hard parton; 0 where none is known."""
    decays: np.ndarray | None = None
    """(n, 3, 5) the same of its decay products."""
    weights: np.ndarray | None = None
    """(n, W) float64 weights of the jets' events, the nominal one first; None where events have none."""


Append = Callable[[Rows], None]


def first_jets(rows: Rows, count: int) -> Rows:
    """Selects the first jets.

    >>> first_jets(Rows(np.ones((2, 3, 16)), np.ones((2, 53)), np.array([0, 4])), 1).labels.tolist()
    [0]
    """
    arrays = (None if array is None else array[:count] for array in rows)
    return Rows(*arrays)  # type: ignore[arg-type]  # only the fields that may be None are


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
      constituents: (N, P, 16) the columns `hls4ml.PARTICLE_COLUMNS`; E = 0 marks padding.
      observables: (N, 53) the columns `hls4ml.OBSERVABLE_COLUMNS`.
      labels: (N,) integer indices into `hls4ml.CLASSES`.
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
    layout = Layout(constituents.shape[1], mantissa_bits=mantissa_bits)
    with jet_writer(path, layout, attributes=attributes) as append:
        append(Rows(constituents, np.asarray(observables), np.asarray(labels)))


@contextlib.contextmanager
def jet_writer(
    path: str | Path,
    layout: Layout,
    *,
    attributes: Mapping[str, Attribute],
    labeled: bool = True,
    weights: tuple[str, ...] = (),
) -> Iterator[Append]:
    """Opens a new file of the public layout, to be written block after block.

    The file has a temporary name in its folder until the context ends well; otherwise nothing remains of it.

    Args:
      path: a file that does not exist yet.
      layout: the part of each jet that is written.
      attributes: the file's root attributes.
      labeled: write the label columns.
      weights: names of the jets' event weights, the nominal one first; empty where events have none.

    Yields:
      A function that appends the jets of one block.

    Raises:
      InputError: the file exists or cannot be written, or a block has the wrong shape.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, jet_writer(f"{folder}/a.h5", Layout(3), attributes={}) as append:
    ...     append(Rows(np.ones((2, 3, 16)), np.ones((2, 53)), np.array([0, 4])))
    """
    check_mantissa_bits(layout.mantissa_bits)
    with new_hdf5_file(Path(path)) as new:
        _create_jet_datasets(new.file, layout, attributes, weights, labeled=labeled)
        pending: list[dict[str, np.ndarray]] = []

        def append(rows: Rows) -> None:
            _check_jet_block(rows, layout.particles, len(weights), labeled=labeled)
            columns = round_mantissas(np.asarray(rows.constituents, np.float32), layout.mantissa_bits)
            jets = jet_columns(rows.observables, rows.labels) if labeled else rows.observables.astype(np.float32)
            block = {hls4ml.CONSTITUENTS: columns, hls4ml.JETS: jets}
            block |= _truth_datasets(rows) if layout.truth else {}
            pending.append(block | _weight_datasets(rows, len(weights)))
            # Whole chunks only: each is compressed once, and a full disk shows at once.
            pending[:] = _write_pending_rows(new.file, pending, CHUNK_ROWS)
            new.check()

        yield append
        _write_pending_rows(new.file, pending, 1)


def check_mantissa_bits(bits: int | None) -> None:
    """Checks that the number of mantissa bits is None or 1 to 23; raises InputError otherwise.

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
    """Makes the columns `hls4ml.JET_COLUMNS`: observables, one-hot labels, and `j_undef` = 0.

    Args:
      observables: (N, 53).
      labels: (N,) integer indices into `hls4ml.CLASSES`.

    Returns:
      (N, 59) float32.

    >>> jet_columns(np.zeros((1, 53)), np.array([2]))[0, -6:].tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    """
    one_hot = np.asarray(labels)[:, None] == np.arange(len(hls4ml.CLASSES))
    undefined = np.zeros((len(one_hot), 1))
    return np.concatenate([observables, one_hot, undefined], axis=1).astype(np.float32)


def _truth_datasets(rows: Rows) -> dict[str, np.ndarray]:
    ids = np.asarray(rows.ids, np.int32)
    return {
        hls4ml.PARTICLE_TYPE: ids,
        hls4ml.PARTICLE_CHARGE: particle_ids.charges(ids),
        hls4ml.JET_PARTON: np.asarray(rows.parton, np.float32),
        hls4ml.JET_DECAYS: np.asarray(rows.decays, np.float32),
    }


def _weight_datasets(rows: Rows, names: int) -> dict[str, np.ndarray]:
    if rows.weights is None or names == 0:
        return {}
    weights = np.asarray(rows.weights, np.float64)
    return {WEIGHTS: weights[:, 0]} | ({NAMED_WEIGHTS: weights[:, 1:]} if names > 1 else {})


def _check_jet_block(rows: Rows, particles: int, weights: int, *, labeled: bool) -> None:
    count = len(rows.labels)
    expected = {
        "constituents": (np.shape(rows.constituents), (count, particles, len(hls4ml.PARTICLE_COLUMNS))),
        "observables": (np.shape(rows.observables), (count, len(hls4ml.OBSERVABLE_COLUMNS))),
    }
    if weights or rows.weights is not None:
        expected["weights"] = (() if rows.weights is None else rows.weights.shape, (count, weights))
    for name, (shape, wanted) in expected.items():
        if shape != wanted:
            raise InputError(f"{name}: expected shape {wanted}, found {shape}")
    labels = np.asarray(rows.labels)
    if labeled and (
        not np.issubdtype(labels.dtype, np.integer) or np.any((labels < 0) | (labels >= len(hls4ml.CLASSES)))
    ):
        raise InputError(f"labels: expected integers from 0 to {len(hls4ml.CLASSES) - 1}, found {np.unique(labels)}")


def _create_jet_datasets(
    file: Any, layout: Layout, attributes: Mapping[str, Attribute], weights: tuple[str, ...], *, labeled: bool
) -> None:
    for name, value in attributes.items():
        file.attrs[name] = value
    jet_names = hls4ml.JET_COLUMNS if labeled else hls4ml.OBSERVABLE_COLUMNS
    file.create_dataset(hls4ml.PARTICLE_NAMES, data=np.array((*hls4ml.PARTICLE_COLUMNS, hls4ml.PARTICLE_ID), "S"))
    file.create_dataset(hls4ml.JET_NAMES, data=np.array(jet_names, "S"))
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        hls4ml.CONSTITUENTS: ((layout.particles, len(hls4ml.PARTICLE_COLUMNS)), np.float32),
        hls4ml.JETS: ((len(jet_names),), np.float32),
    }
    if layout.truth:
        shapes |= {
            hls4ml.PARTICLE_TYPE: ((layout.particles,), np.int32),
            hls4ml.PARTICLE_CHARGE: ((layout.particles,), np.int8),
            hls4ml.JET_PARTON: ((5,), np.float32),
            hls4ml.JET_DECAYS: ((3, 5), np.float32),
        }
    if weights:
        shapes[WEIGHTS] = ((), np.float64)
    if len(weights) > 1:
        file.create_dataset(WEIGHT_NAMES, data=np.array([name.encode() for name in weights[1:]]))
        shapes[NAMED_WEIGHTS] = ((len(weights) - 1,), np.float64)
    for name, (shape, dtype) in shapes.items():
        options = {"dtype": dtype, "compression": "gzip", "compression_opts": 4, "shuffle": True}
        file.create_dataset(name, (0, *shape), maxshape=(None, *shape), chunks=(CHUNK_ROWS, *shape), **options)


def _write_pending_rows(file: Any, pending: list[dict[str, np.ndarray]], multiple: int) -> list[dict[str, np.ndarray]]:
    """Writes the pending rows that fill a multiple of rows; returns the rest."""
    rows = sum(len(block[hls4ml.JETS]) for block in pending)
    full = rows - rows % multiple
    if full == 0:
        return pending
    joined = {name: np.concatenate([block[name] for block in pending]) for name in pending[0]}
    for name, block in joined.items():
        dataset = file[name]
        start = dataset.shape[0]
        dataset.resize(start + full, axis=0)
        dataset[start:] = block[:full]
    file.flush()
    return [{name: block[full:] for name, block in joined.items()}]

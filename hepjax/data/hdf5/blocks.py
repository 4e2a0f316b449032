"""A file's rows: read by whole chunks, checked and decoded."""

from __future__ import annotations

import functools
import itertools
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data import angles
from hepjax.data.atomic_hdf5 import open_hdf5_file
from hepjax.data.dataset import label_columns, particle_hardness, particle_mask
from hepjax.data.datasets import hls4ml
from hepjax.data.hdf5.chunks import make_chunk_reader
from hepjax.data.hdf5.storage import LARGEST, check_data, open_dataset
from hepjax.data.labels import check_labels, classes_of_columns
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from hepjax.data.containers import Header, JetFile
    from hepjax.data.hdf5.chunks import ReadRows
    from hepjax.types import Dataset

    Decoder = Callable[[np.ndarray], np.ndarray]

_LARGEST = float(np.finfo(np.float32).max)
_TASK_ROWS = 1000
"""Small chunks are read together up to so many rows, for each time that a file is opened."""


def read_in_parts(
    file: JetFile, slots: int, out: dict[str, np.ndarray], local: np.ndarray, places: np.ndarray
) -> Iterator[Callable[[], None]]:
    """Divides the reading of a file's rows into parts that may be done in any order and by several threads.

    Args:
      file: its header, and what its columns mean.
      slots: P, the particles to keep per jet.
      out: field → the array to fill, whose first axis is that of the rows.
      local: (N,) the rows of the file, ascending.
      places: (N,) their places in the arrays.

    Yields:
      Functions that read, check, decode and write one part each; they raise InputError for what cannot be read.
    """
    for name, decoders in _field_decoders(file).items():
        if wanted := {field: decoders[field] for field in decoders if field in out}:
            size = file.header.chunk_rows[name]
            # Large chunks are read by few threads at a time, so that memory holds them.
            gate = threading.BoundedSemaphore(max(1, LARGEST // max(file.header.chunk_bytes[name], 1)))
            chunks = list(_rows_by_chunk(local, size))
            count = max(1, _TASK_ROWS // size)
            for i in range(0, len(chunks), count):
                parts = [(local[low:high], places[low:high]) for low, high in chunks[i : i + count]]
                yield functools.partial(_read_chunks_of_dataset, name, file, slots, wanted, out, parts, gate)


def _read_chunks_of_dataset(
    name: str,
    file: JetFile,
    slots: int,
    decoders: dict[str, Decoder],
    out: dict[str, np.ndarray],
    parts: list[tuple[np.ndarray, np.ndarray]],
    gate: threading.BoundedSemaphore,
) -> None:
    """Reads some chunks' rows of one dataset; each thread opens the file for itself."""
    with gate, open_hdf5_file(file.header.path) as opened:
        dataset = open_dataset(opened, name)
        if name in file.header.series:  # of which most are not read, so that opening does not look at them
            check_data(file.header.path, name, dataset)
        read = make_chunk_reader(dataset)
        for local, places in parts:
            # A call of its own, so that one block is freed before the next is read.
            values = _read_rows_of_chunk(name, dataset, read, file, slots, local, decoders)
            for field in decoders:
                out[field][places] = values.pop(field)


def _read_rows_of_chunk(
    name: str,
    dataset: Any,
    read: ReadRows,
    file: JetFile,
    slots: int,
    local: np.ndarray,
    decoders: dict[str, Decoder],
) -> dict[str, np.ndarray]:
    """Reads, checks and decodes ascending rows that lie in one chunk."""
    start = int(local[0])
    block = read(start, int(local[-1]) + 1)
    if not np.array_equal(local - start, np.arange(len(block))):
        block = block[local - start]
    if not _is_finite(block):
        block = _without_padding(name, file, block)
        if not _is_finite(block):
            raise _bad_numbers(name, dataset, file)
    block = _wrap_angles(name, dataset, file, block, decoders)
    if "constituents" in decoders or "mask" in decoders:
        block = _sort_particles_by_pt(file, block)[:, :slots]
    elif name == hls4ml.JETS:
        labels = _column_places(file.header.jet_names, label_columns(file.dataset))
        check_labels(file.header.path, file.dataset, block[:, labels], local)
    return {field: decode(block) for field, decode in decoders.items()}


def _rows_by_chunk(local: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
    """The runs of `local` that lie in one chunk each."""
    edges = np.flatnonzero(np.diff(local // size)) + 1
    return itertools.pairwise([0, *edges.tolist(), len(local)])


def _field_decoders(file: JetFile) -> dict[str, dict[str, Decoder]]:
    """Dataset of the file → field of the jets → how a block becomes it."""
    header, dataset = file.header, file.dataset
    particles = _column_places(header.particle_names, dataset.particle_columns)
    decoders: dict[str, dict[str, Decoder]] = {
        hls4ml.CONSTITUENTS: {
            "constituents": lambda block: _take_columns(block, particles),
            "mask": lambda block: particle_mask(block, header.particle_names, dataset.roles),
        },
        **{name: {name: lambda block: block} for name in header.images},
    }
    if dataset.weights in header.series:
        decoders[dataset.weights] = {"weights": lambda block: block}
    if header.jet_names:
        decoders[hls4ml.JETS] = _jet_column_decoders(header, dataset)
    return decoders


def _jet_column_decoders(header: Header, dataset: Dataset) -> dict[str, Decoder]:
    observables = _column_places(header.jet_names, dataset.jet_columns)
    decoders: dict[str, Decoder] = {"observables": lambda block: _take_columns(block, observables)}
    if dataset.labels is not None:
        flags = _column_places(header.jet_names, label_columns(dataset))
        decoders["labels"] = lambda block: classes_of_columns(dataset, header.path, _take_columns(block, flags))
    if dataset.weights in header.jet_names:
        place = header.jet_names.index(dataset.weights)
        decoders["weights"] = lambda block: block[:, place]
    return decoders


def _column_places(names: Sequence[str], columns: Sequence[str]) -> tuple[int, ...]:
    place = {name: i for i, name in enumerate(names)}
    return tuple(place[name] for name in columns)


def _take_columns(block: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """The columns at these places; a view where they are all, in order."""
    return block if places == tuple(range(block.shape[-1])) else block[..., places]


def _sort_particles_by_pt(file: JetFile, block: np.ndarray) -> np.ndarray:
    """Sorts each jet's particles by falling pT, as most files do already."""
    pt = particle_hardness(block, file.header.particle_names, file.dataset.roles)
    if pt is None:
        return block
    unsorted = np.flatnonzero((pt[:, 1:] > pt[:, :-1]).any(axis=1))
    if len(unsorted):
        block = block if block.flags.writeable else block.copy()
        order = np.argsort(-pt[unsorted], axis=1, kind="stable")
        block[unsorted] = np.take_along_axis(block[unsorted], order[..., None], axis=1)
    return block


def _is_finite(block: np.ndarray) -> bool:
    """Finds NaN, infinity and what float32 makes infinite; min and max see all without a copy of the block."""
    return float(block.min()) >= -_LARGEST and float(block.max()) <= _LARGEST


def _without_padding(name: str, file: JetFile, block: np.ndarray) -> np.ndarray:
    """Sets what is not finite in the padding of particles to 0: padding is no data, and some programs fill it so.

    A place without any number is padding, too.
    """
    if name != hls4ml.CONSTITUENTS:
        return block
    bad = ~(np.abs(block) <= np.float64(_LARGEST))
    nothing = (np.isnan(block) | (block == 0)).all(axis=-1)
    zeroed = np.where(bad, 0, block)
    names, roles = file.header.particle_names, file.dataset.roles
    padding = ~particle_mask(np.where(nothing[..., None], 0, np.where(bad, 1, block)), names, roles)
    return np.where(padding[..., None], zeroed, block)


def _wrap_angles(name: str, dataset: Any, file: JetFile, block: np.ndarray, decoders: Collection[str]) -> np.ndarray:
    """Wraps azimuths into −π to π, and says so once."""
    if not {"constituents", "observables"} & {*decoders}:
        return block
    names = file.header.jet_names if name == hls4ml.JETS else file.header.particle_names
    places = angles.azimuth_places(names, file.dataset.roles, of_jets=name == hls4ml.JETS)
    if not any(angles.reaches_beyond(block[..., place]) for place in places):
        return block
    header = file.header
    starts = range(0, header.jets, header.chunk_rows[name])
    angles.check_once(
        file.warned,
        name,
        str(header.path),
        {names[place]: place for place in places},
        lambda: (dataset[start : start + header.chunk_rows[name]] for start in starts),
    )
    return angles.wrap_columns(block, places)


def _bad_numbers(name: str, dataset: Any, file: JetFile) -> InputError:
    """Counts what is not finite in the whole file, and names the first."""
    header, count, first, column = file.header, 0, None, ""
    for low in range(0, header.jets, header.chunk_rows[name]):
        block = _without_padding(name, file, dataset[low : low + header.chunk_rows[name]])
        bad = ~(np.abs(block) <= np.float64(_LARGEST))
        count += int(bad.sum())
        if first is None and bad.any():
            first = low + int(np.argwhere(bad)[0, 0])
            names = {2: header.jet_names, 3: header.particle_names}.get(bad.ndim, ())
            place = int(np.argwhere(bad)[0, -1])
            column = f", column {names[place]}" if place < len(names) else ""
    return InputError(
        f"{header.path}: {name} has {count} NaN or infinite values, or beyond float32 (±{_LARGEST:.1e}), "
        f"the first in row {first}{column}; remove those jets"
    )

"""A file's rows: read by whole chunks, checked and decoded."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.atomic_hdf5 import open_file
from hepjax.data.datasets import hls4ml
from hepjax.data.hdf5.chunks import make_read
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hepjax.data.hdf5.chunks import ReadRows
    from hepjax.data.hdf5.header import Header

    Decoder = Callable[[Header, np.ndarray], np.ndarray]

_LARGEST = float(np.finfo(np.float32).max)
_TASK_ROWS = 1000
"""Small chunks are read together up to so many rows, for each time that a file is opened."""


def read_in_parts(
    header: Header, slots: int, out: dict[str, np.ndarray], local: np.ndarray, places: np.ndarray
) -> Iterator[Callable[[], None]]:
    """The reading of a file's rows, in parts that may be done in any order and by several threads.

    Args:
      header: the file's header.
      slots: P, the particles to keep per jet.
      out: field → the array to fill, whose first axis is that of the rows.
      local: (N,) the rows of the file, ascending.
      places: (N,) their places in the arrays.

    Yields:
      Functions that read, check, decode and write one part each; they raise InputError for what cannot be read.
    """
    for name, decoders in _DECODERS.items():
        if wanted := {field: decoders[field] for field in decoders if field in out}:
            chunks = list(_chunks(local, header.chunk_rows[name]))
            count = max(1, _TASK_ROWS // header.chunk_rows[name])
            for i in range(0, len(chunks), count):
                parts = [(local[low:high], places[low:high]) for low, high in chunks[i : i + count]]
                yield functools.partial(_read_parts, name, header, slots, wanted, out, parts)


def _read_parts(
    name: str,
    header: Header,
    slots: int,
    decoders: dict[str, Decoder],
    out: dict[str, np.ndarray],
    parts: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Reads some chunks' rows of one dataset; each thread opens the file for itself."""
    with open_file(header.path) as file:
        read = make_read(file[name])
        for local, places in parts:
            # A call of its own, so that one block is freed before the next is read.
            values = _read_block(file[name], read, header, slots, local, decoders)
            for field in decoders:
                out[field][places] = values.pop(field)


def _read_block(
    dataset: Any, read: ReadRows, header: Header, slots: int, local: np.ndarray, decoders: dict[str, Decoder]
) -> dict[str, np.ndarray]:
    """Reads, checks and decodes ascending rows that lie in one chunk."""
    start = int(local[0])
    block = read(start, int(local[-1]) + 1)
    _check_finite(dataset, header, block)
    if "constituents" in decoders or "mask" in decoders:
        block = _sort_by_pt(header, block)[:, :slots]
    elif "observables" in decoders or "labels" in decoders:
        _check_labels(header, block, start)
    if not np.array_equal(local - start, np.arange(len(block))):
        block = block[local - start]
    return {field: decode(header, block) for field, decode in decoders.items()}


def _chunks(local: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
    """The runs of `local` that lie in one chunk each."""
    edges = np.flatnonzero(np.diff(local // size)) + 1
    return itertools.pairwise([0, *edges.tolist(), len(local)])


def _take(block: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """The columns at these places; a view where they are all, in order."""
    return block if places == tuple(range(block.shape[-1])) else block[..., places]


_DECODERS: dict[str, dict[str, Decoder]] = {
    hls4ml.CONSTITUENTS: {
        "constituents": lambda header, block: _take(block, header.particles.places),
        "mask": lambda header, block: block[..., header.particle("j1_e")] > 0,
    },
    hls4ml.JETS: {
        "observables": lambda header, block: _take(block, header.observables.places),
        "labels": lambda header, block: _take(block, header.labels.places).argmax(axis=1),
    },
    **{name: {name: lambda _, block: block} for name in hls4ml.IMAGES},
}


def _sort_by_pt(header: Header, block: np.ndarray) -> np.ndarray:
    """Each jet's particles by falling pT, so that the first are the hardest; most files are so already."""
    pt = header.particle("j1_pt")
    unsorted = np.flatnonzero((block[:, 1:, pt] > block[:, :-1, pt]).any(axis=1))
    if len(unsorted):
        block = block if block.flags.writeable else block.copy()
        order = np.argsort(-block[unsorted, :, pt], axis=1, kind="stable")
        block[unsorted] = np.take_along_axis(block[unsorted], order[..., None], axis=1)
    return block


def _check_finite(dataset: Any, header: Header, block: np.ndarray) -> None:
    """Refuses NaN, infinity and what float32 makes infinite; min and max see all without a copy of the block."""
    if float(block.min()) >= -_LARGEST and float(block.max()) <= _LARGEST:
        return
    name, count, first = dataset.name.lstrip("/"), 0, None
    for low in range(0, header.jets, header.chunk_rows[name]):
        bad = ~(np.abs(dataset[low : low + header.chunk_rows[name]]) <= np.float64(_LARGEST))
        count += int(bad.sum())
        if first is None and bad.any():
            first = low + int(np.argwhere(bad)[0, 0])
    raise InputError(
        f"{header.path}: {name} has {count} NaN or infinite values, or beyond float32 (±{_LARGEST:.1e}), "
        f"the first in row {first}; remove those jets"
    )


def _check_labels(header: Header, block: np.ndarray, start: int) -> None:
    if not header.labels.names:
        return
    onehot = block[:, header.labels.places]
    # The five classes come first; where j_undef is the one that is set, no class is.
    good = (np.count_nonzero(onehot, axis=1) == 1) & (onehot[:, : len(hls4ml.CLASSES)].max(axis=1) == 1)
    if not good.all():
        rows = np.flatnonzero(~good) + start
        shown = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
        raise InputError(
            f"{header.path}: {hls4ml.JETS} has rows whose labels are not one-hot over "
            f"{', '.join(hls4ml.LABEL_COLUMNS)}, or {hls4ml.UNDEFINED} = 1: {shown}; remove those jets"
        )

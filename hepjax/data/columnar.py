"""Files that are read by arrays, whatever their kind: rows of arrays become the fields of `Jets`."""

from __future__ import annotations

import contextlib
import functools
import itertools
from typing import TYPE_CHECKING

import numpy as np

from hepjax.data import angles
from hepjax.data.columns import PARTICLE, header_of_contents
from hepjax.data.containers import Container, Ragged
from hepjax.data.dataset import label_columns, particle_hardness, particle_mask
from hepjax.data.kept import Kept
from hepjax.data.labels import check_labels, classes_of_columns
from hepjax.errors import InputError, NotFiniteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hepjax.data.columns import ReadArrays
    from hepjax.data.containers import Contents, Header, JetFile
    from hepjax.types import Dataset

    ReadContents = Callable[[Path, bool], Contents]
    ReadKept = Callable[..., dict[str, np.ndarray | Ragged]]
    """(path, arrays, first row, last row, kept=what stays open between two reads) → each array's rows."""

_LARGEST = float(np.finfo(np.float32).max)
_ROWS, _AT_ONCE = 4096, 2**26
"""The most jets that become arrays of one length at a time, and the most bytes of these arrays."""
_SAMPLE, _SAMPLES = 100, 10
"""Jets that follow each other, and how many times so many, in a sample of a file."""


def columnar_container(
    name: str,
    suffixes: tuple[str, ...],
    *,
    contents: ReadContents,
    read: ReadKept,
    attributes: Callable[[Path], dict[str, str]],
) -> Container:
    """Makes the reader of a kind of file from functions that list and read its arrays.

    Args:
      name: of the kind, for people.
      suffixes: the ends of file names.
      contents: (path, whether data may lie outside its folder) → the arrays of a file, unread.
      read: (path, arrays, first row, last row, what stays open between two reads) → their rows.
      attributes: path → the attributes of the file, as text.

    Returns:
      The container.
    """
    return Container(
        name,
        suffixes,
        functools.partial(_read_header, contents, read),
        functools.partial(_sample, read),
        _no_images,
        attributes,
        functools.partial(_read_parts, read),
    )


def _read_header(
    contents: ReadContents, read: ReadKept, path: Path, allow_external: bool, names: Mapping[str, tuple[str, ...]]
) -> Header:
    with contextlib.closing(Kept()) as kept:
        return header_of_contents(path, contents(path, allow_external), functools.partial(read, kept=kept), names)


def _sample(read: ReadKept, header: Header, columns: Sequence[str]) -> np.ndarray:
    with contextlib.closing(Kept()) as kept:
        return _sample_rows(functools.partial(read, kept=kept), header, columns)


def _sample_rows(read: ReadArrays, header: Header, columns: Sequence[str]) -> np.ndarray:
    starts = np.unique(np.linspace(0, max(header.jets - _SAMPLE, 0), _SAMPLES).astype(int)).tolist()
    parts = [_read_jet_columns(header, read, columns, start, min(start + _SAMPLE, header.jets)) for start in starts]
    return np.concatenate(parts)


def _no_images(header: Header, name: str) -> tuple[int, int]:
    raise InputError(
        f"{header.path}: has no images {name}, which only HDF5 files hold; draw them from the particles with "
        "hepjax.inputs.images"
    )


def _read_parts(
    read: ReadKept, file: JetFile, slots: int, out: dict[str, np.ndarray], local: np.ndarray, places: np.ndarray
) -> Iterator[Callable[[], None]]:
    """Divides the reading of rows into chunks that may be read in any order and by several threads."""
    edges = np.flatnonzero(np.diff(local // file.header.chunk)) + 1
    for low, high in itertools.pairwise([0, *edges.tolist(), len(local)]):
        read_kept = functools.partial(read, kept=file.kept)
        yield functools.partial(_read_chunk, read_kept, file, slots, out, local[low:high], places[low:high])


def _read_chunk(
    read: ReadArrays, file: JetFile, slots: int, out: dict[str, np.ndarray], local: np.ndarray, places: np.ndarray
) -> None:
    """Reads ascending rows of one chunk, particles of a part of them at a time."""
    header = file.header
    first, last = int(local[0]), int(local[-1]) + 1
    jets = {field: names for field, names in _jet_fields(file.dataset).items() if field in out}
    columns = list(dict.fromkeys(name for names in jets.values() for name in names))
    particles = file.dataset.particle_columns if {"constituents", "mask"} & {*out} else ()
    keys = [*columns, *(f"{PARTICLE}{name}" for name in particles)]
    arrays = read(header.path, _arrays_of(header, keys), first, last)
    rows = local - first
    for part in _parts_of_rows(header, particles, arrays, rows):
        block = _particle_block(read, file, slots, arrays, rows[part], first)
        for field in {"constituents", "mask"} & {*out}:
            out[field][places[part]] = block[field]
    values = _wrap_azimuths(read, file, _jet_values(header, arrays, columns, rows), columns, of_jets=True)
    _check_finite(header, values, columns, local)
    for field, names in jets.items():
        taken = values[:, [columns.index(name) for name in names]]
        if field == "labels":
            check_labels(header.path, file.dataset, taken, local)
            taken = classes_of_columns(file.dataset, header.path, taken)
        out[field][places] = taken[:, 0] if field == "weights" else taken


def _parts_of_rows(
    header: Header, particles: Sequence[str], arrays: dict[str, np.ndarray | Ragged], rows: np.ndarray
) -> Iterator[slice]:
    """Divides rows so that the arrays of their particles, as long as the longest list, stay small."""
    if not particles:
        return
    longest = np.full(len(rows), header.slots or 0)
    if header.slots is None:
        lists = header.sources[f"{PARTICLE}{particles[0]}"].values(arrays)
        longest = lists.counts[rows] if isinstance(lists, Ragged) else longest
    most = max(1, _AT_ONCE // (4 * len(particles)))
    start = 0
    while start < len(rows):
        lengths = np.maximum.accumulate(longest[start : start + _ROWS])
        size = lengths * np.arange(1, len(lengths) + 1)
        stop = start + max(1, int(np.searchsorted(size, most, side="right")))
        yield slice(start, stop)
        start = stop


def _arrays_of(header: Header, keys: Sequence[str]) -> list[str]:
    """The arrays that columns lie in, each once."""
    return list(dict.fromkeys(array for key in keys for array in header.sources[key].arrays))


def _jet_fields(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Field of jets → the columns that it is made of."""
    weights = (dataset.weights,) if dataset.weights else ()
    return {"observables": dataset.jet_columns, "labels": label_columns(dataset), "weights": weights}


def _read_jet_columns(header: Header, read: ReadArrays, columns: Sequence[str], first: int, last: int) -> np.ndarray:
    arrays = read(header.path, _arrays_of(header, columns), first, last)
    return _jet_values(header, arrays, columns, np.arange(last - first))


def _jet_values(
    header: Header, arrays: dict[str, np.ndarray | Ragged], columns: Sequence[str], rows: np.ndarray
) -> np.ndarray:
    """(n, columns) float64 values of jets, which may be anything."""
    values = np.empty((len(rows), len(columns)))
    for i, name in enumerate(columns):
        with np.errstate(invalid="ignore"):  # of NaN in damaged files, which is refused where it matters
            values[:, i] = _fixed(header, name, header.sources[name].values(arrays))[rows]
    return values


def _wrap_azimuths(
    read: ReadArrays, file: JetFile, values: np.ndarray, names: Sequence[str], *, of_jets: bool
) -> np.ndarray:
    """Wraps azimuths into −π to π, says so once, and refuses columns in another unit."""
    places = angles.azimuth_places(names, file.dataset.roles, of_jets=of_jets)
    if not any(angles.reaches_beyond(values[..., place]) for place in places):
        return values
    columns = [names[place] for place in places]
    angles.check_once(
        file.warned,
        "jets" if of_jets else "particles",
        str(file.header.path),
        {name: place for place, name in enumerate(columns)},
        lambda: _blocks_of_file(read, file.header, columns, of_jets=of_jets),
    )
    return angles.wrap_columns(values, places)


def _blocks_of_file(read: ReadArrays, header: Header, columns: Sequence[str], *, of_jets: bool) -> Iterator[np.ndarray]:
    """Reads columns of all jets of a file in turn."""
    for first in range(0, header.jets, header.chunk):
        last = min(first + header.chunk, header.jets)
        if of_jets:
            yield _read_jet_columns(header, read, columns, first, last)
            continue
        arrays = read(header.path, _arrays_of(header, [f"{PARTICLE}{name}" for name in columns]), first, last)
        rows = np.arange(last - first)
        for part in _parts_of_rows(header, columns, arrays, rows):
            yield _particle_values(header, columns, arrays, rows[part], first, 1)


def _particle_block(
    read: ReadArrays,
    file: JetFile,
    slots: int,
    arrays: dict[str, np.ndarray | Ragged],
    rows: np.ndarray,
    first: int,
) -> dict[str, np.ndarray]:
    """The "constituents" and "mask" of the hardest particles of some rows, by falling pT, padded with 0."""
    header, dataset = file.header, file.dataset
    names = dataset.particle_columns
    values = _particle_values(header, names, arrays, rows, first, slots)
    mask = particle_mask(values, names, dataset.roles)
    values[~mask] = 0
    values = _wrap_azimuths(read, file, values, names, of_jets=False)
    _check_finite(header, values, names, rows + first)
    hardness = particle_hardness(values, names, dataset.roles)
    if hardness is not None:
        hardness = np.where(mask, hardness, -np.inf)
        unsorted = np.flatnonzero((hardness[:, 1:] > hardness[:, :-1]).any(axis=1))
        order = np.argsort(-hardness[unsorted], axis=1, kind="stable")
        values[unsorted] = np.take_along_axis(values[unsorted], order[..., None], axis=1)
        mask[unsorted] = np.take_along_axis(mask[unsorted], order, axis=1)
    return {"constituents": values[:, :slots], "mask": mask[:, :slots]}


def _particle_values(
    header: Header,
    names: Sequence[str],
    arrays: dict[str, np.ndarray | Ragged],
    rows: np.ndarray,
    first: int,
    slots: int,
) -> np.ndarray:
    """(n, P, F) float32 values of particles, as many as the file keeps."""
    if header.slots is None:
        return _padded_lists(header, names, arrays, rows, first, slots)
    return _fixed_lists(header, names, arrays, rows)


def _fixed_lists(
    header: Header, names: Sequence[str], arrays: dict[str, np.ndarray | Ragged], rows: np.ndarray
) -> np.ndarray:
    values = np.empty((len(rows), header.slots or 0, len(names)), np.float32)
    for i, name in enumerate(names):
        column = _fixed(header, name, header.sources[f"{PARTICLE}{name}"].values(arrays))
        with np.errstate(over="ignore", invalid="ignore"):
            values[..., i] = column[rows]
    return values


def _padded_lists(
    header: Header,
    names: Sequence[str],
    arrays: dict[str, np.ndarray | Ragged],
    rows: np.ndarray,
    first: int,
    slots: int,
) -> np.ndarray:
    """Lists as rows of the length of the longest, or of all slots where that is more."""
    held = {name: header.sources[f"{PARTICLE}{name}"].values(arrays) for name in names}
    lists = {name: ragged for name, ragged in held.items() if isinstance(ragged, Ragged)}
    counts = _common_counts(header, lists, first)
    starts = np.concatenate([[0], np.cumsum(counts)])[rows]
    counts = counts[rows]
    length = int(counts.max(initial=slots))
    # The numbers of all particles of these rows in the lists, and their places in the padded array.
    jet = np.repeat(np.arange(len(rows)), counts)
    inside = np.arange(len(jet)) - np.repeat(np.cumsum(counts) - counts, counts)
    taken, place = np.repeat(starts, counts) + inside, jet * length + inside
    values = np.zeros((len(rows) * length, len(names)), np.float32)
    for i, ragged in enumerate(lists.values()):
        with np.errstate(over="ignore", invalid="ignore"):
            values[place, i] = ragged.values[taken]
    return values.reshape(len(rows), length, len(names))


def _common_counts(header: Header, lists: dict[str, Ragged], first: int) -> np.ndarray:
    """(n,) the particles of each jet, of which all columns have as many."""
    (name, reference), *others = lists.items()
    for other, ragged in others:
        differ = np.flatnonzero(ragged.counts != reference.counts)
        if len(differ):
            row = int(differ[0])
            raise InputError(
                f"{header.path}: row {row + first} has {reference.counts[row]} values of {name} but "
                f"{ragged.counts[row]} of {other} ({len(differ)} such rows near it); give each particle a value in "
                "every column, or leave a column out"
            )
    return np.asarray(reference.counts)


def _fixed(header: Header, name: str, values: np.ndarray | Ragged) -> np.ndarray:
    if isinstance(values, Ragged):
        raise InputError(f"{header.path}: {name} has become a list since the file was opened; open it again")
    return values


def _check_finite(header: Header, values: np.ndarray, names: Sequence[str], rows: np.ndarray) -> None:
    """Refuses NaN, infinity, and what float32 makes infinite."""
    if not values.size or (float(values.min()) >= -_LARGEST and float(values.max()) <= _LARGEST):
        return
    bad = np.argwhere(~(np.abs(values) <= _LARGEST))
    row = int(rows[bad[0, 0]])
    raise NotFiniteError(
        f"{header.path}: column {names[bad[0, -1]]} is NaN, infinite or beyond float32 (±{_LARGEST:.1e}) in row {row} "
        f"({len(np.unique(bad[:, 0]))} such rows near it); remove those jets",
        tuple(names[place] for place in np.unique(bad[:, -1])),
        of_jets=values.ndim == 2,
        row=row,
    )

"""The interface of readers: each kind of file has one `Container`, so that all kinds are read alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.data.remote import RemotePath, split_address
from hepjax.types.short_repr import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hepjax.data.kept import Kept
    from hepjax.types import Dataset

_WITH_TREES = "root|npz"
"""The ends of the names of files in which a tree or part may be named."""
LIST_PARTICLES = 128
"""The hardest particles that are kept by default where each jet has a list of its own length, as in published work."""


class Array(NamedTuple):
    """An array of a file, whose first axis is that of the jets."""

    shape: tuple[int | None, ...]
    """The shape for one jet: () is a number, (None,) a list of any length, (K,) and (K, F) are of fixed length."""
    names: tuple[str, ...] = ()
    """The names of its last axis, where the file says them."""


class Ragged(NamedTuple):
    """Lists of any length, one for each of n jets."""

    values: np.ndarray
    """(sum of counts,) the numbers of all jets, one jet after the other."""
    counts: np.ndarray
    """(n,) int64, how many are of each jet."""


class Contents(NamedTuple):
    """The arrays that a file holds, unread."""

    jets: int
    arrays: Mapping[str, Array]
    chunk: int
    """The jets that are read at a time."""
    description: str | None = None
    """JSON of the dataset, in files that `write_jets` has written."""
    list_particles: int = LIST_PARTICLES
    """The particles that are kept by default where each jet has a list of its own length."""
    passed: Mapping[str, str] = {}
    """Names of the file that are no columns of numbers → the reason, in words that follow "is"."""


class Source(NamedTuple):
    """The place of a column in a file."""

    array: str | tuple[str, ...]
    """Several where each slot for a particle has an array of its own."""
    place: int | slice | None = None
    """On the last axis of the array; None is all of an array that is one column."""

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays to be read."""
        return (self.array,) if isinstance(self.array, str) else self.array

    def values(self, arrays: Mapping[str, np.ndarray | Ragged]) -> np.ndarray | Ragged:
        """Takes the column from arrays that were read: (n,) or (n, P) values, or lists."""
        if not isinstance(self.array, str):
            return np.stack([arrays[name] for name in self.array], axis=1)
        values = arrays[self.array]
        if self.place is None:
            return values
        if isinstance(values, Ragged):
            return Ragged(values.values[:, self.place], values.counts)
        return values[..., self.place]


class Header(NamedTuple):
    """The header of one file, which is checked; its rows are unread."""

    path: Path
    jets: int
    slots: int | None
    """The particles kept per jet; None where each jet has a list of its own length."""
    particle_names: tuple[str, ...]
    """The columns of particles, in the order of the file."""
    jet_names: tuple[str, ...]
    """The columns of jets, labels and weights included, in the order of the file; empty where there are none."""
    images: tuple[str, ...]
    series: tuple[str, ...]
    """Further datasets of one number a jet, such as weights."""
    chunk: int
    """The jets whose particles are read at a time."""
    chunk_rows: Mapping[str, int]
    """The rows that are read at a time of each part of the file, for its own reader."""
    chunk_bytes: Mapping[str, int]
    """The memory that a chunk of each part takes; 0 where there are no chunks."""
    sources: Mapping[str, Source] = {}
    """Column → its place, where a reader goes by columns."""
    named_by: str | None = None
    """The known dataset that names the columns, where the file does not."""
    description: str | None = None
    """JSON of the dataset, in files that `write_jets` has written."""
    list_particles: int = LIST_PARTICLES
    """The particles that are kept by default where each jet has a list of its own length."""
    passed: Mapping[str, str] = {}
    """Names of the file that are no columns of numbers → the reason, in words that follow "is"."""
    unfilled: tuple[str, ...] = ()
    """Names of particle columns that the file has no column for, as public files name `j1_pdgid`."""

    def __repr__(self) -> str:
        """Shows arrays by their shapes."""
        return short_repr(self)


class JetFile(NamedTuple):
    """A file of jets, and what its columns mean."""

    header: Header
    dataset: Dataset
    container: Container
    warned: dict[str, object]
    """The parts of the file of which a warning was given, which is not repeated."""
    kept: Kept
    """The open files and decoded parts that stay between two reads, of all files that are read together."""


class Container(NamedTuple):
    """A kind of file, and the functions that read it."""

    name: str
    """For people, such as HDF5."""
    suffixes: tuple[str, ...]
    """The ends of file names, the first one that of new files."""
    read_header: Callable[[Path, bool, Mapping[str, tuple[str, ...]]], Header]
    """(path, whether its data may lie outside its folder, array → names of its columns where a dataset was given) →
    names and shapes, checked; raises InputError for a file that is not usable."""
    sample: Callable[[Header, Sequence[str]], np.ndarray]
    """(header, jet columns) → (n, columns) values of a few jets from all over the file."""
    image_shape: Callable[[Header, str], tuple[int, int]]
    """(header, image) → height and width in pixels; raises InputError where the file has no such images."""
    attributes: Callable[[Path], dict[str, str]]
    """Path → the attributes of the file, as text."""
    read: Callable[[JetFile, int, dict[str, np.ndarray], np.ndarray, np.ndarray], Iterator[Callable[[], None]]]
    """(file, particles per jet, field → array to fill, ascending rows of the file, their places in the arrays) →
    tasks that fill the arrays, in any order and by any thread, and raise InputError for what cannot be read."""


def split_tree(path: Path) -> tuple[Path, str | None]:
    """Splits FILE:TREE into the path of a file and the tree in it.

    ROOT files may hold several trees, and NumPy archives several parts, such as train and test. In an address the tree
    stands before the query.

    >>> split_tree(Path("jets.root:events/tree"))[1], split_tree(Path("jets.npz:train"))[1], split_tree(Path("a.h5"))[1]
    ('events/tree', 'train', None)
    """
    if isinstance(path, RemotePath):
        return split_address(path, _WITH_TREES)
    parts = re.fullmatch(rf"(.*?\.(?:{_WITH_TREES})):(.+)", str(path), re.DOTALL | re.IGNORECASE)
    return (Path(parts[1]), parts[2]) if parts else (path, None)

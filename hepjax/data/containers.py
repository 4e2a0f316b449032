"""The interface of readers: each kind of file has one `Container`, so that all kinds are read alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from hepjax.types import Dataset


class Header(NamedTuple):
    """The header of one file, which is checked; its rows are unread."""

    path: Path
    jets: int
    slots: int
    """The particles kept per jet."""
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


class JetFile(NamedTuple):
    """A file of jets, and what its columns mean."""

    header: Header
    dataset: Dataset
    container: Container
    told: dict[str, object]
    """Parts of the file of which a warning was given, which is then not repeated."""


class Container(NamedTuple):
    """A kind of file, and the functions that read it."""

    name: str
    """For people, such as HDF5."""
    suffixes: tuple[str, ...]
    """The ends of file names, the first one that of new files."""
    read_header: Callable[[Path, bool], Header]
    """(path, whether its data may lie outside its folder) → names and shapes, checked; raises InputError for a file
    that is not usable."""
    sample: Callable[[Header, Sequence[str]], np.ndarray]
    """(header, jet columns) → (n, columns) values of a few jets from all over the file."""
    image_shape: Callable[[Header, str], tuple[int, int]]
    """(header, image) → height and width in pixels; raises InputError where the file has no such images."""
    attributes: Callable[[Path], dict[str, str]]
    """Path → the attributes of the file, as text."""
    read: Callable[[JetFile, int, dict[str, np.ndarray], np.ndarray, np.ndarray], Iterator[Callable[[], None]]]
    """(file, particles per jet, field → array to fill, ascending rows of the file, their places in the arrays) →
    tasks that fill the arrays, in any order and by any thread, and raise InputError for what cannot be read."""

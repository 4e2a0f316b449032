"""What a file of the public layout says of itself: its names, shapes and columns, checked without reading a jet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py

from hepjax.data.atomic_hdf5 import one_line, open_file
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROWS = 1000
"""The rows read at a time from a dataset that is not chunked."""


_IMAGES = 100
"""The same for images, which are larger."""


class Columns(NamedTuple):
    """Some columns of a dataset: their names in the schema's order, and where the file keeps them."""

    names: tuple[str, ...]
    places: tuple[int, ...]


class Header(NamedTuple):
    """One file, checked but unread."""

    path: Path
    jets: int
    slots: int
    """The particles kept per jet."""
    particles: Columns
    observables: Columns
    labels: Columns
    """Empty for a file without labels; else the five classes, then `j_undef` where the file has it."""
    images: tuple[str, ...]
    chunk_rows: dict[str, int]
    """The rows to read at a time, for each dataset."""

    def particle(self, name: str) -> int:
        """The place of a particle column in the file."""
        return self.particles.places[self.particles.names.index(name)]


def read_header(path: Path) -> Header:
    """Reads and checks a file's names and shapes.

    Args:
      path: the file.

    Returns:
      Its header.

    Raises:
      InputError: a dataset is missing or has a wrong rank or type, a column is unknown or named twice, a column that
        is always needed is absent, or the file holds no jet.
    """
    with open_file(path) as file:
        constituents = _dataset(file, path, hls4ml.CONSTITUENTS, rank=3)
        jets = _dataset(file, path, hls4ml.JETS, rank=2)
        particle_names = _names(file, path, hls4ml.PARTICLE_NAMES, constituents)
        jet_names = _names(file, path, hls4ml.JET_NAMES, jets)
        header = Header(
            path=path,
            jets=jets.shape[0],
            slots=constituents.shape[1],
            particles=_columns(particle_names, hls4ml.PARTICLE_COLUMNS),
            observables=_columns(jet_names, hls4ml.OBSERVABLE_COLUMNS),
            labels=_columns(jet_names, (*hls4ml.LABEL_COLUMNS, hls4ml.UNDEFINED)),
            images=tuple(name for name in hls4ml.IMAGES if name in file),
            chunk_rows={
                hls4ml.CONSTITUENTS: (constituents.chunks or (ROWS,))[0],
                hls4ml.JETS: (jets.chunks or (ROWS,))[0],
                **{name: _image_rows(file[name]) for name in hls4ml.IMAGES if name in file},
            },
        )
        if constituents.shape[0] != jets.shape[0]:
            raise InputError(
                f"{path}: {hls4ml.CONSTITUENTS} has {constituents.shape[0]} rows but {hls4ml.JETS} has "
                f"{jets.shape[0]}; make the file again"
            )
    if header.jets == 0:
        raise InputError(f"{path}: holds no jets; leave the file out")
    for name in ("j1_e", "j1_pt"):
        if name not in header.particles.names:
            words = "which tells particles from padding and gives their order; make the file again with it"
            raise InputError(f"{path}: {hls4ml.PARTICLE_NAMES} lacks {name}, {words}")
    found = set(header.labels.names) & set(hls4ml.LABEL_COLUMNS)
    if found and len(found) < len(hls4ml.LABEL_COLUMNS):
        missing = ", ".join(name for name in hls4ml.LABEL_COLUMNS if name not in found)
        raise InputError(f"{path}: {hls4ml.JET_NAMES} lacks {missing}; give all label columns or none")
    return header if found else header._replace(labels=Columns((), ()))


def image_shape(header: Header, name: str) -> tuple[int, int]:
    """Checks a dataset of jet images.

    Args:
      header: the file's header.
      name: the dataset.

    Returns:
      The height and width of its images, in pixels.

    Raises:
      InputError: the file has no such images, or they are damaged, of a wrong rank or type, or not one per jet.
    """
    if name not in header.images:
        held = f"its images are {', '.join(header.images)}" if header.images else "it holds no images"
        words = "ask for others, or draw them from the particles with hepjax.inputs.images"
        raise InputError(f"{header.path}: has no dataset {name} ({held}); {words}")
    with open_file(header.path) as file:
        images = _dataset(file, header.path, name, rank=3)
        if images.shape[0] != header.jets:
            raise InputError(
                f"{header.path}: {name} has {images.shape[0]} rows but {hls4ml.JETS} has {header.jets}; "
                "make the file again"
            )
        return int(images.shape[1]), int(images.shape[2])


def _image_rows(images: Any) -> int:
    """The images to read at a time: a chunk's, or some ten megabytes."""
    return int((getattr(images, "chunks", None) or (_IMAGES,))[0])


def _dataset(file: h5py.File, path: Path, name: str, rank: int) -> h5py.Dataset:
    if not isinstance(file.get(name), h5py.Dataset):
        held = one_line(", ".join(sorted(file))) or "nothing"
        raise InputError(f"{path}: has no dataset {name} (it holds {held}); give a file of the public jet layout")
    dataset = file[name]
    if dataset.ndim != rank or dataset.dtype.kind != "f":
        raise InputError(
            f"{path}: {name} has shape {dataset.shape} and type {dataset.dtype}; "
            f"expected {rank} dimensions and floating point; give a file of the public jet layout"
        )
    if 0 in dataset.shape[1:]:
        raise InputError(
            f"{path}: {name} has shape {dataset.shape}, which holds nothing; give a file of the public jet layout"
        )
    _check_stored(path, name, dataset)
    return dataset


def _check_stored(path: Path, name: str, dataset: h5py.Dataset) -> None:
    """Refuses a shape that the file has no data for, before memory is set aside for it."""
    if dataset.chunks:
        expected = math.prod(-(-n // size) for n, size in zip(dataset.shape, dataset.chunks, strict=True))
        found = dataset.id.get_num_chunks()
    elif dataset.is_virtual:
        return
    else:
        expected, found = dataset.nbytes, dataset.id.get_storage_size()
    if found < expected:
        raise InputError(
            f"{path}: damaged; the file holds {found} of {expected} {'chunks' if dataset.chunks else 'bytes'} of "
            f"{name}; fetch or make it again"
        )


def _names(file: h5py.File, path: Path, dataset: str, values: h5py.Dataset) -> list[str]:
    """The names of the columns of `values`, each of them known and unique."""
    if not isinstance(file.get(dataset), h5py.Dataset) or file[dataset].ndim != 1:
        raise InputError(f"{path}: has no list of names {dataset}, to tell the columns; make the file again with it")
    _check_stored(path, dataset, file[dataset])
    # Bytes that are no text stay visible, as the name of an unknown column.
    names = [
        name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name) for name in file[dataset][()]
    ]
    width = values.shape[-1]
    if len(names) == width + 1 and names[-1] == hls4ml.PARTICLE_ID:
        names.pop()  # the public files name one particle column that they do not have
    if len(names) != width:
        raise InputError(
            f"{path}: {dataset} has {len(names)} names for the {width} columns of {values.name[1:]}; name every column"
        )
    known = {*hls4ml.PARTICLE_COLUMNS, hls4ml.PARTICLE_ID} if values.ndim == 3 else set(hls4ml.JET_COLUMNS)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"{path}: {dataset} has unknown columns {one_line(', '.join(unknown))}; rename or remove them")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: {dataset} names {', '.join(twice)} more than once; rename or remove the copies")
    return names


def _columns(names: Sequence[str], wanted: Sequence[str]) -> Columns:
    found = tuple(name for name in wanted if name in names)
    return Columns(found, tuple(names.index(name) for name in found))

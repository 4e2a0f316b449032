"""The header of an HDF5 file of jets: names, shapes and columns, checked without reading a jet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hepjax.data.atomic_hdf5 import one_line, open_file
from hepjax.data.containers import Header
from hepjax.data.dataset import repeats
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROWS = 1000
"""The rows read at a time from a dataset that is not chunked."""
_IMAGES = 100
"""The same for images, which are larger."""
_SAMPLE, _SAMPLES = 100, 10
"""Jets that follow each other, and how many times so many, in a sample of a file."""


def read_header(path: Path) -> Header:
    """Reads and checks a file's names and shapes.

    Args:
      path: the file.

    Returns:
      Its header.

    Raises:
      InputError: the particles are missing, a dataset has a wrong rank or type, a column has no name or one that
        another has, or the file holds no jet.
    """
    with open_file(path) as file:
        constituents = _dataset(file, path, hls4ml.CONSTITUENTS, rank=3)
        jets = _dataset(file, path, hls4ml.JETS, rank=2) if hls4ml.JETS in file else None
        count = constituents.shape[0]
        if jets is not None and jets.shape[0] != count:
            raise InputError(
                f"{path}: {hls4ml.CONSTITUENTS} has {count} rows but {hls4ml.JETS} has {jets.shape[0]}; "
                "make the file again"
            )
        if count == 0:
            raise InputError(f"{path}: holds no jets; leave the file out")
        images, series = _images(file), _series(file, count)
        chunk = (constituents.chunks or (ROWS,))[0]
        return Header(
            path=path,
            jets=count,
            slots=constituents.shape[1],
            particle_names=_names(file, path, hls4ml.PARTICLE_NAMES, constituents),
            jet_names=() if jets is None else _names(file, path, hls4ml.JET_NAMES, jets),
            images=images,
            series=series,
            chunk=chunk,
            chunk_rows={
                hls4ml.CONSTITUENTS: chunk,
                **({} if jets is None else {hls4ml.JETS: (jets.chunks or (ROWS,))[0]}),
                **{name: _image_rows(file[name]) for name in images},
                **{name: (file[name].chunks or (ROWS,))[0] for name in series},
            },
        )


def sample(header: Header, columns: Sequence[str]) -> np.ndarray:
    """Reads jet columns of a few jets from all over the file: files may be sorted by class.

    Args:
      header: of the file.
      columns: their names.

    Returns:
      (n, columns), up to a thousand jets.
    """
    starts = np.unique(np.linspace(0, max(header.jets - _SAMPLE, 0), _SAMPLES).astype(int))
    with open_file(header.path) as file:
        _check_stored(header.path, hls4ml.JETS, file[hls4ml.JETS])
        rows = np.concatenate([file[hls4ml.JETS][start : start + _SAMPLE] for start in starts.tolist()])
    return np.asarray(rows[:, [header.jet_names.index(name) for name in columns]])


def attributes(path: Path) -> dict[str, str]:
    """Returns the file's own attributes, as text."""
    with open_file(path) as file:
        return {str(key): str(value) for key, value in file.attrs.items()}


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
        stored = dataset.id.get_num_chunks()
    elif dataset.is_virtual:
        return
    else:
        expected, stored = dataset.nbytes, dataset.id.get_storage_size()
    if stored < expected:
        raise InputError(
            f"{path}: damaged; the file holds {stored} of {expected} {'chunks' if dataset.chunks else 'bytes'} of "
            f"{name}; fetch or make it again"
        )


def _images(file: h5py.File) -> tuple[str, ...]:
    """The datasets that may hold images, those of the public files first; shapes are checked when they are read."""
    known = [name for name in hls4ml.IMAGES if name in file]
    passed = {hls4ml.CONSTITUENTS, hls4ml.JET_DECAYS, *known}
    others = (name for name, item in file.items() if name not in passed and _is_floating(item, rank=3))
    return (*known, *others)


def _series(file: h5py.File, count: int) -> tuple[str, ...]:
    """The datasets of one number for each jet."""
    return tuple(
        name
        for name, item in file.items()
        if isinstance(item, h5py.Dataset) and item.shape == (count,) and item.dtype.kind in "fiu"
    )


def _is_floating(item: Any, rank: int) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim == rank and item.dtype.kind == "f"


def _names(file: h5py.File, path: Path, dataset: str, values: h5py.Dataset) -> tuple[str, ...]:
    """The names of the columns of `values`, each of them unique."""
    if not isinstance(file.get(dataset), h5py.Dataset) or file[dataset].ndim != 1:
        raise InputError(f"{path}: has no list of names {dataset}, to tell the columns; make the file again with it")
    _check_stored(path, dataset, file[dataset])
    raw = file[dataset][()].tolist()
    if numbers := [name for name in raw if not isinstance(name, bytes | str)]:
        raise InputError(f"{path}: {dataset} holds no names but {type(numbers[0]).__name__}; make the file again")
    # Bytes that are no text stay visible.
    names = [name.decode(errors="backslashreplace") if isinstance(name, bytes) else name for name in raw]
    width = values.shape[-1]
    if len(names) == width + 1 and names[-1] == hls4ml.PARTICLE_ID:
        names.pop()  # the public files name one particle column that they do not have
    if len(names) != width:
        raise InputError(
            f"{path}: {dataset} has {len(names)} names for the {width} columns of {values.name[1:]}; name every column"
        )
    if bad := [name for name in names if not name or not name.isprintable() or "\\x" in name]:
        raise InputError(
            f"{path}: {dataset} has names that are no text: {one_line(', '.join(bad)) or 'an empty one'}; rename them"
        )
    if twice := sorted(repeats(names)):
        raise InputError(f"{path}: {dataset} names {', '.join(twice)} more than once; rename or remove the copies")
    return tuple(names)

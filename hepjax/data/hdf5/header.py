"""The header of an HDF5 file of jets: names, shapes and columns, checked without reading a jet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.atomic_hdf5 import decode_text, escape_control_characters, open_hdf5_file
from hepjax.data.containers import Header
from hepjax.data.dataset import repeated_values
from hepjax.data.datasets import hls4ml
from hepjax.data.hdf5.storage import (
    Place,
    check_data,
    chunk_bytes,
    open_dataset,
    root_datasets,
    rows_at_once,
)
from hepjax.data.recognition import DESCRIPTION
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import h5py

ROWS = 1000
"""The rows read at a time from a dataset that is not chunked."""
_IMAGES = 100
"""The same for images, which are larger."""
_MOST_COLUMNS = 10_000
"""Columns of a dataset."""
_LONGEST_NAME = 1000
"""Bytes of the name of a column."""
_SHOWN = 20
"""The most values of an attribute that are shown."""
_SAMPLE, _SAMPLES = 100, 10
"""Jets that follow each other, and how many times so many, in a sample of a file."""


def read_header(path: Path, allow_external: bool = False) -> Header:
    """Reads and checks a file's names and shapes.

    Args:
      path: the file.
      allow_external: let its data lie in files outside its folder.

    Returns:
      Its header.

    Raises:
      InputError: the particles are missing, a dataset has a wrong rank or type, a column has no name or one that
        another has, the file holds no jet, or its data lies elsewhere or in pieces too large to read.
    """
    with open_hdf5_file(path) as file:
        held = root_datasets(Place(file, path, allow_external))
        constituents = _header_dataset(held, path, hls4ml.CONSTITUENTS, rank=3)
        jets = _header_dataset(held, path, hls4ml.JETS, rank=2) if hls4ml.JETS in file else None
        count = constituents.shape[0]
        if jets is not None and jets.shape[0] != count:
            raise InputError(
                f"{path}: {hls4ml.CONSTITUENTS} has {count} rows but {hls4ml.JETS} has {jets.shape[0]}; "
                "make the file again"
            )
        if count == 0:
            raise InputError(f"{path}: holds no jets; leave the file out")
        images, series = _image_dataset_names(held), _jet_series_names(held, count)
        read = {hls4ml.CONSTITUENTS: constituents, **({} if jets is None else {hls4ml.JETS: jets})}
        read |= {name: held[name] for name in (*images, *series)}
        particles, unfilled = _header_column_names(held, path, hls4ml.PARTICLE_NAMES, constituents)
        rows = {name: rows_at_once(values, _IMAGES if name in images else ROWS) for name, values in read.items()}
        return Header(
            path=path,
            jets=count,
            slots=constituents.shape[1],
            particle_names=particles,
            jet_names=() if jets is None else _header_column_names(held, path, hls4ml.JET_NAMES, jets)[0],
            images=images,
            series=series,
            chunk=rows[hls4ml.CONSTITUENTS],
            chunk_rows=rows,
            chunk_bytes={name: chunk_bytes(values) for name, values in read.items()},
            description=_words(file.attrs[DESCRIPTION]) if DESCRIPTION in file.attrs else None,
            unfilled=unfilled,
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
    with open_hdf5_file(header.path) as file:
        jets = open_dataset(file, hls4ml.JETS)
        rows = np.concatenate([jets[start : start + _SAMPLE] for start in starts.tolist()])
    return np.asarray(rows[:, [header.jet_names.index(name) for name in columns]])


def attributes(path: Path) -> dict[str, str]:
    """Returns the file's own attributes, as text."""
    with open_hdf5_file(path) as file:
        return {str(key): _words(value) for key, value in file.attrs.items() if key != DESCRIPTION}


def _words(value: Any) -> str:
    """An attribute as text; of a list its first values."""
    values = np.ravel(value)
    return ", ".join(map(decode_text, values[:_SHOWN].tolist())) + (", …" if len(values) > _SHOWN else "")


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
    with open_hdf5_file(header.path) as file:
        images = _header_dataset({name: open_dataset(file, name)}, header.path, name, rank=3)
        if images.shape[0] != header.jets:
            raise InputError(
                f"{header.path}: {name} has {images.shape[0]} rows but {hls4ml.JETS} has {header.jets}; "
                "make the file again"
            )
        return int(images.shape[1]), int(images.shape[2])


def _header_dataset(held: Mapping[str, h5py.Dataset], path: Path, name: str, rank: int) -> h5py.Dataset:
    if name not in held:
        listed = escape_control_characters(", ".join(sorted(held))) or "nothing"
        raise InputError(f"{path}: has no dataset {name} (it holds {listed}); give a file of the public jet layout")
    dataset = held[name]
    if dataset.ndim != rank or dataset.dtype.kind != "f":
        raise InputError(
            f"{path}: {name} has shape {dataset.shape} and type {dataset.dtype}; "
            f"expected {rank} dimensions and floating point; give a file of the public jet layout"
        )
    if 0 in dataset.shape[1:]:
        raise InputError(
            f"{path}: {name} has shape {dataset.shape}, which holds nothing; give a file of the public jet layout"
        )
    check_data(path, name, dataset)
    return dataset


def _image_dataset_names(held: Mapping[str, h5py.Dataset]) -> tuple[str, ...]:
    """The datasets that may hold images, those of the public files first; shapes are checked when they are read."""
    known = [name for name in hls4ml.IMAGES if name in held]
    passed = {hls4ml.CONSTITUENTS, hls4ml.JET_DECAYS, *known}
    others = (name for name, item in held.items() if name not in passed and item.ndim == 3 and item.dtype.kind == "f")
    return (*known, *others)


def _jet_series_names(held: Mapping[str, h5py.Dataset], count: int) -> tuple[str, ...]:
    """The datasets of one number for each jet."""
    return tuple(name for name, item in held.items() if item.shape == (count,) and item.dtype.kind in "fiu")


def _header_column_names(
    held: Mapping[str, h5py.Dataset], path: Path, dataset: str, values: h5py.Dataset
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the columns of `values`, each of them unique; and those that have no column."""
    listed, width = held.get(dataset), values.shape[-1]
    if listed is None or listed.ndim != 1:
        raise InputError(f"{path}: has no list of names {dataset}, to tell the columns; make the file again with it")
    if width > _MOST_COLUMNS:
        raise InputError(f"{path}: {values.name[1:]} has {width} columns, more than {_MOST_COLUMNS}; leave some out")
    if len(listed) > width + 1 or listed.dtype.itemsize > _LONGEST_NAME:
        raise InputError(
            f"{path}: {dataset} has {len(listed)} names of {listed.dtype.itemsize} bytes for the {width} columns of "
            f"{values.name[1:]}; name every column, in up to {_LONGEST_NAME} bytes"
        )
    check_data(path, dataset, listed)
    raw = listed[()].tolist()
    if numbers := [name for name in raw if not isinstance(name, bytes | str)]:
        raise InputError(f"{path}: {dataset} holds no names but {type(numbers[0]).__name__}; make the file again")
    # Bytes that are no text stay visible; Fortran fills names up with blanks.
    names = [decode_text(name).strip(" \0") for name in raw]
    # The public files name one particle column that they do not have.
    unfilled = (names.pop(),) if len(names) == width + 1 and names[-1] == hls4ml.PARTICLE_ID else ()
    if len(names) != width:
        raise InputError(
            f"{path}: {dataset} has {len(names)} names for the {width} columns of {values.name[1:]}; name every column"
        )
    if bad := [name for name in names if not name or not name.isprintable() or "\\x" in name]:
        raise InputError(
            f"{path}: {dataset} has names that are no text: "
            f"{escape_control_characters(', '.join(bad)) or 'an empty one'}; rename them"
        )
    if twice := sorted(repeated_values(names)):
        raise InputError(f"{path}: {dataset} names {', '.join(twice)} more than once; rename or remove the copies")
    return tuple(names), unfilled

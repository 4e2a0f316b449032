"""HDF5 files: those of the public layout of HLS4ML, in any columns, and those of any other. NumPy and h5py only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepjax.data.atomic_hdf5 import SUFFIXES, open_hdf5_file
from hepjax.data.columnar import columnar_container
from hepjax.data.containers import Container
from hepjax.data.datasets import hls4ml
from hepjax.data.hdf5 import arrays, header
from hepjax.data.hdf5.blocks import read_in_parts
from hepjax.data.hdf5.header import attributes, image_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from hepjax.data.containers import Header, JetFile

__all__ = ["CONTAINER"]

OTHERS = columnar_container("HDF5", SUFFIXES, contents=arrays.contents, read=arrays.read, attributes=attributes)
"""Reads files of other layouts than the public one."""


def _read_header(path: Path, allow_external: bool, names: Mapping[str, tuple[str, ...]]) -> Header:
    with open_hdf5_file(path) as file:
        public = hls4ml.CONSTITUENTS in file or hls4ml.PARTICLE_NAMES in file
    return header.read_header(path, allow_external) if public else OTHERS.read_header(path, allow_external, names)


def _sample(file: Header, columns: Sequence[str]) -> np.ndarray:
    return OTHERS.sample(file, columns) if file.sources else header.sample(file, columns)


def _read(
    file: JetFile, slots: int, out: dict[str, np.ndarray], local: np.ndarray, places: np.ndarray
) -> Iterator[Callable[[], None]]:
    read = OTHERS.read if file.header.sources else read_in_parts
    return read(file, slots, out, local, places)


CONTAINER = Container("HDF5", SUFFIXES, _read_header, _sample, image_shape, attributes, _read)

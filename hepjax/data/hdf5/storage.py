"""Finds the data of an HDF5 file, which must lie in the file or its folder, in pieces that fit into memory."""

from __future__ import annotations

import collections
import functools
import importlib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py

from hepjax.data.atomic_hdf5 import escape_control_characters, open_hdf5_file
from hepjax.data.remote import RemotePath, file_identity
from hepjax.errors import InputError, file_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST = 2**30
"""The most bytes that are read at once, of a chunk or of a row."""
_MOST_LINKS = 16
"""The longest chain of links, or of sources of virtual datasets; HDF5 has the same limit."""
_SAME = "."
"""The name of the file itself among the sources of its virtual datasets."""
_ALLOW = "copy the data into this file, or read it with --allow-external (in Python allow_external=True)"
_PLUGINS = {
    307: "bzip2", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32017: "sz",
    32018: "fcidecomp", 32024: "sz3", 32026: "blosc2", 32028: "sperr",
}  # fmt: skip
"""The filters of the package hdf5plugin, by their registered numbers."""


class Place(NamedTuple):
    """An open file in which datasets are searched."""

    file: h5py.File
    path: Path
    allow_external: bool
    """True where its data may lie in files outside its folder."""


class _Elsewhere(NamedTuple):
    """The target of a link to another file."""

    file: str
    name: str


def root_datasets(place: Place) -> dict[str, h5py.Dataset]:
    """Returns the datasets at the root of a file, links followed.

    Args:
      place: the file.

    Returns:
      Name → dataset; groups, and links that lead nowhere, are left out.

    Raises:
      InputError: a dataset has data elsewhere that is missing or may not be read, or a filter that cannot be undone.
    """
    datasets = {name: find_dataset(place, name) for name in map(_text, place.file.id)}
    return {name: dataset for name, dataset in datasets.items() if dataset is not None}


def find_dataset(place: Place, name: str) -> h5py.Dataset | None:
    """Finds a dataset by its name, without following a link out of the file before it is known where that leads.

    Args:
      place: the file.
      name: from the root.

    Returns:
      The dataset; None where there is none of that name.

    Raises:
      InputError: as in `root_datasets`.
    """
    item = _find(place, name, ())
    if not isinstance(item, h5py.Dataset):
        return None
    _check_filters(place.path, name, item)
    return item


def find_group(place: Place, name: str) -> h5py.Group | None:
    """Returns a group of the file by its name from the root; None where it has none, or it is in another file."""
    item = _follow(place.file["/"], name)
    return item if isinstance(item, h5py.Group) else None


def check_data(path: Path, name: str, dataset: h5py.Dataset) -> None:
    """Refuses a shape that the file has no data for, before memory is set aside for it, and pieces too large to read.

    Args:
      path: of the file, for the message.
      name: of the dataset.
      dataset: from `find_dataset`.

    Raises:
      InputError: chunks or bytes are missing, or a chunk or a row is larger than `LARGEST`.
    """
    held, expected, unit = _held(dataset)
    if held < expected:
        raise InputError(
            f"{path}: damaged; the file holds {held} of {expected} {unit} of {name}; fetch or make it again"
        )
    row = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    for what, size in (("a chunk", chunk_bytes(dataset)), ("a row", row)):
        if size > LARGEST:
            raise InputError(
                f"{path}: {what} of {name} unpacks to {size / 2**30:.1f} GiB, more than the {LARGEST >> 30} GiB that "
                "are read at once; write the file again in smaller chunks"
            )


def rows_at_once(dataset: h5py.Dataset, usual: int) -> int:
    """Returns how many rows are read at a time: those of a chunk, or so many as usual, if memory holds them."""
    row = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    return int(max(1, min((dataset.chunks or (usual,))[0], LARGEST // max(row, 1))))


def chunk_bytes(dataset: h5py.Dataset) -> int:
    """Returns the size of a chunk in memory; 0 where there are no chunks."""
    return int(math.prod(dataset.chunks) * dataset.dtype.itemsize) if dataset.chunks else 0


def open_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Opens a dataset that was found before; raw data in another file is searched in the folder of this one."""
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_efile_prefix(b"${ORIGIN}")
    return h5py.Dataset(h5py.h5d.open(file.id, os.fsencode(name), access))


def _find(place: Place, name: str, chain: Sequence[tuple[Any, ...]]) -> Any:
    """Returns the object of a name, if all its data may be read; None where there is none."""
    item = _follow(place.file["/"], name)
    if isinstance(item, _Elsewhere):
        return _in_other_file(place, name, item, chain)
    if isinstance(item, h5py.Dataset):
        _check_sources(place, name, item, chain)
    return item


def _follow(group: h5py.Group, name: str) -> Any:
    """Follows links without h5py, which would open the target of any link, even a pipe or a device."""
    parts, links = collections.deque(name.split("/")), 0
    while parts:
        part = parts.popleft()
        raw = os.fsencode(part)
        if part in ("", "."):
            continue
        if not isinstance(group, h5py.Group) or not group.id.links.exists(raw):
            return None
        kind = group.id.links.get_info(raw).type
        if kind == h5py.h5l.TYPE_HARD:
            group = group[raw]
            continue
        if kind not in (h5py.h5l.TYPE_SOFT, h5py.h5l.TYPE_EXTERNAL) or (links := links + 1) > _MOST_LINKS:
            return None
        target = group.id.links.get_val(raw)
        if kind == h5py.h5l.TYPE_EXTERNAL:
            return _Elsewhere(_text(target[0]), "/".join([_text(target[1]), *parts]))
        if target.startswith(b"/"):
            group = group.file["/"]
        parts.extendleft(reversed(_text(target).split("/")))
    return group


def _in_other_file(place: Place, name: str, target: _Elsewhere, chain: Sequence[tuple[Any, ...]]) -> h5py.Dataset:
    """Finds the target of a link to another file, and checks it there."""
    source = _source(place, name, target.file)
    with open_hdf5_file(source) as file:
        dataset = _find(Place(file, source, place.allow_external), target.name, _longer(place, name, chain))
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{place.path}: {name} is a link to {target.name} in {source}, which has no such dataset")
    return place.file[os.fsencode(name)]


def _check_sources(place: Place, name: str, dataset: h5py.Dataset, chain: Sequence[tuple[Any, ...]]) -> None:
    """Refuses a dataset whose data lies in files that are missing or may not be read, before its shape is asked for."""
    created = dataset.id.get_create_plist()
    if created.get_external_count():
        _check_raw(place, name, dataset)
    if created.get_layout() != h5py.h5d.VIRTUAL:
        return
    chain, shapes = _longer(place, name, chain), {}
    for number in range(created.get_virtual_count()):
        key = (_text(created.get_virtual_filename(number)), _text(created.get_virtual_dsetname(number)))
        if key not in shapes:
            path = place.path if key[0] == _SAME else _source(place, name, key[0])
            shapes[key] = _shape_of_source(place, name, path, key[1], chain)
        if not _fits(created.get_virtual_srcspace(number), created.get_virtual_vspace(number), shapes[key]):
            raise InputError(
                f"{place.path}: {name} is made of another part of {key[1]} in {key[0]} than that holds, whose shape is "
                f"{shapes[key]}; make both files again"
            )


def _check_raw(place: Place, name: str, dataset: h5py.Dataset) -> None:
    """Refuses a dataset whose bytes lie in files without any structure that are too short for it."""
    created, held = dataset.id.get_create_plist(), 0
    for number in range(created.get_external_count()):
        raw, start, size = created.get_external(number)
        source = _source(place, name, _text(raw))
        held += max(0, min(size, source.stat().st_size - start))
    if held < (expected := dataset.size * dataset.id.get_type().get_size()):
        raise InputError(
            f"{place.path}: {name} is stored in other files, which hold {held} of its {expected} bytes; make all files "
            "again"
        )


def _shape_of_source(
    place: Place, name: str, path: Path, inside: str, chain: Sequence[tuple[Any, ...]]
) -> tuple[int, ...]:
    """Returns the shape of a source of a virtual dataset, and refuses a source that lacks data."""
    with open_hdf5_file(path) as file:
        dataset = _find(Place(file, path, place.allow_external), inside, chain)
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(
                f"{place.path}: {name} is made of {inside} in {path}, which has no such dataset; make both files again"
            )
        check_data(path, inside, dataset)
        return tuple(dataset.shape)


def _fits(source: Any, target: Any, shape: tuple[int, ...]) -> bool:
    """Returns whether a dataset of this shape has all that is selected; HDF5 would read zeros for what it lacks."""
    if source.get_select_type() == h5py.h5s.SEL_ALL:
        return bool(math.prod(shape) == target.get_select_npoints())
    if source.get_simple_extent_ndims() != len(shape):
        return False
    if source.get_select_npoints() == h5py.h5s.UNLIMITED:
        return True
    return all(last < size for last, size in zip(source.get_select_bounds()[1], shape, strict=True))


def _longer(place: Place, name: str, chain: Sequence[tuple[Any, ...]]) -> tuple[tuple[Any, ...], ...]:
    """Returns a chain of datasets that are made of each other with one more, and refuses a closed chain."""
    link = (*file_identity(place.path), name.strip("/"))
    if link in chain or len(chain) >= _MOST_LINKS:
        raise InputError(f"{place.path}: {name} is made of itself, so that it has no data; make the file again")
    return (*chain, link)


def _source(place: Place, name: str, source: str) -> Path:
    """Returns the path of a file that holds data of this one, and refuses one that may not be read."""
    words = f"{place.path}: {name} is stored in another file, {escape_control_characters(source)}"
    if isinstance(place.path, RemotePath):
        raise InputError(
            f"{words}, which is not followed from an address; download both files, or copy the data into one"
        )
    path = place.path.parent / source
    if problem := file_problem(path):
        raise InputError(f"{words}: {problem}; put that file in its place, or make this one with data of its own")
    folders = {_real(place.path.parent), _real(place.path).parent}
    if not place.allow_external and not any(_real(path).is_relative_to(folder) for folder in folders):
        raise InputError(f"{words}, outside its folder; {_ALLOW}")
    return path


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _held(dataset: h5py.Dataset) -> tuple[int, int, str]:
    """Counts the chunks or bytes of a dataset in the file, and those that its shape needs."""
    if dataset.is_virtual:
        created = dataset.id.get_create_plist()
        spaces = (created.get_virtual_vspace(number) for number in range(created.get_virtual_count()))
        counts = [space.get_select_npoints() for space in spaces]
        held = dataset.size if h5py.h5s.UNLIMITED in counts else sum(counts)
        return held, dataset.size, "values"
    if dataset.chunks:
        expected = math.prod(-(-n // size) for n, size in zip(dataset.shape, dataset.chunks, strict=True))
        return dataset.id.get_num_chunks(), expected, "chunks"
    # Numbers of a width that NumPy lacks are narrower in the file.
    expected = dataset.size * dataset.id.get_type().get_size()
    return dataset.id.get_storage_size(), expected, "bytes"


def _check_filters(path: Path, name: str, dataset: h5py.Dataset) -> None:
    """Names the compression that h5py cannot undo, and the package that can."""
    created = dataset.id.get_create_plist()
    for number in range(created.get_nfilters()):
        code, _, _, title = created.get_filter(number)
        if h5py.h5z.filter_avail(code) or (code in _PLUGINS and _has_plugins() and h5py.h5z.filter_avail(code)):
            continue
        known = _PLUGINS.get(code) or escape_control_characters(_text(title)) or "an unknown filter"
        remedy = "pip install hdf5plugin" if code in _PLUGINS else "install its HDF5 plug-in"
        raise InputError(
            f"{path}: {name} is compressed by {known} (HDF5 filter {code}), which h5py lacks; {remedy}, or write "
            "the file again with gzip"
        )


@functools.cache
def _has_plugins() -> bool:
    """Registers the filters of hdf5plugin, where it is installed."""
    try:
        importlib.import_module("hdf5plugin")
    except ImportError:
        return False
    return True


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else os.fsdecode(raw)

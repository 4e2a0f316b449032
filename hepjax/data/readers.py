"""Files of jets → lazy `Jets`: the one place that knows which kinds of file there are."""

from __future__ import annotations

import glob
import importlib
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from hepjax.data.atomic_hdf5 import SUFFIXES
from hepjax.data.containers import split_tree
from hepjax.data.descriptions import dataset_of
from hepjax.data.lazy_jets import join_lazy_jets
from hepjax.data.remote import RemotePath, path_of
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.data.containers import Container, Header
    from hepjax.types import Dataset, Jets

READERS = {
    **dict.fromkeys(SUFFIXES, "hepjax.data.hdf5"),
    ".root": "hepjax.data.root",
    **dict.fromkeys((".parquet", ".pq"), "hepjax.data.parquet"),
    ".npz": "hepjax.data.npz",
}
"""The end of a file's name → the module whose CONTAINER reads it; a file of any other name is read as HDF5."""


_PARTS = {"train": "data", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""The beginning of a name → the part of a dataset."""
_PART = re.compile(rf"({'|'.join(sorted(_PARTS, reverse=True))})(?![a-z])")


def read_jets(
    paths: str | Path | Sequence[str | Path] | None = None,
    *,
    dataset: Dataset | str | None = None,
    particles: int | None = None,
    shortest: bool = False,
    images: Sequence[str] = (),
    unlabeled: bool = False,
    allow_external: bool = False,
    where: str = "",
) -> Jets:
    """Opens files of jets; rows are read when `jets[rows]` or a field asks for them.

    Columns are identified by name, never by position; those that nobody knows are carried by name.

    Args:
      paths: one file, a folder of files, or several files, which follow each other; a file may be an address such as
        https://host/jets.root; None is the sample of simulated jets that comes with hepjax.
      dataset: what the columns mean: a `Dataset`, the name of one, or the path of a file, .toml or .yaml, that
        describes one; None recognizes it by the columns.
      particles: how many of the hardest particles to keep per jet; None keeps all.
      shortest: keep as many particles as all files have, where they differ, rather than refusing them.
      images: images to read too, by name; `jets[rows]` then holds their rows.
      unlabeled: accept files that have none of the labels of the `dataset` that is given, and no weights then, rather
        than refusing them.
      allow_external: let files have data in other files outside their own folder; refused otherwise.
      where: an expression over columns that tells which jets stay, such as "jet_pt > 500 and abs(jet_eta) < 2", beside
        the selection of the dataset; see `hepjax.data.expressions`. The columns that it needs are read at once.

    Returns:
      Lazy `Jets` with the files' jets in order.

    Raises:
      InputError: a file is missing, damaged or of no known layout, or does not fit the dataset; files differ in
        columns, particles or the size of images; a file keeps fewer particles than asked for, or lacks the images.
        When rows are read: a value is NaN, infinite or beyond float32, or a label is none of the classes.

    >>> jets = read_jets(particles=20)
    >>> jets[:3].constituents.shape, jets.dataset.name
    ((3, 20, 16), 'hls4ml')
    """
    given = dataset_of(dataset)
    opened = [(read_header(path, allow_external, given), container_of_file(path)) for path in list_files(paths)]
    return join_lazy_jets(
        opened,
        dataset=given,
        particles=particles,
        shortest=shortest,
        images=images,
        unlabeled=unlabeled,
        where=where,
    )


def read_header(path: Path, allow_external: bool = False, dataset: Dataset | None = None) -> Header:
    """Reads and checks a file's names and shapes, without reading a jet.

    Args:
      path: the file.
      allow_external: as in `read_jets`.
      dataset: says the names of columns that the file does not name; None takes those of the known datasets.

    Returns:
      Its header.

    Raises:
      InputError: the file is not usable.

    >>> read_header(list_files(None)[0]).slots
    30
    """
    return container_of_file(path).read_header(path, allow_external, {} if dataset is None else dataset.arrays)


def list_files(paths: str | Path | Sequence[str | Path] | None) -> list[Path]:
    """Lists the files that `read_jets` would read.

    Args:
      paths: as in `read_jets`.

    Returns:
      One path per file, in order.

    Raises:
      InputError: a folder holds no file of jets, or nothing is given.

    >>> [path.name for path in list_files(None)]
    ['jets_30p.h5']
    """
    if paths is None:
        return [Path(str(files("hepjax") / "data" / "jets_30p.h5"))]
    listed: list[Path] = []
    for path in map(path_of, [paths] if isinstance(paths, str | Path) else paths):
        if isinstance(path, RemotePath):
            listed.append(path)
            continue
        inside = _files_in(path) if os.path.isdir(path) else _files_of_pattern(path)  # noqa: PTH112 - no error for a bad link
        if not inside:
            raise InputError(f"{path}: a folder without files of jets ({', '.join(f'*{end}' for end in READERS)})")
        listed.extend(inside)
    if not listed:
        raise InputError("paths: no file given; give at least one, or None for the sample that comes with hepjax")
    return listed


def reference_split(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Finds the parts that a dataset comes with: files or folders of jets that are named after them.

    Args:
      folder: with files such as train.h5, val.h5 and test.h5, or folders such as train_100M and test_20M.

    Returns:
      "data", "val" and "test" → files and folders, sorted; empty where anything else is there, too, or nothing but
      training jets. Names begin with train, val, valid, validation or test.

    >>> reference_split(Path("no-such-folder"))
    {}
    """
    parts: dict[str, list[Path]] = {}
    try:
        listed = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:  # whoever opens it says what is wrong
        return {}
    for path in listed:
        if not (path.suffix.lower() in READERS or (path.is_dir() and _files_in(path))):
            continue
        if (name := _PART.match(path.name.lower())) is None:
            return {}
        parts.setdefault(_PARTS[name[1]], []).append(path)
    whole = "data" in parts and len(parts) > 1
    return {part: tuple(paths) for part, paths in parts.items()} if whole else {}


def _files_of_pattern(path: Path) -> list[Path]:
    """The file of a path, or the files of a pattern such as jets/*.root, sorted."""
    if not glob.has_magic(str(path)) or path.exists():
        return [path]
    file, tree = split_tree(path)
    if not (paths := sorted(map(Path, glob.glob(str(file), recursive=True)))):  # noqa: PTH207 - a pattern may be absolute
        raise InputError(f"{path}: no file has such a name; check the pattern")
    return [Path(f"{path}:{tree}") for path in paths] if tree else paths


def _files_in(folder: Path) -> list[Path]:
    """The files of jets in a folder; hidden ones are notes of the system, such as ._x.h5 beside x.h5."""
    try:
        shown = (path for path in folder.iterdir() if not path.name.startswith("."))
        return sorted(path for path in shown if path.suffix.lower() in READERS)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); give a folder of files of jets") from error


def container_of_file(path: Path) -> Container:
    """Returns the reader of a file, by the end of its name.

    >>> container_of_file(Path("jets.hdf5")).name
    'HDF5'
    """
    container: Container = importlib.import_module(
        READERS.get(split_tree(path)[0].suffix.lower(), READERS[SUFFIXES[0]])
    ).CONTAINER
    return container

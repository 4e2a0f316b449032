"""Files of jets, opened for a run: their headers are read, their jets are not."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax import data as jet_files
from hepjax.data.descriptions import dataset_of
from hepjax.data.remote import file_identity
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hepjax.types import Dataset, Jets


class Opened(NamedTuple):
    """The files of a run, opened: their headers are read, their jets are not."""

    data: Jets
    """Those that are split."""
    others: Mapping[str, Jets]
    """"val" and "test" → jets of files of their own."""
    sources: Mapping[str, str]
    """"data", "val" and "test" → the files' names, for messages."""


def open_split_files(
    data: Sequence[Path],
    val: Sequence[Path] = (),
    test: Sequence[Path] = (),
    *,
    images: Sequence[str] = (),
    dataset: Dataset | str | None = None,
    allow_external: bool = False,
    where: str = "",
) -> Opened:
    """Opens the files of a run.

    Args:
      data: files to split; none is the sample that comes with hepjax.
      val: files to validate on; none takes a part of `data`.
      test: files to test on; none takes a part of `data`.
      images: that are needed.
      dataset: what the columns mean, or the name of that; None recognizes it by the columns.
      allow_external: let files have data in other files outside their own folder.
      where: which jets stay, beside the selection of the dataset; as in `hepjax.read_jets`.

    Returns:
      Lazy jets.

    Raises:
      InputError: a file is there twice or not usable, no jet stays, or the classes are not the same in all.
    """
    dataset = dataset_of(dataset)  # once, so that a remark on its file is made once
    own = {name: files for name, files in (("val", val), ("test", test)) if files}
    check_files_differ({"data": data, **own})
    open_as = functools.partial(open_jets, images=images, dataset=dataset, allow_external=allow_external, where=where)
    jets, others = open_as(data), {name: open_as(files) for name, files in own.items()}
    for name, other in others.items():
        if other.classes != jets.classes:
            raise InputError(
                f"--{name} {file_names_text(own[name])}: the jets' classes are "
                f"{', '.join(other.classes) or 'not known'}, those "
                f"to train on {', '.join(jets.classes) or 'not known'}; give jets of the same classes"
            )
    return Opened(
        jets, others, {"data": file_names_text(data)} | {name: file_names_text(files) for name, files in own.items()}
    )


def check_files_differ(files: Mapping[str, Sequence[Path]]) -> None:
    """Refuses a file that is named twice, whatever its names are: by links, or beside its folder; nothing is opened.

    Args:
      files: option → its files and folders; none is the sample that comes with hepjax.

    Raises:
      InputError: names the options and both names.
    """
    known: dict[tuple[Any, ...], tuple[str, Path]] = {}
    for option, paths in files.items():
        for path in jet_files.list_files(paths or None):
            try:
                identity = file_identity(path)
            except (OSError, ValueError):  # who opens it says what is wrong
                continue
            if identity in known:
                raise InputError(_same_file_text(*known[identity], option, path))
            known[identity] = (option, path)


def _same_file_text(known_option: str, known: Path, option: str, path: Path) -> str:
    if option != known_option:
        return (
            f"--{option} {path}: is the same file as --{known_option} {known}; give other jets, or leave --{option} out"
        )
    names = f"{path} is there twice" if path == known else f"{known} and {path} are the same file"
    return f"--{option}: {names}; give each file once"


def open_jets(
    files: Sequence[Path] | None,
    *,
    images: Sequence[str] = (),
    dataset: Dataset | str | None = None,
    unlabeled: bool = False,
    allow_external: bool = False,
    where: str = "",
) -> Jets:
    """Opens the files' jets, with as many particles as all of them keep.

    Args:
      files: none is the sample that comes with hepjax.
      images: that are needed.
      dataset: what the columns mean, or the name of that; None recognizes it by the columns.
      unlabeled: accept files without the labels and weights of the dataset.
      allow_external: let files have data in other files outside their own folder.
      where: which jets stay, beside the selection of the dataset; as in `hepjax.read_jets`.

    Returns:
      Lazy jets.

    Raises:
      InputError: a file is not usable.
    """
    return jet_files.read_jets(
        files or None,
        dataset=dataset,
        shortest=True,
        images=images,
        unlabeled=unlabeled,
        allow_external=allow_external,
        where=where,
    )


def file_names_text(files: Sequence[Path]) -> str:
    """Names files in a message.

    >>> file_names_text(())
    'the embedded sample'
    """
    return ", ".join(map(str, files[:3])) + (", …" if len(files) > 3 else "") if files else "the embedded sample"

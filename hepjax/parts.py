"""The jets of an experiment: opened, read as its recipe says, split, and refused where nothing can be learnt."""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from hepjax import batches, readers
from hepjax.errors import InputError
from hepjax.types import Batch, Sequences

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from hepjax.options import Experiment
    from hepjax.recipes import Recipe
    from hepjax.types import Jets

_ROWS = 100_000
"""Jets that are read at once for predictions."""

log = logging.getLogger("hepjax")


class Parts(NamedTuple):
    """The jets of an experiment, as read by its recipe."""

    train: Batch
    val: Batch
    test: Batch
    split: batches.Split


def load(experiment: Experiment, recipe: Recipe, classes: Sequence[str]) -> Parts:
    """Reads and splits the jets.

    Args:
      experiment: names the files.
      recipe: says what to read of them.
      classes: their names.

    Returns:
      The parts.

    Raises:
      InputError: a file is not usable, a part lacks a class, or there is one class only.
    """
    own = (bool(experiment.val), bool(experiment.test))
    fractions = {
        (False, False): (0.6, 0.2, 0.2),
        (True, False): (0.8, 0.0, 0.2),
        (False, True): (0.8, 0.2, 0.0),
        (True, True): (1.0, 0.0, 0.0),
    }[own]
    whole = _read(recipe, experiment.data)
    split = batches.split(len(whole.targets), seed=experiment.seed, fractions=fractions)
    parts: dict[str, Batch] = {
        name: jax.tree.map(lambda x, rows=rows: x[rows], whole) for name, rows in zip(split._fields, split, strict=True)
    }
    for name, files in (("val", experiment.val), ("test", experiment.test)):
        if files:
            parts[name] = _read(recipe, files)
    present = np.unique(np.concatenate([part.targets for part in parts.values()])).tolist()
    check_two_classes(present, classes, experiment.data)
    for name, part in parts.items():
        batches.check_classes(np.asarray(part.targets), present, name, classes)
    return Parts(**parts, split=split)


def open_jets(files: Sequence[Path] | None, recipe: Recipe) -> Jets:
    """The files' jets, with as many particles as all of them keep.

    Args:
      files: none is the sample that comes with hepjax.
      recipe: names the images that are needed.

    Returns:
      Lazy jets.

    Raises:
      InputError: a file is not usable.
    """
    paths = readers.list_files(files or None)
    slots = min(readers.read_header(path).slots for path in paths)
    return readers.read_jets(paths, particles=slots, images=recipe.images)


def blocks(jets: Jets, recipe: Recipe) -> Iterator[tuple[Any, np.ndarray | None]]:
    """All jets in order, so many at a time that they fit in memory.

    Args:
      jets: lazy jets.
      recipe: says what to read of them.

    Yields:
      What it read, and the labels where they are known.
    """
    empty = 0
    for start in range(0, len(jets), _ROWS):
        rows = slice(start, start + _ROWS)
        inputs = recipe.read(jets, rows)
        empty += _empty(inputs)
        yield inputs, None if jets.labels is None else np.asarray(jets.labels[rows])
    _warn_of_empty(empty, len(jets))


def names(files: Sequence[Path]) -> str:
    """The files, for a message.

    >>> names(())
    'the embedded sample'
    """
    return ", ".join(map(str, files[:3])) + (", …" if len(files) > 3 else "") if files else "the embedded sample"


def check_two_classes(present: Sequence[int], classes: Sequence[str], files: Sequence[Path]) -> None:
    """Refuses jets of one class.

    Args:
      present: the classes that are there.
      classes: all classes' names.
      files: for the message.

    Raises:
      InputError: there is one only.
    """
    if len(present) < 2:
        only = classes[present[0]]
        raise InputError(f"{names(files)}: all jets are of class {only}; give jets of two classes or more")


def fingerprint(parts: Parts) -> int:
    """A checksum of all jets.

    Args:
      parts: as read.

    Returns:
      CRC-32 of inputs and labels.
    """
    crc = 0
    for part in parts[:3]:
        for leaf in (*jax.tree.leaves(part.inputs), part.targets):
            crc = zlib.crc32(np.ascontiguousarray(leaf).data, crc)
    return crc


def _read(recipe: Recipe, files: Sequence[Path]) -> Batch:
    jets = open_jets(files, recipe)
    if jets.labels is None:
        raise InputError(f"{names(files)}: no labels, so nothing can be learnt; give labelled jets")
    inputs, labels = recipe.read(jets, slice(None)), np.asarray(jets.labels)
    _warn_of_empty(_empty(inputs), len(labels))
    return Batch(inputs, labels, np.ones(len(labels), np.float32))


def _empty(inputs: Any) -> int:
    """The jets without a particle, where the model looks at particles."""
    return int((inputs.lengths == 0).sum()) if isinstance(inputs, Sequences) else 0


def _warn_of_empty(empty: int, jets: int) -> None:
    if empty:
        log.warning("%d of %d jets have no particle: their scores are the same for every class", empty, jets)

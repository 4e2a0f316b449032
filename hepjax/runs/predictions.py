"""Scores ↔ an HDF5 file, row for row in the input's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.data.atomic_hdf5 import new_file, open_file
from hepjax.errors import InputError
from hepjax.types import Scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


class Predictions(NamedTuple):
    """What a file of scores holds."""

    scores: np.ndarray
    """(N, C) float32 class probabilities."""
    labels: np.ndarray | None
    """(N,) int32, where known."""
    classes: tuple[str, ...]
    rows: np.ndarray | None = None
    """(N,) int64, the jets' rows in their files, where these are not all."""
    observables: Mapping[str, np.ndarray] = {}
    """Name → (N,) float32, what figures of merit may be binned in."""
    weights: np.ndarray | None = None
    """(N,) of the jets; None is 1 for each."""

    def measured(self) -> Scores:
        """To be measured.

        Raises:
          InputError: the labels are not known.
        """
        if self.labels is None:
            raise InputError("scores: no labels, so nothing can be measured; give scores of labelled jets")
        return Scores(self.scores, self.labels, self.weights, self.classes)


def is_file(path: Path) -> bool:
    """Whether a path is an HDF5 file, which a tagger is not.

    >>> from pathlib import Path
    >>> is_file(Path("runs/mlp-1"))
    False
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def write_scores(
    path: Path, blocks: Iterable[tuple[np.ndarray, np.ndarray | None]], *, jets: int, classes: Sequence[str]
) -> None:
    """Writes `scores` (jets, C) float32, `labels` (jets,) int32 where known, and the attribute `classes`.

    Args:
      path: a file that does not exist yet; it appears complete or not at all.
      blocks: (n, C) probabilities and (n,) labels or None, in the jets' order.
      jets: how many there are in all.
      classes: the C class names.

    Raises:
      InputError: the file exists, or cannot be written.
    """
    with new_file(path, f"--out {path}") as new:
        new.file.attrs["classes"] = list(classes)
        scores = new.file.create_dataset("scores", (jets, len(classes)), np.float32)
        row = 0
        for block, labels in blocks:
            scores[row : row + len(block)] = block
            if labels is not None:
                known = new.file.require_dataset("labels", (jets,), np.int32)
                known[row : row + len(block)] = labels
            row += len(block)
            new.check()


def write_predictions(path: Path, found: Predictions) -> None:
    """Writes all that is known of some jets; what `read_predictions` reads.

    Args:
      path: a file that does not exist yet; it appears complete or not at all.
      found: the scores and what goes with them.

    Raises:
      InputError: the file exists, or cannot be written.
    """
    with new_file(path) as new:
        new.file.attrs["classes"] = list(found.classes)
        new.file.create_dataset("scores", data=found.scores, dtype=np.float32)
        for name, values, kind in (
            ("labels", found.labels, np.int32),
            ("rows", found.rows, np.int64),
            ("weights", found.weights, np.float64),
        ):
            if values is not None:
                new.file.create_dataset(name, data=values, dtype=kind)
        for name, values in found.observables.items():
            new.file.create_dataset(f"observables/{name}", data=values, dtype=np.float32)
        new.check()


def read_predictions(path: Path) -> Predictions:
    """Reads a file of scores.

    Args:
      path: written by `hepjax predict`, to which a dataset `weights` may have been added, or `test.h5` of a run folder.

    Returns:
      What it holds.

    Raises:
      InputError: the file is none of scores, or is damaged.
    """
    with open_file(path, "file of scores") as file:
        if "scores" not in file or "classes" not in file.attrs:
            raise InputError(f"{path}: not a file of scores; give one made by hepjax predict, or the folder of a run")
        return Predictions(
            file["scores"][:],
            file["labels"][:] if "labels" in file else None,
            tuple(map(str, file.attrs["classes"])),
            file["rows"][:] if "rows" in file else None,
            {name: values[:] for name, values in file.get("observables", {}).items()},
            file["weights"][:] if "weights" in file else None,
        )

"""Scores → an HDF5 file, row for row in the input's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax.hdf5_files import new_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


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

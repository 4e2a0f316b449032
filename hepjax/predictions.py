"""Scores → an HDF5 file, row for row in the input's order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import h5py
import numpy as np

from hepjax.errors import InputError

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
    if path.exists():
        raise InputError(f"--out {path}: exists already; give another name")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(part, "w") as file:
            file.attrs["classes"] = list(classes)
            scores = file.create_dataset("scores", (jets, len(classes)), np.float32)
            row = 0
            for block, labels in blocks:
                scores[row : row + len(block)] = block
                if labels is not None:
                    known = file.require_dataset("labels", (jets,), np.int32)
                    known[row : row + len(block)] = labels
                row += len(block)
        part.replace(path)
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error}); give another place") from error
    finally:
        part.unlink(missing_ok=True)

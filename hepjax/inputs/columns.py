"""Jet columns of some of the jets, read in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax import runtime
from hepjax.data import with_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.types import Jets

_ROWS = 100_000
"""Jets whose columns are read at once."""


def read_observables(jets: Jets, rows: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads jet columns of some jets, to bin figures of merit in; of several processes, of all.

    Args:
      jets: lazy jets.
      rows: (n,) those of this process.
      names: of the columns; such as the files lack are left out.

    Returns:
      Name → (N,) float32, in the order of processes and rows.
    """
    known = tuple(name for name in names if name in jets.observable_names)
    if not known:
        return {}
    values = runtime.gather(read_columns(jets, rows, known))
    return dict(zip(known, values.T, strict=True))


def read_columns(jets: Jets, rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Reads jet columns of some jets, in blocks.

    Args:
      jets: lazy jets, which have the columns.
      rows: (n,).
      names: F names.

    Returns:
      (n, F) float32.
    """
    jets = with_columns(jets, (), names)
    places = [jets.observable_names.index(name) for name in names]
    chosen = np.array_split(rows, max(len(rows) // _ROWS, 1))
    return np.concatenate([np.asarray(jets.observables[block])[:, places] for block in chosen])

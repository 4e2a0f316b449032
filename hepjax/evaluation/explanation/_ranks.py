"""Ranks of numbers, which AUC and Spearman's correlation are computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def ranks(x: np.ndarray) -> NDArray[np.float64]:
    """Returns the ranks of numbers, from 1; equal numbers share their mean rank.

    >>> ranks(np.array([5.0, 7.0, 5.0])).tolist()
    [1.5, 3.0, 1.5]
    """
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    shared: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return shared

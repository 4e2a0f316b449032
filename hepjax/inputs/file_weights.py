"""The event weights of files, as they are read: finite, and 1 on average."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax import runtime
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_event_weights(weights: np.ndarray, start: int, source: str) -> np.ndarray:
    """Refuses weights that are not finite.

    Args:
      weights: (n,) of rows of files.
      start: the first row.
      source: the files, for the message.

    Returns:
      The same.

    Raises:
      InputError: names the first row.
    """
    wrong = ~np.isfinite(weights)
    if wrong.any():
        raise InputError(
            f"{source}: expected finite event weights, found {weights[wrong][0]:g} in row {start + np.argmax(wrong)}; "
            "leave such jets out, or describe the files by a Dataset without weights"
        )
    return weights


def normalize_weights(weights: Mapping[str, np.ndarray]) -> None:
    """Divides all weights, in place, by their mean over the training jets of all processes.

    Args:
      weights: subset → (n,) of its jets of this process; one is "train".
    """
    train = weights["train"]
    sums = runtime.gather(np.array([[train.sum(dtype=np.float64), len(train)]])).sum(axis=0)
    if sums[0] > 0 and sums[0] != sums[1]:
        for of_subset in weights.values():
            np.multiply(of_subset, sums[1] / sums[0], out=of_subset)

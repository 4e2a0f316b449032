"""Training, validation and test parts by a seeded permutation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.types.short_repr import short_repr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

log = logging.getLogger("hepjax")


class Split(NamedTuple):
    """Row numbers of the three parts, disjoint, together all rows that were split; each (n,) int64."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray

    def __repr__(self) -> str:
        """Shows arrays by their shapes."""
        return short_repr(self)


def split(
    count: int, *, seed: int, fractions: tuple[float, float, float] = (0.6, 0.2, 0.2), labels: np.ndarray | None = None
) -> Split:
    """Splits rows at random, the same way for the same seed on every machine.

    Args:
      count: the number of rows.
      seed: of the permutation.
      fractions: of training, validation and test rows; they add up to 1, and a 0 leaves that part out.
      labels: (count,) class indices; every class must then be in every part that is not left out.

    Returns:
      The rows of each part, in random order.

    Raises:
      InputError: the fractions are not a split, the seed is negative, a part gets no row, or a class is missing in a
        part.

    >>> [len(part) for part in split(10, seed=0)]
    [6, 2, 2]
    """
    # Said so that NaN is refused too.
    if not (len(fractions) == len(Split._fields) and min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-9):
        raise InputError(
            f"split: expected three fractions of 0 or more that add up to 1, found {fractions}; change them"
        )
    if seed < 0:
        raise InputError(f"split: expected a seed of 0 or more, found {seed}; give another")
    order = np.random.default_rng(seed).permutation(count)
    bounds = np.rint(np.cumsum(fractions) * count).astype(int)
    parts = Split(order[: bounds[0]], order[bounds[0] : bounds[1]], order[bounds[1] :])
    for name, fraction, rows in zip(Split._fields, fractions, parts, strict=True):
        if fraction > 0 and len(rows) == 0:
            raise InputError(f"split: {count} jets leave the {name} part ({fraction:.0%}) empty; give more jets")
        if labels is not None and len(rows):
            check_classes(labels[rows], np.unique(labels).tolist(), name)
    return parts


def check_classes(labels: np.ndarray, expected: Sequence[int], part: str, names: Sequence[str] | None = None) -> None:
    """Refuses a part without jets of an expected class.

    Args:
      labels: (n,) class indices of the part.
      expected: the classes that must be there.
      part: its name, for the message.
      names: the classes' names; None shows their numbers.

    Raises:
      InputError: a class is missing.

    >>> check_classes(np.array([0, 1]), [0, 1], "train")
    """
    missing = sorted(set(expected) - set(np.unique(labels).tolist()))
    if missing:
        shown = ", ".join(names[i] if names else str(i) for i in missing)
        jets = f"{len(labels):,} jet{'s' * (len(labels) != 1)}"
        raise InputError(f"split: the {part} part has no jet of class {shown} among {jets}; give more jets")


def log_left_out(counts: Mapping[str, tuple[int, int]], member: str = "") -> None:
    """Says in the log how many jets are learned from, where some are left out.

    Args:
      counts: part → how many of its jets are kept, and how many it had.
      member: the name of the training, where there are several.
    """
    if words := [f"{part} {kept:,} of {had:,}" for part, (kept, had) in counts.items() if kept < had]:
        log.info("%sjets to learn from: %s; others are left out", f"{member}: " if member else "", ", ".join(words))

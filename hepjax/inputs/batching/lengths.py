"""Jets sorted by their number of particles, so that little is computed on padding."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

if TYPE_CHECKING:
    from hepjax.types import Batch

_GRID = 8
"""Lengths are multiples of this, which vector units like."""


class Buckets(NamedTuple):
    """The few lengths that jets are padded to, and so the few shapes that are compiled."""

    lengths: tuple[int, ...] = ()
    """In rising order; empty where all inputs have one shape anyway."""
    spare: int = 0
    """Slots of padding that a jet needs where it does not fill the last length."""

    def __len__(self) -> int:
        """Counts the shapes."""
        return max(len(self.lengths), 1)

    def of(self, inputs: Any) -> np.ndarray:
        """Finds the bucket of each example, (N,)."""
        return self.of_lengths(inputs.lengths if self.lengths else np.zeros(len(jax.tree.leaves(inputs)[0]), np.int64))

    def of_lengths(self, lengths: np.ndarray) -> np.ndarray:
        """Finds the bucket of each example from (N,) numbers of particles."""
        if not self.lengths:
            return np.zeros(len(lengths), np.int64)
        buckets: np.ndarray = np.searchsorted(self.lengths, np.minimum(lengths + self.spare, self.lengths[-1]))
        return buckets

    def trim(self, inputs: Any, bucket: int) -> Any:
        """Cuts examples to the length of a bucket, which holds all their particles."""
        return jax.tree.map(lambda x: x[:, : self.lengths[bucket]], inputs) if self.lengths else inputs


def choose_buckets(counts: np.ndarray, *, most: int, spare: int = 0, worth: float = 0.05) -> Buckets:
    """Chooses the lengths that leave the fewest pairs of slots, no more than are worth their compilation.

    Args:
      counts: (P + 1,) how many jets have each number of particles, from 0 to the P slots there are.
      most: lengths at most; 1 pads all jets to P.
      spare: slots of padding that a jet of fewer than P particles needs.
      worth: the share of all pairs that one more length must save.

    Returns:
      The lengths; the last is P.

    >>> choose_buckets(np.bincount(np.repeat([10, 30, 64], [50, 30, 20])), most=3).lengths
    (16, 32, 64)
    """
    slots = len(counts) - 1
    below = np.cumsum(np.concatenate([np.zeros(spare, int), counts]))  # how many jets need so many slots or fewer
    grid = [length for length in range(_GRID, slots, _GRID) if below[length]]

    def padded_pairs(lengths: tuple[int, ...]) -> int:
        edges = itertools.pairwise((0, *lengths))
        return sum(int((below[-1] if b == slots else below[b]) - below[a]) * b * b for a, b in edges)

    best: tuple[int, ...] = (slots,)
    whole = padded_pairs(best)
    for size in range(1, min(most - 1, len(grid)) + 1):
        lengths = min(((*shorter, slots) for shorter in itertools.combinations(grid, size)), key=padded_pairs)
        if padded_pairs(best) - padded_pairs(lengths) < worth * whole:
            break
        best = lengths
    return Buckets(best, spare)


def even_buckets(slots: int, spare: int = 0) -> Buckets:
    """Chooses lengths that suit any jets: steps of a fifth or so.

    Args:
      slots: P.
      spare: slots of padding that a jet of fewer than P particles needs.

    Returns:
      The lengths; the last is P.

    >>> even_buckets(150).lengths, even_buckets(30).lengths
    ((32, 64, 96, 128, 150), (8, 16, 24, 30))
    """
    step = -(-slots // (5 * _GRID)) * _GRID
    return Buckets((*range(step, slots, step), slots), spare)


def by_length(data: Batch, buckets: Buckets) -> list[tuple[np.ndarray, Batch]]:
    """Sorts examples into buckets.

    Args:
      data: N examples, NumPy arrays.
      buckets: the lengths.

    Returns:
      For each bucket the rows that lie in it, in order, and their examples, padded to its length.
    """
    bucket_of, parts = buckets.of(data.inputs), []
    for bucket in range(len(buckets)):
        rows = np.flatnonzero(bucket_of == bucket)
        part = jax.tree.map(lambda x, rows=rows: x[rows], data._replace(inputs=buckets.trim(data.inputs, bucket)))
        parts.append((rows, part))
    return parts

"""Several trainings at once on the same examples: each takes its own rows, in steps that all take together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from hepjax.inputs.batching.lengths import Buckets, by_length
from hepjax.inputs.batching.windows import shuffled_windows, steps_of
from hepjax.types import Batch, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_NO_BUCKETS = Buckets()


class Shared(NamedTuple):
    """Examples that all members share, sorted by length."""

    rows: tuple[np.ndarray, ...]
    """For each length, the (n,) rows that lie there."""
    data: tuple[Batch, ...]
    """For each length, the examples, (1, n, ...)."""


def share(data: Batch, buckets: Buckets = _NO_BUCKETS) -> Shared:
    """Sorts examples by length, for all members.

    Args:
      data: N examples, NumPy arrays.
      buckets: the lengths that jets are padded to.

    Returns:
      The examples.
    """
    rows, parts = zip(*by_length(data, buckets), strict=True)
    return Shared(rows, tuple(jax.tree.map(lambda x: x[None], part) for part in parts))


def member_windows(
    shared: Shared, members: Sequence[np.ndarray], *, batch_size: int, seed: int, steps: int
) -> tuple[int, Callable[[int], Iterator[Window]]]:
    """An epoch takes every row of a member exactly once, in an order of its own.

    A member that has fewer rows of a length than another has empty batches at the end.

    Args:
      shared: from `share`.
      members: of each of M members, the rows to train on; none for one that only fills up the devices.
      batch_size: of each member.
      seed: of the run.
      steps: the most in a window.

    Returns:
      The steps of an epoch; and epoch number, from 1 → windows of one shape, with rows (K, M, 1, batch_size).

    >>> data = Batch(np.arange(6.0)[:, None], np.zeros(6, np.int32), np.ones(6, np.float32))
    >>> count, epoch = member_windows(share(data), [np.arange(4), np.arange(6)], batch_size=2, seed=0, steps=9)
    >>> count, [window.rows.shape for window in epoch(1)]
    (3, [(3, 2, 1, 2)])
    """
    own = _places(shared, members)
    counts = [max(steps_of(len(some), batch_size) for some in bucket) for bucket in own]

    def epoch(number: int) -> Iterator[Window]:
        drawn = [np.random.default_rng([seed, number, member]) for member in range(len(members))]
        shuffled = [[rng.permutation(some) for rng, some in zip(drawn, bucket, strict=True)] for bucket in own]
        rows = np.concatenate([_batches(*some, batch_size) for some in zip(shuffled, counts, strict=True)])
        return shuffled_windows(shared.data, counts, rows, seed=[seed, number], steps=steps)

    return sum(counts), epoch


def member_rows(shared: Shared, members: Sequence[np.ndarray], batch_size: int) -> tuple[Window, np.ndarray]:
    """All rows of each member once, in one window, to be evaluated.

    Args:
      shared: from `share`.
      members: of each of M members, its rows.
      batch_size: of each member.

    Returns:
      The window; and (K, M, batch_size) the rows in it, -1 where there is none.
    """
    own = _places(shared, members)
    counts = [max(steps_of(len(some), batch_size) for some in bucket) for bucket in own]
    rows = [_batches(*some, batch_size) for some in zip(own, counts, strict=True)]
    named = [np.where(x < 0, -1, where[x]) for x, where in zip(rows, shared.rows, strict=True) if len(x)]
    which = np.repeat(np.arange(len(own), dtype=np.int32), counts)
    return Window(shared.data, which, np.concatenate(rows)), np.concatenate(named)[:, :, 0]


def _places(shared: Shared, members: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """For each length, where the rows of each member lie in it."""
    return [[np.flatnonzero(np.isin(rows, member)) for member in members] for rows in shared.rows]


def _batches(own: Sequence[np.ndarray], steps: int, size: int) -> np.ndarray:
    """(steps, M, 1, size) int32."""
    filled = [np.pad(some, (0, steps * size - len(some)), constant_values=-1) for some in own]
    return np.stack([some.reshape(steps, 1, size) for some in filled], axis=1).astype(np.int32)

"""Several trainings at once on the same examples: each takes its own, in steps that all take together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from hepjax.inputs.batching.lengths import Buckets, by_length
from hepjax.inputs.batching.windows import divide_into_steps, max_member_steps, shuffled_windows
from hepjax.types import Batch, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hepjax.inputs.batching.windows import Places

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
    """Makes windows whose epochs take every row of a member exactly once, in an order of its own.

    Args:
      shared: from `share`.
      members: of each of M members, the rows to train on; none for one that only fills up the devices.
      batch_size: of each member.
      seed: of the run.
      steps: the most in a window.

    Returns:
      The steps of an epoch; and epoch number, from 1 → windows of one shape, with examples (K, M, 1, batch_size).

    >>> data = Batch(np.arange(6.0)[:, None], np.zeros(6, np.int32), np.ones(6, np.float32))
    >>> count, epoch = member_windows(share(data), [np.arange(4), np.arange(6)], batch_size=2, seed=0, steps=9)
    >>> count, [window.examples.shape for window in epoch(1)]
    (3, [(3, 2, 1, 2)])
    """
    return shuffled_windows(
        shared.data, _member_places_by_length(shared, members), batch_size=batch_size, seed=seed, steps=steps
    )


def member_rows(shared: Shared, members: Sequence[np.ndarray], batch_size: int) -> tuple[Window, np.ndarray]:
    """Puts all rows of each member once into one window, to be evaluated.

    Args:
      shared: from `share`.
      members: of each of M members, its rows.
      batch_size: of each member.

    Returns:
      The window; and (K, M, batch_size) the rows in it, -1 where there is none.
    """
    places = _member_places_by_length(shared, members)
    counts = [max_member_steps(bucket, batch_size) for bucket in places]
    examples = [divide_into_steps(bucket, count, batch_size) for bucket, count in zip(places, counts, strict=True)]
    rows = [np.where(x < 0, -1, rows[x]) for x, rows in zip(examples, shared.rows, strict=True) if len(x)]
    bucket = np.repeat(np.arange(len(places), dtype=np.int32), counts)
    return Window(shared.data, bucket, np.concatenate(examples)), np.concatenate(rows)[:, :, 0]


def _member_places_by_length(shared: Shared, members: Sequence[np.ndarray]) -> list[Places]:
    """Finds for each length where the rows of each member lie in it."""
    return [[[np.flatnonzero(np.isin(rows, member))] for member in members] for rows in shared.rows]

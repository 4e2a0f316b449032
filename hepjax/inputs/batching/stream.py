"""Blocks of host arrays that come and go → batches and windows, so that memory holds few of them at a time."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TYPE_CHECKING, TypeVar

import jax
import numpy as np

from hepjax.inputs.batching.arrays import fill_up
from hepjax.inputs.batching.lengths import Buckets, by_length
from hepjax.inputs.batching.windows import steps_of
from hepjax.types import Batch, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hepjax.inputs.batching.windows import Place

T = TypeVar("T")
Block = tuple[np.ndarray, Batch]
"""The numbers of some rows, and the rows themselves."""

_ONE_LENGTH, _MANY_LENGTHS = 128, 4
"""Steps in a window of a stream: many hide the cost of a call, few mix the lengths."""


def draw(
    blocks: Iterable[Block], order: Sequence[int], sizes: Sequence[int], buckets: Buckets
) -> Iterator[tuple[int, np.ndarray, Batch]]:
    """Sorts a stream of examples into buckets, and serves the buckets in a given order.

    Args:
      blocks: row numbers and examples, as they come; one block at least, which may be empty.
      order: the bucket that each batch comes from.
      sizes: the examples of a batch, for each bucket.
      buckets: the lengths that jets are padded to.

    Yields:
      The bucket; (size,) the row numbers, -1 where the stream had no more for this bucket; and as many examples, of
      weight 0 there.
    """
    coming = iter(blocks)
    waiting: list[list[Block]] = [[] for _ in range(len(buckets))]
    for bucket in order:
        size = sizes[bucket]
        while sum(len(rows) for rows, _ in waiting[bucket]) < size and (block := next(coming, None)) is not None:
            numbers, data = block
            for queued, (rows, part) in zip(waiting, by_length(data, buckets), strict=True):
                queued.append((numbers[rows], part))
        rows, joined = _join_streamed_blocks(waiting[bucket])
        waiting[bucket] = [(rows[size:], jax.tree.map(lambda x, size=size: x[size:], joined))]
        rows, batch = jax.tree.map(lambda x, size=size: x[:size], (rows, joined))
        yield bucket, np.pad(rows, (0, size - len(rows)), constant_values=-1), fill_up(batch, size)


def _join_streamed_blocks(blocks: Sequence[Block]) -> Block:
    joined: Block = blocks[0] if len(blocks) == 1 else jax.tree.map(lambda *x: np.concatenate(x), *blocks)
    return joined


def draw_order(counts: Sequence[int], sizes: Sequence[int], seed: Sequence[int]) -> list[int]:
    """Draws a random order of buckets in which `draw` gives out all examples.

    Args:
      counts: the examples in each bucket; of several processes, the most that one has.
      sizes: the examples of a batch, for each bucket.
      seed: of the order.

    Returns:
      Bucket numbers.

    >>> sorted(draw_order([5, 3], [2, 2], [0]))
    [0, 0, 0, 1, 1]
    """
    batches = [steps_of(count, size) for count, size in zip(counts, sizes, strict=True)]
    order: list[int] = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), batches)).tolist()
    return order


def stream_windows(
    blocks: Callable[[int], Iterable[Block]],
    counts: Sequence[int],
    *,
    batch_size: int,
    seed: int,
    buckets: Buckets = Buckets(),  # noqa: B008 — it is frozen
    devices: int = 1,
    place: Place = lambda window: window,
) -> Callable[[int], Iterator[Window]]:
    """Makes windows of examples that do not fit in memory; a thread prepares the next ones.

    An epoch takes every example exactly once, in the order of the blocks within each length; the lengths take turns of
    a few steps, at random.

    Args:
      blocks: epoch number → row numbers and examples in the order to train in, this process's own.
      counts: the examples in each bucket; of several processes, the most that one has.
      batch_size: of this process, a multiple of `devices`.
      seed: of the run.
      buckets: the lengths that jets are padded to.
      devices: D, those of this process.
      place: puts a window's host arrays on the devices.

    Returns:
      The function epoch number, from 1 → windows, of one shape for each length.
    """
    share = batch_size // devices
    steps = _ONE_LENGTH if len(buckets) == 1 else _MANY_LENGTHS
    steps = max(min(steps, *(steps_of(count, batch_size) for count in counts if count)), 1)
    sizes = [steps * batch_size] * len(buckets)
    turns = np.arange(steps * share, dtype=np.int32).reshape(steps, 1, share)

    def window(rows: np.ndarray, data: Batch, left: int) -> Window:
        dealt = jax.tree.map(lambda x: np.swapaxes(x.reshape(-1, devices, *x.shape[1:]), 0, 1), data)
        filled = np.moveaxis((rows >= 0).reshape(steps, share, devices), -1, 1)
        return Window(
            (dealt,), (np.arange(steps) >= left).astype(np.int32), np.where(filled, turns, -1).astype(np.int32)
        )

    def epoch(number: int) -> Iterator[Window]:
        left = [steps_of(count, batch_size) for count in counts]
        order = draw_order(counts, sizes, [seed, number])

        def windows() -> Iterator[Window]:
            for bucket, rows, data in draw(blocks(number), order, sizes, buckets):
                yield place(window(rows, data, left[bucket]))
                left[bucket] -= steps

        return prefetch(windows())

    return epoch


def prefetch(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """Makes the next items in a thread while the last one is used.

    Args:
      items: an iterator; its errors are raised where the item would have been.
      depth: the items that wait at most.

    Yields:
      The items.

    >>> list(prefetch(iter([1, 2, 3])))
    [1, 2, 3]
    """
    ready: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put_or_stop(item: tuple[bool, T | BaseException | None]) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def fill_queue() -> None:
        try:
            for item in items:
                put_or_stop((True, item))
                if stopped.is_set():
                    return
            put_or_stop((False, None))
        except BaseException as error:  # noqa: BLE001 — it is raised by the one who waits
            put_or_stop((False, error))

    thread = threading.Thread(target=fill_queue, daemon=True)
    thread.start()
    try:
        while (item := ready.get())[0]:
            yield item[1]  # type: ignore[misc]
        if item[1] is not None:
            raise item[1]  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()

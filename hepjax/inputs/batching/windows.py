"""Host arrays → windows: examples that stay on the devices, and the order of an epoch's steps over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

from hepjax.inputs.batching.arrays import fill_up
from hepjax.inputs.batching.lengths import Buckets, by_length
from hepjax.types import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hepjax.types import Batch

    Agree = Callable[[np.ndarray], np.ndarray]
    Place = Callable[[Window], Window]

_STEPS = 1024
"""The most steps of one program: enough that an epoch is one, few enough that Ctrl-C is heard."""


def make_windows(
    data: Batch,
    *,
    batch_size: int,
    seed: int,
    buckets: Buckets = Buckets(),  # noqa: B008 — it is frozen
    devices: int = 1,
    process: int = 0,
    agree: Agree = lambda counts: counts,
    place: Place = lambda window: window,
    steps: int = _STEPS,
) -> Callable[[int], Iterator[Window]]:
    """Puts examples on the devices once; each epoch then only says in which order they are taken.

    An epoch takes every example exactly once, in random order. Each device keeps its share of the examples and gives as
    many to each step. A step takes examples of one length; the steps of all lengths are shuffled. The order depends on
    the seed, the epoch and the process alone.

    Args:
      data: N examples, NumPy arrays.
      batch_size: of this process, a multiple of `devices`; the last step of a length is filled up with weight 0.
      seed: of the run.
      buckets: the lengths that jets are padded to.
      devices: D, those of this process.
      process: its number.
      agree: the largest of each count over all processes, which take as many steps.
      place: puts a window's host arrays on the devices.
      steps: the most in a window.

    Returns:
      The function epoch number, from 1 → windows of one shape.

    >>> from hepjax.types import Batch
    >>> data = Batch(np.arange(5.0)[:, None], np.zeros(5, np.int32), np.ones(5, np.float32))
    >>> [window.rows.shape for window in make_windows(data, batch_size=3, seed=0)(1)]
    [(2, 1, 3)]
    """
    share = batch_size // devices
    dealt = [_deal(part, devices, agree) for _, part in by_length(data, buckets)]
    sizes = [sizes for sizes, _ in dealt]
    counts: list[int] = agree(np.array([steps_of(max(size), share) for size in sizes])).tolist()
    nothing = np.zeros((0, devices, share), np.int32)
    resident = place(Window(tuple(part for _, part in dealt), np.zeros(0, np.int32), nothing)).data

    def epoch(number: int) -> Iterator[Window]:
        own = np.random.default_rng([seed, number, process])
        rows = np.concatenate([_order(size, count, share, own) for size, count in zip(sizes, counts, strict=True)])
        # All processes shuffle the steps in the same way.
        yield from map(place, shuffled_windows(resident, counts, rows, seed=[seed, number], steps=steps))

    return epoch


def steps_of(count: int, batch_size: int) -> int:
    """The steps that take `count` examples.

    >>> steps_of(5, 3)
    2
    """
    return -(-count // batch_size)


def shuffled_windows(
    data: tuple[Batch, ...], counts: Sequence[int], rows: np.ndarray, *, seed: Sequence[int], steps: int
) -> Iterator[Window]:
    """Steps in random order, in windows of one shape; the last is filled up with steps that are none.

    Args:
      data: the examples of each length.
      counts: the steps of each length, S in all.
      rows: (S, ...) int32, what each step takes, the steps of one length after those of another.
      seed: of the order.
      steps: the most in a window.

    Yields:
      The windows.
    """
    which = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    order = np.random.default_rng(seed).permutation(len(rows))
    length = steps_of(len(order), steps_of(len(order), steps))
    for first in range(0, len(order), length):
        taken = order[first : first + length]
        missing = (0, length - len(taken))
        whole = ((0, 0),) * (rows.ndim - 1)
        yield Window(
            data,
            np.pad(which[taken], missing, constant_values=len(data)),
            np.pad(rows[taken], (missing, *whole), constant_values=-1),
        )


def _deal(part: Batch, devices: int, agree: Agree) -> tuple[Sequence[int], Batch]:
    """Deals examples out like cards: how many each device gets, and arrays (D, n, ...)."""
    count = len(part.targets)
    sizes = [len(range(device, count, devices)) for device in range(devices)]
    most = int(agree(np.array([max(sizes)]))[0])
    full = fill_up(part, most * devices)
    dealt = jax.tree.map(lambda x: np.swapaxes(x.reshape(most, devices, *x.shape[1:]), 0, 1), full)
    return sizes, dealt


def _order(sizes: Sequence[int], steps: int, share: int, rng: np.random.Generator) -> np.ndarray:
    """(steps, D, share) int32 rows in random order."""
    shares = [np.pad(rng.permutation(size), (0, steps * share - size), constant_values=-1) for size in sizes]
    return np.stack(shares, axis=0).reshape(len(sizes), steps, share).swapaxes(0, 1).astype(np.int32)

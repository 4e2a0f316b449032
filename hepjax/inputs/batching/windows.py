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
    Places = Sequence[Sequence[np.ndarray]]
    """For each of M members and each of D devices the (n,) places of the examples to take, of one length."""

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
    >>> [window.examples.shape for window in make_windows(data, batch_size=3, seed=0)(1)]
    [(2, 1, 3)]
    """
    share = batch_size // devices
    sizes, parts = zip(*(_deal_to_devices(part, devices, agree) for _, part in by_length(data, buckets)), strict=True)
    resident = place(Window(parts, np.zeros(0, np.int32), np.zeros((0, devices, share), np.int32))).data
    places = [[list(map(np.arange, of_devices))] for of_devices in sizes]
    _, windows = shuffled_windows(
        resident, places, batch_size=share, seed=seed, steps=steps, first_member=process, agree=agree
    )

    def epoch(number: int) -> Iterator[Window]:
        return (place(window._replace(examples=window.examples[:, 0])) for window in windows(number))

    return epoch


def shuffled_windows(
    data: tuple[Batch, ...],
    places: Sequence[Places],
    *,
    batch_size: int,
    seed: int,
    steps: int,
    first_member: int = 0,
    agree: Agree = lambda counts: counts,
) -> tuple[int, Callable[[int], Iterator[Window]]]:
    """Takes each member's examples in random order, in steps of one length that are shuffled.

    A member or device that has fewer examples of a length than another has empty batches at the end.

    Args:
      data: the examples of each length.
      places: for each length, which of them each of M members takes from each of D devices.
      batch_size: the examples that a device gives to a step of a member.
      seed: of the run.
      steps: the most in a window.
      first_member: the number of the first member, on which its order depends.
      agree: as in `make_windows`.

    Returns:
      The steps of an epoch; and epoch number, from 1 → windows of one shape, with examples (K, M, D, batch_size). The
      last window is filled up with steps that take nothing.
    """
    counts = agree(np.array([max_member_steps(bucket, batch_size) for bucket in places]))
    bucket_of_step = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    length = steps_of(len(bucket_of_step), steps_of(len(bucket_of_step), steps))

    def epoch(number: int) -> Iterator[Window]:
        rngs = [np.random.default_rng([seed, number, first_member + i]) for i in range(len(places[0]))]
        shuffled = [
            [[rng.permutation(x) for x in member] for rng, member in zip(rngs, bucket, strict=True)]
            for bucket in places
        ]
        examples = np.concatenate([divide_into_steps(x, n, batch_size) for x, n in zip(shuffled, counts, strict=True)])
        # All processes shuffle the steps in the same way.
        order = np.random.default_rng([seed, number]).permutation(len(bucket_of_step))
        for first in range(0, len(order), length):
            chosen = order[first : first + length]
            missing = (0, length - len(chosen))
            yield Window(
                data,
                np.pad(bucket_of_step[chosen], missing, constant_values=len(data)),
                np.pad(examples[chosen], (missing, *[(0, 0)] * 3), constant_values=-1),
            )

    return len(bucket_of_step), epoch


def steps_of(count: int, batch_size: int) -> int:
    """Counts the steps that take `count` examples.

    >>> steps_of(5, 3)
    2
    """
    return -(-count // batch_size)


def max_member_steps(places: Places, batch_size: int) -> int:
    """Counts the steps that every member and device can take all its examples in."""
    return max(steps_of(len(examples), batch_size) for member in places for examples in member)


def divide_into_steps(places: Places, steps: int, size: int) -> np.ndarray:
    """Divides examples into steps: (steps, M, D, size) int32, filled up with -1."""
    filled = np.array(
        [[np.pad(x, (0, steps * size - len(x)), constant_values=-1) for x in member] for member in places], np.int32
    )
    return np.moveaxis(filled.reshape(*filled.shape[:2], steps, size), 2, 0)


def _deal_to_devices(part: Batch, devices: int, agree: Agree) -> tuple[Sequence[int], Batch]:
    """Deals examples out like cards: how many each device gets, and arrays (D, n, ...)."""
    count = len(part.targets)
    sizes = [len(range(device, count, devices)) for device in range(devices)]
    most = int(agree(np.array([max(sizes)]))[0])
    full = fill_up(part, most * devices)
    dealt = jax.tree.map(lambda x: np.swapaxes(x.reshape(most, devices, *x.shape[1:]), 0, 1), full)
    return sizes, dealt

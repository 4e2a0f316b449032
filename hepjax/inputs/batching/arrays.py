"""Host arrays → batches of one shape, in order and filled up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

from hepjax import runtime
from hepjax.choices import Strategy
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepjax.runtime import Devices
    from hepjax.types import Batch


def batches(
    data: Batch, *, batch_size: int, seed: int = 0, epoch: int = 1, devices: Devices | None = None
) -> Iterator[Batch]:
    """Gives all examples once, in random order, in batches of one shape: for a loop of one's own.

    Args:
      data: N examples, NumPy arrays.
      batch_size: B, the examples in a batch; the last one is filled up with rows of weight 0, which count nowhere.
      seed: of the order.
      epoch: its number, from 1; each has an order of its own.
      devices: from `hepjax.runtime.make_devices`, that share a batch; for jit it is made of arrays on their mesh, for
        pmap of arrays with a first axis of devices, (D, B / D, ...). None leaves NumPy arrays.

    Returns:
      An iterator over batches of B examples.

    Raises:
      InputError: there are no examples, arrays have other numbers of rows, or devices cannot share a batch alike.

    >>> from hepjax.types import Batch
    >>> data = Batch(np.arange(3.0)[:, None], np.zeros(3, np.int32), np.ones(3, np.float32))
    >>> [batch.inputs[:, 0].tolist() for batch in batches(data, batch_size=2, seed=1)]
    [[2.0, 0.0], [1.0, 0.0]]
    """
    counts = {len(x) for x in jax.tree.leaves(data)}
    if counts != {len(data.targets)} or counts == {0}:
        raise InputError(
            f"batches: expected arrays of one number of rows, at least 1, found {', '.join(map(str, sorted(counts)))}; "
            "give inputs, targets and weights of the same jets"
        )
    if batch_size < 1:
        raise InputError(f"batches: expected a batch_size of 1 or more, found {batch_size}; give another")
    if devices is not None:
        runtime.check_shared(devices, batch_size)
    return _shuffled(data, batch_size, np.random.default_rng([seed, epoch]).permutation(len(data.targets)), devices)


def _shuffled(data: Batch, batch_size: int, order: np.ndarray, devices: Devices | None) -> Iterator[Batch]:
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        batch = fill_up(jax.tree.map(lambda x, rows=rows: np.asarray(x)[rows], data), batch_size)
        if devices is None:
            yield batch
        else:
            divided = devices.strategy is Strategy.PMAP
            yield (runtime.shares_of_batch if divided else runtime.place_batch)(devices, batch)


def eval_batches(data: Batch, *, batch_size: int) -> Iterator[Batch]:
    """Gives all examples in order, the last batch filled up with rows of weight 0.

    Args:
      data: N examples, NumPy arrays.
      batch_size: B, the examples in a batch.

    Yields:
      Batches of B examples.

    >>> from hepjax.types import Batch
    >>> data = Batch(np.arange(3.0)[:, None], np.zeros(3, np.int32), np.ones(3, np.float32))
    >>> [batch.inputs[:, 0].tolist() for batch in eval_batches(data, batch_size=2)]
    [[0.0, 1.0], [2.0, 0.0]]
    """
    for first in range(0, len(data.targets), batch_size):
        yield fill_up(jax.tree.map(lambda x, first=first: x[first : first + batch_size], data), batch_size)


def fill_up(data: Batch, size: int) -> Batch:
    """Appends zeros, of weight 0 too, to examples.

    Args:
      data: `size` examples or fewer, NumPy arrays.
      size: how many there are then.

    Returns:
      `size` examples.
    """

    def fill(x: np.ndarray) -> np.ndarray:
        return x if len(x) == size else np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])

    filled: Batch = jax.tree.map(fill, data)
    return filled

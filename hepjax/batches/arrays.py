"""Arrays in memory → batches of one shape: shuffled blocks for training, ordered batches for evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepjax.types import Batch

_BLOCK = 128
"""Batches in a block: enough to hide the cost of a call, few enough that a block is a small part of memory."""


def train_blocks(data: Batch, *, batch_size: int, seed: int, epoch: int, block: int = _BLOCK) -> Iterator[Batch]:
    """One epoch in random order, in blocks of up to `block` batches that a compiled loop can scan.

    Every example is seen exactly once. All blocks have one shape: rows of weight 0 fill up the last batch, and batches
    of weight 0 the last block. The order depends on the seed and the epoch alone, so a resumed run sees the batches
    that the killed one would have.

    Args:
      data: N examples, NumPy arrays.
      batch_size: B, the examples in a batch.
      seed: of the run.
      epoch: its number.
      block: the most batches in a block; it has K of them, the fewest that make as many blocks.

    Yields:
      Batches stacked to (K, B, ...).

    >>> from hepjax.types import Batch
    >>> data = Batch(np.arange(5.0)[:, None], np.zeros(5, np.int32), np.ones(5, np.float32))
    >>> [blocks.weights.tolist() for blocks in train_blocks(data, batch_size=3, seed=0, epoch=1)]
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]]
    """
    count = len(data.targets)
    order = np.random.default_rng([seed, epoch]).permutation(count)
    steps = -(-count // batch_size)
    size = -(-steps // -(-steps // block))
    for first in range(0, steps, size):
        rows = order[first * batch_size : (first + size) * batch_size]
        yield _take(data, rows, (size, batch_size))


def eval_batches(data: Batch, *, batch_size: int) -> Iterator[Batch]:
    """All examples in order, the last batch filled up with rows of weight 0.

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
        rows = np.arange(first, min(first + batch_size, len(data.targets)))
        yield _take(data, rows, (batch_size,))


def _take(data: Batch, rows: np.ndarray, shape: tuple[int, ...]) -> Batch:
    """These rows of every array, padded with zeros to the leading shape."""
    padding = int(np.prod(shape)) - len(rows)

    def take(x: np.ndarray) -> np.ndarray:
        taken = x[rows]
        if padding:
            taken = np.concatenate([taken, np.zeros((padding, *x.shape[1:]), x.dtype)])
        return np.reshape(taken, (*shape, *x.shape[1:]))

    batch: Batch = jax.tree.map(take, data)
    return batch

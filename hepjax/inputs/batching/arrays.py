"""Host arrays → batches of one shape, in order and filled up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepjax.types import Batch


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

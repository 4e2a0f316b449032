"""Segments as training examples of networks, with new segments in every epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.transients.noise import whiten
from hepjax.types import Batch, Sequences, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hepjax.tasks.transients.search import Search, Transients
    from hepjax.types import Array


def frames(series: Array, length: int = 1) -> Sequences:
    """Splits time series into frames of equal length, the steps of a network.

    A recurrent network is slow and forgets over a thousand steps of one sample; it works well on 64 frames of 16
    samples. A convolution over frames is a convolution over samples with the length of a frame as stride.

    Args:
      series: (B, N) time series.
      length: length of a frame, in samples.

    Returns:
      Values (B, N / length, length), and a mask that is True everywhere.

    Raises:
      InputError: the length of the series is not a multiple of the length of a frame.

    >>> frames(jnp.arange(6.0)[None], 2).values.tolist()
    [[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]]
    """
    if length < 1 or series.shape[-1] % length:
        raise InputError(f"length: expected a divisor of the {series.shape[-1]} samples of a segment, found {length}")
    values = series.reshape(*series.shape[:-1], -1, length)
    return Sequences(values, jnp.ones(values.shape[:-1], bool))


def as_batch(search: Search, transients: Transients, length: int = 1) -> Batch:
    """Converts segments to a batch of whitened frames with label 1 for a chirp.

    >>> from hepjax.tasks.transients import Search, draw_transients
    >>> as_batch(Search(), draw_transients(Search(), jax.random.key(0), 2), 16).inputs.values.shape
    (2, 64, 16)
    """
    white = whiten(transients.strain, search.spectrum, search.rate)
    return Batch(frames(white, length), transients.labels, jnp.ones(transients.labels.shape))


def fresh_windows(
    make: Callable[[Array, Array], Batch], key: Array, *, batch_size: int, steps: int
) -> Callable[[int], Iterator[Window]]:
    """Returns a function that makes new examples on the device for each epoch n, from `fold_in(key, n)`.

    Args:
      make: function from a () typed PRNG key and () int32 epoch number to `batch_size` times `steps` examples; it is
        compiled.
      key: () typed PRNG key of all examples; the validation needs a different key.
      batch_size: number of examples in a step.
      steps: number of steps in an epoch.

    Returns:
      A function from epoch number to the single window of the epoch, for `training.fit`.

    >>> make = lambda key, number: Batch(jax.random.normal(key, (6, 9)), jnp.zeros(6, int), jnp.ones(6))
    >>> windows = fresh_windows(make, jax.random.key(0), batch_size=2, steps=3)
    >>> [window.examples.shape for window in windows(1)]
    [(3, 1, 2)]
    """
    compiled = jax.jit(make)
    rows = np.arange(batch_size * steps, dtype=np.int32).reshape(steps, 1, batch_size)

    def epoch(number: int) -> Iterator[Window]:
        data = jax.tree.map(lambda x: x[None], compiled(jax.random.fold_in(key, number), jnp.int32(number)))
        yield Window((data,), np.zeros(steps, np.int32), rows)

    return epoch

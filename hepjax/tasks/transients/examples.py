"""Segments as the examples that networks learn from, new ones in every epoch."""

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
    """A time series as what a network reads: steps of so many samples each.

    A recurrent network forgets over a thousand steps of one sample, and takes as many turns; it reads 64 frames of 16
    samples well. A convolution over frames is one over samples whose stride is the frame's length.

    Args:
      series: (B, N).
      length: of a frame, in samples.

    Returns:
      Values (B, N / length, length), and a mask that is True everywhere.

    Raises:
      InputError: the series is no whole number of frames.

    >>> frames(jnp.arange(6.0)[None], 2).values.tolist()
    [[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]]
    """
    if length < 1 or series.shape[-1] % length:
        raise InputError(f"length: expected a divisor of the {series.shape[-1]} samples of a segment, found {length}")
    values = series.reshape(*series.shape[:-1], -1, length)
    return Sequences(values, jnp.ones(values.shape[:-1], bool))


def as_batch(search: Search, transients: Transients, length: int = 1) -> Batch:
    """Whitened segments as examples: frames, and 1 for a chirp.

    >>> from hepjax.tasks.transients import Search, draw
    >>> as_batch(Search(), draw(Search(), jax.random.key(0), 2), 16).inputs.values.shape
    (2, 64, 16)
    """
    white = whiten(transients.strain, search.spectrum, search.rate)
    return Batch(frames(white, length), transients.labels, jnp.ones(transients.labels.shape))


def fresh_windows(
    make: Callable[[Array, Array], Batch], key: Array, *, batch_size: int, steps: int
) -> Callable[[int], Iterator[Window]]:
    """Examples that no epoch sees twice: those of epoch n are made of `fold_in(key, n)`, on the device, in one call.

    Args:
      make: () typed PRNG key, () int32 epoch number → `batch_size` times `steps` examples; is compiled.
      key: of all examples; that of the validation must be another.
      batch_size: of a step.
      steps: of an epoch.

    Returns:
      The function epoch number → its one window, as `training.fit` takes it.

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

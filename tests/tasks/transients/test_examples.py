from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError
from hepjax.tasks.transients import Search, Transients, as_batch, frames, fresh_windows, whiten
from hepjax.types import Batch

SEARCH = Search(rate=512.0)


def test_frames_are_the_series_cut_into_steps():
    result = frames(np.arange(24.0).reshape(2, 12), 4)
    np.testing.assert_array_equal(result.values[1], [[12, 13, 14, 15], [16, 17, 18, 19], [20, 21, 22, 23]])
    assert result.mask.shape == (2, 3)
    assert result.mask.all()
    with pytest.raises(InputError, match="length: expected a divisor of the 12 samples of a segment, found 5"):
        frames(np.zeros((1, 12)), 5)


def test_examples_are_whitened_segments(rng):
    strain = rng.normal(size=(2, 512)).astype(np.float32)
    result = as_batch(SEARCH, Transients(strain, strain, np.array([0, 1]), *np.zeros((3, 2))), 16)
    white = np.asarray(whiten(strain, SEARCH.spectrum, SEARCH.rate))
    np.testing.assert_allclose(np.asarray(result.inputs.values).reshape(2, 512), white, atol=1e-5)
    assert result.targets.tolist() == [0, 1]
    assert result.weights.tolist() == [1, 1]


def test_an_epoch_has_new_examples_in_one_window_and_the_same_ones_again_when_repeated():
    key, traces = jax.random.key(8), []

    def make(key, epoch):
        traces.append(epoch)
        return Batch(jax.random.normal(key, (12, 5)), jnp.full(12, epoch), jnp.ones(12))

    windows = fresh_windows(make, key, batch_size=4, steps=3)
    (first,), (second,), (again,) = windows(1), windows(2), fresh_windows(make, key, batch_size=4, steps=3)(1)
    np.testing.assert_array_equal(np.sort(first.examples.ravel()), np.arange(12))
    assert first.examples.shape == (3, 1, 4)
    assert (first.bucket == 0).all()
    one, two, same = (np.asarray(window.data[0].inputs) for window in (first, second, again))
    assert one.shape == (1, 12, 5)
    np.testing.assert_array_equal(one, same)
    assert (one != two).all()
    np.testing.assert_array_equal(one[0], jax.random.normal(jax.random.fold_in(key, 1), (12, 5)))
    assert (second.data[0].targets == 2).all()
    assert len(traces) == 1  # not once an epoch

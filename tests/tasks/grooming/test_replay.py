from __future__ import annotations

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError
from hepjax.tasks.grooming import add, empty, sample_transitions


def test_the_newest_are_held_as_in_a_deque():
    held, replay, number = deque(maxlen=7), empty((jnp.zeros(2), jnp.zeros((), jnp.int32)), 7), 0
    write = jax.jit(add)
    for count in (3, 3, 3, 7, 3, 3):
        part = np.arange(number, number + count)
        replay = write(replay, (jnp.stack([part, -part], axis=1).astype(float), jnp.asarray(part, jnp.int32)))
        held.extend(part.tolist())
        number += count
        filled = int(replay.filled)
        assert sorted(np.asarray(replay.data[1])[:filled].tolist()) == list(held)
        np.testing.assert_array_equal(replay.data[0][:, 1], -replay.data[0][:, 0])
        assert int(replay.data[1][(replay.place - 1) % 7]) == held[-1]


def test_all_that_is_held_is_drawn_equally_often():
    replay = add(empty(jnp.zeros(()), 100), jnp.arange(1.0, 6.0))
    samples = np.asarray(jax.jit(sample_transitions, static_argnums=2)(replay, jax.random.key(0), 5000))
    np.testing.assert_allclose(np.bincount(samples.astype(int), minlength=6) / 5000, [0, *[0.2] * 5], atol=0.03)


def test_what_has_no_room_is_refused():
    with pytest.raises(InputError, match="capacity: expected at least 1"):
        empty(jnp.zeros(()), 0)
    with pytest.raises(InputError, match="room for 4 transitions at once, found 3"):
        add(empty(jnp.zeros(()), 3), jnp.zeros(4))

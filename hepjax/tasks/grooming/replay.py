"""What happened, to be learnt from again: a ring of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.errors import InputError

if TYPE_CHECKING:
    from hepjax.types import PyTree


class Replay(NamedTuple):
    """Room for C transitions; the oldest give way."""

    data: PyTree
    """Arrays (C, ...); those never written are 0."""
    place: jax.Array
    """() int32, where the next is written."""
    filled: jax.Array
    """() int32, how many are held."""


def empty(example: PyTree, capacity: int) -> Replay:
    """A buffer that holds nothing.

    Args:
      example: one transition, arrays of any shapes.
      capacity: how many are kept.

    Returns:
      The buffer.

    Raises:
      InputError: the capacity is not positive.

    >>> empty({"reward": jnp.zeros(())}, capacity=3).data["reward"].shape
    (3,)
    """
    if capacity < 1:
        raise InputError(f"capacity: expected at least 1 transition, found {capacity}")
    zero = jnp.zeros((), jnp.int32)
    return Replay(
        jax.tree.map(lambda x: jnp.zeros((capacity, *jnp.shape(x)), jnp.asarray(x).dtype), example), zero, zero
    )


def add(replay: Replay, some: PyTree) -> Replay:
    """Writes transitions, over the oldest where there is no room left.

    Args:
      replay: of C transitions.
      some: E of them, arrays (E, ...) with E ≤ C.

    Returns:
      The buffer afterwards.

    Raises:
      InputError: there are more than C.

    >>> replay = add(empty(jnp.zeros(()), capacity=3), jnp.array([1.0, 2.0]))
    >>> add(replay, jnp.array([3.0, 4.0])).data.tolist()
    [4.0, 2.0, 3.0]
    """
    capacity, count = (jax.tree.leaves(x)[0].shape[0] for x in (replay.data, some))
    if count > capacity:
        raise InputError(f"capacity: expected room for {count} transitions at once, found {capacity}; give more")
    places = (replay.place + jnp.arange(count)) % capacity
    data = jax.tree.map(lambda held, x: held.at[places].set(x), replay.data, some)
    return Replay(data, (replay.place + count) % capacity, jnp.minimum(replay.filled + count, capacity))


def sample(replay: Replay, key: jax.Array, count: int) -> PyTree:
    """Draws transitions, each as likely, with replacement.

    Args:
      replay: that holds one or more.
      key: () typed PRNG key.
      count: how many.

    Returns:
      Arrays (count, ...).

    >>> sample(add(empty(jnp.zeros(()), 9), jnp.array([5.0])), jax.random.key(0), 3).tolist()
    [5.0, 5.0, 5.0]
    """
    rows = jax.random.randint(key, (count,), 0, jnp.maximum(replay.filled, 1))
    return jax.tree.map(lambda x: x[rows], replay.data)

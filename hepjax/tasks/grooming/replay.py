"""A replay buffer of past transitions, stored as a ring of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.errors import InputError

if TYPE_CHECKING:
    from hepjax.types import PyTree


class Replay(NamedTuple):
    """A buffer of C transitions; new transitions replace the oldest."""

    data: PyTree
    """Arrays (C, ...) of transitions; unused rows are 0."""
    place: jax.Array
    """() int32 row of the next transition to write."""
    filled: jax.Array
    """() int32 number of stored transitions."""


def empty(example: PyTree, capacity: int) -> Replay:
    """Makes an empty buffer.

    Args:
      example: one transition, arrays of any shapes.
      capacity: number of transitions to store.

    Returns:
      The empty buffer.

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


def add(replay: Replay, transitions: PyTree) -> Replay:
    """Writes transitions to the buffer; they replace the oldest ones if it is full.

    Args:
      replay: buffer of C transitions.
      transitions: E transitions, arrays (E, ...) with E ≤ C.

    Returns:
      The updated buffer.

    Raises:
      InputError: there are more than C transitions.

    >>> replay = add(empty(jnp.zeros(()), capacity=3), jnp.array([1.0, 2.0]))
    >>> add(replay, jnp.array([3.0, 4.0])).data.tolist()
    [4.0, 2.0, 3.0]
    """
    capacity, count = (jax.tree.leaves(x)[0].shape[0] for x in (replay.data, transitions))
    if count > capacity:
        raise InputError(f"capacity: expected room for {count} transitions at once, found {capacity}; give more")
    places = (replay.place + jnp.arange(count)) % capacity
    data = jax.tree.map(lambda rows, x: rows.at[places].set(x), replay.data, transitions)
    return Replay(data, (replay.place + count) % capacity, jnp.minimum(replay.filled + count, capacity))


def sample_transitions(replay: Replay, key: jax.Array, count: int) -> PyTree:
    """Draws transitions uniformly, with replacement.

    Args:
      replay: buffer with one transition or more.
      key: () typed PRNG key.
      count: number of transitions.

    Returns:
      Arrays (count, ...) of transitions.

    >>> sample_transitions(add(empty(jnp.zeros(()), 9), jnp.array([5.0])), jax.random.key(0), 3).tolist()
    [5.0, 5.0, 5.0]
    """
    rows = jax.random.randint(key, (count,), 0, jnp.maximum(replay.filled, 1))
    return jax.tree.map(lambda x: x[rows], replay.data)

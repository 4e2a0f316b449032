"""The tree of a jet as an environment: a walk visits its splittings and keeps or drops their softer branches.

The walk starts at the widest splitting and enters both remaining branches, as in S. Carrazza and F. A. Dreyer, "Jet
grooming through reinforcement learning", Phys. Rev. D 100, 014014 (arXiv:1903.09644). The observation of a splitting
does not depend on earlier decisions, because a branch is dropped before the walk enters it. A greedy policy can
therefore decide on all splittings at once, and `groomed` returns the particles that its walk would leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.physics import kinematics

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.physics.substructure.trees import Tree
    from hepjax.tasks.grooming.rewards import Reward
    from hepjax.types import Array

OBSERVED = ("ln z", "ln ΔR", "ψ", "ln m", "ln kT")
"""The observables of a splitting; m and kT in GeV."""
LOW = (-10.0, -8.0, -np.pi / 2, -4.0, -6.0)
"""The lower bounds of the observables, which scale to -1; smaller values are set to the bound."""
HIGH = (0.0, 0.0, np.pi / 2, 8.0, 8.0)
"""The upper bounds of the observables, which scale to 1; larger values are set to the bound."""


class Walk(NamedTuple):
    """The state of a walk through a tree with M slots."""

    at: jax.Array
    """() int32 index of the current splitting; -1 at the end."""
    waiting: jax.Array
    """(M,) bool, True for splittings that the walk has reached but not visited."""
    dropped: jax.Array
    """(M,) bool, True for splittings whose softer branch was dropped."""
    p4: jax.Array
    """(4,) momentum of the remaining jet, GeV."""


class Step(NamedTuple):
    """The result of a step in an environment."""

    state: Any
    observation: jax.Array
    """The observation for the next decision; undefined after the end."""
    reward: jax.Array
    """() float reward."""
    done: jax.Array
    """() bool, True after the last decision."""


class Environment(NamedTuple):
    """A Markov decision process as pure functions of one walk; use `vmap` for several walks."""

    reset: Callable[[jax.Array], tuple[Any, jax.Array]]
    """A function from a PRNG key to the state and first observation of a new walk."""
    step: Callable[[Any, jax.Array], Step]
    """A function from the state and () int action to the result of the step."""
    size: int
    """The length of an observation."""
    actions: int
    """The number of actions."""


def observe(tree: Tree) -> jax.Array:
    """Computes the `OBSERVED` quantities of each splitting, scaled to [-1, 1].

    Args:
      tree: tree of one jet, or trees of many jets.

    Returns:
      (..., M, 5) float observations; padding has the lower bounds of z, ΔR, m and kT.

    >>> from hepjax.physics.substructure.trees import Tree
    >>> tree = Tree(*[jnp.ones(())] * 6, delta_r=jnp.ones(1), z=jnp.ones(1), psi=jnp.zeros(1),
    ...             mass=jnp.array([np.exp(2.0)]), kt=jnp.zeros(1))
    >>> observe(tree).round(3).tolist()
    [[1.0, 1.0, 0.0, 0.0, -1.0]]
    """
    low, high = jnp.array(LOW, tree.z.dtype), jnp.array(HIGH, tree.z.dtype)
    z, delta_r, mass, kt = (
        jnp.log(jnp.maximum(x, jnp.exp(low[i])))
        for i, x in ((0, tree.z), (1, tree.delta_r), (3, tree.mass), (4, tree.kt))
    )
    x = jnp.stack([z, delta_r, jnp.asarray(tree.psi), mass, kt], axis=-1)
    return jnp.clip(2 * (x - low) / (high - low) - 1, -1, 1)


def reset(tree: Tree) -> Walk:
    """Starts a walk at the first splitting of a jet.

    Args:
      tree: tree of one jet; without a splitting the walk has already ended.

    Returns:
      The initial walk.
    """
    nothing = jnp.zeros(jnp.shape(tree.z), bool)
    return Walk(jnp.asarray(tree.first), nothing, nothing, jnp.asarray(tree.jet))


def step(tree: Tree, walk: Walk, drop: jax.Array) -> Walk:
    """Decides on a splitting and moves to the widest of the waiting ones; ties follow the order of merging.

    Args:
      tree: tree of one jet.
      walk: state of the walk; a finished walk does not change.
      drop: () bool or 0 and 1, True to drop the softer branch.

    Returns:
      The walk after the step.
    """
    tree = jax.tree.map(jnp.asarray, tree)
    slots, at, going = jnp.arange(tree.z.shape[0]), walk.at, walk.at >= 0
    drop = going & (drop > 0)
    harder, softer = tree.branches[at]
    arrives = (slots == harder) | ((slots == softer) & ~drop)
    waiting = (walk.waiting | arrives) & going
    widest = jnp.argmax(jnp.where(waiting, tree.delta_r, -1)).astype(jnp.int32)
    is_widest = slots == widest
    return Walk(
        at=jnp.where(waiting.any(), widest, -1),
        waiting=waiting & ~is_widest,
        dropped=walk.dropped | ((slots == at) & drop),
        p4=walk.p4 - jnp.where(drop, tree.softer[at], 0),
    )


def groomed(tree: Tree, dropped: jax.Array) -> jax.Array:
    """Returns the particles that remain after softer branches are dropped.

    Args:
      tree: tree of one jet.
      dropped: (M,) bool for each splitting; values inside a dropped branch have no effect.

    Returns:
      (M,) bool, True for the particles that survive. A jet without splitting does not change.
    """
    tree, dropped = jax.tree.map(jnp.asarray, (tree, dropped))
    slots = jnp.arange(dropped.shape[0])

    def undo(alive: jax.Array, splitting: jax.Array) -> tuple[jax.Array, None]:
        harder, softer = tree.particles[splitting]
        stays = alive[harder] & ~dropped[splitting]
        return jnp.where((slots == softer) & (softer >= 0), stays, alive), None

    return jax.lax.scan(undo, jnp.asarray(tree.mask), slots[::-1])[0]


def grooming(trees: Tree, reward: Reward, signal: Array | None = None, background_share: float = 0.5) -> Environment:
    """Makes an environment that draws signal or background jets and rewards their grooming.

    Args:
      trees: trees of N jets; those without a splitting are never drawn.
      reward: function from (mass in GeV, z, ΔR, dropped, is signal) to the () reward of a step; see `make_reward`.
      signal: (N,) bool, True for signal; None means that all jets are signal.
      background_share: probability to draw a background jet, if there are both kinds.

    Returns:
      The environment. Its state is the index of the jet and the walk; action 1 drops the softer branch.

    Raises:
      InputError: no jet has a splitting, or a shape does not fit.
    """
    first = np.asarray(trees.first)
    kind = np.ones(first.shape, bool) if signal is None else np.asarray(signal)
    if first.ndim != 1 or kind.shape != first.shape or kind.dtype != np.bool_:
        raise InputError(f"signal: expected one bool for each of {first.size} trees, found {kind.dtype} {kind.shape}")
    _check_walk_splittings(first)
    parts = [np.flatnonzero((first >= 0) & (kind == is_kind)) for is_kind in (False, True)]
    share = background_share if all(map(len, parts)) else float(len(parts[1]) == 0)
    pools = [jnp.asarray(part if len(part) else [0]) for part in parts]
    trees, is_signal = jax.tree.map(jnp.asarray, trees), jnp.asarray(kind)
    observations = observe(trees)

    def start(key: jax.Array) -> tuple[Any, jax.Array]:
        kind_draw, row_draw = jax.random.uniform(key, (2,))
        rows = [pool[jnp.minimum((row_draw * len(pool)).astype(jnp.int32), len(pool) - 1)] for pool in pools]
        jet = jnp.where(kind_draw < share, *rows)
        walk = reset(jax.tree.map(lambda x: x[jet], trees))
        return (jet, walk), observations[jet, walk.at]

    def advance(state: Any, action: jax.Array) -> Step:
        jet, walk = state
        after = step(jax.tree.map(lambda x: x[jet], trees), walk, action)
        value = reward(
            kinematics.mass(after.p4), trees.z[jet, walk.at], trees.delta_r[jet, walk.at], action > 0, is_signal[jet]
        )
        return Step((jet, after), observations[jet, after.at], jnp.where(walk.at < 0, 0, value), after.at < 0)

    return Environment(start, advance, len(OBSERVED), 2)


def greedy(value: Callable[[jax.Array], jax.Array], trees: Tree) -> jax.Array:
    """Returns the decisions of a greedy agent, which drops a branch if that has the higher value.

    Args:
      value: function from (R, 5) observations to (R, 2) values of keeping and dropping, such as a trained network.
      trees: trees of N jets.

    Returns:
      (N, M) bool for each splitting, including those in dropped branches; undefined for padding.
    """
    x = observe(trees)
    q = value(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], 2)
    return q[..., 1] > q[..., 0]


def make_groomer(value: Callable[[jax.Array], jax.Array]) -> Callable[[Tree], jax.Array]:
    """Makes a groomer from a network.

    Args:
      value: function of observations as in `greedy`.

    Returns:
      A function from trees of N jets to (N, M) bool, True for the particles that survive; compiled for each shape. A
      jet without splitting does not change. It raises InputError if no jet has a splitting.
    """
    groom_trees = jax.jit(lambda trees: jax.vmap(groomed)(trees, greedy(value, trees)))

    def groom(trees: Tree) -> jax.Array:
        _check_walk_splittings(np.asarray(trees.first))
        survivors: jax.Array = groom_trees(trees)
        return survivors

    return groom


def _check_walk_splittings(first: np.ndarray) -> None:
    if not (first >= 0).any():
        raise InputError(
            f"trees: expected a jet with a splitting, found {first.size} jets of at most one particle; give more jets"
        )

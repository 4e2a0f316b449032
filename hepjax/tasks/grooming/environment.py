"""A jet's tree as an environment: the walk meets one splitting after another, and keeps or drops its softer branch.

The walk goes from the widest splitting on and into both branches that are left, as in S. Carrazza and F. A. Dreyer,
"Jet grooming through reinforcement learning", Phys. Rev. D 100, 014014 (arXiv:1903.09644). What is met of a splitting
does not depend on what was dropped before, as a branch is dropped before it is looked into; so a greedy policy decides
on all splittings at once, and `groomed` has the particles that its walk would leave.
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

    from hepjax.tasks.grooming.rewards import Reward
    from hepjax.types import Array, Tree

OBSERVED = ("ln z", "ln ΔR", "ψ", "ln m", "ln kT")
"""What is seen of a splitting; m and kT in GeV."""
LOW = (-10.0, -8.0, -np.pi / 2, -4.0, -6.0)
HIGH = (0.0, 0.0, np.pi / 2, 8.0, 8.0)
"""The ends between which each is scaled to [-1, 1]; what lies beyond is set to the end."""


class Walk(NamedTuple):
    """Where the walk through a tree with M slots is."""

    at: jax.Array
    """() int32, the splitting to decide on; -1 at the end."""
    waiting: jax.Array
    """(M,) bool, True for splittings that will be met, unless something wider is dropped with them."""
    dropped: jax.Array
    """(M,) bool, True for splittings whose softer branch was dropped."""
    p4: jax.Array
    """(4,) momentum of what is left of the jet, GeV."""


class Step(NamedTuple):
    """What a step in an environment gives."""

    state: Any
    observation: jax.Array
    """What the next decision is to be made of; of no meaning after the end."""
    reward: jax.Array
    """() float."""
    done: jax.Array
    """() bool, whether that was the last decision."""


class Environment(NamedTuple):
    """A Markov decision process as pure functions of one walk, to be lifted with `vmap`."""

    reset: Callable[[jax.Array], tuple[Any, jax.Array]]
    """PRNG key → state and first observation, of a new walk."""
    step: Callable[[Any, jax.Array], Step]
    """(state, () int action) → what follows."""
    size: int
    """The length of an observation."""
    actions: int
    """The number of actions."""


def observe(tree: Tree) -> jax.Array:
    """What a network sees of each splitting: `OBSERVED`, scaled to [-1, 1].

    Args:
      tree: of one jet, or of many.

    Returns:
      (..., M, 5) float; padding is what a splitting of z, ΔR, m and kT below all bounds gives.

    >>> from hepjax.types import Tree
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
    """The start of the walk, at the jet's own splitting.

    Args:
      tree: of one jet; one without a splitting gives a walk that has ended, its jet as it is.

    Returns:
      The walk.
    """
    nothing = jnp.zeros(jnp.shape(tree.z), bool)
    return Walk(jnp.asarray(tree.first), nothing, nothing, jnp.asarray(tree.jet))


def step(tree: Tree, walk: Walk, drop: jax.Array) -> Walk:
    """Decides on a splitting and goes on to the widest of those that wait; two equally wide in their order of merging.

    Args:
      tree: of one jet.
      walk: where it is; one that has ended stays as it is.
      drop: () bool or 0 and 1, whether the softer branch is dropped.

    Returns:
      The walk afterwards.
    """
    tree = jax.tree.map(jnp.asarray, tree)
    slots, at, going = jnp.arange(tree.z.shape[0]), walk.at, walk.at >= 0
    drop = going & (drop > 0)
    harder, softer = tree.branches[at]
    arrives = (slots == harder) | ((slots == softer) & ~drop)
    waiting = (walk.waiting | arrives) & going
    widest = jnp.argmax(jnp.where(waiting, tree.delta_r, -1)).astype(jnp.int32)
    here = slots == widest
    return Walk(
        at=jnp.where(waiting.any(), widest, -1),
        waiting=waiting & ~here,
        dropped=walk.dropped | ((slots == at) & drop),
        p4=walk.p4 - jnp.where(drop, tree.softer[at], 0),
    )


def groomed(tree: Tree, dropped: jax.Array) -> jax.Array:
    """The particles that are left where softer branches are dropped, and all that is in them.

    Args:
      tree: of one jet.
      dropped: (M,) bool for each splitting; for those in a dropped branch it does not matter.

    Returns:
      (M,) bool, True for the particles that survive. A jet without splitting stays as it is.
    """
    tree, dropped = jax.tree.map(jnp.asarray, (tree, dropped))
    slots = jnp.arange(dropped.shape[0])

    def undo(alive: jax.Array, splitting: jax.Array) -> tuple[jax.Array, None]:
        harder, softer = tree.particles[splitting]
        stays = alive[harder] & ~dropped[splitting]
        return jnp.where((slots == softer) & (softer >= 0), stays, alive), None

    return jax.lax.scan(undo, jnp.asarray(tree.mask), slots[::-1])[0]


def grooming(trees: Tree, reward: Reward, signal: Array | None = None, background_share: float = 0.5) -> Environment:
    """The environment that deals out jets, of signal or of background, and rewards what is made of them.

    Args:
      trees: of N jets; those without a splitting are never dealt out.
      reward: (mass in GeV, z, ΔR, dropped, is signal) → (), of each step; see `make_reward`.
      signal: (N,) bool; None is signal throughout.
      background_share: the probability that a jet of background is dealt out, where there are both.

    Returns:
      The environment. Its state is the number of the jet and the walk; action 1 drops the softer branch.

    Raises:
      InputError: no jet has a splitting, or a shape does not fit.
    """
    first = np.asarray(trees.first)
    kind = np.ones(first.shape, bool) if signal is None else np.asarray(signal)
    if first.ndim != 1 or kind.shape != first.shape or kind.dtype != np.bool_:
        raise InputError(f"signal: expected one bool for each of {first.size} trees, found {kind.dtype} {kind.shape}")
    _check_splittings(first)
    parts = [np.flatnonzero((first >= 0) & (kind == wanted)) for wanted in (False, True)]
    share = background_share if all(map(len, parts)) else float(len(parts[1]) == 0)
    background, own = (jnp.asarray(part if len(part) else [0]) for part in parts)
    trees, is_signal = jax.tree.map(jnp.asarray, trees), jnp.asarray(kind)
    seen = observe(trees)

    def start(key: jax.Array) -> tuple[Any, jax.Array]:
        which, place = jax.random.uniform(key, (2,))
        rows = [part[jnp.minimum((place * len(part)).astype(jnp.int32), len(part) - 1)] for part in (background, own)]
        jet = jnp.where(which < share, *rows)
        walk = reset(jax.tree.map(lambda x: x[jet], trees))
        return (jet, walk), seen[jet, walk.at]

    def advance(state: Any, action: jax.Array) -> Step:
        jet, walk = state
        after = step(jax.tree.map(lambda x: x[jet], trees), walk, action)
        value = reward(
            kinematics.mass(after.p4), trees.z[jet, walk.at], trees.delta_r[jet, walk.at], action > 0, is_signal[jet]
        )
        return Step((jet, after), seen[jet, after.at], jnp.where(walk.at < 0, 0, value), after.at < 0)

    return Environment(start, advance, len(OBSERVED), 2)


def greedy(value: Callable[[jax.Array], jax.Array], trees: Tree) -> jax.Array:
    """What a greedy agent drops: the softer branches that have a higher value dropped than kept.

    Args:
      value: (R, 5) observations → (R, 2) values of keeping and of dropping, such as a trained network.
      trees: of N jets.

    Returns:
      (N, M) bool for each splitting, those in dropped branches too; of no meaning for padding.
    """
    seen = observe(trees)
    q = value(seen.reshape(-1, seen.shape[-1])).reshape(*seen.shape[:-1], 2)
    return q[..., 1] > q[..., 0]


def make_groomer(value: Callable[[jax.Array], jax.Array]) -> Callable[[Tree], jax.Array]:
    """The groomer that a network is.

    Args:
      value: as `greedy` takes it.

    Returns:
      The function trees of N jets → (N, M) bool, True for the particles that survive; compiled for each shape. A jet
      without splitting stays as it is. It raises InputError where no jet has any.
    """
    answer = jax.jit(lambda trees: jax.vmap(groomed)(trees, greedy(value, trees)))

    def groom(trees: Tree) -> jax.Array:
        _check_splittings(np.asarray(trees.first))
        kept: jax.Array = answer(trees)
        return kept

    return groom


def _check_splittings(first: np.ndarray) -> None:
    if not (first >= 0).any():
        raise InputError(
            f"trees: expected a jet with a splitting, found {first.size} jets of at most one particle; give more jets"
        )

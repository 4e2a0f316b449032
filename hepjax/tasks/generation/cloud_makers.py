"""New jets as clouds of particles, of each class as many as asked.

One flow makes two totals of a jet, the mass of its particles and the share of its pT that they carry; another makes the
particles of a jet with such totals, as in arXiv:2310.00049. What remains of the difference is taken out by stretching
all momenta and all angles alike. How many particles a jet has, and its pT, are drawn together out of the jets of its
class that there are.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.generation.clouds import (
    CLOUD_COLUMNS,
    Clouds,
    cloud_observables,
    decode_particles,
    decode_totals,
    encode_totals,
)
from hepjax.tasks.generation.flow_matching import solve_flow
from hepjax.types import Conditioned, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.tasks.generation.clouds import CloudScaling
    from hepjax.tasks.generation.flow_matching import Apply, Step
    from hepjax.types import PyTree

_ROUNDS = 8  # of stretching angles, each of which misses the mass by the square of an angle less
_LIGHT = 1e-3  # GeV


def draw_jets(clouds: Clouds, labels: np.ndarray, seed: int) -> np.ndarray:
    """Draws a jet of the same class for each label, whose number of particles and pT a new jet shall have.

    Args:
      clouds: the training part.
      labels: (M,) the classes wanted.
      seed: of the draws.

    Returns:
      (M,) rows of `clouds`.

    Raises:
      InputError: there is no jet of a class.
    """
    rng, rows = np.random.default_rng(seed), np.zeros(len(labels), np.int64)
    for kind in np.unique(labels):
        own = np.flatnonzero(clouds.labels == kind)
        if len(own) == 0:
            raise InputError(f"labels: there is no jet of class {kind} to draw a number of particles from")
        rows[labels == kind] = rng.choice(own, int(np.sum(labels == kind)))
    return rows


def make_generator(
    totals: Apply,
    particles: Apply,
    scaling: CloudScaling,
    classes: int,
    *,
    steps: int = 40,
    step: Step | None = None,
    block: int = 1000,
) -> Callable[[tuple[PyTree, PyTree], Clouds, int], Clouds]:
    """The function that makes new jets.

    Args:
      totals: the network of the first flow, as `make_matching` takes it.
      particles: that of the second.
      scaling: of the training part.
      classes: C.
      steps: of the ODE's solver, in each flow.
      step: one of them; None is `midpoint`.
      block: jets made at once, by one program.

    Returns:
      (the parameters of both, like, seed) → clouds that have the numbers of particles, pT and classes of the clouds
      `like`, of which nothing else is looked at. It raises InputError where a flow explodes.

    Raises:
      InputError: steps or block is not positive.
    """
    if min(steps, block) < 1:
        raise InputError(f"steps, block: expected 1 or more, found {steps} and {block}")
    times = jnp.linspace(0, 1, steps + 1)
    solvers = [jax.jit(partial(solve_flow, network, times=times, step=step)) for network in (totals, particles)]

    def solve(which: int, params: tuple[PyTree, PyTree], asked: Conditioned, key: jax.Array) -> np.ndarray:
        made, count = [], len(asked.condition)
        for first in range(0, count, block):
            # The last block is filled up with the first jets.
            rows = np.arange(first, first + block) % count
            part = jax.tree.map(lambda x, rows=rows: x[rows], asked)
            made.append(np.asarray(solvers[which](params[which], part, jax.random.fold_in(key, first)), np.float64))
        found = np.concatenate(made)[:count]
        wrong = ~np.isfinite(found).reshape(count, -1).all(axis=1)
        if wrong.any():
            raise InputError(
                f"generation exploded: {wrong.sum()} of {count} jets are not finite; "
                "take more steps, or train longer or with a lower learning rate"
            )
        return found

    def generate(params: tuple[PyTree, PyTree], like: Clouds, seed: int) -> Clouds:
        first, second = jax.random.split(jax.random.key(seed))
        asked = encode_totals(like, scaling, classes)
        whole = solve(0, params, asked, first)
        condition = np.concatenate([asked.condition, whole], axis=1).astype(np.float32)
        empty = Sequences(np.zeros((*like.mask.shape, len(CLOUD_COLUMNS)), np.float32), like.mask)
        clouds = decode_particles(solve(1, params, Conditioned(empty, condition), second), like, scaling)
        return stretch(clouds, *decode_totals(whole, scaling))

    return generate


def stretch(clouds: Clouds, mass: np.ndarray, share: np.ndarray) -> Clouds:
    """Stretches each jet's momenta, then its angles, until its particles have this mass and share of its pT.

    Args:
      clouds: N jets.
      mass: (N,) GeV.
      share: (N,) of the sum of the pT shares.

    Returns:
      The clouds; angles of a jet that has no mass stay as they are.
    """
    values = clouds.values.copy()
    values[..., 2] *= (share / values[..., 2].sum(axis=1))[:, None]
    for _ in range(_ROUNDS):
        found = cloud_observables(clouds._replace(values=values))["j_mass"]
        factor = np.where(found > _LIGHT, mass / np.maximum(found, _LIGHT), 1)
        values[..., :2] *= np.clip(factor, 0.5, 2)[:, None, None]
    return clouds._replace(values=values)


def independent_particles(clouds: Clouds, like: Clouds, seed: int) -> Clouds:
    """A baseline: each number of each particle is drawn by itself, out of jets with a particle of its class and rank.

    Args:
      clouds: the training part.
      like: M jets, of which the numbers of particles, pT and classes are taken.
      seed: of the draws.

    Returns:
      M clouds, whose particles know nothing of each other.
    """
    rng, values = np.random.default_rng(seed), np.zeros_like(like.values)
    for kind in np.unique(like.labels):
        own, asked = clouds.take(clouds.labels == kind), like.labels == kind
        for rank in range(like.mask.shape[1]):
            pool, rows = own.values[own.mask[:, rank], rank], np.flatnonzero(asked & like.mask[:, rank])
            for feature in range(values.shape[2]) if len(rows) else ():
                values[rows, rank, feature] = rng.choice(pool[:, feature], len(rows))
    return like._replace(values=values)

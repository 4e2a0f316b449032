"""Generation of jets as clouds of particles, with a requested number of jets of each class.

One flow generates two totals of a jet, the mass of its particles and the share of its pT that they carry; another
generates the particles of a jet with these totals, as in arXiv:2310.00049. A common factor on all momenta and another
on all angles removes the remaining difference. The number of particles and the pT of a jet are drawn together from the
training jets of its class.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.generation.cloud_encoding import (
    CLOUD_COLUMNS,
    Clouds,
    cloud_inputs,
    cloud_observables,
    decode_particles,
    decode_totals,
    encode_totals,
)
from hepjax.tasks.generation.cloud_networks import velocities
from hepjax.tasks.generation.cloud_preparation import draw_templates, to_scaling
from hepjax.tasks.generation.flow_matching import solve_flow
from hepjax.tasks.generation.networks import AVERAGE, PREPARATION
from hepjax.types import Conditioned, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.tasks.generation.cloud_encoding import CloudScaling
    from hepjax.tasks.generation.flow_matching import Step
    from hepjax.tasks.task_types import TrainedNetwork
    from hepjax.types import PyTree

    Velocities = Callable[[PyTree, Conditioned], jax.Array]
    """A function from parameters, and points with conditions, the time first, to velocities."""

_ROUNDS = 8  # iterations of scaling the angles, each of which reduces the error of the mass by an angle squared
_BLOCK = 1000  # jets of a call of a compiled program
_LIGHT = 1e-3  # mass below which angles are not scaled, GeV


def make_clouds_by(network: TrainedNetwork, labels: np.ndarray, classes: Sequence[str], seed: int) -> Clouds:
    """Generates new jets by a trained network.

    Args:
      network: of a run.
      labels: (N,) indices into `classes`.
      classes: the names of the classes.
      seed: seed of the random numbers.

    Returns:
      N clouds.

    Raises:
      InputError: a class was not among the training jets, or a flow diverges.
    """
    arrays = network.model_state[PREPARATION]["arrays"]
    like, scaling = draw_templates(arrays, labels, classes, seed), to_scaling(arrays)
    generator: Any = network.pipeline.network
    params = network.model_state[AVERAGE]["params"]
    make = make_generator(*velocities(generator, scaling), scaling, len(classes), block=min(_BLOCK, len(labels)))
    return make((params, params), like, seed)


def make_generator(
    totals: Velocities,
    particles: Velocities,
    scaling: CloudScaling,
    classes: int,
    *,
    steps: int = 40,
    step: Step | None = None,
    block: int = _BLOCK,
) -> Callable[[tuple[PyTree, PyTree], Clouds, int], Clouds]:
    """Makes the function that generates new jets.

    Args:
      totals: network of the first flow, as in `solve_flow`.
      particles: network of the second flow.
      scaling: statistics of the training split.
      classes: number of classes, C.
      steps: number of steps of the ODE solver, in each flow.
      step: one step of the ODE solver; None means `midpoint`.
      block: number of jets per call of the compiled program.

    Returns:
      A function from (parameters of both networks, like, seed) to clouds with the numbers of particles, pT and classes
      of the clouds `like`; their particles are not used. It raises InputError if a flow diverges.

    Raises:
      InputError: steps or block is not positive.
    """
    if min(steps, block) < 1:
        raise InputError(f"steps, block: expected 1 or more, found {steps} and {block}")
    times = jnp.linspace(0, 1, steps + 1)
    solvers = [jax.jit(partial(solve_flow, network, times=times, step=step)) for network in (totals, particles)]

    def solve_cloud_flow(index: int, params: tuple[PyTree, PyTree], inputs: Conditioned, key: jax.Array) -> np.ndarray:
        blocks, count = [], len(inputs.condition)
        for first in range(0, count, block):
            # The first jets fill the last block, so that all blocks have one shape.
            rows = np.arange(first, first + block) % count
            part = jax.tree.map(lambda x, rows=rows: x[rows], inputs)
            blocks.append(np.asarray(solvers[index](params[index], part, jax.random.fold_in(key, first)), np.float64))
        values = np.concatenate(blocks)[:count]
        wrong = ~np.isfinite(values).reshape(count, -1).all(axis=1)
        if wrong.any():
            raise InputError(
                f"generation exploded: {wrong.sum()} of {count} jets are not finite; "
                "take more steps, or train longer or with a lower learning rate"
            )
        return values

    def generate_clouds(params: tuple[PyTree, PyTree], like: Clouds, seed: int) -> Clouds:
        first, second = jax.random.split(jax.random.key(seed))
        inputs = jax.device_get(encode_totals(cloud_inputs(like), scaling, classes))
        totals_of_jets = solve_cloud_flow(0, params, inputs, first)
        condition = np.concatenate([inputs.condition, totals_of_jets], axis=1).astype(np.float32)
        empty = Sequences(np.zeros((*like.mask.shape, len(CLOUD_COLUMNS)), np.float32), like.mask)
        clouds = decode_particles(solve_cloud_flow(1, params, Conditioned(empty, condition), second), like, scaling)
        return stretch(clouds, *decode_totals(totals_of_jets, scaling))

    return generate_clouds


def stretch(clouds: Clouds, mass: np.ndarray, share: np.ndarray) -> Clouds:
    """Scales the momenta and then the angles of each jet to a mass and a share of its pT.

    Args:
      clouds: N jets.
      mass: (N,) masses, GeV.
      share: (N,) sums of the pT shares.

    Returns:
      The scaled clouds; angles of a jet without mass do not change.
    """
    values = clouds.values.copy()
    values[..., 2] *= (share / values[..., 2].sum(axis=1))[:, None]
    for _ in range(_ROUNDS):
        current = cloud_observables(clouds._replace(values=values))["j_mass"]
        factor = np.where(current > _LIGHT, mass / np.maximum(current, _LIGHT), 1)
        values[..., :2] *= np.clip(factor, 0.5, 2)[:, None, None]
    return clouds._replace(values=values)


def independent_particles(clouds: Clouds, like: Clouds, seed: int) -> Clouds:
    """Generates baseline clouds in which each feature of each particle is drawn independently, by class and rank.

    Args:
      clouds: clouds of the training split.
      like: M jets with the requested numbers of particles, pT and classes.
      seed: seed of the draws.

    Returns:
      M clouds with independent particles.
    """
    rng, values = np.random.default_rng(seed), np.zeros_like(like.values)
    for kind in np.unique(like.labels):
        training, is_kind = clouds.take(clouds.labels == kind), like.labels == kind
        for rank in range(like.mask.shape[1]):
            pool = training.values[training.mask[:, rank], rank]
            rows = np.flatnonzero(is_kind & like.mask[:, rank])
            for feature in range(values.shape[2]) if len(rows) else ():
                values[rows, rank, feature] = rng.choice(pool[:, feature], len(rows))
    return like._replace(values=values)

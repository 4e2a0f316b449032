"""One unit of work: some jets of one class, from a seed of their own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics.simulation import clustering, collisions
from hepjax.physics.simulation.collisions import Collisions, Particles
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.detector import detect, visible
from hepjax.physics.simulation.processes import generator, seed, soft_generator

UNIT_JETS = 100
_MAX_EMPTY_BATCHES = 20
_FEWEST_EVENTS = 4


class Unit(NamedTuple):
    """What a worker is asked for; the answer depends on nothing else."""

    seed: int
    label: int
    """Index into `hls4ml.CLASSES`."""
    number: int
    """The how-manieth unit of its class."""
    jets: int
    conditions: Conditions = PUBLIC


def simulate_unit(unit: Unit) -> clustering.RaggedJets:
    """Generates collisions until the unit's number of jets is reached.

    Args:
      unit: what to make.

    Returns:
      `unit.jets` jets; their particles are not sorted.

    Raises:
      InputError: the extra `sim` is missing, Pythia refuses the conditions or gives up, or no jets come out.

    >>> simulate_unit(Unit(seed=1, label=2, number=0, jets=1)).counts  # doctest: +SKIP
    array([35])
    """
    name = hls4ml.CLASSES[unit.label]
    sequence = np.random.SeedSequence([unit.seed, unit.label, unit.number])
    rng = np.random.default_rng(sequence)
    source = generator(name, unit.conditions)
    seed(source, int(sequence.generate_state(1)[0]))
    parts: list[clustering.RaggedJets] = []
    missing, empty = unit.jets, 0
    while missing > 0:
        batch = source.pythia.nextBatch(max(_FEWEST_EVENTS, missing), "none")
        jets = jets_of(collisions.from_batch(batch), unit.conditions, rng)
        found = len(jets.counts)
        empty = 0 if found else empty + 1
        if empty > _MAX_EMPTY_BATCHES:
            raise InputError(f"no jets of class {name!r} come out under these conditions; correct them")
        parts.append(clustering.select(jets, np.arange(min(found, missing))))
        missing -= found
    return clustering.concatenate(parts)


def jets_of(collided: Collisions, conditions: Conditions, rng: np.random.Generator) -> clustering.RaggedJets:
    """What is seen and kept of collisions.

    Args:
      collided: the collisions.
      conditions: pile-up, detector, jets.
      rng: the source of pile-up and smearing.

    Returns:
      Jets by collision; their particles are not sorted.

    Raises:
      InputError: the extra `sim` is missing.

    >>> jets_of(collided, Conditions(), np.random.default_rng(0)).counts  # doctest: +SKIP
    array([35, 61])
    """
    final = visible(collided.final)
    if conditions.pile_up > 0:
        final = collisions.concatenate([final, visible(_pile_up(collided.events, conditions.pile_up, rng))])
    seen = final if conditions.detector is None else detect(final, conditions.detector, rng)
    return clustering.jets_of(seen, collided, conditions)


def _pile_up(count: int, mean: float, rng: np.random.Generator) -> Particles:
    """The final particles of a Poisson number of soft collisions on top of each of so many hard ones."""
    soft = soft_generator()
    seed(soft, int(rng.integers(2**31)))
    on_top = np.repeat(np.arange(count), rng.poisson(mean, count))
    made = collisions.from_batch(soft.pythia.nextBatch(len(on_top), "none")).final if len(on_top) else None
    if made is None:
        return Particles(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    return made._replace(event=on_top[made.event])

"""A unit of work: up to a hundred jets of a class, from a seed of their own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics.simulation import clustering, collisions
from hepjax.physics.simulation.collisions import Collisions, Particles
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.cuts import Cuts, add_cut_counts, describe_cuts
from hepjax.physics.simulation.detector import detect_particles, visible_particles
from hepjax.physics.simulation.processes import pile_up_generator, process_generator, seed

UNIT_JETS = 100
_MAX_EMPTY_BATCHES = 20
_FEWEST_EVENTS = 4


class Unit(NamedTuple):
    """The jets that a worker is to make; they depend on nothing else."""

    seed: int
    label: int
    """Index into `hls4ml.CLASSES`."""
    number: int
    """Its place among the units of its class, from 0."""
    jets: int
    conditions: Conditions = PUBLIC


def simulate_unit(unit: Unit) -> clustering.Kept:
    """Generates collisions until the unit's number of jets is reached.

    Args:
      unit: the jets to make.

    Returns:
      `unit.jets` jets; their particles are not sorted. All jets that were made are counted.

    Raises:
      InputError: the extra `sim` is missing, Pythia refuses the conditions or gives up, or no jets come out.

    >>> simulate_unit(Unit(seed=1, label=2, number=0, jets=1)).jets.counts  # doctest: +SKIP
    array([35])
    """
    name = hls4ml.CLASSES[unit.label]
    sequence = np.random.SeedSequence([unit.seed, unit.label, unit.number])
    rng = np.random.default_rng(sequence)
    source = process_generator(name, unit.conditions)
    seed(source, int(sequence.generate_state(1)[0]))
    parts: list[clustering.RaggedJets] = []
    missing, empty, cuts = unit.jets, 0, Cuts()
    while missing > 0:
        batch = source.pythia.nextBatch(max(_FEWEST_EVENTS, missing), "none")
        jets, counts = jets_of_collisions(collisions.collisions_from_pythia_batch(batch), unit.conditions, rng)
        cuts = add_cut_counts(cuts, counts._replace(events=len(batch)))
        empty = 0 if len(jets.counts) else empty + 1
        if empty > _MAX_EMPTY_BATCHES:
            steps = describe_cuts(cuts, unit.conditions.keep)
            raise InputError(f"too few jets of class {name!r} come out under these conditions ({steps}); correct them")
        parts.append(clustering.select_jets(jets, np.arange(min(len(jets.counts), missing))))
        missing -= len(jets.counts)
    return clustering.Kept(clustering.concatenate_jets(parts), cuts)


def jets_of_collisions(collided: Collisions, conditions: Conditions, rng: np.random.Generator) -> clustering.Kept:
    """Takes collisions through pile-up, the detector and the clustering.

    Args:
      collided: the collisions.
      conditions: pile-up, detector, jets.
      rng: the source of pile-up and smearing.

    Returns:
      Jets by collision; their particles are not sorted. The events that are counted are the collisions.

    Raises:
      InputError: the extra `sim` is missing.

    >>> jets_of_collisions(collided, Conditions(), np.random.default_rng(0)).jets.counts  # doctest: +SKIP
    array([35, 61])
    """
    final = visible_particles(collided.final)
    if conditions.pile_up > 0:
        final = collisions.concatenate_collisions(
            [final, visible_particles(_draw_pile_up(collided.events, conditions.pile_up, rng))]
        )
    seen = final if conditions.detector is None else detect_particles(final, conditions.detector, rng)
    return clustering.find_jets(seen, collided, conditions)


def _draw_pile_up(count: int, mean: float, rng: np.random.Generator) -> Particles:
    """Makes the final particles of a Poisson number of soft collisions on top of each hard one."""
    soft = pile_up_generator()
    seed(soft, int(rng.integers(2**31)))
    on_top = np.repeat(np.arange(count), rng.poisson(mean, count))
    if len(on_top) == 0:
        return Particles(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    final = collisions.collisions_from_pythia_batch(soft.pythia.nextBatch(len(on_top), "none")).final
    return final._replace(event=on_top[final.event])

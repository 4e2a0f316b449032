"""Jets of events that others generated: Les Houches files through Pythia, HepMC files as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.choices import Keep
from hepjax.errors import InputError
from hepjax.physics.simulation import hepmc, les_houches
from hepjax.physics.simulation.clustering import Kept
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.event_text import Beams, Chunk, Format
from hepjax.physics.simulation.units import jets_of_collisions

if TYPE_CHECKING:
    from hepjax.physics.simulation.collisions import Collisions

_MARK = 1_000_000
"""Sets the random numbers apart from those of other units: there are fewer classes."""

_SOFT = Beams((2212, 2212), (6500.0, 6500.0))
"""The beams of pile-up."""
_CLOSE = 0.01


class EventsUnit(NamedTuple):
    """A chunk of events for a worker; what comes out depends on nothing else."""

    seed: int
    number: int
    """Its place among the units of its file, from 0."""
    chunk: Chunk
    conditions: Conditions = PUBLIC


def simulate_events(unit: EventsUnit) -> Kept:
    """Makes the jets of a chunk of events.

    Args:
      unit: the events, and how they are seen.

    Returns:
      Jets by event; their particles are not sorted. The events that are counted are those of the chunk.

    Raises:
      InputError: an event is damaged, Pythia refuses the conditions, or the extra `sim` is missing.

    >>> simulate_events(EventsUnit(1, 0, next(chunks("events.lhe")))).jets.counts[:2]  # doctest: +SKIP
    array([35, 61])
    """
    sequence = np.random.SeedSequence([unit.seed, _MARK, unit.number])
    collisions = collide_event_chunk(unit.chunk, int(sequence.generate_state(1)[0]), unit.conditions)
    jets, cuts = jets_of_collisions(collisions, unit.conditions, np.random.default_rng(sequence))
    return Kept(jets, cuts._replace(events=len(unit.chunk.events)))


def collide_event_chunk(chunk: Chunk, seed: int, conditions: Conditions) -> Collisions:
    """Makes the collisions of a chunk of events.

    Args:
      chunk: events of a Les Houches file, from which Pythia goes on, or of a HepMC file, which has whole collisions.
      seed: a non-negative integer; it counts for Les Houches events only.
      conditions: their `pythia` counts, likewise.

    Returns:
      As many collisions, less those that Pythia gives up on.

    Raises:
      InputError: an event is damaged, Pythia refuses the conditions, or the extra `sim` is missing.

    >>> collide_event_chunk(next(chunks("events.lhe")), 1, PUBLIC).events  # doctest: +SKIP
    100
    """
    if conditions.pile_up > 0:
        read_beams = les_houches.les_houches_beams if chunk.format is Format.LES_HOUCHES else hepmc.hepmc_beams
        _check_pile_up_beams(chunk.path, read_beams(chunk))
    if chunk.format is Format.LES_HOUCHES:
        return les_houches.collide_les_houches(chunk, seed, conditions)
    collisions = hepmc.collide_hepmc(chunk)
    if conditions.keep is Keep.MATCHED and len(collisions.hard.ids) == 0:
        raise InputError(
            f"{chunk.path}: expected the hard process, by status 21 to 23 or 3, since only jets near hard partons are "
            "kept, found none; keep the leading jets"
        )
    return collisions


def _check_pile_up_beams(path: str, beams: Beams | None) -> None:
    """Checks that the hard collisions are of the same beams as pile-up."""
    if beams is not None and (beams.ids != _SOFT.ids or not np.allclose(beams.energies, _SOFT.energies, rtol=_CLOSE)):
        raise InputError(
            f"{path}: expected protons of {_SOFT.energies[0]} GeV, as those of pile-up, found {beams.ids} of "
            f"{beams.energies} GeV; leave pile-up out"
        )

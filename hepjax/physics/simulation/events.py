"""Jets of events that others generated: Les Houches files through Pythia, HepMC files as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.choices import Keep
from hepjax.errors import InputError
from hepjax.physics.simulation import clustering, hepmc, les_houches
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.event_files import Beams, Chunk, Format, chunks
from hepjax.physics.simulation.units import jets_of

if TYPE_CHECKING:
    from hepjax.physics.simulation.collisions import Collisions

__all__ = ["Chunk", "EventsUnit", "chunks", "collide", "simulate_events"]

_MARK = 1_000_000
"""Sets the random numbers apart from those of other units: there are fewer classes."""

_SOFT = Beams((2212, 2212), (6500.0, 6500.0))
"""Of pile-up."""
_CLOSE = 0.01


class EventsUnit(NamedTuple):
    """What a worker is asked for; the answer depends on nothing else."""

    seed: int
    number: int
    """The how-manieth unit of its file."""
    chunk: Chunk
    conditions: Conditions = PUBLIC


def simulate_events(unit: EventsUnit) -> clustering.RaggedJets:
    """The jets of a chunk of events.

    Args:
      unit: the events, and what is seen of them.

    Returns:
      Jets by event; their particles are not sorted.

    Raises:
      InputError: an event is damaged, Pythia refuses the conditions, or the extra `sim` is missing.

    >>> simulate_events(EventsUnit(1, 0, next(chunks("events.lhe")))).counts[:2]  # doctest: +SKIP
    array([35, 61])
    """
    sequence = np.random.SeedSequence([unit.seed, _MARK, unit.number])
    collided = collide(unit.chunk, int(sequence.generate_state(1)[0]), unit.conditions)
    return jets_of(collided, unit.conditions, np.random.default_rng(sequence))


def collide(chunk: Chunk, seed: int, conditions: Conditions) -> Collisions:
    """The collisions of a chunk of events.

    Args:
      chunk: events of a Les Houches file, from which Pythia goes on, or of a HepMC file, which has whole collisions.
      seed: a non-negative integer; it counts for Les Houches events only.
      conditions: their `pythia` counts, likewise.

    Returns:
      As many collisions, less those that Pythia gives up on.

    Raises:
      InputError: an event is damaged, Pythia refuses the conditions, or the extra `sim` is missing.

    >>> collide(next(chunks("events.lhe")), 1, PUBLIC).events  # doctest: +SKIP
    100
    """
    read = les_houches if chunk.format is Format.LES_HOUCHES else hepmc
    if conditions.pile_up > 0:
        _check_beams(chunk.path, read.beams(chunk))
    if chunk.format is Format.LES_HOUCHES:
        return les_houches.collide(chunk, seed, conditions)
    made = hepmc.collide(chunk)
    if conditions.keep is Keep.MATCHED and len(made.hard.ids) == 0:
        raise InputError(
            f"{chunk.path}: expected the hard process, by status 21 to 23 or 3, since only jets near hard partons are "
            "kept, found none; keep the leading jets"
        )
    return made


def _check_beams(path: str, found: Beams | None) -> None:
    """Pile-up is of the collisions that the hard ones are of."""
    if found is not None and (found.ids != _SOFT.ids or not np.allclose(found.energies, _SOFT.energies, rtol=_CLOSE)):
        raise InputError(
            f"{path}: expected protons of {_SOFT.energies[0]} GeV, as those of pile-up, found {found.ids} of "
            f"{found.energies} GeV; leave pile-up out"
        )

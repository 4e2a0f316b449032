"""Collisions from the text of HepMC events, which other generators made whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.physics.simulation.collisions import Collisions, Particles
from hepjax.physics.simulation.event_text import Beams
from hepjax.physics.simulation.hepmc_text import Record, read_hepmc_record, read_hepmc_weights
from hepjax.physics.simulation.weights import nominal_weight_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepjax.physics.simulation.event_text import Chunk, EventWeights

_STABLE = 1
_BEAM = 4
_DOCUMENTED = 3
"""Status of the hard process in older generators' records."""
_INCOMING = 21
"""Status of the partons that come into the hard process, in Pythia's records."""
_OUTGOING = (1, 2, 22, 23)
"""Statuses of the partons that come out of it."""
_PARTONS = (*range(1, 7), *range(11, 17), *range(21, 26))
"""Absolute PDG identities that a hard process is described by: quarks, leptons, gluon, bosons."""
_RESONANCES = (6, 23, 24, 25)
"""Absolute PDG identities: top, Z, W, Higgs."""
_MOST_COPIES = 100
_MOST_GENERATIONS = 3


def collide_hepmc(chunk: Chunk) -> Collisions:
    """Reads the collisions of HepMC events, in GeV, whatever the file's unit.

    Stable particles have status 1 and do not come of others of status 1, as the decays do that happen in a detector.
    Particles that come out of the hard process are known from generators that mark it, with status 21 to 23 as Pythia 8
    or with status 3 as older ones; bosons and tops are their last copies.

    Args:
      chunk: events of a HepMC file.

    Returns:
      As many collisions.

    Raises:
      InputError: an event is damaged.

    >>> collide_hepmc(next(chunks("events.hepmc"))).events  # doctest: +SKIP
    100
    """
    final: list[Particles] = []
    hard: list[Particles] = []
    decays: list[Particles] = []
    mother: list[np.ndarray] = []
    roots = 0
    for i in range(len(chunk.events)):
        record = read_hepmc_record(chunk, i)
        final.append(_hepmc_particle_rows(record, np.flatnonzero(_is_stable_hepmc_particle(record)), i))
        outgoing = _hepmc_hard_process(record)
        hard.append(_hepmc_particle_rows(record, [row for row, _ in outgoing], i))
        decays.append(_hepmc_particle_rows(record, [row for _, products in outgoing for row in products], i))
        mother.append(np.repeat(np.arange(len(outgoing)) + roots, [len(products) for _, products in outgoing]))
        roots += len(outgoing)
    table = np.array([weights.values for weights in hepmc_weights(chunk)], np.float64).reshape(len(chunk.events), -1)
    return Collisions(
        len(chunk.events),
        _join_hepmc_events(final),
        _join_hepmc_events(hard),
        _join_hepmc_events(decays),
        np.concatenate(mother),
        table,
    )


def hepmc_weights(chunk: Chunk) -> Iterator[EventWeights]:
    """Reads the weights of HepMC events, the nominal one first.

    Args:
      chunk: any events of the file.

    Yields:
      The weights of each event.

    Raises:
      InputError: a weight is no finite number, or names and weights are not as many.

    >>> [weights.values for weights in hepmc_weights(next(chunks("events.hepmc")))][:2]  # doctest: +SKIP
    [(0.25,), (-0.25,)]
    """
    for row in range(len(chunk.events)):
        yield nominal_weight_first(read_hepmc_weights(chunk, row))


def hepmc_beams(chunk: Chunk) -> Beams | None:
    """Reads the beams of a chunk's first event.

    Args:
      chunk: events of a HepMC file.

    Returns:
      The two particles of status 4, or else the two that come from nowhere; None where there are not two.

    Raises:
      InputError: the event is damaged.

    >>> hepmc_beams(next(chunks("events.hepmc")))  # doctest: +SKIP
    Beams(ids=(2212, 2212), energies=(6500.0, 6500.0))
    """
    record = read_hepmc_record(chunk, 0)
    for mask in (record.status == _BEAM, record.origin < 0):
        if mask.sum() == 2:
            (id_a, id_b), (energy_a, energy_b) = record.ids[mask].tolist(), record.p4[mask, 3].tolist()
            return Beams((id_a, id_b), (energy_a, energy_b))
    return None


def _is_stable_hepmc_particle(record: Record) -> np.ndarray:
    """Selects particles of status 1 that come of no others: those come of decays in a simulated detector."""
    stable = record.status == _STABLE
    later = np.zeros(len(stable), bool)
    while True:
        vertices = np.unique(record.end[(stable | later) & (record.end >= 0)])
        reached = np.isin(record.origin, vertices)
        if (reached == later).all():
            return np.asarray(stable & ~later)
        later = reached


def _hepmc_particle_rows(record: Record, rows: Any, event: int) -> Particles:
    rows = np.asarray(rows, np.int64)
    return Particles(record.p4[rows], record.ids[rows], np.full(len(rows), event))


def _join_hepmc_events(parts: list[Particles]) -> Particles:
    return Particles(*map(np.concatenate, zip(*parts, strict=True)))


def _hepmc_hard_process(record: Record) -> list[tuple[int, list[int]]]:
    """Finds the rows of each parton or boson that comes out of the hard process, and of its decay products."""
    marked = bool((record.status == _INCOMING).any())
    incoming = record.status == (_INCOMING if marked else _DOCUMENTED)
    outgoing = np.isin(record.status, _OUTGOING if marked else (_DOCUMENTED,))
    ends = record.end[incoming]
    partons: dict[int, None] = {}
    for vertex in dict.fromkeys(ends[ends >= 0].tolist()):
        if (ends == vertex).sum() > 1:
            partons |= dict.fromkeys(np.flatnonzero((record.origin == vertex) & outgoing).tolist())
    last = [_last_copy(record, row) for parton in partons for row in _known_partons(record, parton)]
    return [(row, _decay_products_of_boson(record, row)) for row in last]


def _hepmc_children(record: Record, row: int) -> list[int]:
    end = record.end[row]
    return [] if end < 0 else np.flatnonzero(record.origin == end).tolist()


def _known_partons(record: Record, row: int, generations: int = _MOST_COPIES) -> list[int]:
    """Replaces a particle beyond the Standard Model by its decay products; returns any other as it is."""
    children = _hepmc_children(record, row)
    if abs(record.ids[row]) in _PARTONS or generations == 0 or record.end[row] < 0:
        return [row]
    if len(children) == 1:
        return _known_partons(record, children[0], generations - 1)
    following = min(generations, _MOST_GENERATIONS) - 1
    return [parton for child in children for parton in _known_partons(record, child, following)]


def _last_copy(record: Record, row: int) -> int:
    """Follows a boson or top to its decay; returns any other particle as it is."""
    for _ in range(_MOST_COPIES if abs(record.ids[row]) in _RESONANCES else 0):  # a damaged record may go in circles
        copies = [child for child in _hepmc_children(record, row) if record.ids[child] == record.ids[row]]
        if len(copies) != 1:
            break
        row = copies[0]
    return row


def _decay_products_of_boson(record: Record, row: int, generations: int = _MOST_GENERATIONS) -> list[int]:
    """Lists the products of a boson or top, and of its bosons: a top's bottom quark first."""
    if abs(record.ids[row]) not in _RESONANCES or generations == 0:
        return []
    children = _hepmc_children(record, row)
    light = [child for child in children if abs(record.ids[child]) not in _RESONANCES]
    bosons = [_last_copy(record, child) for child in children if abs(record.ids[child]) in _RESONANCES]
    return light + [product for boson in bosons for product in _decay_products_of_boson(record, boson, generations - 1)]

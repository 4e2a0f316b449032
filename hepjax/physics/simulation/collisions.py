"""Collisions as arrays: their final particles, the hard process that these stem from, and their weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_INCOMING = 3
"""Entry of the first incoming parton of the hard process in every record of Pythia."""
_DECAYING = 22
_PRODUCT = 23
"""Status of what comes out of the hard process, or of a decay in it: decaying further, and not."""
_STANDARD_MODEL = (1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16, 21, 22, 23, 24, 25)
_BEFORE_DECAY = 62
"""Status of the last copy of a hard boson or top: after recoils, before its decay."""


class Particles(NamedTuple):
    """K particles of several collisions."""

    p4: np.ndarray
    """(K, 4) momenta (px, py, pz, E), GeV."""
    ids: np.ndarray
    """(K,) PDG identities."""
    event: np.ndarray
    """(K,) the index of the collision, not decreasing."""


class Collisions(NamedTuple):
    """Several collisions."""

    events: int
    """Their number, E."""
    final: Particles
    """The stable particles."""
    hard: Particles
    """The partons and bosons that come out of the hard process."""
    decays: Particles
    """The quarks or leptons that hard bosons and tops decay to, a top's bottom quark first."""
    mother: np.ndarray
    """(D,) row in `hard` of each decay product."""
    weights: np.ndarray
    """(E, W) weights of the events, the nominal one first; W = 0 where they have none."""


_NOTHING = Particles(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.int64))


def take_particles(particles: Particles, rows: np.ndarray) -> Particles:
    """Selects particles, by row numbers or mask.

    >>> take_particles(Particles(np.eye(4), np.arange(4), np.zeros(4)), np.array([2])).ids.tolist()
    [2]
    """
    return Particles(*(array[rows] for array in particles))


def concatenate_collisions(parts: list[Particles]) -> Particles:
    """Joins groups of particles, by collision.

    >>> concatenate_collisions([Particles(np.eye(4), np.arange(4), np.array([0, 1, 1, 2]))] * 2).event.tolist()
    [0, 0, 1, 1, 1, 1, 2, 2]
    """
    joined = Particles(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return take_particles(joined, np.argsort(joined.event, kind="stable"))


def collisions_from_pythia_batch(batch: Any, weights: np.ndarray | None = None) -> Collisions:
    """Reads the collisions of a batch of Pythia's.

    Args:
      batch: of `pythia8mc.Pythia.nextBatch`, an awkward array of events, in which None stands for one that Pythia gave
        up on.
      weights: (E, W) of the events that Pythia did not give up on; None where they have none.

    Returns:
      The collisions, less those that Pythia gave up on. Hard bosons and tops are their last copies, after all recoils;
      resonances beyond the Standard Model are replaced by what they decay to.

    >>> collisions_from_pythia_batch(generator.pythia.nextBatch(10)).events  # doctest: +SKIP
    10
    """
    import awkward as ak  # type: ignore[import-untyped]  # comes with fastjet

    completed = ak.drop_none(batch, axis=0)
    weights = np.zeros((len(completed), 0)) if weights is None else weights
    if len(completed) == 0:  # a batch of nothing but None has no fields
        return Collisions(0, _NOTHING, _NOTHING, _NOTHING, np.zeros(0, np.int64), weights)
    record = completed.prt
    # One call hands over all events as arrays, for a hundredth of the cost of visiting each particle.
    flat, lengths = ak.flatten(record), ak.to_numpy(ak.num(record))
    status, ids, mother = (ak.to_numpy(flat[name]) for name in ("status", "id", "mother1"))
    p4 = np.stack([ak.to_numpy(flat.p[name]) for name in ("px", "py", "pz", "e")], axis=1)
    event = np.repeat(np.arange(len(lengths)), lengths)
    all_particles = Particles(p4, ids, event)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)  # row of each event's first entry

    def nearest_ancestors(rows: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """Finds the nearest ancestors that are in the goal, past copies; without any, a row that is not in it."""
        while (climbing := ~np.isin(rows, goal) & (mother[rows] > _INCOMING)).any():
            rows = np.where(climbing, first[rows] + mother[rows], rows)
        return rows

    outgoing = np.flatnonzero(np.isin(np.abs(status), (_DECAYING, _PRODUCT)))
    parent = nearest_ancestors(first[outgoing] + mother[outgoing], outgoing)
    roots = _decay_unknown_particles(outgoing[mother[outgoing] == _INCOMING], outgoing, parent, ids)
    last = _last_copies_of_partons(all_particles, status, roots)
    products = np.flatnonzero((np.abs(status) == _PRODUCT) & (mother > _INCOMING + 1))
    products = products[~np.isin(products, roots)]
    ancestor = nearest_ancestors(products, roots)
    known = np.isin(ancestor, roots)
    return Collisions(
        len(lengths),
        take_particles(all_particles, status > 0),
        take_particles(all_particles, last),
        take_particles(all_particles, products[known]),
        np.searchsorted(roots, ancestor[known]),
        weights,
    )


def _decay_unknown_particles(
    roots: np.ndarray, outgoing: np.ndarray, parent: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """Replaces particles beyond the Standard Model by what they decay to, as long as there are any."""
    while True:
        unknown = roots[~np.isin(np.abs(ids[roots]), _STANDARD_MODEL)]
        children = np.isin(parent, unknown)
        if not children.any():
            return roots
        roots = np.sort(np.concatenate([np.setdiff1d(roots, parent[children]), outgoing[children]]))


def _last_copies_of_partons(particles: Particles, status: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Finds the rows of the last copies of the partons that come out of the hard processes."""
    copies: dict[tuple[int, int], list[int]] = {}
    decaying = roots[np.abs(status[roots]) == _DECAYING]
    for row in np.flatnonzero((status == -_BEFORE_DECAY) & np.isin(particles.ids, particles.ids[decaying])).tolist():
        copies.setdefault((particles.event[row], particles.ids[row]), []).append(row)
    last = roots.copy()
    for i, row in enumerate(roots.tolist()):
        if abs(status[row]) == _DECAYING and (queue := copies.get((particles.event[row], particles.ids[row]))):
            last[i] = queue.pop(0)
    return last

"""Particles of several collisions → the jets that are kept, with FastJet, and the partons that they stem from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.choices import Keep
from hepjax.physics import kinematics
from hepjax.physics.simulation.cuts import FEWEST_PARTICLES, PT_MIN, Cuts
from hepjax.physics.simulation.processes import missing_extra_error

if TYPE_CHECKING:
    from hepjax.physics.simulation.collisions import Collisions, Particles
    from hepjax.physics.simulation.conditions import Conditions

DECAYS = 3
"""Decay products of a boson or top that are recorded."""


class RaggedJets(NamedTuple):
    """N jets of different sizes."""

    p4: np.ndarray
    """(K, 4) momenta of the jets' particles, one jet after another, GeV."""
    ids: np.ndarray
    """(K,) int32 their PDG identities; cells have those of a photon or a long-lived neutral kaon."""
    counts: np.ndarray
    """(N,) particles per jet."""
    parton: np.ndarray
    """(N, 5) momentum (px, py, pz, E), GeV, and PDG identity of the nearest hard parton or boson; 0 where none is."""
    decays: np.ndarray
    """(N, 3, 5) the same of what that decays to, a top's bottom quark first; 0 where there is nothing."""
    weights: np.ndarray
    """(N, W) weights of the jets' events, the nominal one first; W = 0 where they have none."""


class Kept(NamedTuple):
    """The jets that are kept, and how many each cut left."""

    jets: RaggedJets
    cuts: Cuts


def find_jets(seen: Particles, collisions: Collisions, conditions: Conditions) -> Kept:
    """Clusters particles, and keeps jets by the conditions.

    Args:
      seen: the particles of the collisions, as the detector measured them.
      collisions: the collisions.
      conditions: their `radius` and `keep` count.

    Returns:
      The hardest jet of each collision, or those near a hard parton, of at least `PT_MIN` and `FEWEST_PARTICLES`; their
      particles are not sorted. The events that are counted are the collisions.

    Raises:
      InputError: the extra `sim` is missing.

    >>> find_jets(seen, collisions, Conditions()).jets.counts.tolist()  # doctest: +SKIP
    [35, 61]
    """
    p4, ids, counts, event = _cluster_anti_kt(seen, collisions.events, conditions.radius)
    axes = sum_jet_momenta(p4, counts)
    distance = _distances_to_partons(axes, event, collisions.hard)
    hard = near = np.ones(len(event), bool)
    if conditions.keep is Keep.MATCHED:
        near = np.asarray((distance < conditions.radius / 2).any(axis=1))
    elif len(event):
        order = np.lexsort((-kinematics.pt(axes), event))
        leaders = order[np.r_[True, np.diff(event[order]) > 0]]
        hard = np.isin(np.arange(len(event)), leaders)
    large = hard & (counts >= FEWEST_PARTICLES)
    kept = large & near
    parton, decays = _match_jets_to_partons(distance, collisions)
    jets = RaggedJets(p4, ids, counts, parton, decays, collisions.weights[event])
    numbers = (int(mask.sum()) for mask in (hard, large, kept))
    return Kept(select_jets(jets, np.flatnonzero(kept)), Cuts(collisions.events, collisions.events, *numbers))


def _cluster_anti_kt(
    seen: Particles, count: int, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Clusters anti-kT jets (arXiv:0802.1189) by the E-scheme; returns p4 and ids of particles, counts, and events.

    FastJet's array interface takes all events in one call, which is faster than one PseudoJet per particle.
    """
    try:
        import awkward as ak  # type: ignore[import-untyped]  # comes with fastjet
        import fastjet
    except ImportError as error:
        raise missing_extra_error("fastjet") from error
    lengths = np.bincount(seen.event, minlength=count)
    columns = dict(zip(("px", "py", "pz", "E"), np.ascontiguousarray(seen.p4.T), strict=True))
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    sequence = fastjet.ClusterSequence(ak.unflatten(ak.zip(columns), lengths), definition)
    members = sequence.constituent_index(min_pt=PT_MIN)
    counts = ak.to_numpy(ak.flatten(ak.num(members, axis=2))).astype(np.int64)
    event = np.repeat(np.arange(count), ak.to_numpy(ak.num(members, axis=1)))
    first = np.cumsum(lengths) - lengths  # each event's first row
    rows = ak.to_numpy(ak.flatten(members, axis=None)).astype(np.int64) + np.repeat(first[event], counts)
    return seen.p4[rows], seen.ids[rows].astype(np.int32), counts, event


def _distances_to_partons(axes: np.ndarray, event: np.ndarray, hard: Particles) -> np.ndarray:
    """Computes (N, H) ΔR between jets and hard partons, infinite between different events."""
    eta, phi = kinematics.eta(axes)[:, None], kinematics.phi(axes)[:, None]
    distance = kinematics.delta_r(eta, phi, kinematics.eta(hard.p4)[None], kinematics.phi(hard.p4)[None])
    return np.where(event[:, None] == hard.event[None], distance, np.inf)


def _match_jets_to_partons(distance: np.ndarray, collisions: Collisions) -> tuple[np.ndarray, np.ndarray]:
    """Finds (N, 5) the nearest parton of each jet, and (N, 3, 5) its decay products."""
    hard, products = (np.column_stack([p.p4, p.ids]) for p in (collisions.hard, collisions.decays))
    # One more parton, of zeros, stands for none.
    hard = np.concatenate([hard, np.zeros((1, 5))])
    decays = np.zeros((len(hard), DECAYS, 5))
    order = np.argsort(collisions.mother, kind="stable")
    mother = collisions.mother[order]
    rank = np.arange(len(mother)) - np.searchsorted(mother, mother)
    decays[mother[rank < DECAYS], rank[rank < DECAYS]] = products[order][rank < DECAYS]
    distance = np.column_stack([distance, np.full(len(distance), np.finfo(np.float64).max)])
    nearest = distance.argmin(axis=1)
    return hard[nearest], decays[nearest]


def sum_jet_momenta(p4: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Adds up the momenta of jets.

    Args:
      p4: (K, 4) momenta of particles, one jet after another.
      counts: (N,) particles per jet, none 0.

    Returns:
      (N, 4) sums of their particles' momenta.

    >>> sum_jet_momenta(np.array([[1.0, 0, 0, 1], [2, 0, 0, 2], [3, 0, 0, 3]]), np.array([2, 1]))[:, 3].tolist()
    [3.0, 3.0]
    """
    if len(counts) == 0:
        return np.zeros((0, 4))
    return np.add.reduceat(p4, np.cumsum(counts) - counts, axis=0)


def select_jets(jets: RaggedJets, rows: np.ndarray) -> RaggedJets:
    """Selects jets, in the order of the row numbers.

    Args:
      jets: N jets.
      rows: (M,) row numbers.

    Returns:
      M jets.

    >>> truth = np.zeros((2, 5)), np.zeros((2, 3, 5))
    >>> two = RaggedJets(np.eye(4)[:2], np.array([1, 2]), np.array([1, 1]), *truth, np.zeros((2, 0)))
    >>> select_jets(two, np.array([1])).ids.tolist()
    [2]
    """
    counts = jets.counts[rows]
    start = (np.cumsum(jets.counts) - jets.counts)[rows]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    particles = np.repeat(start, counts) + within
    p4, ids = jets.p4[particles], jets.ids[particles]
    return RaggedJets(p4, ids, counts, jets.parton[rows], jets.decays[rows], jets.weights[rows])


def concatenate_jets(parts: list[RaggedJets]) -> RaggedJets:
    """Joins groups of jets.

    Args:
      parts: one group or more.

    Returns:
      All their jets, in order.

    >>> truth = np.zeros((1, 5)), np.zeros((1, 3, 5))
    >>> single = RaggedJets(np.eye(4)[:1], np.array([22]), np.array([1]), *truth, np.zeros((1, 0)))
    >>> concatenate_jets([single, single]).counts.tolist()
    [1, 1]
    """
    return RaggedJets(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def pad_jets(jets: RaggedJets, multiple: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Puts the particles of jets into arrays, by falling pT.

    Args:
      jets: N jets.
      multiple: the arrays' length is a multiple of this.

    Returns:
      (N, M, 4) momenta and (N, M) int32 identities, zero in the padding, which comes last, and (N, M) the mask.

    >>> p4 = np.array([[1.0, 0, 0, 1], [9, 0, 0, 9], [2, 0, 0, 2]])
    >>> truth = np.zeros((2, 5)), np.zeros((2, 3, 5))
    >>> jets = RaggedJets(p4, np.array([1, 2, 3]), np.array([2, 1]), *truth, np.zeros((2, 0)))
    >>> pad_jets(jets)[1][:, :3].tolist()
    [[2, 1, 0], [3, 0, 0]]
    """
    longest = int(jets.counts.max(initial=1))
    mask = np.arange(-(-longest // multiple) * multiple) < jets.counts[:, None]
    jet = np.repeat(np.arange(len(jets.counts)), jets.counts)
    order = np.lexsort((-kinematics.pt(jets.p4), jet))
    p4, ids = np.zeros((*mask.shape, 4)), np.zeros(mask.shape, np.int32)
    p4[mask], ids[mask] = jets.p4[order], jets.ids[order]
    return p4, ids, mask

"""Particles of several events → the jets that stem from their hard partons, with FastJet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepjax import kinematics
from hepjax.simulation.processes import missing_extra

RADIUS = 0.4
PT_MIN = 800.0
"""GeV; a softer jet has lost too much of its parton."""
ETA_MAX = 2.0
MATCH_RADIUS = 0.2
"""Largest ΔR between a jet and its parton."""


class RaggedJets(NamedTuple):
    """N jets of different sizes."""

    p4: np.ndarray
    """(K, 4) momenta of the jets' particles, one jet after another, GeV."""
    counts: np.ndarray
    """(N,) particles per jet."""


def cluster(p4: np.ndarray, counts: np.ndarray, pt_min: float = PT_MIN) -> tuple[RaggedJets, np.ndarray]:
    """Anti-kT jets (arXiv:0802.1189) with R = 0.4 and the E-scheme.

    The whole event is clustered: that takes less than a tenth of its generation, and is exact. FastJet's array
    interface takes all events in one call, which is faster than one PseudoJet per particle.

    Args:
      p4: (K, 4) momenta (px, py, pz, E) of the particles, one event after another, GeV.
      counts: (E,) particles per event.
      pt_min: least jet pT, GeV.

    Returns:
      The jets, and (N,) the index of their event, not decreasing.

    Raises:
      InputError: the extra `sim` is missing.

    >>> p4 = np.array([[900.0, 0, 0, 900], [100, 1, 0, 101], [-1000, 0, 0, 1000]])
    >>> cluster(p4, np.array([3]))[0].counts.tolist()  # doctest: +SKIP
    [2, 1]
    """
    try:
        import awkward as ak  # type: ignore[import-untyped]  # comes with fastjet
        import fastjet
    except ImportError as error:
        raise missing_extra("fastjet") from error
    events = ak.unflatten(ak.zip(dict(zip(("px", "py", "pz", "E"), np.ascontiguousarray(p4.T), strict=True))), counts)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    members = fastjet.ClusterSequence(events, definition).constituent_index(min_pt=pt_min)
    jets_per_event = ak.to_numpy(ak.num(members, axis=1))
    jet_counts = ak.to_numpy(ak.flatten(ak.num(members, axis=2)))
    event = np.repeat(np.arange(len(counts)), jets_per_event)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])  # each event's first row in p4
    index = ak.to_numpy(ak.flatten(members, axis=None)).astype(np.int64) + np.repeat(first[event], jet_counts)
    return RaggedJets(p4[index], jet_counts.astype(np.int64)), event


def matched(jets: RaggedJets, event: np.ndarray, partons: np.ndarray, parton_event: np.ndarray) -> np.ndarray:
    """Chooses the jets that stem from a hard parton: both of an event, where both qualify.

    Args:
      jets: the jets.
      event: (N,) the index of each jet's event.
      partons: (H, 4) momenta of the hard partons or bosons, GeV.
      parton_event: (H,) the index of their event.

    Returns:
      Row numbers of the jets within `ETA_MAX` that lie within `MATCH_RADIUS` of a parton of their event.

    >>> jets = RaggedJets(np.array([[900.0, 0, 0, 900], [0, 950, 0, 950]]), np.array([1, 1]))
    >>> matched(jets, np.array([0, 0]), np.array([[1000.0, 1, 0, 1000]]), np.array([0])).tolist()
    [0]
    """
    axes = momenta(jets)
    eta, phi = kinematics.eta(axes)[:, None], kinematics.phi(axes)[:, None]
    distance = kinematics.delta_r(eta, phi, kinematics.eta(partons)[None], kinematics.phi(partons)[None])
    near = (distance < MATCH_RADIUS) & (event[:, None] == parton_event[None])
    return np.flatnonzero(near.any(axis=1) & (np.abs(eta[:, 0]) < ETA_MAX))


def momenta(jets: RaggedJets) -> np.ndarray:
    """The jets' momenta.

    Args:
      jets: N jets.

    Returns:
      (N, 4) sums of their particles' momenta, GeV.

    >>> momenta(RaggedJets(np.array([[1.0, 0, 0, 1], [2, 0, 0, 2], [3, 0, 0, 3]]), np.array([2, 1])))[:, 3].tolist()
    [3.0, 3.0]
    """
    if len(jets.counts) == 0:
        return np.zeros((0, 4))
    return np.add.reduceat(jets.p4, np.cumsum(jets.counts) - jets.counts, axis=0)


def select(jets: RaggedJets, rows: np.ndarray) -> RaggedJets:
    """Some of the jets, in this order.

    Args:
      jets: N jets.
      rows: (M,) row numbers.

    Returns:
      M jets.

    >>> select(RaggedJets(np.array([[1.0, 0, 0, 1], [2, 0, 0, 2]]), np.array([1, 1])), np.array([1])).p4[0, 0].item()
    2.0
    """
    counts = jets.counts[rows]
    start = (np.cumsum(jets.counts) - jets.counts)[rows]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return RaggedJets(jets.p4[np.repeat(start, counts) + within], counts)


def concatenate(parts: list[RaggedJets]) -> RaggedJets:
    """Several groups of jets as one.

    Args:
      parts: one group or more.

    Returns:
      All their jets, in order.

    >>> one = RaggedJets(np.array([[1.0, 0, 0, 1]]), np.array([1]))
    >>> concatenate([one, one]).counts.tolist()
    [1, 1]
    """
    return RaggedJets(np.concatenate([p.p4 for p in parts]), np.concatenate([p.counts for p in parts]))


def padded(jets: RaggedJets, multiple: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """The jets as one array.

    Args:
      jets: N jets.
      multiple: the array's length is a multiple of this.

    Returns:
      (N, M, 4) momenta, zero in the padding, and (N, M) the mask.

    >>> padded(RaggedJets(np.ones((3, 4)), np.array([2, 1])))[1].sum(axis=1).tolist()
    [2, 1]
    """
    longest = int(jets.counts.max(initial=1))
    length = -(-longest // multiple) * multiple
    mask = np.arange(length) < jets.counts[:, None]
    p4 = np.zeros((*mask.shape, 4))
    p4[mask] = jets.p4
    return p4, mask

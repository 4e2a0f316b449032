"""A fast detector: invisible particles vanish, charged hadrons and leptons leave tracks, the rest falls into cells.

The model is that of arXiv:1709.08705, with which the public sample was made. Calorimeter cells are massless particles
at their centers. Particles fly straight from the origin: no magnetic field, no displaced vertices. Neutral
energy is measured apart from the tracks, as perfect particle flow would. The real jets of the public sample that can be
read particle by particle show cells of 0.005 and of 0.01, no track above 170 GeV, and nothing softer than 0.27 GeV.
"""

from __future__ import annotations

import numpy as np

from hepjax.physics import kinematics
from hepjax.physics.simulation.collisions import Particles, concatenate_collisions, take_particles
from hepjax.physics.simulation.conditions import Calorimeter, Detector  # noqa: TC001 — examples use them

ACCEPTANCE = 3.0
"""Largest |η| of calorimeter cells."""
PHOTON, ELECTROMAGNETIC_CELL, HADRONIC_CELL = 22, 22, 130
"""The PDG identities that cells are given: of a photon, and of a long-lived neutral kaon."""

_INVISIBLE = (
    *(12, 14, 16, 18),  # neutrinos
    *(23, 25, 32, 33, 35, 36, 39, 41, 45, 46),  # neutral bosons, where nothing has let them decay
    *range(51, 61),  # dark matter
    *(1000012, 1000014, 1000016, 2000012, 2000014, 2000016),  # sneutrinos
    *(1000022, 1000023, 1000025, 1000035, 1000045, 1000039),  # neutralinos, gravitino
    *(4900012, 4900014, 4900016, 4900021, 4900022),  # hidden valleys; their hadrons follow below
    *(5000039, 5100039),  # excitations in extra dimensions
    *(9900012, 9900014, 9900016, 9900023),  # right-handed neutrinos, Z
)
"""Absolute PDG identities of what no detector sees, as in Pythia's own table."""
_HIDDEN = (4900101, 4900999)
"""The first and the last of a hidden valley's quarks and hadrons."""
_LEPTONS = (11, 13, 15)
# π, K, p, and the long-lived charged hyperons.
_CHARGED_HADRONS = (211, 321, 2212, 3112, 3222, 3312, 3334)


def visible_particles(particles: Particles) -> Particles:
    """Removes invisible particles, and photons without energy that showers end in.

    Neutrinos are invisible, and so are stable particles of new physics without charge and color, such as 52 and
    1000022. Particles that the PDG's scheme has no number for are taken for visible ones.

    Args:
      particles: stable particles.

    Returns:
      The others.

    >>> two = Particles(np.array([[5.0, 0, 0, 5], [5, 0, 0, 5]]), np.array([22, -14]), np.array([0, 0]))
    >>> visible_particles(two).ids.tolist()
    [22]
    """
    return take_particles(particles, ~is_invisible(particles.ids) & (particles.p4[:, 3] > 0))


def is_invisible(ids: np.ndarray) -> np.ndarray:
    """Says which particles no detector sees.

    Args:
      ids: (K,) PDG identities.

    Returns:
      (K,) bool.

    >>> is_invisible(np.array([22, -14, 52, 1000022, -211])).tolist()
    [False, True, True, True, False]
    """
    kinds = np.abs(ids)
    return np.asarray(np.isin(kinds, _INVISIBLE) | ((kinds >= _HIDDEN[0]) & (kinds <= _HIDDEN[1])))


def detect_particles(particles: Particles, detector: Detector, rng: np.random.Generator) -> Particles:
    """Measures the visible particles of collisions.

    Args:
      particles: visible particles.
      detector: its acceptance and resolution.
      rng: the source of inefficiency and smearing.

    Returns:
      Tracks and massless calorimeter cells, by collision. The identities of cells are `ELECTROMAGNETIC_CELL` and
      `HADRONIC_CELL`.

    >>> photon = Particles(np.array([[30.0, 0.0, 0.0, 30.0]]), np.array([22]), np.array([0]))
    >>> round(float(detect_particles(photon, Detector(), np.random.default_rng(0)).p4[0, 3]))
    30
    """
    hard_enough = take_particles(particles, kinematics.pt(particles.p4) > detector.pt_min)
    tracked = has_track(hard_enough, detector, rng)
    photons = ~tracked & (hard_enough.ids == PHOTON)
    parts = [smear_tracks(take_particles(hard_enough, tracked), detector, rng)]
    for calorimeter, kind, mask in (
        (detector.electromagnetic, ELECTROMAGNETIC_CELL, photons),
        (detector.hadronic, HADRONIC_CELL, ~tracked & ~photons),
    ):
        cells = merge_into_cells(take_particles(hard_enough, mask), calorimeter)
        smeared = smear_cells(cells, calorimeter, detector.resolution, rng)
        parts.append(smeared._replace(ids=np.full_like(smeared.ids, kind)))
    return concatenate_collisions(parts)


def has_track(particles: Particles, detector: Detector, rng: np.random.Generator) -> np.ndarray:
    """Chooses the particles that the tracker measures.

    Args:
      particles: visible particles.
      detector: its `track_pt_max` and `track_efficiency` count.
      rng: the source of the inefficiency.

    Returns:
      (K,) bool: leptons, and charged hadrons that are detected and not too hard.

    >>> p4 = np.array([[5.0, 0, 0, 5], [300, 0, 0, 300], [5, 0, 0, 5]])
    >>> three = Particles(p4, np.array([211, 211, 22]), np.zeros(3))
    >>> has_track(three, Detector(), np.random.default_rng(1)).tolist()
    [True, False, False]
    """
    kind = np.abs(particles.ids)
    usable = kinematics.pt(particles.p4) <= detector.track_pt_max
    detected = rng.random(len(kind)) < detector.track_efficiency
    return np.asarray(np.isin(kind, _LEPTONS) | (np.isin(kind, _CHARGED_HADRONS) & usable & detected))


def smear_tracks(tracks: Particles, detector: Detector, rng: np.random.Generator) -> Particles:
    """Smears the momenta of tracks; their directions stay.

    Args:
      tracks: charged particles.
      detector: its resolution of tracks counts.
      rng: the source of the smearing.

    Returns:
      The measured tracks.

    >>> track = Particles(np.array([[5.0, 0, 0, 5.1]]), np.array([211]), np.array([0]))
    >>> bool(smear_tracks(track, Detector(), np.random.default_rng(0)).p4[0, 0] == 5.0)
    False
    """
    width = np.hypot(detector.track_slope * kinematics.pt(tracks.p4), detector.track_constant)
    return _smeared_momenta(tracks, detector.resolution * width, rng)


def merge_into_cells(particles: Particles, calorimeter: Calorimeter) -> Particles:
    """Adds up the energy in each cell.

    Args:
      particles: those that reach this calorimeter; beyond the `ACCEPTANCE` they are lost.
      calorimeter: its cells.

    Returns:
      One massless particle per struck cell, at the cell's center, with the energy that fell into it.

    >>> two = Particles(np.array([[5.0, 0, 0.01, 5], [7, 0, 0.01, 7]]), np.array([22, 22]), np.array([0, 0]))
    >>> cells = merge_into_cells(two, Detector().electromagnetic)
    >>> cells.p4[:, 3].round(6).tolist(), kinematics.eta(cells.p4).round(6).tolist()
    ([12.0], [0.0025])
    """
    eta_cells, phi_cells = (int(width / calorimeter.cell + 1e-9) for width in (2 * ACCEPTANCE, 2 * np.pi))
    eta_cell, phi_cell = 2 * ACCEPTANCE / eta_cells, 2 * np.pi / phi_cells
    i_eta = np.floor((kinematics.eta(particles.p4) + ACCEPTANCE) / eta_cell).astype(np.int64)
    # φ = 2π would open one cell too many.
    i_phi = np.floor(kinematics.phi(particles.p4) % (2 * np.pi) / phi_cell).astype(np.int64) % phi_cells
    inside = (i_eta >= 0) & (i_eta < eta_cells)
    key = ((particles.event.astype(np.int64) * eta_cells + i_eta) * phi_cells + i_phi)[inside]
    cells, member = np.unique(key, return_inverse=True)
    energy = np.bincount(member, weights=particles.p4[inside, 3], minlength=len(cells))
    event, rest = np.divmod(cells, eta_cells * phi_cells)
    i_eta, i_phi = np.divmod(rest, phi_cells)
    eta, phi = (i_eta + 0.5) * eta_cell - ACCEPTANCE, (i_phi + 0.5) * phi_cell
    p4 = kinematics.from_pt_eta_phi_mass(energy / np.cosh(eta), eta, phi, np.zeros_like(energy))
    # Written out, so that cells are massless to the last digit.
    p4[:, 3] = np.linalg.norm(p4[:, :3], axis=1)
    return Particles(p4, np.zeros(len(cells), particles.ids.dtype), event.astype(particles.event.dtype))


def smear_cells(cells: Particles, calorimeter: Calorimeter, resolution: float, rng: np.random.Generator) -> Particles:
    """Smears the energy of calorimeter cells.

    Args:
      cells: merged cells.
      calorimeter: its σ(E)/E.
      resolution: multiplies that.
      rng: the source of the smearing.

    Returns:
      The measured cells; one whose energy comes out as 0 or less is lost.

    >>> cell = Particles(np.array([[50.0, 0, 0, 50]]), np.array([0]), np.array([0]))
    >>> len(smear_cells(cell, Detector().hadronic, 0.5, np.random.default_rng(0)).p4)
    1
    """
    energy = cells.p4[:, 3]
    terms = (calorimeter.stochastic / np.sqrt(energy), calorimeter.noise / energy, calorimeter.constant)
    width = np.sqrt(sum(np.square(term) for term in terms))
    return _smeared_momenta(cells, resolution * width, rng)


def _smeared_momenta(particles: Particles, width: np.ndarray, rng: np.random.Generator) -> Particles:
    """Multiplies momenta by a normal factor around one; what comes out as 0 or less is not seen."""
    factor = 1 + width * rng.standard_normal(len(width))
    return take_particles(particles._replace(p4=particles.p4 * factor[:, None]), factor > 0)

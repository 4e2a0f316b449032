"""A fast detector: neutrinos vanish, charged particles leave tracks, the rest merges into calorimeter cells.

All five real jets of the public sample that can be read particle by particle show the same three kinds of particle:
massive ones anywhere, none above 170 GeV (tracks); massless ones exactly at the centres of an 0.005 × 2π/1256 grid in
η × φ (electromagnetic cells); massless ones exactly at the centres of a grid of twice that spacing (hadronic cells).
Cells are therefore massless particles at their centres, tracks keep their masses. Particles are taken to fly straight
from the origin: no magnetic field, no displaced vertices. Neutral energy is measured apart from the tracks, as perfect
particle flow would (detector model after arXiv:1709.08705).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepjax import kinematics


class Particles(NamedTuple):
    """K particles of several events."""

    p4: np.ndarray
    """(K, 4) momenta (px, py, pz, E), GeV."""
    ids: np.ndarray
    """(K,) PDG identities; 0 for a calorimeter cell."""
    event: np.ndarray
    """(K,) the index of the event, not decreasing."""


class Calorimeter(NamedTuple):
    """Cells and energy resolution σ(E)/E = stochastic/√E ⊕ constant."""

    cell: float
    """Width in η."""
    phi_cells: int
    """The number of cells around the beam."""
    stochastic: float
    """√GeV."""
    constant: float


ACCEPTANCE = 3.0
"""Largest |η| of a particle; jets reach to 2.4."""
PT_MIN = 0.25
"""GeV; the real jets that are not cut at 50 particles hold none below 0.27."""
ELECTROMAGNETIC = Calorimeter(0.005, 1256, 0.03, 0.003)
HADRONIC = Calorimeter(0.01, 628, 0.3, 0.01)
TRACK_EFFICIENCY = 0.98
TRACK_PT_MAX = 220.0
"""GeV; above it the calorimeter measures better than the tracker."""
_TRACK_RESOLUTION = (0.005, 5e-5)  # σ(pT)/pT = 0.005 ⊕ 5e-5 pT/GeV
_TRACK_ANGLE = 0.0005  # radians

_NEUTRINOS = (12, 14, 16)
_ELECTRON, _MUON, _PHOTON = 11, 13, 22
# e, μ, π, K, p, and the long-lived charged hyperons.
_CHARGED = (_ELECTRON, _MUON, 211, 321, 2212, 3112, 3222, 3312, 3334)


def detect(particles: Particles, rng: np.random.Generator) -> Particles:
    """What the detector sees of the final particles of some events.

    Args:
      particles: stable particles at the collision point.
      rng: the source of efficiencies and smearing.

    Returns:
      Tracks and massless calorimeter cells above `PT_MIN`, sorted by event.

    >>> photon = Particles(np.array([[30.0, 0.0, 0.0, 30.0]]), np.array([22]), np.array([0]))
    >>> round(float(detect(photon, np.random.default_rng(0)).p4[0, 3]))
    30
    """
    seen = visible(particles)
    kind = np.abs(seen.ids)
    tracked = has_track(seen, rng)
    # A muon leaves next to nothing in a calorimeter: without a track it is lost.
    electromagnetic = ~tracked & np.isin(kind, (_PHOTON, _ELECTRON))
    hadronic = ~tracked & ~electromagnetic & (kind != _MUON)
    parts = [smear_tracks(_take(seen, tracked), rng)]
    for calorimeter, mask in ((ELECTROMAGNETIC, electromagnetic), (HADRONIC, hadronic)):
        parts.append(smear_cells(merge_into_cells(_take(seen, mask), calorimeter), calorimeter, rng))
    joined = Particles(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    measured = _take(joined, kinematics.pt(joined.p4) > PT_MIN)
    return _take(measured, np.argsort(measured.event, kind="stable"))


def visible(particles: Particles) -> Particles:
    """Removes neutrinos, what flies too close to the beam, and photons without energy that showers end in.

    Args:
      particles: stable particles.

    Returns:
      Those within the acceptance.

    >>> two = Particles(np.array([[5.0, 0, 0, 5], [5, 0, 0, 5]]), np.array([22, -14]), np.array([0, 0]))
    >>> visible(two).ids.tolist()
    [22]
    """
    forward = np.abs(particles.p4[:, 2]) > np.sinh(ACCEPTANCE) * kinematics.pt(particles.p4)
    still = particles.p4[:, 3] <= 0
    return _take(particles, ~forward & ~still & ~np.isin(np.abs(particles.ids), _NEUTRINOS))


def has_track(particles: Particles, rng: np.random.Generator) -> np.ndarray:
    """Chooses the particles that the tracker measures.

    Args:
      particles: visible particles.
      rng: the source of the inefficiency.

    Returns:
      (K,) bool: charged, found, and below `TRACK_PT_MAX`; a muon's track is used at any pT.

    >>> p4 = np.array([[5.0, 0, 0, 5], [300, 0, 0, 300], [5, 0, 0, 5]])
    >>> three = Particles(p4, np.array([211, 211, 22]), np.zeros(3))
    >>> has_track(three, np.random.default_rng(1)).tolist()
    [True, False, False]
    """
    kind = np.abs(particles.ids)
    usable = (kinematics.pt(particles.p4) < TRACK_PT_MAX) | (kind == _MUON)
    found = rng.random(len(kind)) < TRACK_EFFICIENCY
    return np.asarray(np.isin(kind, _CHARGED) & usable & found)


def smear_tracks(tracks: Particles, rng: np.random.Generator) -> Particles:
    """Smears pT, η and φ of tracks; masses stay.

    Args:
      tracks: charged particles.
      rng: the source of the smearing.

    Returns:
      The measured tracks.

    >>> track = Particles(np.array([[5.0, 0, 0, 5.1]]), np.array([211]), np.array([0]))
    >>> measured = smear_tracks(track, np.random.default_rng(0)).p4
    >>> bool(np.isclose(kinematics.mass(measured), kinematics.mass(track.p4)).all())
    True
    """
    p4 = tracks.p4
    pt, noise = kinematics.pt(p4), rng.standard_normal((3, len(p4)))
    constant, slope = _TRACK_RESOLUTION
    # An exponential keeps pT positive.
    pt_measured = pt * np.exp(np.hypot(constant, slope * pt) * noise[0])
    eta = kinematics.eta(p4) + _TRACK_ANGLE * noise[1]
    phi = kinematics.phi(p4) + _TRACK_ANGLE * noise[2]
    return tracks._replace(p4=kinematics.from_pt_eta_phi_mass(pt_measured, eta, phi, kinematics.mass(p4)))


def merge_into_cells(particles: Particles, calorimeter: Calorimeter) -> Particles:
    """Adds up the energy in each cell.

    Args:
      particles: those that reach this calorimeter.
      calorimeter: its cells.

    Returns:
      One massless particle per struck cell, at the cell's centre, with the energy that fell into it.

    >>> two = Particles(np.array([[5.0, 0, 0.01, 5], [7, 0, 0.01, 7]]), np.array([22, 22]), np.array([0, 0]))
    >>> cells = merge_into_cells(two, ELECTROMAGNETIC)
    >>> cells.p4[:, 3].round(6).tolist(), kinematics.eta(cells.p4).round(6).tolist()
    ([12.0], [0.0025])
    """
    phi_cell = 2 * np.pi / calorimeter.phi_cells
    eta_cells = 2 * int(np.ceil(ACCEPTANCE / calorimeter.cell))
    i_eta = np.floor(kinematics.eta(particles.p4) / calorimeter.cell).astype(np.int64) + eta_cells // 2
    # φ = π would open one cell too many.
    i_phi = np.floor((kinematics.phi(particles.p4) + np.pi) / phi_cell).astype(np.int64) % calorimeter.phi_cells
    key = (particles.event.astype(np.int64) * eta_cells + i_eta) * calorimeter.phi_cells + i_phi
    cells, member = np.unique(key, return_inverse=True)
    energy = np.bincount(member, weights=particles.p4[:, 3], minlength=len(cells))
    event, rest = np.divmod(cells, eta_cells * calorimeter.phi_cells)
    i_eta, i_phi = np.divmod(rest, calorimeter.phi_cells)
    eta = (i_eta - eta_cells // 2 + 0.5) * calorimeter.cell
    phi = -np.pi + (i_phi + 0.5) * phi_cell
    p4 = kinematics.from_pt_eta_phi_mass(energy / np.cosh(eta), eta, phi, np.zeros_like(energy))
    # Written out, so that cells are massless to the last digit.
    p4[:, 3] = np.linalg.norm(p4[:, :3], axis=1)
    return Particles(p4, np.zeros(len(cells), particles.ids.dtype), event.astype(particles.event.dtype))


def smear_cells(cells: Particles, calorimeter: Calorimeter, rng: np.random.Generator) -> Particles:
    """Smears the energy of calorimeter cells.

    Args:
      cells: merged cells.
      calorimeter: its resolution.
      rng: the source of the smearing.

    Returns:
      The measured cells; one whose energy comes out as 0 or less is lost.

    >>> cell = Particles(np.array([[50.0, 0, 0, 50]]), np.array([0]), np.array([0]))
    >>> len(smear_cells(cell, HADRONIC, np.random.default_rng(0)).p4)
    1
    """
    energy = cells.p4[:, 3]
    width = np.hypot(calorimeter.stochastic / np.sqrt(energy), calorimeter.constant)
    factor = 1 + width * rng.standard_normal(len(energy))
    return _take(cells._replace(p4=cells.p4 * factor[:, None]), factor > 0)


def _take(particles: Particles, rows: np.ndarray) -> Particles:
    return Particles(*(array[rows] for array in particles))

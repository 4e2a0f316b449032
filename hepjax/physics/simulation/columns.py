"""The sixteen particle columns of the public layout, those of the rotated frame included."""

from __future__ import annotations

import numpy as np

from hepjax.numerics import safe_divide, wrap_azimuth
from hepjax.physics import kinematics

SECOND_AXIS_MIN = 0.1
"""Least ΔR between the leading particle and the second axis."""


def constituent_columns(p4: np.ndarray, mask: np.ndarray, jet_p4: np.ndarray) -> np.ndarray:
    """Computes the columns `hls4ml.PARTICLE_COLUMNS` of each particle.

    `rel` columns refer to the whole jet. `rot` columns refer to the leading particle, turned about it so that the
    second axis, the hardest particle beyond `SECOND_AXIS_MIN` from the leader, lies at z = 0 and y < 0, and mirrored
    where the jet has more pT at smaller η than the leader's than at larger (layout of the public dataset,
    Zenodo 3601436; this reproduces its columns).

    Args:
      p4: (N, P, 4) momenta (px, py, pz, E) by falling pT, GeV.
      mask: (N, P) bool, True for a particle.
      jet_p4: (N, 4) the jets' momenta, GeV.

    Returns:
      (N, P, 16) float32; padding is zero.

    >>> p4 = np.array([[[3.0, 4.0, 0.0, 5.0], [0.0, 0.0, 0.0, 0.0]]])
    >>> columns = constituent_columns(p4, p4[..., 3] > 0, p4.sum(axis=1))
    >>> columns[0, :, 5].tolist(), columns[0, 0, 6].item()  # j1_pt, j1_ptrel
    ([5.0, 0.0], 1.0)
    """
    p4 = np.where(mask[..., None], p4, 0.0)
    pt, eta, phi = kinematics.pt(p4), kinematics.eta(p4), kinematics.phi(p4)
    jet_pt, jet_eta, jet_phi = (f(jet_p4)[:, None] for f in (kinematics.pt, kinematics.eta, kinematics.phi))
    energy = p4[..., 3]
    eta_rel, phi_rel = eta - jet_eta, wrap_azimuth(phi - jet_phi)
    eta_rot, phi_rot = _rotated_frame_coordinates(pt, eta, phi)
    columns = np.stack(
        [
            p4[..., 0],
            p4[..., 1],
            p4[..., 2],
            energy,
            safe_divide(energy, jet_p4[:, None, 3] + np.zeros_like(energy)),
            pt,
            safe_divide(pt, jet_pt + np.zeros_like(pt)),
            eta,
            eta_rel,
            eta_rot,
            phi,
            phi_rel,
            phi_rot,
            np.hypot(eta_rel, phi_rel),
            np.tanh(eta),  # pz / |p|
            np.tanh(eta_rot),
        ],
        axis=-1,
    )
    return np.where(mask[..., None], columns, 0.0).astype(np.float32)


def _rotated_frame_coordinates(pt: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes (N, P) η and φ in the frame of the leading particle and the second axis."""
    d_eta, d_phi = eta - eta[:, :1], wrap_azimuth(phi - phi[:, :1])
    # Boost along the beam, then turn in φ: the leader now points along x.
    a, b, c = np.cos(d_phi), np.sin(d_phi), np.sinh(d_eta)
    away = np.where(np.hypot(d_eta, d_phi) > SECOND_AXIS_MIN, pt, 0.0)
    second = np.argmax(away, axis=1, keepdims=True)
    has_second = np.take_along_axis(away, second, axis=1) > 0
    b2, c2 = np.take_along_axis(b, second, axis=1), np.take_along_axis(c, second, axis=1)
    length = np.where(has_second, np.hypot(b2, c2), 1.0)
    # Turn about x: the second axis gets z = 0 and y < 0. A jet without one is not turned.
    cosine, sine = np.where(has_second, -b2 / length, 1.0), np.where(has_second, c2 / length, 0.0)
    y, z = cosine * b - sine * c, sine * b + cosine * c
    # Mirror: of the jet as it was, the side of larger η gets the larger pT sum.
    below, above = ((pt * side).sum(axis=1, keepdims=True) for side in (d_eta < 0, d_eta > 0))
    return np.arcsinh(np.where(below > above, -z, z) / np.hypot(a, y)), np.arctan2(y, a)

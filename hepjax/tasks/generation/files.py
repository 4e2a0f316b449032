"""Generated jets as columns of predictions, and in files of jets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.datasets import hls4ml
from hepjax.physics import kinematics
from hepjax.physics.simulation.columns import constituent_columns
from hepjax.tasks.generation.cloud_encoding import CLOUD_COLUMNS, Clouds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def from_columns(columns: Mapping[str, np.ndarray], labels: np.ndarray) -> Clouds:
    """Returns the clouds of some columns; inverse of `cloud_columns`.

    Args:
      columns: those of `cloud_columns`, and maybe others.
      labels: (N,) class indices.

    >>> from hepjax.tasks.generation.cloud_encoding import cloud_columns
    >>> values = np.array([[[0.1, 0.2, 0.5], [0.0, 0.0, 0.0]]])
    >>> clouds = Clouds(values, np.array([[True, False]]), np.array([1000.0]), np.array([0]))
    >>> from_columns(cloud_columns(clouds), clouds.labels).pt.round(2).tolist()
    [1000.0]
    """
    stacked = np.stack([columns[name] for name in CLOUD_COLUMNS], axis=-1).astype(np.float64)
    mask = ~np.isnan(stacked[..., 2])
    values = np.where(mask[..., None], stacked, 0)
    phi, share = values[..., 1], values[..., 2]
    along, across = ((share * f(phi)).sum(axis=1) for f in (np.cos, np.sin))
    return Clouds(values, mask, columns["j_pt"] / np.hypot(along, across), labels)


def write_columns(file: Any, columns: Mapping[str, np.ndarray], labels: np.ndarray, classes: Sequence[str]) -> None:
    """Writes generated jets into a file of jets.

    Args:
      file: an open HDF5 file without jets.
      columns: name → (N,) of jets, and those of particles as in `cloud_columns`.
      labels: (N,) class indices.
      classes: the names of the classes.
    """
    jets = {name: column for name, column in columns.items() if column.ndim == 1}
    # Files of jets list particles; those of generated observables have none.
    particles = np.zeros((len(labels), 1, len(hls4ml.PARTICLE_COLUMNS)), np.float32)
    if CLOUD_COLUMNS[0] in columns:
        clouds = from_columns(columns, labels)
        particles = _particle_columns(clouds, columns["j_mass"])
        jets["j_pt"] = clouds.pt.astype(np.float32)
    one_hot = labels[:, None] == np.arange(len(classes))
    file[hls4ml.JETS] = np.column_stack([*jets.values(), one_hot]).astype(np.float32)
    file[hls4ml.JET_NAMES] = np.array([*jets, *(f"label_{name}" for name in classes)], "S")
    file[hls4ml.CONSTITUENTS] = particles
    file[hls4ml.PARTICLE_NAMES] = np.array(hls4ml.PARTICLE_COLUMNS, "S")


def _particle_columns(clouds: Clouds, mass: np.ndarray) -> np.ndarray:
    """Computes (N, P, 16) columns of massless particles in jets at η = φ = 0, where generated jets are put."""
    eta, phi, share = np.moveaxis(clouds.values, -1, 0)
    zero = np.zeros_like(clouds.pt)
    p4 = kinematics.from_pt_eta_phi_mass(share * clouds.pt[:, None], eta, phi, np.zeros_like(eta))
    return constituent_columns(p4, clouds.mask, kinematics.from_pt_eta_phi_mass(clouds.pt, zero, zero, mass))

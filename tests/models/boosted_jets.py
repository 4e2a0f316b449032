"""Jets for networks of four-momenta, as they are and after Lorentz transformations."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from scipy.linalg import expm

from hepjax.types import ParticleInputs

COUNTS = (9, 7, 5, 2, 1, 0)
"""Particles of the jets."""


def momenta_of_jets(rng, slots=9):
    """(B, P, 4) float64 px, py, pz, E, GeV, and their (B, P) mask; so soft that float32 momenta still tell masses."""
    mask = np.arange(slots) < np.array(COUNTS)[:, None]
    axes = rng.normal(size=(len(COUNTS), 1, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    p = rng.exponential(5, size=(*mask.shape, 1)) * (axes + rng.normal(0, 0.2, size=(*mask.shape, 3)))
    energy = np.sqrt((p**2).sum(-1) + rng.uniform(0.5, 3, mask.shape) ** 2)
    return np.where(mask[..., None], np.concatenate([p, energy[..., None]], axis=-1), 0), mask


def inputs_of(p4, mask, values=None):
    """What a network sees of momenta, without columns where none are given."""
    values = np.zeros((*mask.shape, 0)) if values is None else values
    return ParticleInputs(jnp.asarray(values, jnp.float32), jnp.asarray(mask), momenta=jnp.asarray(p4, jnp.float32))


def transformation(rng, about_beam=False):
    """(4, 4), a rotation and a boost of γ up to 2; or a rotation about the beam axis alone."""
    turns, boosts = np.zeros((4, 4)), np.zeros((4, 4))
    angles, rapidities = rng.uniform(-2, 2, 3), rng.uniform(-0.7, 0.7, 3)
    for i in (2,) if about_beam else range(3):
        turns[(i + 1) % 3, (i + 2) % 3], turns[(i + 2) % 3, (i + 1) % 3] = -angles[i], angles[i]
        boosts[i, 3] = boosts[3, i] = 0 if about_beam else rapidities[i]
    return expm(turns) @ expm(boosts)

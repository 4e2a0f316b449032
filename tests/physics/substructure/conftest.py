"""Random jets without ties, and FastJet's view of them."""

from __future__ import annotations

import jax
import numpy as np
import pytest


def random_jet(rng, particles=30, width=0.15, eta=0.7, phi=3.0):
    """(M, 4) float64 momenta of about 1 TeV in two cores, massive, across the seam in φ."""
    pt = rng.exponential(1, particles) ** 2 + 1e-3
    pt *= 1000 / pt.sum()
    core = (rng.random(particles) < 0.4) * 0.15
    y, turn = rng.normal(eta, width, particles) + core, rng.normal(phi, width, particles) + core
    transverse = np.hypot(pt, 0.14)
    return np.stack([pt * np.cos(turn), pt * np.sin(turn), transverse * np.sinh(y), transverse * np.cosh(y)], axis=-1)


class FastJet:
    """The few calls of FastJet that the tests need."""

    def __init__(self, module):
        self.module = module

    def cluster(self, p4, algorithm, radius=1000.0, scheme=None):
        kinds = {
            1: self.module.kt_algorithm,
            0: self.module.cambridge_algorithm,
            -1: self.module.antikt_algorithm,
        }
        arguments = (radius,) if scheme is None else (radius, scheme)
        particles = []
        for index, momentum in enumerate(p4):
            particle = self.module.PseudoJet(*map(float, momentum))
            particle.set_user_index(index)
            particles.append(particle)
        # Kept alive with its definition: jets point into both.
        definition = self.module.JetDefinition(kinds[int(algorithm)], *arguments)
        sequence = self.module.ClusterSequence(particles, definition)
        sequence.kept_alive = (particles, definition)
        return sequence

    @staticmethod
    def members(jet):
        return frozenset(particle.user_index() for particle in jet.constituents())


@pytest.fixture(scope="session")
def fastjet():
    module = pytest.importorskip("fastjet", reason="FastJet is the oracle; install the extra `sim`")
    return FastJet(module)


@pytest.fixture(scope="session")
def make_jet():
    return random_jet


@pytest.fixture
def jet(rng):
    return random_jet(rng)


@pytest.fixture
def jets(rng):
    """Six jets of 3 to 30 particles as (6, 30, 4) momenta and a mask."""
    counts = np.array([30, 25, 12, 5, 3, 20])
    p4, mask = np.zeros((6, 30, 4)), np.arange(30) < counts[:, None]
    for row, count in enumerate(counts):
        p4[row, :count] = random_jet(rng, count, eta=0.4 * row - 1, phi=row)
    return p4, mask


@pytest.fixture
def _x64():
    with jax.enable_x64(True):
        yield

"""Simulation without processes and without Pythia, for tests of everything around it."""

import contextlib

import numpy as np
import pytest

from hepjax.data.datasets import hls4ml
from hepjax.physics import kinematics
from hepjax.physics.simulation import blocks, pool, run
from hepjax.physics.simulation.clustering import RaggedJets


@pytest.fixture
def sim():
    for package in ("pythia8mc", "fastjet"):
        pytest.importorskip(package, reason="the extra `sim` is not installed")


@pytest.fixture(autouse=True)
def versions(monkeypatch):
    """Tests without Pythia need no Pythia."""
    monkeypatch.setattr("hepjax.physics.simulation.provenance.metadata.version", lambda name: "1")


def toy_observables(p4, mask):
    """pT, η, mass and multiplicity in their columns."""
    jet = p4.sum(axis=1)
    found = np.zeros((len(p4), 53))
    for name, values in (
        ("j_pt", kinematics.pt(jet)),
        ("j_eta", kinematics.eta(jet)),
        ("j_mass", kinematics.mass(jet)),
        ("j_multiplicity", mask.sum(axis=1)),
    ):
        found[:, hls4ml.OBSERVABLE_COLUMNS.index(name)] = values
    return found


def toy_unit(unit):
    """Jets of random particles, without Pythia."""
    rng = np.random.default_rng([unit.seed, unit.label, unit.number])
    counts = rng.integers(2, 9, unit.jets)
    total = counts.sum()
    p4 = kinematics.from_pt_eta_phi_mass(
        rng.uniform(1, 90, total), rng.normal(0, 0.1, total), rng.normal(0, 0.1, total), np.zeros(total)
    )
    return RaggedJets(
        p4, rng.choice([211, -211, 22, 130], total), counts, rng.normal(size=(unit.jets, 5)), np.ones((unit.jets, 3, 5))
    )


@pytest.fixture
def toys(monkeypatch):
    """No processes, no Pythia, small blocks; the list tells which units were made."""
    made = []

    def finished(units, work, workers):
        for unit in units:
            made.append(unit)
            yield unit, work(unit)

    monkeypatch.setattr(pool, "finished", finished)
    monkeypatch.setattr(pool, "crew", contextlib.nullcontext)
    monkeypatch.setattr(blocks, "simulate_unit", toy_unit)
    for module, name, value in (
        (blocks, "UNIT_JETS", 7),
        (blocks, "BLOCK_JETS", 10),
        (run, "BLOCK_JETS", 10),
    ):
        monkeypatch.setattr(module, name, value)
    return made

"""Simulation without processes and without Pythia, for tests of everything around it."""

import contextlib

import numpy as np
import pytest

from hepjax.data.datasets import hls4ml
from hepjax.physics import kinematics
from hepjax.physics.simulation import blocks, pool, run
from hepjax.physics.simulation.clustering import Kept, RaggedJets
from hepjax.physics.simulation.cuts import Cuts


@pytest.fixture
def sim():
    for package in ("pythia8mc", "fastjet"):
        pytest.importorskip(package, reason="the extra `sim` is not installed")


@pytest.fixture(autouse=True)
def versions(monkeypatch):
    """Tests without Pythia need no Pythia."""
    monkeypatch.setattr("hepjax.physics.simulation.provenance.metadata.version", lambda name: "1")


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Makes a Les Houches file of 60 hard collisions of a class, written by Pythia."""
    folder = tmp_path_factory.mktemp("events")

    def write(name):
        from hepjax.physics.simulation import processes

        path = folder / f"{name}.lhe"
        if not path.exists():
            generator = processes.process_generator(name)
            processes.seed(generator, 3)
            handover = generator.handover
            handover.openLHEF(str(path))
            handover.setInit()
            handover.initLHEF()
            for _ in range(60):
                handover.setEvent()
                handover.eventLHEF()
            handover.closeLHEF(False)
        return path

    return write


def toy_observables(p4, mask):
    """Puts pT, η, mass and multiplicity into their columns."""
    jet = p4.sum(axis=1)
    columns = np.zeros((len(p4), 53))
    for name, values in (
        ("j_pt", kinematics.pt(jet)),
        ("j_eta", kinematics.eta(jet)),
        ("j_mass", kinematics.mass(jet)),
        ("j_multiplicity", mask.sum(axis=1)),
    ):
        columns[:, hls4ml.OBSERVABLE_COLUMNS.index(name)] = values
    return columns


def toy_unit(unit):
    """Makes jets of random particles, without Pythia."""
    rng = np.random.default_rng([unit.seed, unit.label, unit.number])
    counts = rng.integers(2, 9, unit.jets)
    total = counts.sum()
    p4 = kinematics.from_pt_eta_phi_mass(
        rng.uniform(1, 90, total), rng.normal(0, 0.1, total), rng.normal(0, 0.1, total), np.zeros(total)
    )
    jets = RaggedJets(
        p4,
        rng.choice([211, -211, 22, 130], total),
        counts,
        rng.normal(size=(unit.jets, 5)),
        np.ones((unit.jets, 3, 5)),
        np.zeros((unit.jets, 0)),
    )
    return Kept(jets, Cuts(unit.jets + 3, unit.jets + 2, unit.jets + 1, unit.jets, unit.jets))


@pytest.fixture
def toys(monkeypatch):
    """Replaces processes and Pythia, makes blocks small, and lists the units that were made."""
    units_made = []

    def run_units(units, work, workers):
        for unit in units:
            units_made.append(unit)
            yield unit, work(unit)

    monkeypatch.setattr(pool, "run_units", run_units)
    monkeypatch.setattr(pool, "open_workers", contextlib.nullcontext)
    monkeypatch.setattr(blocks, "simulate_unit", toy_unit)
    for module, name, value in (
        (blocks, "UNIT_JETS", 7),
        (blocks, "BLOCK_JETS", 10),
        (run, "BLOCK_JETS", 10),
    ):
        monkeypatch.setattr(module, name, value)
    return units_made

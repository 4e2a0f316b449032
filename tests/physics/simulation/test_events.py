import sys

import numpy as np
import pytest

from hepjax.errors import InputError
from hepjax.physics import kinematics
from hepjax.physics.simulation import les_houches as reader
from hepjax.physics.simulation import units
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.event_files import read_event_chunks
from hepjax.physics.simulation.events import EventsUnit, collide_event_chunk, simulate_events
from tests.physics.simulation.event_makers import les_houches, small, write_hepmc

pytest.importorskip("pythia8mc", reason="the extra `sim` is not installed")
pytest.importorskip("fastjet", reason="the extra `sim` is not installed")
pyhepmc = pytest.importorskip("pyhepmc", reason="the extra `test` is not installed")


def test_a_unit_of_events_gives_the_jets_that_its_class_gives(written):
    chunk = next(read_event_chunks(written("w"), 30))
    unit = EventsUnit(1, 0, chunk)
    jets = simulate_events(unit).jets
    assert len(jets.counts) == 30
    np.testing.assert_array_equal(np.abs(jets.parton[:, 4]), 24)
    mass = kinematics.mass(np.add.reduceat(jets.p4, np.cumsum(jets.counts) - jets.counts))
    assert 79 < np.median(mass) < 84
    for other in (unit._replace(seed=2), unit._replace(number=1), unit._replace(conditions=Conditions(pile_up=3.0))):
        assert not np.array_equal(simulate_events(other).jets.p4, jets.p4)
    for mine, yours in zip(simulate_events(unit).jets, jets, strict=True):
        np.testing.assert_array_equal(mine, yours)


def test_hepmc_events_go_through_the_same_detector(tmp_path):
    event = small()
    for particle in event.particles:
        particle.momentum = pyhepmc.FourVector(*(20 * value for value in particle.momentum))  # jets begin at 100 GeV
    chunk = next(read_event_chunks(write_hepmc(tmp_path / "a", "hepmc3", [event] * 3)))
    seen = simulate_events(EventsUnit(1, 0, chunk)).jets
    exact = simulate_events(EventsUnit(1, 0, chunk, Conditions(detector=None))).jets
    wanted = units.jets_of_collisions(
        collide_event_chunk(chunk, 0, PUBLIC), Conditions(detector=None), np.random.default_rng(0)
    ).jets
    np.testing.assert_array_equal(exact.p4, wanted.p4)
    assert exact.counts.tolist() == [2, 2, 2]
    assert exact.parton[:, 4].tolist() == [24] * 3
    assert not np.array_equal(seen.p4, exact.p4)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    head, events, end = les_houches()
    path = tmp_path / "a"
    path.write_text(head + "".join(events) + end)
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    reader._pythia_of_header.cache_clear()
    with pytest.raises(InputError, match=r"needs the package pythia8mc.*hepjax\[sim\]"):
        collide_event_chunk(next(read_event_chunks(path)), 1, PUBLIC)

import numpy as np
import pytest

from hepjax.physics.simulation import clustering, processes, units
from hepjax.physics.simulation.collisions import collisions_from_pythia_batch
from hepjax.physics.simulation.conditions import PUBLIC

pytest.importorskip("pythia8mc", reason="the extra `sim` is not installed")
pytest.importorskip("fastjet", reason="the extra `sim` is not installed")


@pytest.fixture
def batch():
    source = processes.process_generator("t", PUBLIC)
    processes.seed(source, 4)
    return source.pythia.nextBatch(4, "none")


def test_events_that_pythia_gave_up_on_are_passed_over(batch):
    import awkward as ak

    whole = collisions_from_pythia_batch(batch)
    rest = collisions_from_pythia_batch(ak.mask(batch, [True, False, True, True]), np.arange(3.0)[:, None])
    assert rest.weights.tolist() == [[0], [1], [2]]
    assert whole.weights.shape == (4, 0)
    assert (whole.events, rest.events) == (4, 3)
    for mine, yours in ((rest.final, whole.final), (rest.hard, whole.hard), (rest.decays, whole.decays)):
        kept = yours.event != 1
        np.testing.assert_array_equal(mine.p4, yours.p4[kept])
        np.testing.assert_array_equal(mine.event, np.array([0, -1, 1, 2])[yours.event[kept]])


def test_nothing_gives_no_jets(batch):
    import awkward as ak

    nothing = collisions_from_pythia_batch(ak.Array([None] * 4))
    assert nothing.events == 0
    jets = units.jets_of_collisions(nothing, PUBLIC, np.random.default_rng(0)).jets
    assert len(jets.counts) == len(clustering.pad_jets(jets)[0]) == 0


def test_a_unit_goes_on_past_events_that_pythia_gives_up_on(monkeypatch):
    import awkward as ak

    real, calls = units.process_generator("w", PUBLIC), []

    class Moody:
        """Gives up on all events of the first batch, and on every other one after that."""

        rndm = real.pythia.rndm

        def nextBatch(self, events, mode):  # noqa: N802 — Pythia's name
            batch = real.pythia.nextBatch(events, mode)
            calls.append(events)
            return ak.mask(batch, (np.arange(events) % 2 > 0) & (len(calls) > 1))

    moody = real._replace(pythia=Moody())
    monkeypatch.setattr(units, "process_generator", lambda *_: moody)
    assert len(units.simulate_unit(units.Unit(1, 2, 0, 5)).jets.counts) == 5
    assert len(calls) > 2

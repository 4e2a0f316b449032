import numpy as np
import pytest

from hepjax.errors import InputError
from hepjax.physics import kinematics
from hepjax.physics.simulation import processes
from hepjax.physics.simulation.collisions import collisions_from_pythia_batch
from hepjax.physics.simulation.conditions import Conditions

pytest.importorskip("pythia8mc", reason="the extra `sim` is not installed")
pytest.importorskip("fastjet", reason="the extra `sim` is not installed")
BARE = ("PartonLevel:MPI = off", "PartonLevel:ISR = off", "PartonLevel:FSR = off", "HadronLevel:all = off")
"""Settings that leave the hard collision and the decays of its bosons."""


def collided(name, conditions, events=100, number=3):
    source = processes.process_generator(name, conditions)
    processes.seed(source, number)
    return collisions_from_pythia_batch(source.pythia.nextBatch(events))


@pytest.mark.parametrize(
    "name, ids, mass",
    [("g", {21}, 0), ("q", {1, 2, 3, 4, 5}, 0), ("w", {24}, 80.419), ("z", {23}, 91.188), ("t", {6}, 173)],
)
def test_hard_partons_are_on_their_shells_and_in_the_window(name, ids, mass):
    collisions = collided(name, Conditions(pythia=BARE, unlimited=()))
    assert collisions.events == 100
    assert set(np.abs(collisions.hard.ids)) <= ids
    np.testing.assert_array_equal(np.bincount(collisions.hard.event), 2)
    pt = kinematics.pt(collisions.hard.p4)
    # The colliding partons have some pT of their own.
    assert 985 < pt.min() < pt.max() < 1015
    assert 995 < np.median(pt) < 1005
    # Light quarks and gluons have no mass, bottom quarks 5 GeV.
    np.testing.assert_allclose(kinematics.mass(collisions.hard.p4), mass, atol=1e-3 if mass else 5)


def test_the_window_can_be_open_above():
    pt = kinematics.pt(collided("g", Conditions(pythia=BARE)).hard.p4)
    assert pt.min() > 985
    assert pt.max() > 1200


@pytest.mark.parametrize("name, first, products", [("w", None, 2), ("z", None, 2), ("t", 5, 3)])
def test_decays_add_up_to_what_decays(name, first, products):
    collisions = collided(name, Conditions(pythia=BARE))
    np.testing.assert_array_equal(np.bincount(collisions.mother), products)
    total = np.zeros((len(collisions.hard.p4), 4))
    np.add.at(total, collisions.mother, collisions.decays.p4)
    np.testing.assert_allclose(total, collisions.hard.p4, atol=1e-6)
    np.testing.assert_array_equal(collisions.decays.event, collisions.hard.event[collisions.mother])
    if first:
        leaders = np.unique(collisions.mother, return_index=True)[1]
        np.testing.assert_array_equal(np.abs(collisions.decays.ids[leaders]), first)
    assert np.all(np.abs(collisions.decays.ids) <= 5)


@pytest.mark.parametrize("undecayed", [True, False])
def test_undecayed_bosons_decay_evenly_and_others_are_polarized(undecayed):
    collisions = collided("w", Conditions(undecayed=undecayed, pythia=BARE), events=3000)
    quark = collisions.decays.ids > 0
    share = collisions.decays.p4[quark, 3] / collisions.hard.p4[collisions.mother[quark], 3]  # (1 + β cos θ*) / 2
    uneven = np.sort(np.abs(2 * share - 1))
    off = np.abs(uneven - np.linspace(0, 1, len(share))).max()
    # Kolmogorov and Smirnov: 6,000 even decays are off by 0.021 once in a hundred times.
    assert bool(off < 0.021) is undecayed


def test_bosons_that_pythia_decays_have_their_width():
    masses = kinematics.mass(collided("w", Conditions(undecayed=False, pythia=BARE)).hard.p4)
    assert 79.5 < np.median(masses) < 81.5
    assert 1 < np.subtract(*np.percentile(masses, [75, 25])) < 4


def test_events_do_not_depend_on_what_was_made_before():
    first, other, again = (collided("t", Conditions(), events=5, number=n) for n in (7, 8, 7))
    np.testing.assert_array_equal(first.final.p4, again.final.p4)
    assert len(first.final.p4) != len(other.final.p4)


def test_resonances_beyond_the_standard_model_are_replaced_by_what_they_decay_to():
    settings = ("NewGaugeBoson:ffbar2gmZZprime = on", "Zprime:gmZmode = 3", "32:m0 = 3000.", "32:onMode = off")
    pythia = processes.start_pythia(*processes.COMMON, *processes.DECAYS, *settings, "32:onIfAny = 6", *BARE)
    collisions = collisions_from_pythia_batch(pythia.nextBatch(20))
    np.testing.assert_array_equal(np.abs(collisions.hard.ids), 6)
    np.testing.assert_array_equal(np.bincount(collisions.hard.event), 2)
    np.testing.assert_array_equal(np.bincount(collisions.mother), 3)


def test_a_wrong_setting_is_told():
    for setting in ("Beams:eCM = fast", "Parton:MPI = off", "nonsense"):
        with pytest.raises(InputError, match=f"refuses the setting '{setting}'"):
            processes.process_generator("g", Conditions(pythia=(setting,)))


def test_settings_that_leave_nothing_to_do_are_told():
    with pytest.raises(InputError, match="fails to initialize"):
        processes.start_pythia("Print:quiet = on", "HardQCD:gg2gg = on", "PhaseSpace:pTHatMin = 9000.")

import numpy as np
import pytest

from hepjax.numerics import wrap_azimuth
from hepjax.physics import kinematics
from hepjax.physics.simulation import detector
from hepjax.physics.simulation.collisions import Particles
from hepjax.physics.simulation.conditions import Detector

PHOTON, NEUTRON, PION, MUON, NEUTRINO = 22, 2112, 211, -13, 14
PUBLIC = Detector()
ELECTROMAGNETIC, HADRONIC = PUBLIC.electromagnetic, PUBLIC.hadronic
EXACT = Detector(resolution=0.0)


def toy(rng, ids, events=3, pt_max=150.0):
    count = len(ids)
    p4 = kinematics.from_pt_eta_phi_mass(
        rng.uniform(0.3, pt_max, count),
        rng.uniform(-2, 2, count),
        rng.uniform(-np.pi, np.pi, count),
        np.where(np.abs(ids) == PION, 0.13957, 0.0),
    )
    return Particles(p4, np.asarray(ids), np.sort(rng.integers(0, events, count)))


@pytest.mark.parametrize("calorimeter", [ELECTROMAGNETIC, HADRONIC])
def test_cells_conserve_each_events_energy_and_sit_at_centers(calorimeter, rng):
    # Close together, so that cells are shared.
    p4 = kinematics.from_pt_eta_phi_mass(
        rng.uniform(1, 50, 2000), rng.normal(0.4, 0.05, 2000), np.pi + rng.normal(0, 0.05, 2000), np.zeros(2000)
    )
    particles = Particles(p4, np.full(2000, PHOTON), np.sort(rng.integers(0, 3, 2000)))
    cells = detector.merge_into_cells(particles, calorimeter)
    assert len(cells.event) < 2000
    np.testing.assert_allclose(
        np.bincount(cells.event, cells.p4[:, 3]), np.bincount(particles.event, particles.p4[:, 3]), rtol=1e-12
    )
    for place, width in (
        (kinematics.eta(cells.p4), calorimeter.cell),
        (kinematics.phi(cells.p4) % (2 * np.pi), 2 * np.pi / int(2 * np.pi / calorimeter.cell)),
    ):
        np.testing.assert_allclose((place / width) % 1, 0.5, atol=1e-6)
    # One particle per cell, and massless.
    keys = {tuple(row) for row in np.c_[cells.event, cells.p4.round(9)]}
    assert len(keys) == len(cells.event)
    np.testing.assert_allclose(np.linalg.norm(cells.p4[:, :3], axis=1), cells.p4[:, 3], rtol=1e-14)


def test_a_cell_lies_within_half_a_width_of_its_particle(rng):
    particles = toy(rng, np.full(300, PHOTON), events=300)
    particles = particles._replace(event=np.arange(300))
    cells = detector.merge_into_cells(particles, ELECTROMAGNETIC)
    assert np.abs(kinematics.eta(cells.p4) - kinematics.eta(particles.p4)).max() <= 0.0025 + 1e-9
    shift = wrap_azimuth(kinematics.phi(cells.p4) - kinematics.phi(particles.p4))
    assert np.abs(shift).max() <= np.pi / 1256 + 1e-9


def test_neutrinos_and_photons_without_energy_vanish():
    p4 = np.array([[5.0, 0, 0, 5], [5, 0, 0, 5], [0, 0, 0, 0]])
    particles = Particles(p4, np.array([NEUTRINO, PHOTON, PHOTON]), np.zeros(3, int))
    np.testing.assert_array_equal(detector.visible_particles(particles).ids, [PHOTON])


def test_invisible_particles_are_those_of_pythia():
    pythia8mc = pytest.importorskip("pythia8mc", reason="the extra `sim` is not installed")
    pythia = pythia8mc.Pythia("", False)
    for setting in ("Print:quiet = on", "ProcessLevel:all = off"):
        pythia.readString(setting)
    pythia.init()
    data = pythia.particleData
    families = [1_000_000 * family + code for family in range(1, 10) for code in range(1, 1000)]
    shifted = [base + code for base in (4_900_000, 5_100_000, 9_900_000) for code in range(1, 1000)]
    known = [number for number in {*range(1, 10_000), *families, *shifted} if data.isParticle(number)]
    assert len(known) > 350
    expected = np.array([not data.isVisible(number) for number in known])
    np.testing.assert_array_equal(detector.is_invisible(np.array(known)), expected)
    np.testing.assert_array_equal(detector.is_invisible(-np.array(known)), expected)
    # Nuclei and exotic hadrons are seen, and so is what has no number in the scheme.
    assert not detector.is_invisible(np.array([1000020040, 9010221, 1009213, 9000005])).any()


def test_soft_and_forward_particles_are_lost(rng):
    pt, eta = np.array([0.19, 0.21, 5.0, 5.0]), np.array([0.0, 0.0, 2.994, 3.001])
    p4 = kinematics.from_pt_eta_phi_mass(pt, eta, np.arange(4.0), np.zeros(4))
    beam = np.array([[0.0, 0.0, 6500.0, 6500.0]])
    photons = Particles(np.concatenate([p4, beam]), np.full(5, PHOTON), np.zeros(5, int))
    seen = detector.detect_particles(photons, EXACT, rng)
    np.testing.assert_allclose(np.sort(kinematics.eta(seen.p4)), [0.0025, 2.9925], atol=1e-9)


def test_hadrons_leave_tracks_up_to_220_gev_and_leptons_always(rng):
    below = toy(rng, np.full(500, PION))
    assert detector.has_track(below, PUBLIC, rng).all()
    above = below._replace(p4=below.p4 * 1000)
    assert not detector.has_track(above, PUBLIC, rng).any()
    assert detector.has_track(above._replace(ids=np.full(500, MUON)), PUBLIC, rng).all()
    assert 0.6 < detector.has_track(below, Detector(track_efficiency=0.7), rng).mean() < 0.8


def test_what_has_no_track_is_told_by_its_calorimeter(rng):
    ids = np.array([PHOTON, NEUTRON, PION, PION])
    pt, phi = np.array([50.0, 50.0, 50.0, 500.0]), np.arange(4.0)
    seen = detector.detect_particles(
        Particles(kinematics.from_pt_eta_phi_mass(pt, np.zeros(4), phi, np.zeros(4)), ids, np.zeros(4, int)), EXACT, rng
    )
    by_phi = seen.ids[np.argsort(kinematics.phi(seen.p4) % (2 * np.pi))]
    np.testing.assert_array_equal(by_phi, [22, 130, PION, 130])
    np.testing.assert_allclose(np.sort(seen.p4[:, 3]), [50, 50, 50, 500], rtol=1e-4)


def test_smearing_has_the_resolution_that_is_asked_for(rng):
    energy, count = 100.0, 20_000
    many = Particles(np.tile([energy, 0.0, 0.0, energy], (count, 1)), np.full(count, PION), np.arange(count))
    em = np.sqrt((0.027 * np.sqrt(1.6) / 10) ** 2 + (0.15 * 1.6 / energy) ** 2 + 0.005**2)
    for wanted, measured in (
        (np.hypot(0.015, 0.025), detector.smear_tracks(many, Detector(resolution=1.0), rng)),
        (0.5 * np.hypot(0.015, 0.025), detector.smear_tracks(many, PUBLIC, rng)),
        (em, detector.smear_cells(many, ELECTROMAGNETIC, 1.0, rng)),
        (0.5 * np.hypot(0.12 * np.sqrt(7), 0.05), detector.smear_cells(many, HADRONIC, 0.5, rng)),
    ):
        ratio = measured.p4[:, 3] / energy
        assert ratio.std() == pytest.approx(wanted, rel=0.03)
        assert ratio.mean() == pytest.approx(1, abs=4 * wanted / np.sqrt(count))
        # Directions stay.
        np.testing.assert_array_equal(measured.p4[:, 1:3], 0)


def test_an_energy_measured_as_less_than_nothing_is_lost(rng):
    soft = Particles(np.tile([1.0, 0, 0, 1.0], (2000, 1)), np.full(2000, NEUTRON), np.arange(2000))
    seen = detector.smear_cells(soft, HADRONIC, 0.5, rng)
    assert 0.6 < len(seen.p4) / 2000 < 0.9
    assert seen.p4[:, 3].min() > 0


def test_detector_loses_no_energy_of_neutral_particles(rng):
    particles = toy(rng, np.tile([PHOTON, NEUTRON], 3000), events=5)
    seen = detector.detect_particles(particles, EXACT, rng)
    np.testing.assert_allclose(
        np.bincount(seen.event, seen.p4[:, 3]), np.bincount(particles.event, particles.p4[:, 3]), rtol=1e-12
    )
    assert np.all(np.diff(seen.event) >= 0)


def test_an_event_without_particles_is_no_trouble(rng):
    nothing = Particles(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int))
    assert len(detector.detect_particles(nothing, PUBLIC, rng).p4) == 0

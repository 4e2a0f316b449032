import numpy as np
import pytest

from hepjax import kinematics
from hepjax.simulation import detector
from hepjax.simulation.detector import ELECTROMAGNETIC, HADRONIC, Particles

PHOTON, NEUTRON, PION, MUON, NEUTRINO = 22, 2112, 211, -13, 14


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
def test_cells_conserve_each_events_energy_and_sit_at_centres(calorimeter, rng):
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
        (kinematics.phi(cells.p4) + np.pi, 2 * np.pi / calorimeter.phi_cells),
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
    shift = kinematics.wrap(kinematics.phi(cells.p4) - kinematics.phi(particles.p4))
    assert np.abs(shift).max() <= np.pi / 1256 + 1e-9


def test_neutrinos_and_forward_particles_vanish():
    p4 = kinematics.from_pt_eta_phi_mass(np.full(3, 5.0), np.array([0.0, 0.0, 4.0]), np.zeros(3), np.zeros(3))
    at_rest = np.array([[0.0, 0.0, 6500.0, 6500.0]])
    particles = Particles(np.concatenate([p4, at_rest]), np.array([NEUTRINO, PHOTON, PHOTON, PHOTON]), np.zeros(4, int))
    np.testing.assert_array_equal(detector.visible(particles).ids, [PHOTON])
    assert len(detector.visible(particles).ids) == 1


def test_tracks_keep_masses_and_end_at_220_gev(rng):
    below = toy(rng, np.full(2000, PION))
    found = detector.has_track(below, rng)
    assert 0.9 < found.mean() < 1  # the efficiency
    measured = detector.smear_tracks(below, rng)
    np.testing.assert_allclose(kinematics.mass(measured.p4), 0.13957, atol=1e-3)
    ratio = kinematics.pt(measured.p4) / kinematics.pt(below.p4)
    assert abs(ratio.mean() - 1) < 1e-3
    assert 1e-3 < ratio.std() < 0.03
    above = below._replace(p4=below.p4 * 1000)
    assert not detector.has_track(above, rng).any()
    assert detector.has_track(above._replace(ids=np.full(2000, MUON)), rng).mean() > 0.9


def test_smearing_has_the_calorimeters_resolution(rng):
    energy = 100.0
    p4 = np.tile([energy, 0.0, 0.0, energy], (20_000, 1))
    cells = Particles(p4, np.zeros(20_000, int), np.arange(20_000))
    for calorimeter in (ELECTROMAGNETIC, HADRONIC):
        measured = detector.smear_cells(cells, calorimeter, rng).p4[:, 3] / energy
        wanted = np.hypot(calorimeter.stochastic / np.sqrt(energy), calorimeter.constant)
        assert measured.std() == pytest.approx(wanted, rel=0.03)
        assert measured.mean() == pytest.approx(1, abs=4 * wanted / np.sqrt(20_000))


def test_detector_loses_no_energy_of_neutral_particles_on_average(rng):
    particles = toy(rng, np.tile([PHOTON, NEUTRON], 3000), events=5)
    seen = detector.detect(particles, rng)
    assert seen.p4[:, 3].sum() == pytest.approx(particles.p4[:, 3].sum(), rel=0.01)
    assert np.all(np.diff(seen.event) >= 0)
    np.testing.assert_array_equal(np.unique(seen.event), np.arange(5))


def test_an_event_without_particles_is_no_trouble(rng):
    nothing = Particles(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int))
    assert len(detector.detect(nothing, rng).p4) == 0

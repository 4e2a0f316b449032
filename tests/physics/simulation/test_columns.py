from pathlib import Path

import chex
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax.data.datasets import hls4ml
from hepjax.physics import kinematics
from hepjax.physics.simulation.columns import SECOND_AXIS_MIN, constituent_columns

REAL_JETS = Path(__file__).parents[4] / "shared" / "reference" / "real_jets" / "five_jets_50p.npz"
INDEX = {name: i for i, name in enumerate(hls4ml.PARTICLE_COLUMNS)}
RELATIVE = [INDEX[f"j1_{name}"] for name in ("ptrel", "etarel", "etarot", "phirel", "phirot", "deltaR", "costhetarel")]


def toy_jets(rng, jets=20, particles=12):
    pt = rng.pareto(1.0, (jets, particles)) + 0.3
    eta = rng.uniform(-1.5, 1.5, (jets, 1)) + rng.normal(0, 0.15, pt.shape)
    phi = rng.uniform(-np.pi, np.pi, (jets, 1)) + rng.normal(0, 0.15, pt.shape)
    p4 = kinematics.from_pt_eta_phi_mass(pt, eta, phi, np.full(pt.shape, 0.1396))
    lengths = rng.integers(2, particles + 1, (jets, 1))
    order = np.argsort(-pt, axis=1)[..., None]
    mask = np.arange(particles) < lengths
    return np.take_along_axis(p4, order, axis=1) * mask[..., None], mask


@pytest.mark.skipif(not REAL_JETS.is_file(), reason=f"the real jets are not at {REAL_JETS}")
def test_reproduces_the_columns_of_real_jets():
    real = np.load(REAL_JETS)
    expected = real["constituents"].astype(np.float64)
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in real["names"]]
    assert names == list(hls4ml.PARTICLE_COLUMNS)
    p4, mask = expected[..., :4], expected[..., 3] > 0
    # The lists are cut at 50 particles, so the jet is found from the leader's own relative columns.
    lead = dict(zip(names, expected[:, 0].T, strict=True))
    jet_pt, jet_eta = lead["j1_pt"] / lead["j1_ptrel"], lead["j1_eta"] - lead["j1_etarel"]
    jet_phi = lead["j1_phi"] - lead["j1_phirel"]
    jet = kinematics.from_pt_eta_phi_mass(jet_pt, jet_eta, jet_phi, np.zeros(5))
    jet[:, 3] = lead["j1_e"] / lead["j1_erel"]
    computed = constituent_columns(p4, mask, jet)
    # Relative to float32's 24 bits of the largest column, E; the angles are absolute.
    np.testing.assert_allclose(computed, expected, rtol=1e-6, atol=1e-6)


def test_padding_is_zero_and_particles_fall_in_pt(rng):
    p4, mask = toy_jets(rng)
    columns = constituent_columns(p4, mask, p4.sum(axis=1))
    chex.assert_shape(columns, (20, 12, 16))
    assert columns.dtype == np.float32
    assert np.all(columns[~mask] == 0)
    assert np.all(np.diff(columns[..., INDEX["j1_pt"]], axis=1) <= 0)
    np.testing.assert_array_equal(columns[..., INDEX["j1_e"]] > 0, mask)


def test_relative_columns_do_not_change_when_the_jet_turns_or_is_boosted_along_the_beam(rng):
    p4, mask = toy_jets(rng)
    angle, boost = 2.5, 0.7
    moved = np.stack(
        [
            p4[..., 0] * np.cos(angle) - p4[..., 1] * np.sin(angle),
            p4[..., 0] * np.sin(angle) + p4[..., 1] * np.cos(angle),
            p4[..., 2] * np.cosh(boost) + np.sqrt((p4[..., :3] ** 2).sum(-1)) * np.sinh(boost),
            p4[..., 3],
        ],
        axis=-1,
    )
    # Boosting the massless directions shifts every pseudorapidity alike.
    before = constituent_columns(p4, mask, _jet_at_leader(p4))
    after = constituent_columns(moved, mask, _jet_at_leader(moved))
    np.testing.assert_allclose(after[..., RELATIVE], before[..., RELATIVE], atol=2e-6)


def _jet_at_leader(p4):
    """Makes a jet that moves with its particles: the leader's direction, the scalar sum of pT."""
    lead = p4[:, 0]
    pt = kinematics.pt(p4).sum(axis=1)
    return kinematics.from_pt_eta_phi_mass(pt, kinematics.eta(lead), kinematics.phi(lead), np.zeros(len(p4)))


def test_rotated_frame_turns_the_second_axis_down(rng):
    p4, mask = toy_jets(rng)
    columns = constituent_columns(p4, mask, p4.sum(axis=1))
    pt, eta, phi = (columns[..., INDEX[f"j1_{name}"]] for name in ("pt", "eta", "phi"))
    distance = kinematics.delta_r(eta, phi, eta[:, :1], phi[:, :1])
    far = mask & (distance > SECOND_AXIS_MIN)
    rows = np.flatnonzero(far.any(axis=1))
    assert len(rows) > 15
    second = np.argmax(np.where(far, pt, 0), axis=1)[rows]
    np.testing.assert_allclose(columns[rows, second, INDEX["j1_etarot"]], 0, atol=1e-6)
    assert np.all(columns[rows, second, INDEX["j1_phirot"]] < 0)
    np.testing.assert_allclose(columns[:, 0, [INDEX["j1_etarot"], INDEX["j1_phirot"]]], 0, atol=1e-7)


def test_a_jet_and_its_mirror_image_have_the_same_frame(rng):
    p4, mask = toy_jets(rng)
    names = [INDEX["j1_etarot"], INDEX["j1_phirot"]]
    before = constituent_columns(p4, mask, p4.sum(axis=1))[..., names]
    mirrored = p4 * [1, 1, -1, 1]
    np.testing.assert_allclose(constituent_columns(mirrored, mask, mirrored.sum(axis=1))[..., names], before, atol=2e-6)
    assert np.abs(before[..., 0]).max() > 0.05


def test_a_jet_narrower_than_the_second_axis_is_not_turned(rng):
    offset = rng.uniform(0, 0.05, (2, 1, 8))
    offset[:, :, 0] = 0
    pt = np.sort(rng.uniform(1, 9, (1, 8)))[:, ::-1]
    p4 = kinematics.from_pt_eta_phi_mass(pt, 0.3 + offset[0], 1 + offset[1], np.zeros((1, 8)))
    columns = constituent_columns(p4, np.ones((1, 8), bool), p4.sum(axis=1))
    # The boost along the beam keeps differences of η, and the turn in φ those of φ.
    np.testing.assert_allclose(columns[..., INDEX["j1_etarot"]], offset[0], atol=1e-6)
    np.testing.assert_allclose(columns[..., INDEX["j1_phirot"]], offset[1], atol=1e-6)


@given(st.integers(0, 3), st.floats(-3, 3), st.floats(0.3, 2000))
def test_jets_of_few_particles_are_finite(count, eta, pt):
    ones = np.ones((1, 3))
    p4 = kinematics.from_pt_eta_phi_mass(pt * ones, eta * ones, 3.0 * ones, 0.0 * ones)  # all collinear
    mask = np.arange(3)[None] < count
    p4 = p4 * mask[..., None]
    assert np.all(np.isfinite(constituent_columns(p4, mask, p4.sum(axis=1))))

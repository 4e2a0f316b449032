"""Columns that follow from momenta, against those that were stored."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax import Jets, read_jets
from hepjax.choices import Role
from hepjax.data.dataset import P4
from hepjax.data.datasets import hls4ml
from hepjax.inputs import sequences
from hepjax.physics import kinematics, substructure
from hepjax.physics.derivation import derive_columns, jets_without_mass, particle_momenta
from hepjax.types import Dataset

RELATIVE = (Role.ETA_REL, Role.PHI_REL, Role.PT_REL, Role.ENERGY_REL, Role.DELTA_R)


@pytest.fixture(scope="module")
def sample():
    return read_jets()[:500]


def without(jets, roles):
    """The same jets, whose dataset no longer says what some columns are."""
    left = {role: name for role, name in jets.dataset.roles.items() if role not in roles}
    return dataclasses.replace(jets, dataset=dataclasses.replace(jets.dataset, roles=left))


@pytest.mark.parametrize("role", [*RELATIVE, Role.PT, Role.ETA, Role.PHI])
def test_the_columns_of_the_sample_come_back(sample, role):
    """Of jets whose particles are all in the file; its numbers have 12 bits."""
    bare = without(sample, {*RELATIVE, Role.PT, Role.ETA, Role.PHI})
    whole = sample.mask.sum(axis=1) < 30
    assert whole.sum() > 50
    found = sequences(bare, [role.value]).values[..., 0]
    stored = sequences(sample, [hls4ml.ROLES[role]]).values[..., 0]
    assert found.dtype == np.float32
    assert not found[~sample.mask].any()
    mask = sample.mask & whole[:, None]
    scale = 1 if role in {Role.ETA, Role.PHI, Role.ETA_REL, Role.PHI_REL, Role.DELTA_R} else np.abs(stored[mask]) + 1e-6
    difference = np.abs(found - stored)[mask] / scale
    assert np.quantile(difference, 0.99) < 2e-3
    assert np.median(difference) < 5e-4


def test_what_a_file_says_of_the_jet_is_taken(sample):
    """Jets of which particles are left out know their own pT, η and mass."""
    bare = without(sample, {*RELATIVE, Role.PT})
    cut = sample.mask.sum(axis=1) == 30
    found, stored = (
        sequences(jets, ["pt_rel"]).values[cut, :, 0] for jets in (bare, sample)
    )  # the pT of all 30 is up to 10 % less than that of the jet
    np.testing.assert_allclose(found, stored, rtol=3e-3)
    alone = without(bare, {Role.JET_PT})
    assert np.median(sequences(alone, ["pt_rel"]).values[cut, :, 0] / stored) > 1.001


@given(
    pt=st.floats(0.1, 1e3),
    eta=st.floats(-4, 4),
    phi=st.floats(-3.14, 3.14),
    mass=st.floats(0, 5),
    as_mass=st.booleans(),
)
def test_momenta_from_any_coordinates(pt, eta, phi, mass, as_mass):
    collider = {Role.PT: pt, Role.ETA: eta, Role.PHI: phi, Role.MASS: mass}
    p4 = particle_momenta({role: np.array([value]) for role, value in collider.items()})
    cartesian = dict(zip(P4, p4.T, strict=True))
    if as_mass:
        cartesian[Role.MASS] = np.array([mass])
        del cartesian[Role.ENERGY]
    np.testing.assert_allclose(particle_momenta(cartesian), p4, rtol=1e-9)
    block = {role: column[None] for role, column in cartesian.items()}
    values = derive_columns([Role.PT, Role.ETA, Role.PHI, Role.PT_REL, Role.DELTA_R], block, np.ones((1, 1), bool))[
        0, 0
    ]
    np.testing.assert_allclose(values, [pt, eta, phi, 1, 0], rtol=1e-5, atol=1e-5)


def test_a_jet_without_particles_is_zero():
    columns = {role: np.ones((1, 2)) for role in P4}
    assert not derive_columns([*P4, *RELATIVE], columns, np.zeros((1, 2), bool)).any()


class TestExtremeBoosts:
    """Energies in float32 lose the mass of a W of 5 TeV at η = 5: E² - p² is 10⁻⁷ of E²."""

    MASS = 80.4

    @pytest.fixture
    def bosons(self, rng):
        """(40, 2, 4) momenta of W bosons' two massless decay products, in float64."""
        boson = kinematics.from_pt_eta_phi_mass(
            np.full(40, 5000.0), np.full(40, 5.0), rng.uniform(-3, 3, 40), self.MASS
        )
        cosine, turn = rng.uniform(-0.8, 0.8, 40), rng.uniform(-3, 3, 40)
        sine = np.sqrt(1 - cosine**2)
        n = self.MASS / 2 * np.stack([sine * np.cos(turn), sine * np.sin(turn), cosine], axis=-1)
        both = np.stack([n, -n], axis=1)
        # A boost from the boson's rest frame.
        p, e = boson[:, None, :3], boson[:, None, 3]
        along = (both * p).sum(axis=-1)
        p3 = both + (along / (e + self.MASS) + self.MASS / 2)[..., None] * p / self.MASS
        return np.concatenate([p3, np.sqrt((p3**2).sum(axis=-1, keepdims=True))], axis=-1)

    def made(self, columns):
        names = tuple(role.value for role in columns)
        particles = np.stack(list(columns.values()), axis=-1).astype(np.float32)
        dataset = Dataset("toy", names, roles={role: role.value for role in columns})
        return Jets(
            particles, np.ones(particles.shape[:2], bool), np.zeros((len(particles), 0), np.float32), None, dataset
        )

    def masses(self, jets):
        return substructure.from_jets(jets)[:, substructure.OBSERVABLES.index("mass")]

    def test_the_mass_of_a_jet_follows_from_angles(self, bosons, caplog):
        jets = self.made(dict(zip(P4, np.moveaxis(bosons, -1, 0), strict=True)))
        rounded = kinematics.mass(jets.constituents.astype(np.float64).sum(axis=1))
        assert np.abs(rounded - self.MASS).max() > 20
        np.testing.assert_allclose(self.masses(jets), self.MASS, rtol=1e-3)
        assert "cannot tell the masses of 40 of 40 jets" in caplog.text

    def test_angles_or_masses_lose_nothing(self, bosons, caplog):
        angles = {Role.PT: kinematics.pt, Role.ETA: kinematics.eta, Role.PHI: kinematics.phi}
        jets = self.made({role: of(bosons) for role, of in angles.items()})
        np.testing.assert_allclose(self.masses(jets), self.MASS, rtol=1e-3)
        momenta = dict(zip(P4, np.moveaxis(bosons, -1, 0), strict=True))
        jets = self.made(momenta | {Role.MASS: np.zeros(bosons.shape[:2])})
        np.testing.assert_allclose(self.masses(jets), self.MASS, rtol=1e-3)
        assert not caplog.text

    def test_a_mass_that_is_derived_is_told_to_be_lost(self, bosons, caplog):
        whole = bosons.sum(axis=1, keepdims=True)
        jets = self.made(dict(zip(P4, np.moveaxis(whole, -1, 0), strict=True)))
        sequences(jets, ["mass"])
        assert "masses of 40 of 40 jets are lost" in caplog.text

    def test_usual_jets_keep_theirs(self, sample, caplog):
        with caplog.at_level(logging.INFO):
            substructure.from_jets(sample[:20])
            sequences(sample, ["mass"])
        assert not caplog.text
        columns = {role: sample.constituents[..., hls4ml.PARTICLE_COLUMNS.index(hls4ml.ROLES[role])] for role in P4}
        assert not jets_without_mass(columns, np.float64(particle_momenta(columns))).any()

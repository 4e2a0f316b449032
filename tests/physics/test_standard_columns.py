"""The standard columns of particles, against formulas written out once more, and their symmetries."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from hepjax import InputError, from_arrays
from hepjax.choices import Role
from hepjax.data import datasets
from hepjax.data.standard_columns import SETS, STANDARD_COLUMNS, standard_sources
from hepjax.inputs import sequences

IDS = (211, -13, 22, 130, 11, 2112)


def cloud(seed=0, **particles):
    """Three jets of up to six particles, in GeV."""
    rng = np.random.default_rng(seed)
    p3 = rng.normal(size=(3, 6, 3)) + np.array([[[50.0, 10.0, 30.0]], [[50.0, 10.0, -30.0]], [[-50.0, 0.0, 30.0]]])
    p4 = np.concatenate([p3, np.sqrt((p3**2).sum(-1, keepdims=True) + 0.02)], axis=-1)
    p4[2, 4:] = 0
    return from_arrays(p4.astype(np.float32), particles=particles)


def written_out(particles):
    """The seven kinematic columns of one jet, particle by particle."""
    px, py, pz, energy = (sum(p[k] for p in particles) for k in range(4))
    pt, phi = math.hypot(px, py), math.atan2(py, px)
    eta = math.asinh(pz / pt)
    for p in particles:
        own = math.hypot(p[0], p[1])
        deta = (math.asinh(p[2] / own) - eta) * (1 if eta >= 0 else -1)
        dphi = math.remainder(math.atan2(p[1], p[0]) - phi, 2 * math.pi)
        logs = (math.log(own), math.log(p[3]), math.log(own / pt), math.log(p[3] / energy))
        scaled = [(x - c) * 0.7 for x, c in zip(logs, (1.7, 2.0, -4.7, -4.7), strict=True)]
        yield [min(max(x, -5), 5) for x in (*scaled, (math.hypot(deta, dphi) - 0.2) * 4)] + [deta, dphi]


def test_kinematics_are_as_written_out():
    jets = cloud()
    found = sequences(jets, ["jetclass_kin"])
    for row, mask, values in zip(jets.constituents, jets.mask, found.values, strict=True):
        np.testing.assert_allclose(values[mask], [*written_out(row[mask].tolist())], atol=2e-6)
        assert not values[~mask].any()


def test_mirrored_jets_have_the_same_columns():
    jets = cloud()
    mirrored = dataclasses.replace(jets, constituents=jets.constituents * np.array([1, 1, -1, 1], np.float32))
    found, other = sequences(jets, ["jetclass_kin"]), sequences(mirrored, ["jetclass_kin"])
    np.testing.assert_allclose(found.values, other.values, atol=1e-6)
    assert np.abs(sequences(jets, ["eta_rel"]).values + sequences(mirrored, ["eta_rel"]).values).max() < 1e-6


def test_types_and_charges_follow_from_pdg_ids():
    p4 = np.tile(np.array([3.0, 1.0, 2.0, 5.0]), (1, 6, 1)) * np.arange(6, 0, -1)[None, :, None]
    jets = from_arrays(p4, particles={"pdg_id": np.array([IDS], float)})
    expected = [[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0], [-1, 0, 0, 0, 1, 0]]
    np.testing.assert_array_equal(
        sequences(jets, SETS["jetclass_kinpid"][5:11]).values[0], [*expected, [0, 0, 1, 0, 0, 0]]
    )
    np.testing.assert_array_equal(sequences(jets, ["charge"]).values[..., 0], [[1, 1, 0, 0, -1, 0]])


def test_impact_parameters_are_squeezed_and_their_errors_cut():
    ones = np.ones((3, 6))
    jets = cloud(pdg_id=22 * ones, d0=2 * ones, d0_error=3 * ones, dz=-0.5 * ones, dz_error=0.25 * ones)
    found = sequences(jets, ["jetclass_full"])
    np.testing.assert_allclose(found.values[0, 0, 11:15], [math.tanh(2), 1, math.tanh(-0.5), 0.25], rtol=1e-6)
    assert found.values.shape[-1] == len(SETS["jetclass_full"]) == 17


def test_a_column_of_the_jets_comes_first():
    jets = cloud(part_deta=np.full((3, 6), 0.3), part_dphi=np.full((3, 6), 0.4), part_pt_log=np.full((3, 6), 1.7))
    found = sequences(jets, ["part_deltaR", "part_deltaR_scaled", "part_pt_log_scaled"]).values
    np.testing.assert_allclose(found[0], np.tile([0.5, 1.2, 0.0], (6, 1)), atol=1e-6)


def test_the_jets_own_pt_and_energy_are_taken():
    jets = cloud()
    whole = from_arrays(
        jets.constituents,
        observables={"jet_pt": np.full(3, 1e3), "jet_energy": np.full(3, 1e4)},
    )
    logs = sequences(whole, ["part_logptrel", "part_logerel", "pt", "energy"]).values[whole.mask]
    np.testing.assert_allclose(logs[:, :2], np.log(logs[:, 2:] / [1e3, 1e4]), rtol=1e-5)


@pytest.mark.parametrize(
    "name, role",
    [("part_charge", "charge or pdg_id"), ("part_isMuon", "pdg_id"), ("part_d0", "d0"), ("jetclass_full", "pdg_id")],
)
def test_what_does_not_follow_is_refused_in_one_line(name, role):
    jets = cloud(charge=np.ones((3, 6))) if name == "jetclass_full" else cloud()
    with pytest.raises(InputError, match=rf"^columns: part_\w+ follows from .* role {role}, which the jets") as caught:
        sequences(jets, [name])
    assert "\n" not in str(caught.value)


def test_jets_without_momenta_are_refused():
    bare = dataclasses.replace(datasets.get("hls4ml"), roles={Role.CHARGE: "j1_e"})
    with pytest.raises(InputError, match="four-momenta"):
        standard_sources("part_deltaR", bare)


def test_every_name_says_what_it_follows_from():
    full = datasets.get("jetclass")
    for name in STANDARD_COLUMNS:
        assert any(standard_sources(name, full))

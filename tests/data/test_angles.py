"""Azimuths are wrapped when jets are read, and stay as they are where they need not be."""

from __future__ import annotations

import dataclasses
import logging

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hepjax import InputError, data, load, read_jets
from hepjax.choices import Role
from hepjax.data import angles
from hepjax.data.datasets import hls4ml
from hepjax.inputs import sequences, tabular

PHI, PHI_REL = (hls4ml.PARTICLE_COLUMNS.index(name) for name in ("j1_phi", "j1_phirel"))


@given(arrays(np.float32, (30, 2), elements=st.floats(-100, 100, width=32)))
def test_wrapped_columns_are_the_same_angles(values):
    found = angles.wrap_columns(values, [1])
    np.testing.assert_array_equal(found[:, 0], values[:, 0])
    inside = np.abs(values[:, 1]) <= angles.LARGEST
    np.testing.assert_array_equal(found[inside], values[inside])
    assert (np.abs(found[:, 1]) <= angles.LARGEST).all()
    np.testing.assert_allclose(
        np.exp(1j * found[:, 1].astype(float)), np.exp(1j * values[:, 1].astype(float)), atol=1e-6
    )
    assert inside.all() == (found is values)


@given(st.floats(101, 1e30), st.sampled_from([-1, 1]))
def test_what_is_no_angle_stays(size, sign):
    values = np.array([[sign * size, 4.0]])
    assert angles.wrap_columns(values, [0]) is values
    assert angles.wrap_columns(values, [0, 1]).tolist() == [[sign * size, 4.0 - 2 * np.pi]]


def test_the_sample_is_read_as_it_is(caplog):
    """Its numbers are rounded, so that some azimuths are 9e-6 above π."""
    phi = np.asarray(read_jets().constituents)[..., PHI]
    assert phi.max() > np.float32(np.pi)
    assert not caplog.records


@pytest.fixture
def turned(jet_file):
    """The same jets, whose azimuths go from −π to π, and from 0 to 2π."""
    clean = jet_file("clean.h5", count=60)
    path = jet_file("turned.h5", count=60)
    with h5py.File(path, "r+") as file:
        values = file[hls4ml.CONSTITUENTS][:]
        for place in (PHI, PHI_REL):
            values[..., place] = np.where(values[..., place] < 0, values[..., place] + 2 * np.pi, values[..., place])
        file[hls4ml.CONSTITUENTS][:] = values
    return clean, path


def test_a_file_from_0_to_2_pi_is_read_as_one_from_minus_pi_to_pi(turned, caplog):
    clean, path = turned
    expected = np.asarray(read_jets(clean).constituents)
    with caplog.at_level(logging.WARNING, "hepjax"):
        jets = read_jets(path)
        found = np.asarray(jets.constituents)
        for rows in (slice(3, 20), np.array([30, 4])):
            np.testing.assert_array_equal(jets[rows].constituents, found[rows])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    positive = expected[..., PHI] >= 0
    np.testing.assert_array_equal(found[positive][:, PHI], expected[positive][:, PHI])
    with h5py.File(path) as file:
        raw = file[hls4ml.CONSTITUENTS][:]
    counts = [int((raw[..., place] > angles.LARGEST).sum()) for place in (PHI, PHI_REL)]
    known = int(raw.any(axis=-1).sum())
    (record,) = caplog.records  # once a file, however often it is read
    assert record.getMessage() == (
        f"{path}: azimuths outside -π to π are wrapped: {counts[0]:,} of {known:,} in j1_phi, {counts[1]:,} of "
        f"{known:,} in j1_phirel"
    )


def test_summaries_and_scores_are_those_of_wrapped_angles(turned, trained_runs):
    ranges = [data.summarize(path).ranges["j1_phirel"] for path in turned]
    np.testing.assert_allclose(*ranges, atol=1e-5)
    tagger = load(trained_runs("deepsets"))
    np.testing.assert_allclose(*(tagger(read_jets(path)) for path in turned), atol=1e-5)


def test_degrees_are_refused(jet_file):
    path = jet_file(count=60)
    with h5py.File(path, "r+") as file:
        values = file[hls4ml.CONSTITUENTS][:]
        values[..., PHI] *= 180 / np.pi
        file[hls4ml.CONSTITUENTS][:] = values
    with pytest.raises(InputError, match=r"jets\.h5: column j1_phi, an azimuth, is beyond ±100 in .* give radians"):
        read_jets(path)[:]


def test_single_absurd_azimuths_are_left_to_the_scaling(jet_file, caplog):
    path = jet_file(count=60)
    with h5py.File(path, "r+") as file:
        file[hls4ml.CONSTITUENTS][7, 0, PHI] = 1e11
    assert read_jets(path)[:].constituents[7, 0, PHI] == np.float32(1e11)
    assert not caplog.records


class TestOtherKindsOfFile:
    """What a part of a file gives does not depend on which other jets are read with it."""

    @pytest.fixture
    def columns(self, rng):
        phi = rng.uniform(0.1, 3, (400, 3)).astype(np.float32)
        return {"pt": phi, "eta": phi, "phi": phi, "jet_phi": phi[:, 0], "label": np.arange(400) % 2}

    def test_a_single_absurd_azimuth_refuses_no_part(self, columns, tmp_path):
        columns["phi"], columns["jet_phi"] = columns["phi"].copy(), columns["jet_phi"].copy()
        columns["phi"][7, 1] = columns["jet_phi"][7] = 1e11
        np.savez(tmp_path / "jets.npz", **columns)
        jets = read_jets(tmp_path / "jets.npz")
        for rows in (slice(7, 8), slice(0, 20), slice(None)):
            place, of_jet = jets.particle_names.index("phi"), jets.observable_names.index("jet_phi")
            assert np.float32(1e11) in jets[rows].constituents[..., place]
            assert np.float32(1e11) in jets[rows].observables[:, of_jet]

    def test_wrapped_ones_are_counted_in_the_whole_file_once(self, columns, tmp_path, caplog):
        columns["phi"] = columns["phi"] + np.float32(2)
        np.savez(tmp_path / "jets.npz", **columns)
        jets = read_jets(tmp_path / "jets.npz")
        for rows in (slice(0, 5), slice(None)):
            assert np.abs(jets[rows].constituents[..., jets.particle_names.index("phi")]).max() <= angles.LARGEST
        count = int(angles.outside(columns["phi"]).sum())
        (record,) = caplog.records
        assert f"{count:,} of 1,200 in phi" in record.getMessage()

    def test_degrees_are_refused_again_and_again(self, columns, tmp_path):
        columns["phi"] = columns["phi"] * np.float32(100)
        np.savez(tmp_path / "jets.npz", **columns)
        jets = read_jets(tmp_path / "jets.npz")
        for _ in range(2):
            with pytest.raises(
                InputError, match=r"phi, an azimuth, is beyond ±100 in .* of 1,200 places; give radians"
            ):
                jets[:5]


def test_jets_made_by_hand_go_the_same_way(turned, caplog):
    expected, jets = (read_jets(path)[:] for path in turned)
    caplog.clear()
    turned_up = np.array(jets.constituents)
    turned_up[..., PHI_REL] += np.where(jets.mask, np.float32(4 * np.pi), 0)
    found = sequences(dataclasses.replace(jets, constituents=turned_up), ["j1_phirel", "phi"])
    np.testing.assert_allclose(found.values, sequences(expected, ["j1_phirel", "phi"]).values, atol=1e-5)
    (record,) = caplog.records
    assert record.getMessage() == f"azimuths outside -π to π are wrapped: {int(jets.mask.sum()):,} in j1_phirel"


def test_azimuths_of_jets(other_file, caplog):
    path = other_file(observables=("j_pt", "j_phi"))
    dataset = read_jets(path).dataset
    dataset = dataclasses.replace(dataset, roles={**dataset.roles, Role.JET_PHI: "j_phi"})
    jets = read_jets(path, dataset=dataset)[:]
    high = dataclasses.replace(jets, observables=jets.observables + np.float32([0, 2 * np.pi]))
    np.testing.assert_allclose(tabular(high, ["j_phi"]), tabular(jets, ["j_phi"]), atol=1e-5)
    with h5py.File(path, "r+") as file:
        file[hls4ml.JETS][:, 1] += 2 * np.pi
    np.testing.assert_allclose(read_jets(path, dataset=dataset)[:].observables, jets.observables, atol=1e-5)

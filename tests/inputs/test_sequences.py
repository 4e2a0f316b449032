"""Padded lists of particle columns."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepjax import InputError, read_jets
from hepjax.data.datasets import hls4ml
from hepjax.inputs import sequences

PLACE = hls4ml.PARTICLE_COLUMNS.index


@pytest.fixture
def opened(jet_file):
    """The same jets on disk and in memory."""
    jets = read_jets(jet_file())
    return jets, jets[:]


def slow(jets, columns, particles, order_by):
    """Jet by jet and particle by particle."""
    values = np.zeros((len(jets), particles, len(columns)), np.float32)
    mask = np.zeros((len(jets), particles), bool)
    for n in range(len(jets)):
        listed = [particle for particle, real in zip(jets.constituents[n], jets.mask[n], strict=True) if real]
        if order_by is not None:
            listed = sorted(listed, key=lambda particle: -particle[PLACE(order_by)])  # stable
        for p, particle in enumerate(listed[:particles]):
            values[n, p] = [particle[PLACE(name)] for name in columns]
            mask[n, p] = True
    return values, mask


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    columns=st.lists(st.sampled_from(hls4ml.PARTICLE_COLUMNS), min_size=1, max_size=5, unique=True),
    particles=st.integers(1, 30),
    order_by=st.none() | st.sampled_from(hls4ml.PARTICLE_COLUMNS),
)
def test_the_slow_way_gives_the_same(opened, columns, particles, order_by):
    values, mask = slow(opened[1], columns, particles, order_by)
    for jets in opened:
        found = sequences(jets, columns, particles=particles, order_by=order_by)
        np.testing.assert_array_equal(found.values, values, strict=True)
        np.testing.assert_array_equal(found.mask, mask, strict=True)


def test_all_columns_are_the_default(opened):
    found = sequences(opened[0])
    np.testing.assert_array_equal(found.values, opened[1].constituents, strict=True)
    np.testing.assert_array_equal(found.mask, opened[1].mask, strict=True)
    np.testing.assert_array_equal(found.lengths, opened[1].mask.sum(1))


@pytest.mark.parametrize("rows", [slice(5, 12), np.array([3, 3, 24]), np.array([], int), np.arange(25) > 20])
def test_some_rows(opened, rows):
    whole = sequences(opened[1], ["j1_e"], particles=7)
    for jets in opened:
        part = sequences(jets, ["j1_e"], particles=7, rows=rows)
        np.testing.assert_array_equal(part.values, whole.values[rows], strict=True)
        np.testing.assert_array_equal(part.mask, whole.mask[rows], strict=True)


def test_order_decides_which_are_kept(opened):
    jets = opened[1]
    eta = jets.constituents[..., PLACE("j1_eta")]
    found = sequences(jets, ["j1_eta"], particles=1, order_by="j1_eta").values[:, 0, 0]
    np.testing.assert_array_equal(found, np.where(jets.mask, eta, -np.inf).max(axis=1))


def test_a_mask_of_the_users_own(opened, rng):
    jets = opened[1]
    spoilt = dataclasses.replace(
        jets, constituents=jets.constituents + np.float32(0.1), mask=jets.mask & (rng.random((25, 30)) < 0.5)
    )
    values, mask = slow(spoilt, ["j1_pt", "j1_phi"], 9, None)
    found = sequences(spoilt, ["j1_pt", "j1_phi"], particles=9)
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.mask, mask)
    assert not found.mask.all()


def test_particles_are_read_once(opened, monkeypatch):
    store, reads = type(opened[0].store), []
    read = store.read

    def counted(self, fields, rows):
        reads.append((fields, rows))
        return read(self, fields, rows)

    monkeypatch.setattr(store, "read", counted)
    sequences(opened[0], ["j1_pt"], rows=slice(2, 4))
    assert reads == [(["constituents"], slice(2, 4))]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"columns": ["j1_pts"]}, "columns: the jets have no j1_pts; did you mean j1_pt"),
        ({"columns": ["charge"]}, "the jets have no charge; .*j1_px"),
        ({"columns": []}, "columns: expected one or more different names, found none"),
        ({"columns": ["j1_e", "j1_e"]}, "found j1_e, j1_e"),
        ({"columns": "j1_pt"}, r"columns: expected a list of names, found the text 'j1_pt'; write \['j1_pt'\]"),
        ({"order_by": "j1_energy"}, "order_by: the jets have no j1_energy"),
        ({"particles": 31}, "particles: the jets have 30 slots, found particles=31; give 1 to 30"),
        ({"particles": 0}, "found particles=0"),
    ],
)
def test_refused(opened, arguments, words):
    with pytest.raises(InputError, match=words):
        sequences(opened[0], **arguments)

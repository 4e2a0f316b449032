"""Augmentations against four-vectors in float64: every column is what it would be of the changed jet."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.choices import Augmentation
from hepjax.data import datasets
from hepjax.inputs import sequences
from hepjax.inputs.augmentation import LARGEST_BOOST, make_augmentation
from hepjax.types import Dataset, Sequences

HLS4ML = datasets.get("hls4ml")
P4 = ("j1_px", "j1_py", "j1_pz", "j1_e")
RELATIVE = ("j1_ptrel", "j1_etarel", "j1_phirel", "j1_deltaR")
JETS = 40


@pytest.fixture(scope="module")
def jets():
    return read_jets()[:JETS]


def changed(jets, kind, columns, seed=0):
    seen = sequences(jets, columns, particles=12)
    new = jax.jit(make_augmentation([kind], columns, HLS4ML))(jax.random.key(seed), seen)
    assert np.array_equal(new.mask, seen.mask)
    assert not np.asarray(new.values)[~seen.mask].any()
    return seen.values.astype(float), np.asarray(new.values, float), seen.mask


def test_a_rotation_about_the_jet_keeps_distances(jets):
    old, new, mask = changed(jets, "rotation", RELATIVE)
    np.testing.assert_array_equal(new[..., [0, 3]], old[..., [0, 3]])
    turns = np.angle((new[..., 1] + 1j * new[..., 2]) / np.where(mask, old[..., 1] + 1j * old[..., 2], 1))
    np.testing.assert_allclose(np.hypot(new[..., 1], new[..., 2]), np.hypot(old[..., 1], old[..., 2]), atol=1e-6)
    first = turns[:, 0]
    far = mask & (np.hypot(old[..., 1], old[..., 2]) > 0.01)
    np.testing.assert_allclose(
        np.exp(1j * turns[far]), np.exp(1j * np.broadcast_to(first[:, None], far.shape)[far]), atol=1e-3
    )
    assert first.min() < -2 < 2 < first.max()


def test_a_rotation_about_the_beams_is_one_of_momenta_and_azimuths(jets):
    old, new, mask = changed(jets, "azimuth", (*P4, "j1_phi", "j1_eta"))
    np.testing.assert_array_equal(new[..., [2, 3, 5]], old[..., [2, 3, 5]])
    turn = (new[:, 0, 0] + 1j * new[:, 0, 1]) / (old[:, 0, 0] + 1j * old[:, 0, 1])
    np.testing.assert_allclose(
        new[..., 0] + 1j * new[..., 1], turn[:, None] * (old[..., 0] + 1j * old[..., 1]), rtol=1e-4, atol=1e-3
    )
    found = np.arctan2(new[..., 1], new[..., 0])
    np.testing.assert_allclose(
        np.exp(1j * new[..., 4][mask]), np.exp(1j * found[mask]), atol=1e-3
    )  # the files are rounded
    assert (np.abs(new[..., 4]) <= np.pi + 1e-6).all()


def test_mirror_images(jets):
    columns = (*P4, "j1_eta", "j1_phi", "j1_etarel", "j1_phirel", "part_deta", "part_dphi", "j1_deltaR")
    old, new, _ = changed(jets, Augmentation.MIRROR, columns)
    along, across = (np.sign(new[:, 0, i] * old[:, 0, i]) for i in (2, 1))
    signs = np.stack([along**0, across, along, along**0, along, across, along, across, along**0, across, along**0], -1)
    np.testing.assert_allclose(new, old * signs[:, None], rtol=1e-6)
    for sign in (along, across, along * across):
        assert {*sign} == {-1.0, 1.0}


def test_a_boost_along_the_beams_keeps_masses_and_adds_rapidity(jets):
    old, new, _ = changed(jets, "boost", P4)
    np.testing.assert_array_equal(new[..., :2], old[..., :2])
    rapidity = [np.arctanh(x.sum(1)[:, 2] / x.sum(1)[:, 3]) for x in (old, new)]
    added = rapidity[1] - rapidity[0]
    assert np.abs(added).max() <= LARGEST_BOOST + 1e-4
    assert added.min() < -0.5 < 0.5 < added.max()
    mass2 = [x.sum(1)[:, 3] ** 2 - (x.sum(1)[:, :3] ** 2).sum(1) for x in (old, new)]
    np.testing.assert_allclose(mass2[1], mass2[0], rtol=1e-3)


def test_several_one_after_another_and_anew_each_time(jets):
    augment = make_augmentation(["azimuth", "mirror"], P4, HLS4ML)
    seen = sequences(jets, P4, particles=12)
    one, again, other = (augment(jax.random.key(seed), seen).values for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1


@pytest.mark.parametrize(
    "kind, columns, problem",
    [
        ("rotation", (*RELATIVE, "j1_e"), "--augment rotation: j1_e would no longer fit"),
        ("rotation", ("j1_ptrel", "j1_etarel"), "j1_etarel would no longer fit"),
        ("rotation", ("eta_rel", "phi_rel", "part_deta", "part_dphi"), "eta_rel, phi_rel would no longer fit"),
        ("boost", (*P4, "part_e_log_scaled"), "part_e_log_scaled would no longer fit"),
        ("boost", ("j1_e", "j1_pt"), "j1_e would no longer fit"),
        ("mirror", ("j1_etarel", "j1_costheta"), "j1_costheta would no longer fit"),
        ("azimuth", RELATIVE, "--augment azimuth: changes nothing of what the network sees, j1_ptrel"),
        ("shear", RELATIVE, "augment: expected azimuth, boost, mirror or rotation"),
    ],
)
def test_columns_that_would_no_longer_fit_are_refused(kind, columns, problem):
    with pytest.raises(InputError, match=problem):
        make_augmentation([kind], columns, HLS4ML)


def test_columns_of_any_dataset():
    dataset = Dataset("toy", particle_columns=("a", "b"), roles={})
    with pytest.raises(InputError, match="a, b would no longer fit"):
        make_augmentation(["mirror"], ("a", "b"), dataset)
    augment = make_augmentation(["mirror"], ("eta", "charge"), dataset)
    x = Sequences(jnp.ones((64, 2, 2)), jnp.ones((64, 2), bool))
    assert {*np.unique(augment(jax.random.key(0), x).values[..., 0]).tolist()} == {-1.0, 1.0}

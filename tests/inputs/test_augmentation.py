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
from hepjax.inputs.augmentation import LARGEST_BOOST, SOFT_SCALE, make_augmentation
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


def test_smearing_moves_directions_by_the_same_in_every_column(jets):
    columns = ("j1_pt", "j1_eta", "j1_phi", *P4, "j1_ptrel", "j1_etarel", "j1_phirel", "j1_deltaR")
    seen = sequences(jets, columns, particles=12)
    exact = seen.values.astype(float)  # the files are rounded: momenta and distances that belong to the directions
    pt, eta, phi = np.moveaxis(exact[..., :3], -1, 0)
    exact[..., 3:6] = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], -1)
    exact[..., 6] = np.sqrt((exact[..., 3:6] ** 2).sum(-1) + 0.2**2)
    seen = seen._replace(values=np.where(seen.mask[..., None], exact, 0).astype(np.float32))
    new = np.asarray(make_augmentation(["smearing"], columns, HLS4ML)(jax.random.key(0), seen).values, float)
    old, new = (x[seen.mask] for x in (seen.values, new))
    np.testing.assert_array_equal(new[:, [0, 7]], old[:, [0, 7]])
    moved = new - old
    np.testing.assert_allclose(moved[:, 1], moved[:, 8], atol=1e-6)
    np.testing.assert_allclose(moved[:, 2], moved[:, 9], atol=1e-6)
    np.testing.assert_allclose((moved[:, 1:3] * old[:, :1]).std(0), SOFT_SCALE, rtol=0.1)
    np.testing.assert_allclose(np.arctan2(new[:, 4], new[:, 3]), new[:, 2], atol=1e-5)
    np.testing.assert_allclose(np.arcsinh(new[:, 5] / new[:, 0]), new[:, 1], atol=1e-5)
    np.testing.assert_allclose(new[:, 6], np.sqrt((new[:, 3:6] ** 2).sum(-1) + 0.2**2), rtol=1e-5)
    np.testing.assert_allclose(new[:, 10], np.hypot(new[:, 8], new[:, 9]), atol=1e-6)


def test_smearing_knows_standardized_columns(jets):
    columns = ("part_pt_log_scaled", "part_logptrel_scaled", "part_deltaR_scaled", "part_deta", "part_dphi")
    old, new, mask = changed(jets, "smearing", columns)
    np.testing.assert_array_equal(new[..., :2], old[..., :2])
    pt = np.exp(old[..., :1] / 0.7 + 1.7)
    np.testing.assert_allclose(((new - old)[..., 3:] * pt)[mask].std(0), SOFT_SCALE, rtol=0.1)
    distance = np.clip((np.hypot(new[..., 3], new[..., 4]) - 0.2) * 4, -5, 5)
    np.testing.assert_allclose(new[..., 2][mask], distance[mask], atol=1e-5)


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
        ("smearing", RELATIVE, "--augment smearing: needs to know pt, or px and py, or part_pt_log of the particles"),
        ("smearing", ("j1_pt", "j1_deltaR"), "j1_deltaR would no longer fit"),
        ("smearing", ("part_pt_log", "part_e_log", "part_deta", "part_dphi"), "part_e_log would no longer fit"),
        ("smearing", (*P4, "part_deta", "part_dphi"), "j1_px, j1_py, j1_pz, j1_e would no longer fit"),
        ("shear", RELATIVE, "augment: expected azimuth, boost, mirror, rotation or smearing"),
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

"""Clouds of particles: to a flow's numbers and back, their observables, bad input."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.inputs import sequences, tabular
from hepjax.physics import kinematics
from hepjax.tasks import generation
from hepjax.types import Conditioned, Scaling, Sequences

CLASSES = ("g", "q", "t")


@pytest.fixture(scope="module")
def jets():
    return read_jets()


@pytest.fixture(scope="module")
def clouds(jets):
    particles = sequences(jets, generation.CLOUD_COLUMNS)
    return generation.make_clouds(particles, tabular(jets, ["j_pt"])[:, 0], jets.labels, jets.classes, CLASSES)


def test_clouds_have_the_mass_of_their_jets(jets, clouds):
    rows = np.isin(jets.labels, [jets.classes.index(name) for name in CLASSES])
    assert [np.sum(clouds.labels == i) for i in range(3)] == [1000] * 3
    assert np.sum(clouds.labels == CLASSES.index("t")) == np.sum(np.array(jets.labels)[rows] == 4)
    p4 = sequences(jets, ["j1_px", "j1_py", "j1_pz", "j1_e"], rows=np.flatnonzero(rows)).values.astype(np.float64)
    massless = p4.copy()
    massless[..., 3] = np.sqrt((p4[..., :3] ** 2).sum(axis=-1))
    result, total = generation.cloud_observables(clouds), massless.sum(axis=1)
    # The sample's columns are rounded to some ten bits.
    assert np.median(np.abs(result["j_mass"] / kinematics.mass(total) - 1)) < 2e-3
    np.testing.assert_allclose(result["j_pt"], kinematics.pt(total), rtol=2e-3)
    np.testing.assert_array_equal(result["j_multiplicity"], (p4[..., 3] > 0).sum(axis=1))
    # Particles in truth have masses, which add little.
    assert np.median(kinematics.mass(p4.sum(axis=1)) - result["j_mass"]) == pytest.approx(0.7, abs=0.3)


def test_observables_are_those_of_a_slow_loop(rng, small_clouds):
    clouds = small_clouds(rng, 6)
    result = generation.cloud_observables(clouds)
    for i, (values, present) in enumerate(zip(clouds.values, clouds.mask, strict=True)):
        px = py = pz = e = share = 0.0
        for eta, phi, z in values[present]:
            pt = z * clouds.pt[i]
            px, py, pz, e = px + pt * np.cos(phi), py + pt * np.sin(phi), pz + pt * np.sinh(eta), e + pt * np.cosh(eta)
            share += z
        expected = [np.sqrt(max(e**2 - px**2 - py**2 - pz**2, 0)), np.hypot(px, py), share, present.sum()]
        np.testing.assert_allclose([result[name][i] for name in result], expected, rtol=1e-6, atol=1e-4)
    assert list(result) == ["j_mass", "j_pt", "share", "j_multiplicity"]


def test_what_is_encoded_is_decoded(clouds):
    inputs = generation.cloud_inputs(clouds)
    scaling = generation.fit_cloud_scaling(inputs)
    coded, totals = (f(inputs, scaling, 3) for f in (generation.encode_particles, generation.encode_totals))
    coded, totals = jax.device_get((coded, totals))
    for rank in (0, 29):  # each rank by itself
        inside = coded.values.values[clouds.mask[:, rank], rank]
        np.testing.assert_allclose([inside.mean(axis=0), inside.std(axis=0)], [[0] * 3, [1] * 3], atol=2e-3)
    assert (coded.values.values[~clouds.mask] == 0).all()
    np.testing.assert_array_equal(coded.condition[:, :3].argmax(axis=1), clouds.labels)
    np.testing.assert_allclose(coded.condition[:, 3:].std(axis=0), 1, atol=1e-3)
    np.testing.assert_array_equal(coded.condition, np.concatenate([totals.condition, totals.values], axis=1))
    back = generation.decode_particles(coded.values.values, clouds, scaling)
    # Equal momenta may come in another order.
    np.testing.assert_allclose(back.values[..., 2], clouds.values[..., 2], rtol=1e-5)
    result, expected = (generation.cloud_observables(x) for x in (back, clouds))
    np.testing.assert_allclose(result["j_mass"], expected["j_mass"], rtol=1e-4)
    mass, share = generation.decode_totals(totals.values, scaling)
    np.testing.assert_allclose(mass, np.maximum(expected["j_mass"], 1), rtol=1e-5)
    np.testing.assert_allclose(share, expected["share"], rtol=1e-5)


def test_ranks_without_particles_are_left_as_they_are():
    values = np.full((20, 3, 3), 0.1) * np.linspace(0.5, 1, 20)[:, None, None]
    mask = np.tile([True, False, False], (20, 1))
    clouds = generation.Clouds(values, mask, np.full(20, 1e3), np.zeros(20, int))
    scaling = generation.fit_cloud_scaling(generation.cloud_inputs(clouds))
    np.testing.assert_array_equal(scaling.particles.mean[1:], 0)
    np.testing.assert_array_equal(scaling.particles.std[1:], 1)
    np.testing.assert_array_equal(scaling.jets.std, 1)  # constant


def test_the_view_knows_momenta_and_mass(clouds):
    part, scaling = clouds.take(slice(0, 50)), generation.fit_cloud_scaling(generation.cloud_inputs(clouds))
    coded = jax.device_get(generation.encode_particles(generation.cloud_inputs(part), scaling, 3))
    filled = np.where(part.mask[..., None], coded.values.values, np.nan)
    observed = generation.make_view(scaling)(Conditioned(Sequences(filled, part.mask), coded.condition))
    assert observed.values.values.shape == (50, 30, 3 + 30 + 4)
    np.testing.assert_array_equal(np.asarray(observed.values.values)[part.mask][:, :3], coded.values.values[part.mask])
    np.testing.assert_array_equal(observed.values.values[0, :, 3:33], np.eye(30))
    np.testing.assert_allclose(observed.values.values[0, 0, 33], 10 * part.values[0, 0, 2], rtol=1e-4)
    result = generation.cloud_observables(part)
    np.testing.assert_array_equal(observed.condition[:, :7], coded.condition)
    np.testing.assert_allclose(observed.condition[:, 7], 2 * result["share"], rtol=1e-4)
    # Without the fourth powers of angles.
    np.testing.assert_allclose(observed.condition[:, 11], 10 * result["j_mass"] / part.pt, rtol=0.05, atol=0.01)


def test_quantities_are_those_of_each_class(clouds):
    result, whole = generation.cloud_quantities(clouds, CLASSES), generation.cloud_observables(clouds)
    assert list(result) == ["j_mass", "j_pt", "j_multiplicity", *generation.CLOUD_COLUMNS]
    np.testing.assert_allclose(result["j_mass"]["t"], whole["j_mass"][clouds.labels == 2], rtol=1e-6)
    selected = clouds.take(clouds.labels == 1)
    np.testing.assert_allclose(result["j1_ptrel"]["q"], selected.values[selected.mask][:, 2], rtol=1e-6)


def test_rows_of_zeros_have_finite_numbers():
    """Batches are filled up with them; what is not finite would spoil the gradients of the others."""
    blank = Conditioned(Sequences(np.zeros((2, 3, 3), "f4"), np.zeros((2, 3), bool)), np.zeros((2, 4), "f4"))
    scaling = generation.CloudScaling(*(Scaling(0.0, 1.0) for _ in range(3)))
    for encode in (generation.encode_particles, generation.encode_totals):
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(encode(blank, scaling, 2)))


def test_mirrored_jets_have_their_mass(clouds):
    part = clouds.take(slice(0, 200))
    turned = np.asarray(generation.mirror(jax.random.key(0), Sequences(part.values, part.mask)).values)
    sign = np.sign(turned[:, 0, :2] * part.values[:, 0, :2])
    assert {tuple(pair) for pair in sign.tolist()} == {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    before, after = (generation.cloud_observables(x) for x in (part, part._replace(values=turned)))
    np.testing.assert_allclose(after["j_mass"], before["j_mass"], rtol=1e-3, atol=0.05)
    np.testing.assert_allclose(after["share"], before["share"], rtol=1e-5)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"labels": None}, "with labels, found none"),
        ({"chosen": ("g", "h")}, "h is not in the files, which hold g, q; choose"),
        ({"chosen": ("t",)}, "t is not in the files, which hold g, q"),
        ({"labels": np.repeat([0, 1], [35, 5])}, "expected 10 jets of q or more to learn from, found 5"),
        ({"pt": np.zeros(40)}, "positive pT"),
        ({"columns": 2}, "j1_etarel, j1_phirel, j1_ptrel"),
        ({"fill": np.nan}, "finite angles"),
    ],
)
def test_bad_input_is_named(change, words, rng, small_clouds):
    clouds = small_clouds(rng)
    values = np.where(clouds.mask[..., None], change.get("fill", 1.0) * clouds.values, 0)[
        ..., : change.get("columns", 3)
    ]
    received = {"pt": clouds.pt, "labels": clouds.labels, "classes": CLASSES, "chosen": ("g", "q")} | {
        name: x for name, x in change.items() if name not in {"columns", "fill"}
    }
    with pytest.raises(InputError, match=words):
        generation.make_clouds(Sequences(values, clouds.mask), **received)


def test_jets_without_particles_are_left_out(rng, small_clouds):
    clouds = small_clouds(rng)
    mask = clouds.mask & (np.arange(40)[:, None] > 3)
    result = generation.make_clouds(Sequences(clouds.values, mask), clouds.pt, clouds.labels, CLASSES, ("q",))
    np.testing.assert_array_equal(result.pt, clouds.pt[5::2])

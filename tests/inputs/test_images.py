"""Jet images: drawn from particles, and read from files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hepjax import InputError, read_jets
from hepjax.choices import Channels, PixelValue, Role
from hepjax.data.dataset import P4
from hepjax.data.datasets import hls4ml
from hepjax.inputs import amplitudes, check_masses_known, draw, file_images, image_columns, images
from hepjax.physics.kinematics import from_pt_eta_phi_mass
from hepjax.types import Jets, Sequences

REAL_JETS = Path(__file__).parents[3] / "shared" / "reference" / "real_jets" / "five_jets_50p.npz"
ENERGY = image_columns(PixelValue.ENERGY)
PIXELS, SIZE = 12, 0.05


def particles(eta, phi, pt, mask=None):
    """(B, P) places and pT as `draw` takes them; the energy is 2 pT."""
    values = np.stack([eta, phi, pt, 2 * np.asarray(pt)], axis=-1).astype(np.float32)
    return Sequences(values, np.ones(values.shape[:2], bool) if mask is None else mask)


drawn = jax.jit(draw, static_argnames=("columns", "pixels", "size", "value", "channels", "rotate", "flip"))


def paint(listed, **options):
    return np.asarray(drawn(listed, columns=ENERGY, **{"pixels": PIXELS, "size": SIZE, **options}))


def cells(seed, jets=4, count=20, reach=10):
    """Particles in the middle of pixels, some beyond the window: far from every edge."""
    rng = np.random.default_rng(seed)
    eta, phi = ((rng.integers(-reach, reach, size=(2, jets, count)) + 0.5) * SIZE).astype(np.float32)
    return eta, phi, rng.exponential(20, size=(jets, count)).astype(np.float32)


SEEDS = st.integers(0, 2**32 - 1)
few = settings(deadline=None, max_examples=25)


class TestDraw:
    """The kernel, against NumPy's histogram in float64 and against symmetries."""

    @pytest.mark.parametrize("value, column", [(PixelValue.PT, 2), (PixelValue.ENERGY, 3)])
    def test_histogram(self, rng, value, column):
        eta, phi = rng.normal(scale=0.2, size=(2, 6, 40))
        listed = particles(eta, phi, rng.exponential(20, size=(6, 40)), rng.random((6, 40)) < 0.7)
        edges = (np.arange(PIXELS + 1) - PIXELS / 2) * SIZE
        assert np.abs(listed.values[..., :2, None] - edges).min() > 1e-6
        for image, values, mask in zip(paint(listed, value=value), listed.values, listed.mask, strict=True):
            eta, phi, weight = values[mask][:, [0, 1, column]].T.astype(np.float64)
            expected = np.histogram2d(phi, eta, bins=(edges, edges), weights=weight)[0]
            np.testing.assert_allclose(image[..., 0], expected, rtol=1e-6)

    @few
    @given(seed=SEEDS)
    def test_pt_in_the_window_is_conserved(self, seed):
        eta, phi, pt = cells(seed)
        inside = (np.abs(eta) < PIXELS * SIZE / 2) & (np.abs(phi) < PIXELS * SIZE / 2)
        total = paint(particles(eta, phi, pt)).sum((1, 2, 3), dtype=np.float64)
        np.testing.assert_allclose(total, np.where(inside, pt, 0).sum(1, dtype=np.float64), rtol=1e-6)

    @few
    @given(seed=SEEDS, rotate=st.booleans(), flip=st.booleans())
    def test_order_and_padding_do_not_matter(self, seed, rotate, flip):
        # Places that no sum's rounding moves across an edge.
        rng = np.random.default_rng(seed)
        eta, phi, pt = np.float32([[0.1, 0.02, -0.13]]), np.float32([[0.03, 0.21, 0.02]]), rng.uniform(1, 2, (1, 3))
        whole = paint(particles(eta, phi, pt), rotate=rotate, flip=flip)
        slots = rng.permutation(9)[:3]
        values, mask = np.full((1, 9, 4), np.nan, np.float32), np.zeros((1, 9), bool)
        values[:, slots], mask[:, slots] = particles(eta, phi, pt).values, True
        np.testing.assert_allclose(paint(Sequences(values, mask), rotate=rotate, flip=flip), whole, rtol=1e-6)

    @few
    @given(seed=SEEDS, angle=st.floats(-np.pi, np.pi))
    def test_rotation_undoes_a_turn(self, seed, angle):
        rng = np.random.default_rng(seed)
        # A jet that lies along φ already, heavier at the top.
        i, j = np.array([[0, 1, -2, 1, -1]]), np.array([[4, 1, 0, -3, -2]])
        eta, phi, pt = (i + 0.5) * SIZE, (j + 0.5) * SIZE, rng.uniform(1, 2, (1, 5)) * [[9, 3, 1, 1, 1]]
        eta, phi = (x.astype(np.float64) for x in _principal(eta, phi, pt))
        away = _distance_to_edges(np.stack([eta, phi]))
        turned = np.cos(angle) * eta - np.sin(angle) * phi, np.sin(angle) * eta + np.cos(angle) * phi
        found, expected = paint(particles(*turned, pt), rotate=True), paint(particles(eta, phi, pt))
        assume(away > 1e-5)
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    @few
    @given(seed=SEEDS)
    def test_rotation_is_along_phi_with_the_heavy_end_up(self, seed):
        rng = np.random.default_rng(seed)
        angle, sign = rng.uniform(-np.pi, np.pi, (2, 3, 1))
        along, pt = np.sign(sign) * np.linspace(-0.25, 0.25, 9)[None] + 0.011, np.r_[np.full(4, 1.0), np.full(5, 2.0)]
        image = paint(
            particles(np.cos(angle) * along, np.sin(angle) * along, np.tile(pt, (3, 1))), pixels=13, rotate=True
        )[..., 0]
        assert (image.sum(axis=1)[:, np.arange(13) != 6] == 0).all()  # one column
        assert (image[:, 7:].sum((1, 2)) > image[:, :6].sum((1, 2))).all()

    @few
    @given(seed=SEEDS, mirror_eta=st.booleans(), mirror_phi=st.booleans())
    def test_flip(self, seed, mirror_eta, mirror_phi):
        eta, phi, pt = cells(seed)
        image = paint(particles(eta, phi, pt), flip=True)
        mirrored = paint(particles(eta * (1 - 2 * mirror_eta), phi * (1 - 2 * mirror_phi), pt), flip=True)
        np.testing.assert_array_equal(mirrored, image)
        plain = paint(particles(eta, phi, pt))
        for found, given_ in zip(image, plain, strict=True):
            mirrors = (given_, given_[::-1], given_[:, ::-1], given_[::-1, ::-1])
            assert any(np.array_equal(found, mirror) for mirror in mirrors)
        inside = particles(*cells(seed, reach=5))
        image = paint(inside, flip=True)[..., 0]
        half = PIXELS // 2
        assert (image[:, half:].sum((1, 2)) >= image[:, :half].sum((1, 2)) * (1 - 1e-6)).all()
        assert (image[..., half:].sum((1, 2)) >= image[..., :half].sum((1, 2)) * (1 - 1e-6)).all()

    @pytest.mark.parametrize("rotate, flip", [(True, False), (False, True), (True, True)])
    def test_jets_without_an_axis_are_finite(self, rotate, flip):
        ring = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        eta = np.stack([0.2 * np.cos(ring), np.zeros(8), np.full(8, 0.11), np.zeros(8)])
        phi = np.stack([0.2 * np.sin(ring), np.zeros(8), np.zeros(8), np.zeros(8)])
        mask = np.arange(8) < np.array([8, 8, 1, 0])[:, None]
        listed = particles(eta, phi, np.ones((4, 8)), mask)
        np.testing.assert_allclose(paint(listed, rotate=rotate, flip=flip).sum((1, 2, 3)), [8, 8, 1, 0], rtol=1e-6)

        def total(values):
            image = draw(Sequences(values, mask), columns=ENERGY, pixels=PIXELS, size=SIZE, rotate=rotate, flip=flip)
            return (image**2).sum()

        gradient = np.asarray(jax.grad(total)(jnp.asarray(listed.values)))
        assert np.isfinite(gradient).all()
        assert (gradient[..., 2][mask] > 0).all()
        assert (gradient[~mask] == 0).all()

    def test_an_edge_belongs_to_the_pixel_above(self):
        # Sizes and places that binary numbers hold exactly.
        eta = np.array([[-0.5, 0.0, 0.25, 0.5, np.nextafter(np.float32(-0.5), -1)]])
        image = paint(particles(eta, np.zeros((1, 5)), [[1, 2, 4, 8, 16]]), pixels=4, size=0.25)
        assert image[0, :, :, 0].tolist() == [[0] * 4, [0] * 4, [1, 0, 2, 4], [0] * 4]

    def test_pixels_are_those_of_float32(self, rng):
        eta = rng.uniform(-1.02, 1.02, size=(2000, 1)).astype(np.float32)
        eta[::2] = np.round(eta[::2] / np.float32(0.02)) * np.float32(0.02)  # on the edges
        listed = particles(eta, np.zeros_like(eta), np.ones_like(eta))
        line = np.floor((eta[:, 0] + np.float32(1)) * np.float32(50))
        inside = (line >= 0) & (line < 100)
        for image in (paint(listed, pixels=100, size=0.02), np.asarray(draw(listed, columns=ENERGY))):
            np.testing.assert_array_equal(image.sum((1, 2, 3)) > 0, inside)
            np.testing.assert_array_equal(image[inside].sum((1, 3)).argmax(1), line[inside])

    @pytest.mark.parametrize(
        "options, words",
        [
            ({"pixels": 0}, "pixels: expected 1 or more, found 0"),
            ({"size": 0.0}, "size: expected .* above 0, found 0.0"),
            ({"size": float("nan")}, "size: .*found nan"),
            ({"channels": Channels.CHARGED_NEUTRAL}, "columns: the jets have no px"),
        ],
    )
    def test_refused(self, options, words):
        with pytest.raises(InputError, match=words):
            paint(particles(*cells(0)), **options)


def _principal(eta, phi, pt):
    """The jet turned so that its axis, by an eigenvector in float64, is along φ with more pT at the positive end."""
    places = np.concatenate([eta, phi])
    axis = np.linalg.eigh((pt * places) @ places.T)[1][:, 1]
    axis *= np.sign((pt * np.sign(axis @ places)).sum())
    return np.array([[axis[1], -axis[0]]]) @ places, axis[None] @ places


def _distance_to_edges(x):
    return np.abs(x / SIZE - np.round(x / SIZE)).min() * SIZE


def simulated(rng, count=30, jets=2100):
    """Jets in memory with half of the particles pions, half massless, in full precision."""
    pt, eta, phi = rng.exponential(10, (jets, count)), *rng.normal(scale=0.1, size=(2, jets, count))
    pion = rng.random((jets, count)) < 0.5
    columns = dict.fromkeys(hls4ml.PARTICLE_COLUMNS, np.zeros((jets, count)))
    p4 = from_pt_eta_phi_mass(pt, 0.3 + eta, phi - 1, np.where(pion, 0.1396, 0.0))
    columns |= dict(zip(("j1_px", "j1_py", "j1_pz", "j1_e"), np.moveaxis(p4, -1, 0), strict=True))
    columns |= {"j1_pt": pt, "j1_etarel": eta, "j1_phirel": phi}
    mask = np.arange(count) < rng.integers(0, count + 1, size=(jets, 1))
    constituents = np.where(mask[..., None], np.stack(list(columns.values()), axis=-1), 0).astype(np.float32)
    roles = {role: name for role, name in hls4ml.ROLES.items() if not role.of_jets}
    dataset = dataclasses.replace(hls4ml.HLS4ML, jet_columns=(), roles=roles)
    return Jets(constituents, mask, np.zeros((jets, 0)), None, dataset), pion & mask


class TestImages:
    """Whole sets of jets."""

    def test_any_number_of_jets(self, rng):
        jets, _ = simulated(rng)
        found = images(jets, pixels=20)
        eta, phi, pt = (
            jets.constituents[..., hls4ml.PARTICLE_COLUMNS.index(name)] for name in ("j1_etarel", "j1_phirel", "j1_pt")
        )
        expected = paint(particles(eta, phi, pt, jets.mask), pixels=20, size=0.02)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        for rows in (slice(1990, 2010), np.array([7, 7, 2099]), np.array([], int)):
            np.testing.assert_array_equal(images(jets, pixels=20, rows=rows), found[rows], strict=True)
        hardest = paint(particles(eta[:, :4], phi[:, :4], pt[:, :4], jets.mask[:, :4]), pixels=20, size=0.02)
        np.testing.assert_allclose(images(jets, pixels=20, particles=4), hardest, rtol=1e-6)

    def test_files_that_hold_the_same_images(self, jet_file):
        path = jet_file()
        drawn = images(read_jets(path))
        jets = read_jets(jet_file(jetImage=drawn[..., 0].astype(np.float64), jetImageHCAL=3 * drawn[..., 0]),
                         images=["jetImage", "jetImageHCAL"])  # fmt: skip
        np.testing.assert_array_equal(file_images(jets), drawn, strict=True)
        two = file_images(jets, ["jetImageHCAL", "jetImage"], rows=slice(3, 9))
        np.testing.assert_array_equal(two, np.concatenate([3 * drawn, drawn], axis=-1)[3:9], strict=True)
        np.testing.assert_array_equal(file_images(jets[3:9]), drawn[3:9])

    def test_charged_and_neutral(self, rng):
        jets, pion = simulated(rng, jets=400)
        two = images(jets, channels=Channels.CHARGED_NEUTRAL, size=0.05)
        pt = jets.constituents[..., hls4ml.PARTICLE_COLUMNS.index("j1_pt")]
        np.testing.assert_allclose(two[..., 0].sum((1, 2)), np.where(pion, pt, 0).sum(1), rtol=1e-5)
        np.testing.assert_allclose(two.sum(-1, keepdims=True), images(jets, size=0.05), rtol=1e-5)

    def test_rounded_files_do_not_know_masses(self):
        jets = read_jets()
        with pytest.raises(InputError, match=r"channels: the particles' momenta are rounded: .* use one channel"):
            images(jets, channels=Channels.CHARGED_NEUTRAL, rows=slice(20))

    @pytest.mark.skipif(not REAL_JETS.exists(), reason="the reference jets are not part of a checkout")
    def test_real_jets_know_masses(self):
        check_masses_known(np.load(REAL_JETS)["constituents"][..., :4])

    @pytest.mark.parametrize("bits", [12, 16, 20])
    def test_rounding_is_seen(self, rng, bits):
        jets, _ = simulated(rng, jets=50)
        p4 = jets.constituents[..., :4]
        check_masses_known(p4)
        mantissa, exponent = np.frexp(p4)
        with pytest.raises(InputError, match="rounded"):
            check_masses_known(np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent))

    def test_columns_that_are_missing(self, rng):
        jets = simulated(rng, jets=3)[0]
        roles = {role: name for role, name in jets.dataset.roles.items() if role in {Role.PX, Role.PT, Role.PHI_REL}}
        bare = dataclasses.replace(jets, dataset=dataclasses.replace(jets.dataset, roles=roles))
        with pytest.raises(InputError, match="columns: the jets have no eta_rel; did you mean j1_etarel"):
            images(bare)
        with pytest.raises(InputError, match="channels: the dataset hls4ml has no column of energies or masses"):
            images(bare, channels=Channels.CHARGED_NEUTRAL)

    def test_columns_that_are_derived(self, rng):
        jets, _ = simulated(rng, jets=20)
        momenta = {role: name for role, name in jets.dataset.roles.items() if role in P4}
        bare = dataclasses.replace(jets, dataset=dataclasses.replace(jets.dataset, roles=momenta))
        pt = np.hypot(jets.constituents[..., 0], jets.constituents[..., 1]).sum(axis=1)
        np.testing.assert_allclose(images(bare, pixels=8, size=1.0).sum(axis=(1, 2, 3)), pt, rtol=1e-4)

    @pytest.mark.parametrize(
        "held, names, words",
        [
            ({}, ["jetImage"], r"names: the jets hold no jetImage \(they hold no images\).*images=\[\"jetImage\"\]"),
            ({"jetImageECAL": np.zeros((3, 4, 4))}, ["jetImage"], r"they hold jetImageECAL"),
            ({"a": np.zeros((3, 4, 4)), "b": np.zeros((3, 5, 4))}, ["a", "b"], "images of one size"),
            ({}, [], "names: expected a list"),
            ({}, "jetImage", "names: expected a list"),
        ],
    )
    def test_images_that_are_not_there(self, rng, held, names, words):
        with pytest.raises(InputError, match=words):
            file_images(dataclasses.replace(simulated(rng, jets=3)[0], images=held), names)


def test_amplitudes_are_a_distance_of_hellinger(rng):
    drawn = rng.exponential(size=(2, 4, 5, 1)) * (rng.random((2, 4, 5, 1)) < 0.5)
    x = amplitudes(drawn)
    p, q = (image.ravel() / image.sum() for image in drawn)
    hellinger = 1 - sum(np.sqrt(a * b) for a, b in zip(p, q, strict=True))
    assert np.mean((x[0] - x[1]) ** 2) == pytest.approx(2 * hellinger, rel=1e-5)
    np.testing.assert_allclose(amplitudes(7 * drawn), x, rtol=1e-5)
    assert (amplitudes(np.zeros((1, 2, 2, 1))) == 0).all()

"""Pictures of jets: what is in them, and that nothing overlaps or leaves the page."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import image

from hepjax import InputError
from hepjax.data.datasets import hls4ml
from hepjax.report import features_figure, image_figure, save, sequence_figure
from hepjax.types import Sequences

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 5
CLASSES = ("g", "q", "w", "z", "t")
IMAGES = RNG.exponential(size=(60, 8, 8, 2)).astype(np.float32) * (RNG.random((60, 8, 8, 2)) < 0.1)
MASK = np.arange(20) < RNG.integers(0, 21, size=(60, 1))
PARTICLES = Sequences(np.where(MASK[..., None], RNG.lognormal(sigma=2, size=(60, 20, 3)), 0).astype(np.float32), MASK)
COLUMNS = ["j1_pt", "j1_etarel", "j1_deltaR"]
FEATURES = RNG.lognormal(size=(60, 16))
FIGURES = {
    "one image": lambda: image_figure(IMAGES[0, ..., :1], label="hepjax simulation"),
    "mean image": lambda: image_figure(IMAGES[..., :1], label="hepjax simulation"),
    "image of each class": lambda: image_figure(IMAGES[..., :1], LABELS, CLASSES, label="hepjax simulation"),
    "channels": lambda: image_figure(
        IMAGES, LABELS, CLASSES, channels=("charged", "neutral"), label="hepjax simulation"
    ),
    "channels alone": lambda: image_figure(IMAGES, channels=("charged", "neutral"), axes=("Minor", "Principal")),
    "particles": lambda: sequence_figure(PARTICLES, COLUMNS, LABELS, CLASSES, label="hepjax simulation"),
    "one column": lambda: sequence_figure(
        PARTICLES._replace(values=PARTICLES.values[..., :1]), COLUMNS[:1], LABELS, CLASSES
    ),
    "observables": lambda: features_figure(
        FEATURES, hls4ml.STANDARD_FEATURES, LABELS, CLASSES, label="hepjax simulation"
    ),
    "five observables": lambda: features_figure(FEATURES[:, :5], hls4ml.STANDARD_FEATURES[:5], LABELS, CLASSES),
    "observables together": lambda: features_figure(FEATURES[:, :3], ["j_tau1_b1", "j_tau32_b2_mmdt", "j_pt"]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_leaves_the_page_or_covers_another(name, assert_legible):
    assert_legible(FIGURES[name]())


class TestImageFigure:
    def test_means_and_window(self):
        figure = image_figure(IMAGES[..., :1], LABELS, CLASSES, size=0.05)
        panels = [axes for axes in figure.axes if axes.get_xlabel() or axes.images]
        assert [axes._right_title.get_text() for axes in panels[:5]] == ["g", "q", "W", "Z", "t"]
        for c, axes in enumerate(panels[:5]):
            mean = IMAGES[c == LABELS, ..., 0].mean(axis=0, dtype=np.float64)
            shown = axes.images[0].get_array()
            np.testing.assert_allclose(np.ma.filled(shown, 0), mean)
            assert (np.ma.getmaskarray(shown) == (mean == 0)).all()
            assert axes.images[0].get_extent() == [-0.2, 0.2, -0.2, 0.2]
            assert axes.images[0].origin == "lower"
        assert isinstance(panels[0].images[0].norm, mpl.colors.LogNorm)

    def test_a_pixel_at_positive_eta_and_negative_phi_is_right_and_below(self, tmp_path):
        picture = np.zeros((8, 8, 1))
        picture[1, 6] = 1
        figure = image_figure(picture)
        save(figure, tmp_path / "a.png")
        pixels = image.imread(tmp_path / "a.png")[..., :3]
        box = figure.axes[0].get_window_extent()
        scale = 150 / figure.dpi
        height = len(pixels)

        def color(eta, phi):
            x, y = figure.axes[0].transData.transform((eta, phi)) * scale
            return pixels[height - int(y), int(x)]

        assert box.width == pytest.approx(box.height, rel=0.01)
        assert np.ptp(color(0.05, -0.05)) > 0.1
        for eta, phi in ((-0.05, 0.05), (0.05, 0.05), (-0.05, -0.05)):
            assert color(eta, phi).tolist() == [1, 1, 1]

    def test_classes_without_jets_have_no_panel(self):
        figure = image_figure(IMAGES[:2, ..., :1], np.array([1, 4]), CLASSES)
        assert [axes._right_title.get_text() for axes in figure.axes[:2]] == ["q", "t"]

    @pytest.mark.parametrize(
        "arguments, words",
        [
            ({"images": np.ones((5, 100, 100))}, r"images: expected \(H, W, C\).*found shape \(5, 100, 100\)"),
            ({"images": np.zeros((3, 4, 4, 1))}, "images: every pixel is 0"),
            ({"images": np.ones((0, 4, 4, 1))}, "images: expected"),
            ({"images": np.ones((3, 4, 4, 2)), "channels": ["a"]}, "channels: expected 2 names"),
            ({"images": np.ones((3, 4, 4, 1)), "labels": np.arange(2)}, "labels: expected 3 indices from 0 to 4"),
            ({"images": np.ones((3, 4, 4, 1)), "labels": np.array([0, 1, 5])}, "labels: expected 3 indices"),
            (
                {"images": np.ones((3, 4, 4, 1)), "labels": np.arange(3), "classes": ()},
                "classes: expected the class names",
            ),
        ],
    )
    def test_refused(self, arguments, words):
        with pytest.raises(InputError, match=words):
            image_figure(**{"classes": CLASSES, **arguments})


class TestDistributions:
    def test_padding_does_not_count(self):
        figure = sequence_figure(PARTICLES, COLUMNS)
        spoilt = PARTICLES._replace(values=np.where(MASK[..., None], PARTICLES.values, np.nan))
        for axes, again in zip(figure.axes, sequence_figure(spoilt, COLUMNS).axes, strict=True):
            for patch, other in zip(axes.patches, again.patches, strict=True):
                np.testing.assert_array_equal(patch.get_data().values, other.get_data().values)
        heights = figure.axes[0].patches[-1].get_data().values
        assert 0.98 < heights.sum() <= 1  # all but the tails
        assert figure.axes[0].get_xscale() == "log"

    def test_heights_are_those_of_the_class(self):
        figure = features_figure(FEATURES[:, :1], ["j_multiplicity"], LABELS, CLASSES)
        for c, patch in enumerate(figure.axes[0].patches):
            values, edges, _ = patch.get_data()
            rows = FEATURES[c == LABELS, 0]
            np.testing.assert_allclose(values, np.histogram(rows, edges)[0] / len(rows))
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["g", "q", "W", "Z", "t"]

    def test_whole_numbers_have_bins_of_their_own(self):
        figure = features_figure(np.repeat(np.arange(10.0), 100)[:, None], ["j_multiplicity"])
        values, edges, _ = figure.axes[0].patches[-1].get_data()
        np.testing.assert_allclose(edges, np.arange(-0.5, 10.5))
        np.testing.assert_allclose(values, 0.1)

    def test_a_constant_is_drawn(self):
        values = features_figure(np.full((9, 1), 3.5), ["j_pt"]).axes[0].patches[-1].get_data().values
        assert values.sum() == 1

    @pytest.mark.parametrize(
        "name, words",
        [
            ("j_d2_a1_b2_mmdt", "$D_2$ (α = 1, β = 2, mMDT)"),  # noqa: RUF001
            ("j_c1_b0", "$C_1$ (β = 0)"),
            ("j_tau1_b1", r"$\tau_1$ (β = 1) [GeV]"),
            ("j_tau32_b2_mmdt", r"$\tau_3$ / $\tau_2$ (β = 2, mMDT)"),
            ("j1_pt", "$p_T$ [GeV]"),
            ("my_own", "my_own"),
        ],
    )
    def test_labels_of_axes(self, name, words):
        assert features_figure(np.ones((2, 1)), [name]).axes[0].get_xlabel() == words

    def test_refused(self):
        with pytest.raises(InputError, match="names: expected 16, one for each column, found 2"):
            features_figure(FEATURES, ["j_pt", "j_mass"])
        with pytest.raises(InputError, match="x: expected"):
            features_figure(FEATURES[:0], hls4ml.STANDARD_FEATURES)
        with pytest.raises(InputError, match="values: found NaN"):
            features_figure(np.full((3, 1), np.nan), ["j_pt"])
        with pytest.raises(InputError, match="sequences: expected one particle"):
            sequence_figure(PARTICLES._replace(mask=MASK & False), COLUMNS)
        with pytest.raises(InputError, match="labels: expected 60 indices"):
            sequence_figure(PARTICLES, COLUMNS, LABELS[:5], CLASSES)

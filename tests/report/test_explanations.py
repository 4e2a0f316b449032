"""Pictures of explanations: what is in them, and that nothing overlaps or leaves the page."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import LogNorm

from hepjax import InputError
from hepjax.data.datasets import hls4ml
from hepjax.report.explanations import correlation_figure, importance_figure, relevance_figure, saliency_figure

RNG = np.random.default_rng(0)
NAMES = hls4ml.STANDARD_FEATURES
MEAN, STD = RNG.exponential(0.05, 16) - 0.01, RNG.random(16) * 0.01
LABELS = np.arange(40) % 5
IMAGES = RNG.exponential(size=(40, 8, 8, 2)).astype(np.float32) * (RNG.random((40, 8, 8, 2)) < 0.2)
SALIENCY = IMAGES * RNG.normal(size=IMAGES.shape)
COLUMNS = ["j1_pt", "j1_etarel", "j1_phirel"]
LOOK = {"plane": ("j1_etarel", "j1_phirel"), "size": "j1_pt"}
CLASSES = ("g", "q", "w", "z", "t")
PARTICLES = np.stack([RNG.exponential(50, 12), RNG.normal(0, 0.2, 12), RNG.normal(0, 0.2, 12)], axis=1)
RELEVANCE = RNG.normal(size=12)
MESSAGES = RNG.normal(size=(12, 12)) * (1 - np.eye(12))
CORRELATIONS = np.clip(RNG.normal(0, 0.4, (24, 16)), -1, 1)
FIGURES = {
    "importance": lambda: importance_figure(MEAN, STD, NAMES, label="hepjax simulation"),
    "importance of two": lambda: importance_figure(
        MEAN[:2], STD[:2], ["energy", "direction"], quantity="Rise of the loss"
    ),
    "saliency of classes": lambda: saliency_figure(SALIENCY, IMAGES, LABELS, CLASSES, label="hepjax simulation"),
    "saliency of a jet": lambda: saliency_figure(SALIENCY[0], IMAGES[0], label="hepjax simulation"),
    "saliency alone": lambda: saliency_figure(SALIENCY),
    "saliency of classes alone": lambda: saliency_figure(SALIENCY, None, LABELS, CLASSES),
    "particles": lambda: relevance_figure(PARTICLES, COLUMNS, particles=RELEVANCE, label="hepjax simulation", **LOOK),
    "messages": lambda: relevance_figure(PARTICLES, COLUMNS, messages=MESSAGES, label="hepjax simulation", **LOOK),
    "both": lambda: relevance_figure(PARTICLES, COLUMNS, particles=RELEVANCE, messages=MESSAGES, **LOOK),
    "without pT": lambda: relevance_figure(PARTICLES[:, 1:], COLUMNS[1:], particles=RELEVANCE),
    "correlations": lambda: correlation_figure(CORRELATIONS, NAMES, label="hepjax simulation"),
    "correlations of many": lambda: correlation_figure(np.tile(CORRELATIONS, (10, 1)), NAMES),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_leaves_the_page_or_covers_another(name, assert_legible):
    assert_legible(FIGURES[name]())


class TestImportance:
    def test_the_most_important_is_on_top(self):
        axes = importance_figure([0.1, 0.3, -0.01], [0.01, 0.02, 0.0], ["j_pt", "j_mass", "own"]).axes[0]
        assert [text.get_text() for text in axes.get_yticklabels()] == ["Jet mass", "Jet $p_T$", "own"]
        assert [bar.get_width() for bar in axes.patches] == [0.3, 0.1, -0.01]
        assert axes.get_ylim()[0] > axes.get_ylim()[1]  # place 0 is above
        (lines,) = (each for each in axes.collections if isinstance(each, LineCollection))
        spans = [segment[:, 0] for segment in lines.get_segments()]
        np.testing.assert_allclose(spans, [[0.28, 0.32], [0.09, 0.11], [-0.01, -0.01]])

    def test_the_least_are_left_out(self):
        axes = importance_figure(MEAN, STD, NAMES, most=5).axes[0]
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], np.sort(MEAN)[::-1][:5])

    @pytest.mark.parametrize("std, names", [(STD[:3], NAMES), (STD, NAMES[:3]), (STD[:0], ())])
    def test_refused(self, std, names):
        with pytest.raises(InputError, match="names: expected one for each mean and std"):
            importance_figure(MEAN if len(std) else MEAN[:0], std, names)


class TestSaliency:
    def test_classes(self):
        figure = saliency_figure(SALIENCY, IMAGES, LABELS, CLASSES, size=0.05)
        top, bottom = figure.axes[:5], figure.axes[5:10]
        assert [axes._right_title.get_text() for axes in top] == ["g", "q", "W", "Z", "t"]
        scales = set()
        for c, (above, below) in enumerate(zip(top, bottom, strict=True)):
            expected = IMAGES[c == LABELS].sum(-1).mean(0, dtype=np.float64)
            np.testing.assert_allclose(np.ma.filled(above.images[0].get_array(), 0), expected, rtol=1e-6)
            assert isinstance(above.images[0].norm, LogNorm)
            np.testing.assert_allclose(below.images[0].get_array(), SALIENCY[c == LABELS].sum(-1).mean(0))
            assert below.images[0].get_extent() == [-0.2, 0.2, -0.2, 0.2]
            assert below.images[0].origin == "lower"
            scales.add(below.images[0].get_clim())
        ((low, high),) = scales  # white is 0, and all classes have one scale
        assert low == -high < 0

    def test_one_jet_has_its_image_on_the_left(self):
        left, right = saliency_figure(SALIENCY[3], IMAGES[3]).axes[:2]
        assert left.get_position().x1 < right.get_position().x0
        np.testing.assert_allclose(np.ma.filled(left.images[0].get_array(), 0), IMAGES[3].sum(-1), rtol=1e-6)
        np.testing.assert_allclose(right.images[0].get_array(), SALIENCY[3].sum(-1))

    @pytest.mark.parametrize(
        "arguments, words",
        [
            ({"images": IMAGES[:3]}, r"images: expected the shape of saliency, \(40, 8, 8, 2\), found \(3, 8, 8, 2\)"),
            ({"saliency": 0 * SALIENCY}, "saliency: every pixel is 0"),
            ({"labels": LABELS + 1}, "labels: expected 40 indices from 0 to 4"),
            ({"saliency": SALIENCY[0, 0]}, r"images: expected \(H, W, C\)"),
        ],
    )
    def test_refused(self, arguments, words):
        with pytest.raises(InputError, match=words):
            saliency_figure(**{"saliency": SALIENCY, "classes": CLASSES, **arguments})


class TestRelevance:
    def test_particles(self):
        axes = relevance_figure(PARTICLES, COLUMNS, particles=RELEVANCE, **LOOK).axes[0]
        *_, nodes = (each for each in axes.collections if isinstance(each, PathCollection))
        np.testing.assert_allclose(nodes.get_offsets(), PARTICLES[:, 1:])
        np.testing.assert_allclose(nodes.get_array(), RELEVANCE)
        assert nodes.get_clim() == (-np.abs(RELEVANCE).max(), np.abs(RELEVANCE).max())
        large = nodes.get_sizes() > nodes.get_sizes().min()
        np.testing.assert_allclose(
            nodes.get_sizes()[large] / nodes.get_sizes().max(), PARTICLES[large, 0] / PARTICLES[:, 0].max()
        )

    @pytest.mark.parametrize("strongest, count", [(10, 10), (500, 66)])
    def test_messages(self, strongest, count):
        axes = relevance_figure(PARTICLES, COLUMNS, messages=MESSAGES, strongest=strongest, **LOOK).axes[0]
        (lines,) = (each for each in axes.collections if isinstance(each, LineCollection))
        both = MESSAGES + MESSAGES.T
        assert len(lines.get_segments()) == count
        for segment, relevance in zip(lines.get_segments(), lines.get_array(), strict=True):
            a, b = (np.abs(PARTICLES[:, 1:] - end).sum(1).argmin() for end in segment)
            assert relevance == pytest.approx(both[a, b])
        drawn, there = np.abs(lines.get_array()), np.abs(both[np.triu_indices(12, 1)])
        np.testing.assert_allclose(drawn, np.sort(there)[-count:])  # the strongest lie on top
        assert (np.diff(lines.get_linewidths()) >= 0).all()

    def test_a_single_particle(self):
        figure = relevance_figure(PARTICLES[:1], COLUMNS, particles=np.zeros(1), messages=np.zeros((1, 1)), **LOOK)
        assert len(figure.axes) == 3

    @pytest.mark.parametrize(
        "arguments, words",
        [
            ({"particles": RELEVANCE[:3]}, r"particles: expected shape \(12,\), found \(3,\); leave the padding out"),
            ({"messages": MESSAGES[:3]}, r"messages: expected shape \(12, 12\), found \(3, 12\)"),
            ({"values": PARTICLES[:0]}, r"values: expected \(n, 3\) of one particle or more, found \(0, 3\)"),
            ({"values": PARTICLES[:, :2]}, r"values: expected \(n, 3\)"),
            ({"plane": ("j1_eta", "j1_phi")}, "no column j1_eta;"),
        ],
    )
    def test_refused(self, arguments, words):
        with pytest.raises(InputError, match=words):
            relevance_figure(**{"values": PARTICLES, "columns": COLUMNS, **arguments})


class TestCorrelations:
    def test_order(self):
        table = np.array([[0.1, 0.95, 0.0], [-0.5, 0.2, 0.4], [np.nan] * 3, [0.6, 0.5, -0.1], [0.3, -0.8, 0.0]])
        axes = correlation_figure(table, ["j_pt", "j_mass", "j_eta"]).axes[0]
        assert [text.get_text() for text in axes.get_yticklabels()] == ["Jet mass", "Jet $p_T$", "Jet η"]
        expected = table[[0, 4, 3, 1]][:, [1, 0, 2]].T
        np.testing.assert_array_equal(axes.images[0].get_array(), expected)
        assert axes.images[0].get_clim() == (-1, 1)
        assert axes.get_xlabel() == "4 hidden features (1 more are constant), by what they follow"

    def test_the_observables_that_are_followed_least_are_left_out(self):
        axes = correlation_figure(np.array([[0.1, 0.9, np.nan]]), ["j_pt", "j_mass", "j_eta"], most=2).axes[0]
        assert [text.get_text() for text in axes.get_yticklabels()] == ["Jet mass", "Jet $p_T$"]

    def test_refused(self):
        with pytest.raises(InputError, match="observables: expected 16 names, found 3"):
            correlation_figure(CORRELATIONS, NAMES[:3])
        with pytest.raises(InputError, match="correlations: every one is NaN"):
            correlation_figure(CORRELATIONS * np.nan, NAMES)

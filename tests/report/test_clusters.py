"""Pictures of jets in a plane: what is in them, and that nothing overlaps or leaves the page."""

from __future__ import annotations

import numpy as np
import pytest

from hepjax import InputError
from hepjax.report import plane_figure
from hepjax.report.style import line_color

RNG = np.random.default_rng(0)
CLASSES = ("g", "q", "w", "z", "t")
LABELS = RNG.integers(5, size=300)
POINTS = RNG.normal(size=(300, 2)) + np.eye(5)[LABELS][:, :2] * 3
CLUSTERS = np.where(RNG.random(300) < 0.7, (LABELS + 2) % 5, RNG.integers(7, size=300))


def rgb(axes):
    (dots,) = axes.collections
    return [tuple(shade[:3]) for shade in dots.get_facecolors()]


def expected(numbers):
    from matplotlib.colors import to_rgb

    return [to_rgb(line_color(int(number))) for number in numbers]


@pytest.mark.parametrize("clusters", [CLUSTERS, CLUSTERS * 0, LABELS])
def test_no_text_leaves_the_page_or_covers_another(clusters, assert_legible):
    assert_legible(plane_figure(POINTS, LABELS, clusters, CLASSES, label="hepjax simulation"))


def test_classes_and_clusters():
    figure = plane_figure(POINTS, LABELS, (LABELS + 2) % 5, CLASSES, axes=("across", "up"))
    left, right = figure.axes
    for axes in (left, right):
        np.testing.assert_allclose(axes.collections[0].get_offsets(), POINTS)
        assert axes.get_xlabel() == "across"
    assert (left.get_ylabel(), right.get_ylabel()) == ("up", "")
    assert rgb(left) == rgb(right) == expected(LABELS)  # a cluster has the color of its class
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["g", "q", "W", "Z", "t"]
    assert [text.get_text() for text in right.get_legend().get_texts()] == [
        "1: 100 % Z", "2: 100 % t", "3: 100 % g", "4: 100 % q", "5: 100 % W"
    ]  # fmt: skip


def test_of_two_clusters_of_a_class_the_smaller_has_a_colour_of_its_own():
    labels = np.array([0, 0, 0, 0, 1, 1, 0, 0])
    clusters = np.array([2, 2, 0, 0, 0, 2, 2, 2])
    figure = plane_figure(np.zeros((8, 2)), labels, clusters, ("q", "w"))
    assert rgb(figure.axes[1]) == expected(np.where(clusters == 2, 0, 2))
    words = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert words == ["1: 67 % q", "3: 80 % q"]  # cluster 2 is empty


def test_some_of_many_are_drawn_and_all_are_counted():
    figure = plane_figure(POINTS, LABELS, LABELS, CLASSES, most=10)
    assert len(figure.axes[0].collections[0].get_offsets()) == 10
    assert len(figure.axes[0].get_legend().get_texts()) == 5


def test_what_lies_far_outside_does_not_shrink_the_rest():
    points = POINTS.copy()
    points[0] = [1e6, -1e6]
    low, high = plane_figure(points, LABELS, CLUSTERS, CLASSES).axes[0].get_xlim()
    assert -6 < low < high < 10


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"points": POINTS[:, :1]}, r"points: expected shape \(N, 2\) of finite numbers, found \(300, 1\)"),
        ({"points": POINTS * np.nan}, r"points: expected shape \(N, 2\) of finite numbers"),
        ({"points": POINTS[:9]}, "clusters: expected one for each of 9 points, found 300"),
        ({"labels": LABELS[:9]}, "labels: expected those of 300 jets, as clusters has, found 9"),
        ({"labels": LABELS + 1}, "labels: expected indices from 0 to 4, found 5"),
    ],
)
def test_bad_input(arguments, words):
    with pytest.raises(InputError, match=words):
        plane_figure(**{"points": POINTS, "labels": LABELS, "clusters": CLUSTERS, "classes": CLASSES, **arguments})

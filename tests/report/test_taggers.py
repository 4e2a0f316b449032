"""ROC curves of several taggers: what is in the picture, and that nothing overlaps or leaves the page."""

from __future__ import annotations

import numpy as np
import pytest

from hepjax import InputError
from hepjax.evaluation import class_curves
from hepjax.report import taggers_figure
from hepjax.types import Scores

CLASSES = ("g", "q", "w", "z", "t")


def scores(sharpness, seed=0, labels=None):
    rng = np.random.default_rng(seed)
    labels = rng.integers(5, size=400) if labels is None else labels
    p = np.exp(rng.normal(size=(400, 5)) + sharpness * np.eye(5)[labels])
    return Scores(p / p.sum(axis=1, keepdims=True), labels, None, CLASSES)


def test_no_text_leaves_the_page_or_covers_another(assert_legible):
    assert_legible(taggers_figure({f"tagger {i}": scores(i) for i in range(10)}, label="hepjax simulation"))


def test_a_panel_for_each_class_and_a_line_for_each_tagger():
    taggers = {"sharp": scores(3), "blunt": scores(1)}
    figure = taggers_figure(taggers, lowest=1e-2)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_xlabel() for axes in panels] == [f"{name} efficiency" for name in ("g", "q", "W", "Z", "t")]
    for axes, name in zip(panels, CLASSES, strict=True):
        assert [line.get_label() for line in axes.lines] == list(taggers)
        assert axes.get_ylim() == (1e-2, 1)
        for line, one in zip(axes.lines, taggers.values(), strict=True):
            curve = class_curves(one)[name]
            fpr = np.interp([0.3, 0.6, 0.9], curve.tpr, curve.fpr)
            np.testing.assert_allclose(np.interp([0.3, 0.6, 0.9], *line.get_data()), fpr, atol=0.02)
    styles = {(line.get_color(), line.get_linestyle()) for line in panels[0].lines}
    assert len(styles) == 2
    assert [text.get_text() for text in figure.axes[-1].get_legend().get_texts()] == list(taggers)


def test_a_class_without_jets_has_no_panel():
    figure = taggers_figure({"one": scores(1, labels=np.arange(400) % 4)})
    assert [axes.get_xlabel() for axes in figure.axes if axes.axison] == [
        f"{c} efficiency" for c in ("g", "q", "W", "Z")
    ]


def test_bad_input():
    with pytest.raises(InputError, match=r"taggers: expected one or more of the same classes, found \[\]"):
        taggers_figure({})
    two = Scores(np.full((2, 2), 0.5), np.array([0, 1]), None, ("q", "t"))
    with pytest.raises(InputError, match="taggers: expected one or more of the same classes"):
        taggers_figure({"a": two, "b": scores(1)})

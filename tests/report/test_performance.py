"""Pictures of rejection, significance, calibration and discriminants: what is in them, and that nothing overlaps."""

from __future__ import annotations

import numpy as np
import pytest

from hepjax.errors import InputError
from hepjax.evaluation import class_curve, figures_of_merit
from hepjax.evaluation.calibration import expected_calibration_error, reliability
from hepjax.evaluation.curve_intervals import rejection_interval, rejection_limit
from hepjax.evaluation.spectra import cuts_of, spectra
from hepjax.report import save
from hepjax.report.performance import discriminant_figure, rejection_figure, reliability_figure, significance_figure
from hepjax.types import Scores


def toy(classes="gqwzt", jets=1500, weighted=False):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(classes), jets)
    logits = 1.3 * rng.normal(size=(jets, len(classes)))
    logits[np.arange(jets), labels] += 2
    p = np.exp(logits)
    w = rng.uniform(0.5, 1.5, jets) if weighted else None
    return Scores((p / p.sum(axis=1, keepdims=True)).astype(np.float32), labels, w, tuple(classes))


FIVE, TWO = toy(weighted=True), toy(["background", "signal"])
MANY = toy([f"class_{i}" for i in range(8)])
FEW = toy(jets=25)
FIGURES = {
    "rejection": lambda: rejection_figure(FIVE, "hepjax simulation"),
    "rejection of two": lambda: rejection_figure(TWO),
    "rejection of few": lambda: rejection_figure(FEW),
    "significance": lambda: significance_figure(FIVE, "hepjax simulation"),
    "significance of many": lambda: significance_figure(MANY),
    "significance of few": lambda: significance_figure(toy("gq", jets=15)),
    "reliability": lambda: reliability_figure(FIVE, 1.25, "hepjax simulation"),
    "reliability of few": lambda: reliability_figure(FEW),
    "discriminant": lambda: discriminant_figure(FIVE, {"w": 0.5, "z": 0.5}, {"g": 0.3, "q": 0.7}, "hepjax simulation"),
    "discriminant of two": lambda: discriminant_figure(TWO, "signal"),
    "discriminant of many": lambda: discriminant_figure(MANY, "class_1"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_leaves_the_page_or_covers_another(name, assert_legible, tmp_path):
    figure = FIGURES[name]()
    save(figure, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    assert_legible(figure)


def test_rejections_are_drawn_with_band_and_bound_from_the_first_jet_on():
    scores = toy()
    (axes,) = rejection_figure(scores).axes
    for c, name in enumerate(scores.classes):
        quoted, bound = axes.lines[2 * c], axes.lines[2 * c + 1]
        curve = class_curve(scores, name)
        known = {(t, 1 / f) for t, f in zip(curve.tpr, curve.fpr, strict=True) if f > 0}
        rejection = quoted.get_ydata()
        finite = np.isfinite(rejection)
        assert set(zip(quoted.get_xdata()[finite], rejection[finite], strict=True)) <= known
        assert np.nanmax(rejection) == max(1 / f for f in curve.fpr if f > 0)
        jets = spectra(scores.scores[:, c], scores.labels == c, scores.weights)
        efficiency, low = bound.get_xdata()[12], bound.get_ydata()[12]
        assert (efficiency, low) == (0.5, pytest.approx(rejection_limit(*cuts_of(jets), 0.5)))
        vertices = axes.collections[c].get_paths()[0].vertices
        ends = vertices[np.isclose(vertices[:, 0], 0.5), 1]
        assert (ends.min(), ends.max()) == pytest.approx(tuple(rejection_interval(*cuts_of(jets), 0.5)))
        assert (bound.get_ydata() < np.interp(bound.get_xdata(), quoted.get_xdata()[finite], rejection[finite])).all()
    assert len(axes.collections) == 5


def test_the_largest_significance_is_marked():
    scores = toy()
    (axes,) = significance_figure(scores).axes
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    figures = figures_of_merit(scores)["classes"]
    for c, name in enumerate(scores.classes):
        marked = axes.lines[2 * c + 1]
        assert marked.get_ydata()[0] == pytest.approx(figures[name]["max_significance_improvement"])
        assert f"{marked.get_ydata()[0]:.2f} at {marked.get_xdata()[0]:.0%}" in words[c]
        assert marked.get_ydata()[0] < np.nanmax(axes.lines[2 * c].get_ydata())


def test_with_few_jets_no_significance_is_quoted():
    (axes,) = significance_figure(toy("gq", jets=15)).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()][:2] == ["g   too few jets", "q   too few jets"]


def test_reliability_shows_what_a_temperature_mends():
    top, classes, jets, _ = reliability_figure(FIVE, 1.25).axes
    words = [text.get_text() for text in top.get_legend().get_texts()]
    assert words[0].startswith(f"As trained   ECE {expected_calibration_error(FIVE):.4f} (noise ")
    assert words[1].startswith("T = 1.250   ECE ")
    exact = reliability(FIVE)
    np.testing.assert_allclose(top.containers[0].lines[0].get_ydata(), exact.accuracy)
    np.testing.assert_allclose(jets.patches[0].get_data().values.sum(), 1)
    assert [text.get_text()[0] for text in classes.get_legend().get_texts()] == ["g", "q", "W", "Z", "t"]


def test_the_discriminant_names_its_mixture():
    (axes,) = discriminant_figure(FIVE, {"w": 0.5, "z": 0.5}, {"g": 0.3, "q": 0.7}).axes
    assert axes.get_xlabel() == "Discriminant ln[(0.5 p(W) + 0.5 p(Z)) / (0.3 p(g) + 0.7 p(q))]"
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["g   background 0.3", "q   background 0.7", "W   signal 0.5", "Z   signal 0.5", "t   not used"]
    for stairs in axes.patches:
        assert stairs.get_data().values.sum() == pytest.approx(1)
    (axes,) = discriminant_figure(MANY, "class_1").axes
    assert axes.get_xlabel() == "Discriminant ln[p(class_1) / Σ f p]"


def test_a_class_without_jets_is_left_out():
    rows = FIVE.labels != 2
    part = Scores(FIVE.scores[rows], FIVE.labels[rows], FIVE.weights[rows], FIVE.classes)
    for draw in (rejection_figure, significance_figure):
        words = [text.get_text()[0] for text in draw(part).axes[0].get_legend().get_texts()]
        assert words[:4] == ["g", "q", "Z", "t"]
    assert len(reliability_figure(part).axes[1].get_legend().get_texts()) == 4
    assert len(discriminant_figure(part, "w").axes[0].get_legend().get_texts()) == 4


def test_all_scores_alike_can_be_drawn(tmp_path):
    alike = Scores(np.full((60, 2), 0.5), np.arange(60) % 2, None, ("g", "q"))
    for draw in (rejection_figure, significance_figure, reliability_figure, lambda s: discriminant_figure(s, "g")):
        save(draw(alike), tmp_path / "picture.png")


@pytest.mark.parametrize("draw", [rejection_figure, significance_figure])
def test_one_class_alone_has_no_curve(draw):
    with pytest.raises(InputError, match="two classes or more for a curve"):
        draw(Scores(np.array([[0.5, 0.5]]), np.array([0]), None, ("g", "q")))


@pytest.mark.parametrize(
    "draw", [rejection_figure, significance_figure, reliability_figure, lambda scores: discriminant_figure(scores, "g")]
)
def test_scores_that_are_none_are_named(draw):
    with pytest.raises(InputError, match="scores: expected finite"):
        draw(Scores(np.full((4, 2), np.nan), np.array([0, 1, 0, 1]), None, ("g", "q")))

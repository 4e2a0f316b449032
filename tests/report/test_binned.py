"""Pictures of one cut over observables: what is in them, and that nothing overlaps."""

from __future__ import annotations

import numpy as np
import pytest

from hepjax.errors import InputError
from hepjax.evaluation.binned import class_rates_in_bins, sculpting
from hepjax.evaluation.working_points import selection
from hepjax.report import save
from hepjax.report.binned import even_bin_edges, rates_figure, sculpting_figure
from hepjax.types import Scores


def toy(jets=4000, classes="gqwzt", weighted=False):
    """Scores of the last class that know the mass."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(classes), jets)
    mass = rng.gamma(3, 30, jets)
    logits = rng.normal(size=(jets, len(classes)))
    logits[np.arange(jets), labels] += 1
    logits[:, -1] += 2 * np.exp(-(((mass - 173) / 40) ** 2))
    p = np.exp(logits)
    w = rng.uniform(0.5, 1.5, jets) if weighted else None
    observables = {"j_pt": rng.gamma(9, 110, jets), "j_eta": rng.normal(size=jets), "j_mass": mass}
    return Scores(p / p.sum(axis=1, keepdims=True), labels, w, tuple(classes)), observables


FIVE, SEEN = toy(weighted=True)
FEW, SEEN_FEW = toy(40)
FIGURES = {
    "rates": lambda: rates_figure(FIVE, "t", SEEN, label="hepjax simulation"),
    "rates of few": lambda: rates_figure(FEW, "t", SEEN_FEW),
    "rates of one": lambda: rates_figure(FIVE, "w", {"j_multiplicity": SEEN["j_pt"] // 20}),
    "sculpting": lambda: sculpting_figure(
        FIVE, "t", SEEN["j_mass"], "j_mass", background=("g", "q"), label="hepjax simulation"
    ),
    "sculpting of few": lambda: sculpting_figure(FEW, "t", SEEN_FEW["j_mass"], "j_mass"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_leaves_the_page_or_covers_another(name, assert_legible, tmp_path):
    figure = FIGURES[name]()
    save(figure, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    assert_legible(figure)


def test_a_panel_for_each_observable_and_a_line_for_each_class():
    figure = rates_figure(FIVE, "t", SEEN, 0.6, edges={"j_pt": [0, 800, 1200, 3000]})
    assert [axes.get_xlabel() for axes in figure.axes] == ["Jet $p_T$ [GeV]", "Jet η", "Jet mass [GeV]"]
    exact = class_rates_in_bins(FIVE, selection(FIVE, "t", 0.6), SEEN["j_pt"], [0, 800, 1200, 3000])
    for container, rates in zip(figure.axes[0].containers, exact.values(), strict=True):
        points = container.lines[0]
        np.testing.assert_allclose(points.get_ydata(), rates.rate)
        assert ((points.get_xdata() > rates.edges[:-1]) & (points.get_xdata() < rates.edges[1:])).all()
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["g", "q", "W", "Z", "t", "none: upper end"]
    bottom, top = figure.axes[0].get_ylim()
    assert bottom < min(rates.rate.min() for rates in exact.values())
    assert top == 1


def test_a_bin_of_which_nothing_is_selected_shows_how_much_could_be():
    p = np.repeat([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1]], 20, axis=0)
    jets = Scores(p, np.repeat([0, 1, 1], 20), None, ("q", "t"))
    figure = rates_figure(
        jets, "t", {"j_mass": np.r_[np.full(40, 80.0), np.full(20, 170.0)]}, edges={"j_mass": [0, 100, 200]}
    )
    arrows = [line for line in figure.axes[0].lines if line.get_marker() == "v" and len(line.get_xdata())]
    assert [line.get_ydata()[0] for line in arrows] == pytest.approx([1 - 0.15865 ** (1 / 20)] * 2, rel=1e-4)


def test_the_divergence_is_written_beside_each_cut():
    (axes,) = sculpting_figure(FIVE, "t", SEEN["j_mass"], "j_mass", background=("g", "q"), efficiencies=(0.5,)).axes
    assert axes.get_ylabel() == "Share of background jets (g, q)"
    before, after = axes.patches
    rows = FIVE.labels < 2
    selected = selection(FIVE, "t", 0.5)
    edges = before.get_data().edges
    found = sculpting(selected[rows], SEEN["j_mass"][rows], edges, FIVE.weights[rows])
    np.testing.assert_allclose(after.get_data().values, found.after / found.after.sum())
    assert [stairs.get_data().values.sum() for stairs in (before, after)] == pytest.approx([1, 1])
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words[0] == f"No cut ({found.outside[0]:.1%} below, {found.outside[1]:.1%} above)"
    assert f"{found.divergence:.4f} (chance {found.expected:.4f} ± {found.spread:.4f})" in words[1]
    assert found.divergence > found.expected + 5 * found.spread


def test_a_cut_that_few_jets_pass_is_named_only():
    (axes,) = sculpting_figure(FEW, "t", SEEN_FEW["j_mass"], "j_mass", efficiencies=(0.1,)).axes
    assert len(axes.patches) == 1
    assert axes.get_legend().get_texts()[1].get_text().endswith("fewer than 10 jets")


def test_edges_leave_out_the_tails():
    edges = even_bin_edges(np.arange(1001.0), bins=10)
    assert np.diff(edges) == pytest.approx(99)
    assert (edges[0], edges[-1]) == (5, 995)
    assert even_bin_edges(np.full(4, 7.0)).tolist() == [6.5, 7.5]


def test_a_class_without_jets_is_left_out():
    rows = FIVE.labels != 2
    part = Scores(FIVE.scores[rows], FIVE.labels[rows], FIVE.weights[rows], FIVE.classes)
    figure = rates_figure(part, "t", {"j_mass": SEEN["j_mass"][rows]})
    assert [text.get_text() for text in figure.legends[0].get_texts()][:4] == ["g", "q", "Z", "t"]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: rates_figure(FIVE, "t", {}), "observables: expected one or more"),
        (lambda: rates_figure(FIVE, "x", SEEN), "name: expected one of g, q, w, z, t, found 'x'"),
        (lambda: rates_figure(FIVE, "t", {"j_pt": [1.0]}), r"values: expected shape \(4000,\)"),
        (lambda: sculpting_figure(FIVE, "t", [1.0], "j_mass"), r"mass: expected shape \(4000,\)"),
        (lambda: sculpting_figure(FIVE, "t", np.full(4000, np.nan), "j_mass"), "values: expected finite"),
        (
            lambda: sculpting_figure(FIVE, "t", SEEN["j_mass"], "j_mass", background=("t",)),
            "background: expected classes out of",
        ),
        (lambda: sculpting_figure(FIVE, "t", SEEN["j_mass"], "j_mass", background=()), "background: expected jets of"),
        (
            lambda: sculpting_figure(
                Scores(np.array([[0.5, 0.5]]), np.array([1]), None, ("q", "t")), "t", [1.0], "j_mass"
            ),
            "scores: expected jets of class t and of others",
        ),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()

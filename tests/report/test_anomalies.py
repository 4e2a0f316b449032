"""Pictures and tables of anomaly scores: what they show, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from hepjax import InputError, report
from hepjax.types import Scores


def answers(rng, gap):
    truth = np.repeat([0, 1], 50)
    p = np.clip(rng.normal(0.4 + gap * truth, 0.1), 0, 1)
    return Scores(np.stack([1 - p, p], axis=1), truth, None, ("background", "t"))


def test_each_kind_has_a_panel_and_each_score_a_line(rng):
    found = {kind: {name: answers(rng, gap) for name, gap in (("mass", 0.1), ("KL", 0.3))} for kind in ("w", "w+t")}
    figure = report.anomaly_roc_figure(found, baselines=["mass"])
    assert [axes.get_xlabel() for axes in figure.axes] == ["Signal efficiency, W", "Signal efficiency, W + t"]
    for axes in figure.axes:
        mass, kl = axes.get_lines()
        assert mass.get_color() == "k" != kl.get_color()
        assert mass.get_ydata().sum() > kl.get_ydata().sum()
    only = report.anomaly_roc_figure(found, names=["KL"])
    assert [len(axes.get_lines()) for axes in only.axes] == [1, 1]


def test_a_spectrum_for_each_class_that_is_there(rng):
    figure = report.anomaly_score_figure(rng.exponential(size=90), np.arange(90) % 2, ("q", "w", "t"), "Error", "here")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["q", "W"]
    assert axes.get_title(loc="left") == "here"


def test_auc_over_contamination(rng):
    figures = {
        share: {
            name: {"auc": {"value": value - float(share), "interval": None}} for name, value in (("a", 0.9), ("b", 0.8))
        }
        for share in ("0.1", "0", "0.01")
    }
    (axes,) = report.contamination_figure(figures, ["b"]).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0 %", "1 %", "10 %"]
    assert axes.get_lines()[0].get_ydata().tolist() == pytest.approx([0.8, 0.79, 0.7])


def test_tables_say_for_what_they_are():
    one = {"value": 0.9, "interval": [0.88, 0.92]}
    found = {"auc": one, "rejection": {"value": None, "interval": None}, "other": {"value": 12.0, "interval": None}}
    table = report.anomaly_tables({"t": {"0": {"mass": found}}, "w+t": {"0.001": {"mass": found}}})
    assert table.count("| mass | 0.900 ± 0.020 | - | 12.0 |") == 2
    assert "## t, 0 % among" in table
    assert "## W + t, 0.1 % among" in table


@pytest.mark.parametrize(
    "draw, words",
    [
        (lambda: report.anomaly_roc_figure({}), "expected a kind of anomaly"),
        (lambda: report.anomaly_roc_figure({"w": {}}), "a score or more of each"),
        (
            lambda: report.anomaly_roc_figure(
                {"w": {"KL": Scores(np.full((3, 2), 0.5), np.zeros(3, int), None, ("background", "w"))}}
            ),
            "expected background and anomalies of w",
        ),
        (lambda: report.anomaly_score_figure([1.0, -1.0], np.array([0, 1]), ("q", "t")), "expected positive numbers"),
        (lambda: report.anomaly_score_figure([1.0, np.nan], np.array([0, 1]), ("q", "t")), "expected positive numbers"),
        (lambda: report.contamination_figure({}), "expected a share of contamination"),
    ],
)
def test_nothing_to_draw_is_refused(draw, words):
    with pytest.raises(InputError, match=words):
        draw()

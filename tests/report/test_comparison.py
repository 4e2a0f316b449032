"""Tables and pictures of several taggers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console

from hepjax.evaluation import compare_scores, measure
from hepjax.report import comparison_numbers, comparison_table, learning_curve_figure, save
from hepjax.types import Scores

NAMES = ["runs/a", "runs/b"]


@pytest.fixture
def found(rng):
    labels = np.repeat(np.arange(5), 200)
    logits = rng.normal(size=(1000, 5)) + 1.2 * np.eye(5)[labels]
    both = [np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (logits + rng.normal(size=(1000, 5)), logits)]
    scores = [Scores(p, labels, None, ("g", "q", "w", "z", "t")) for p in both]
    return [measure(one) for one in scores], [compare_scores(*scores)]


def printed(table, width=120):
    console = Console(width=width, record=True, markup=False)
    console.print(table)
    return console.export_text()


def test_a_table_tells_figures_differences_and_which_are_significant(found):
    text = printed(comparison_table(NAMES, *found, 1000))
    (difference,) = found[1]
    assert f"{found[0][1]['accuracy']:.4f}" in text
    assert f"{difference['accuracy'].value:+.4f} ± {difference['accuracy'].error:.4f} *" in text
    assert f"{difference['classes']['t']['background_rejection_at_0.5'].value:.2f}x" in text
    assert "W AUC" in text
    assert "1,000 jets" in text


def test_a_tagger_against_itself_has_no_star():
    labels = np.repeat([0, 1], 50)
    p = np.stack([np.linspace(0.1, 0.9, 100)] * 2, axis=1)
    same = Scores(p / p.sum(axis=1, keepdims=True), labels, None, ("q", "t"))
    rows = printed(comparison_table(NAMES, [measure(same)] * 2, [compare_scores(same, same)], 100)).split("100 jets")[0]
    assert "*" not in rows
    assert "+0.0000 ± 0.0000" in rows


def test_the_numbers_go_into_json(found):
    numbers = json.loads(json.dumps(comparison_numbers(NAMES, *found, 1000), allow_nan=False))
    assert [one["name"] for one in numbers["taggers"]] == NAMES
    assert "difference" not in numbers["taggers"][0]
    assert numbers["taggers"][1]["difference"]["loss"]["value"] == found[1][0]["loss"].value


def test_a_learning_curve_is_in_the_order_of_sizes(found, tmp_path):
    figure = learning_curve_figure([3000, 300], found[0])
    loss, aucs = figure.axes
    assert loss.lines[0].get_xdata().tolist() == [300, 3000]
    assert loss.lines[0].get_ydata().tolist() == [found[0][1]["loss"], found[0][0]["loss"]]
    assert len(aucs.get_legend_handles_labels()[1]) == 5
    save(figure, tmp_path / "curve.png")

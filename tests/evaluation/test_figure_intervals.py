from __future__ import annotations

import numpy as np
import pytest

from hepjax.evaluation import auc, figure_intervals, figures_of_merit, roc_curve
from hepjax.evaluation.spectra import curve_of_sums, spectra
from hepjax.types import Scores


def flat(tree, prefix=()):
    for key, value in tree.items():
        yield from flat(value, (*prefix, key)) if isinstance(value, dict) else [((*prefix, key), value)]


def taken(scores, rows):
    weights = None if scores.weights is None else scores.weights[rows]
    return scores._replace(scores=scores.scores[rows], labels=scores.labels[rows], weights=weights)


def halves(intervals):
    return {key: (ends[1] - ends[0]) / 2 for key, ends in flat(intervals) if ends is not None}


@pytest.mark.parametrize("weighted", [False, True])
def test_widths_are_those_of_drawing_jets_one_by_one(toy, weighted):
    toy = toy if weighted else toy._replace(weights=None)
    metrics = figures_of_merit(toy)
    ours = halves(figure_intervals(toy, metrics))
    rng = np.random.default_rng(1)
    samples = [dict(flat(figures_of_merit(taken(toy, rng.integers(2000, size=2000))))) for _ in range(120)]
    for key, half in ours.items():
        values = [one[key] for one in samples if one[key] is not None]
        if (
            len(values) > 110 and key[-1] != "max_significance_improvement"
        ):  # that of a fixed efficiency, not searched anew
            low, high = np.percentile(values, [15.87, 84.13])
            assert half == pytest.approx((high - low) / 2, rel=0.35), key
    assert {("accuracy",), ("loss",), ("classes", "w", "auc"), ("pairwise_auc", "q", "g")} < set(ours)


def test_the_truth_lies_inside_two_times_of_three():
    """Unit Gaussians one apart have an AUC of Φ(1/√2) = 0.7602."""
    inside = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], [150, 250])
        p = 1 / (1 + np.exp(rng.normal(size=400) + (labels == 1)))
        scores = Scores(np.stack([p, 1 - p], axis=1), labels, None, ("s", "b"))
        low, high = figure_intervals(scores, figures_of_merit(scores))["classes"]["s"]["auc"]
        inside += low <= 0.760250 <= high
    assert 0.57 < inside / 150 < 0.79  # three standard deviations about 0.6827


def test_each_interval_holds_its_number(toy):
    metrics = figures_of_merit(toy)
    numbers = dict(flat(metrics))
    result = dict(flat(figure_intervals(toy, metrics)))
    assert set(result) == {key for key in numbers if key[0] in {"accuracy", "loss", "classes", "pairwise_auc"}}
    for key, ends in result.items():
        assert ends is None or ends[0] <= numbers[key] <= ends[1], key
        assert (ends is None) == (numbers[key] is None or key[-1] == "max_significance_improvement_at"), key


def test_the_seed_alone_decides(toy):
    metrics = figures_of_merit(toy)
    assert figure_intervals(toy, metrics) == figure_intervals(toy, metrics)
    assert figure_intervals(toy, metrics) != figure_intervals(toy, metrics, seed=1)


def test_the_scale_of_weights_does_not_matter_and_fewer_effective_jets_are_less_sure(toy):
    metrics = figures_of_merit(toy)
    once, scaled = (dict(flat(figure_intervals(x, metrics))) for x in (toy, toy._replace(weights=toy.weights * 8)))
    for key, ends in once.items():
        assert ends == pytest.approx(scaled[key]), key
    even = toy._replace(weights=None)
    uneven = toy._replace(weights=np.where(np.arange(2000) % 4, 0.01, 1.0))
    width = [halves(figure_intervals(x, figures_of_merit(x))) for x in (even, uneven)]
    assert width[1][("accuracy",)] > 1.5 * width[0][("accuracy",)]
    assert width[1][("classes", "w", "auc")] > 1.5 * width[0][("classes", "w", "auc")]


def test_fewer_than_ten_jets_have_no_interval(toy):
    rows = np.concatenate([np.flatnonzero(toy.labels == 3)[:9], np.flatnonzero(toy.labels != 3)])
    few = taken(toy, rows)
    result = figure_intervals(few, figures_of_merit(few))
    assert set(result["classes"]["z"].values()) == {None}
    assert result["pairwise_auc"]["z"]["w"] is None
    assert result["pairwise_auc"]["t"]["w"] is not None
    none = taken(toy, toy.labels != 3)
    assert set(figure_intervals(none, figures_of_merit(none))["classes"]["z"].values()) == {None}


def test_bins_keep_the_curve(rng):
    signal = rng.random(50_000) < 0.3
    s = (rng.normal(size=50_000) + signal).astype(np.float32)
    w = rng.uniform(0, 2, 50_000)
    w[:100] = 0
    jets = spectra(s, signal, w)
    assert jets.bins < 2500
    assert auc(curve_of_sums(*jets.sums())) == pytest.approx(auc(roc_curve(s, signal, w)), abs=1e-5)
    sums = jets.sums(2)
    assert sum(x.sum() for x in sums) == pytest.approx((w**2).sum())

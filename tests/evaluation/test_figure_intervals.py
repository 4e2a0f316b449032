from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hepjax.evaluation import auc, figure_intervals, figures_of_merit, roc_curve
from hepjax.evaluation.curve_intervals import auc_interval, rate_interval, rejection_interval, rejection_limit
from hepjax.evaluation.significance import improvement
from hepjax.evaluation.spectra import cuts_of, spectra
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


def test_each_interval_holds_its_number(toy):
    metrics = figures_of_merit(toy)
    numbers = dict(flat(metrics))
    result = dict(flat(figure_intervals(toy, metrics)))
    assert set(result) == {key for key in numbers if key[0] in {"accuracy", "loss", "classes", "pairwise_auc"}}
    for key, ends in result.items():
        assert ends is None or ends[0] <= numbers[key] <= ends[1], key
        assert (ends is None) == (numbers[key] is None or key[-1] == "max_significance_improvement_at"), key


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


@pytest.mark.parametrize("passing", [0, 3, 9, 10, 30])
def test_a_rejection_has_interval_and_bound_however_many_pass(passing):
    signal, background = np.linspace(2, 3, 400), np.linspace(0, 1, 1000)
    background[:passing] = 4
    score = np.concatenate([signal, background]) / 5
    scores = Scores(np.stack([score, 1 - score], 1), np.repeat([0, 1], [400, 1000]), None, ("s", "b"))
    metrics = figures_of_merit(scores)
    value, bound = (metrics[key]["s"]["background_rejection_at_0.5"] for key in ("classes", "bounds"))
    low, high = figure_intervals(scores, metrics)["classes"]["s"]["background_rejection_at_0.5"]
    # No background lies near the cut, so that only the number of passing jets counts: Jeffreys, Clopper and Pearson.
    ends = stats.beta(passing + 0.5, 1000 - passing + 0.5).ppf([0.84135, 0.15865])
    assert (low, high) == pytest.approx(tuple(1 / ends), rel=1e-5)
    assert bound == pytest.approx(1 / stats.beta(passing + 1, 1000 - passing).ppf(0.95), rel=1e-5)
    assert value == (pytest.approx(1000 / passing) if passing else None)


def test_all_jets_right_do_not_make_the_accuracy_certain():
    p = np.repeat([[0.9, 0.1], [0.1, 0.9]], 10, axis=0)
    scores = Scores(p, np.repeat([0, 1], 10), None, ("q", "t"))
    metrics = figures_of_merit(scores)
    intervals = figure_intervals(scores, metrics)
    assert intervals["accuracy"] == pytest.approx(stats.beta(20.5, 0.5).ppf([0.15865, 0.84135]), rel=1e-5)
    assert intervals["classes"]["t"]["auc"][0] < 0.99
    assert intervals["classes"]["t"]["auc"][1] == pytest.approx(1)


# The coverage study. Unit Gaussians a distance apart, whose figures are known; weights are log-normal of a width, times
# exp(tilt · score) with scores shifted so that the weighted distributions are the same.


def pseudo_experiment(seed, signal, background, distance, width=0.0, tilt=0.0, negative=0.0):
    rng = np.random.default_rng(seed)
    is_signal = np.arange(signal + background) < signal
    noise = rng.normal(size=is_signal.size)
    w = np.exp(tilt * noise + width * rng.normal(size=is_signal.size)) if width or tilt or negative else None
    w = np.where(rng.random(is_signal.size) < negative, -w, w) if negative else w
    return noise - tilt + distance * is_signal, is_signal, w


def truth_of(background, distance, width=0.0, tilt=0.0, negative=0.0):
    effective = background * math.exp(-(width**2) - tilt**2) * (1 - 2 * negative) ** 2
    normal, rates = stats.norm, np.geomspace(10 / effective, 1, 5000)
    return (
        {"auc": normal.cdf(distance / math.sqrt(2))}
        | {f"tpr_at_fpr_{x:g}": normal.sf(normal.isf(x) - distance) for x in (0.1, 0.01)}
        | {f"background_rejection_at_{x:g}": 1 / normal.sf(normal.isf(x) + distance) for x in (0.3, 0.5, 0.8)}
        | {"max_significance_improvement": (normal.sf(normal.isf(rates) - distance) / np.sqrt(rates)).max()}
    )


def intervals_of(keys, s, is_signal, w):
    jets = spectra(s, is_signal, w)
    signal, background = cuts_of(jets)
    for key in keys:
        kind, at = key.rsplit("_at_", 1) if "_at_" in key else (key, "")
        if kind == "auc":
            yield key, auc_interval(signal, background, auc(roc_curve(s, is_signal, w)))
        elif kind == "background_rejection":
            yield key, rejection_interval(signal, background, float(at))
        elif kind == "bound":
            yield key, (rejection_limit(signal, background, float(at)), math.inf)
        elif key.startswith("tpr"):
            yield key, rate_interval(signal, background, float(key.rsplit("_", 1)[1]), (0.15865, 0.84135))
        else:
            yield key, improvement(jets).interval


REJECTIONS = ("background_rejection_at_0.3", "bound_at_0.3", "background_rejection_at_0.5", "bound_at_0.5")
RATES = ("tpr_at_fpr_0.1", "tpr_at_fpr_0.01")
BEST = "max_significance_improvement"
STUDY = {
    "12 signal jets": ((12, 1000, 1.0), ("auc", "background_rejection_at_0.5", "bound_at_0.5", "tpr_at_fpr_0.1")),
    "30 signal jets": ((30, 1000, 1.0), ("auc", *RATES)),
    "30 signal jets, 5.8 background jets expected": ((30, 1000, 2.0), ("auc", *REJECTIONS, *RATES)),
    "15 jets of each kind, nearly separate": ((15, 15, 2.5), ("auc",)),
    "1.7 background jets expected": ((1000, 300, 2.0), REJECTIONS),
    "a curve with a maximum": ((300, 1000, 1.0), (BEST, *REJECTIONS, "auc")),
    "a curve that rises to its end": ((1000, 1000, 1.5), (BEST, *RATES)),
    "a curve that hardly rises to its end": ((1000, 3000, 2.5), (BEST,)),
    "weights": ((1000, 1000, 1.5, 1.0), ("auc", BEST, *REJECTIONS, *RATES)),
    "weights that rise with the score": ((1000, 2000, 2.0, 0.5, 0.5), ("auc", BEST, *REJECTIONS, *RATES)),
    "weights that fall with the score": ((1000, 2000, 2.0, 0.5, -0.5), (BEST, *REJECTIONS, *RATES)),
    "weights of which a fifth is negative": ((1000, 1000, 1.5, 0.0, 0.0, 0.2), ("auc", *REJECTIONS, *RATES)),
    "weights of two signs and all sizes": ((2000, 4000, 1.5, 0.5, 0.0, 0.1), ("auc", *REJECTIONS, *RATES)),
}


@pytest.mark.study
@pytest.mark.parametrize("name", STUDY)
def test_the_truth_lies_inside_as_often_as_intervals_say(name):
    (case, keys), experiments = STUDY[name], 400
    truth = truth_of(*case[1:])
    inside = dict.fromkeys(keys, 0)
    for seed in range(experiments):
        for key, (low, high) in intervals_of(keys, *pseudo_experiment(seed, *case)):
            inside[key] += low <= truth[key.replace("bound", "background_rejection")] <= high
    for key, count in inside.items():
        share, level = count / experiments, 0.95 if key.startswith("bound") else 0.6827
        error = math.sqrt(level * (1 - level) / experiments)
        # Counts are whole numbers, so that no interval has its level at every truth. How heavy jets are is estimated
        # from the few near a cut, with care where they are lighter than others. A bound may hold more often.
        less, more = (0.03, 0.1) if "weights" in name else (0.01, 0.03)
        least, most = level - 2 * error - less, 1.0 if key.startswith("bound") else level + 2 * error + more
        assert least <= share <= most, f"{key}: {share:.3f}"

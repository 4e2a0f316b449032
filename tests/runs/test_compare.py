"""Runs side by side: on the same jets, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from hepjax import InputError, evaluation, models
from hepjax.runs import compare, evaluate, options, predict, predictions, train
from hepjax.tasks.classification.scores import scores_of

pytestmark = pytest.mark.usefixtures("brief")

SMALL = {"epochs": 2, "batch_size": 64, "patience": None}


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory):
    """Folders of a good tagger, a poor one, and one whose jets were split by another seed."""
    out = tmp_path_factory.mktemp("runs")
    good = options.Optimization(learning_rate=1e-2)
    train.run(options.Experiment(models.MLP(hidden=(8,)), out=out / "good", optimizer=good, **SMALL))
    poor = models.Logistic(features=("j_pt", "j_eta"))
    train.run(options.Experiment(poor, out=out / "poor", **SMALL))
    train.run(options.Experiment(models.MLP(hidden=(8,)), out=out / "other", seed=5, **SMALL))
    return out


def test_two_runs_on_their_test_part(runs_of):
    found = compare.compare([runs_of / "poor", runs_of / "good"])
    assert found.jets == 1000
    test = [scores_of(predictions.read_predictions(runs_of / name / "test.h5")) for name in ("poor", "good")]
    assert found.differences == [evaluation.compare_scores(*test)]
    assert found.metrics[1]["accuracy"] == evaluation.figures_of_merit(test[1])["accuracy"]
    (difference,) = found.differences
    assert difference["accuracy"].value > 5 * difference["accuracy"].error
    assert difference["accuracy"].p < 1e-6


def test_jets_that_only_some_were_tested_on_are_left_out(runs_of, caplog):
    found = compare.compare([runs_of / "good", runs_of / "other", runs_of / "poor"])
    tests = [predictions.read_predictions(runs_of / name / "test.h5") for name in ("good", "other")]
    shared = np.intersect1d(*(test.rows for test in tests))
    assert found.jets == len(shared) < 500
    assert f"{len(shared)} jets are in all test parts" in caplog.text
    # The same jets in the same order: with themselves nothing differs.
    again = compare.compare([runs_of / "other", runs_of / "other"])
    assert again.differences[0]["loss"].value == 0


def test_on_files_of_their_own(runs_of, jet_file):
    path = jet_file(count=200)
    found = compare.compare([runs_of / "good", runs_of / "poor"], [path])
    assert found.jets == 200
    assert found.metrics[0]["jets"] == evaluate.evaluate(runs_of / "good", [path]).metrics["jets"]


def test_jets_that_differ_are_refused(runs_of, trained_runs):
    with pytest.raises(InputError, match="its test jets are not those of"):
        compare.compare([runs_of / "good", trained_runs("mlp")])


def test_bad_input(runs_of, tmp_path):
    with pytest.raises(InputError, match="two runs or more, found 1"):
        compare.compare([runs_of / "good"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: has no test\.h5"):
        compare.compare([runs_of / "good", tmp_path / "empty"])
    predict.predict(runs_of / "good", (), tmp_path / "scores.h5")
    with pytest.raises(InputError, match="does not say which jets"):
        compare.compare([runs_of / "good", tmp_path / "scores.h5"])

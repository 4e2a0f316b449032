"""Runs on jets of negative weights, and with classes that are balanced or reweighted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import hepjax
from hepjax import InputError
from hepjax.cli import parsing
from hepjax.models import MLP
from hepjax.runs import evaluate, report, run_folder
from hepjax.runs import train as experiment
from hepjax.runs.options import Experiment, check
from hepjax.tasks import TASKS
from hepjax.tasks.classification import Classification
from hepjax.tasks.regression import Regression
from hepjax.types import Reweighting

pytestmark = pytest.mark.usefixtures("brief")

SMALL = MLP(hidden=(4,))
BINS = ("j_pt", 0, 1000, 1100, 5000)
COUNT = 400


def with_weights(jets, weights):
    dataset = dataclasses.replace(jets.dataset, weights="event_weight")
    return dataclasses.replace(jets, weights=np.asarray(weights, np.float32), dataset=dataset)


@pytest.fixture(scope="module")
def plain():
    return hepjax.read_jets()[:COUNT]


@pytest.fixture(scope="module")
def signed(plain):
    """Jets of which every eighth or so has a negative weight."""
    return with_weights(plain, np.where(np.arange(COUNT) % 8 == 3, -0.5, 2.0))


@pytest.fixture(scope="module")
def path(signed, tmp_path_factory):
    path = tmp_path_factory.mktemp("signed") / "jets.h5"
    hepjax.write_jets(path, signed)
    return path


def record_of(folder):
    return json.loads((folder / "experiment.json").read_text())


def test_from_negative_weights_to_a_page(signed, tmp_path, caplog):
    tagger = hepjax.train(SMALL, signed, epochs=2, out=tmp_path / "run", show=None)
    weights = record_of(tmp_path / "run")["weights"]
    assert weights == pytest.approx(
        {"jets": COUNT, "negative": 0.125, "effective": signed.weights.sum() ** 2 / (signed.weights**2).sum()}
    )
    assert "12.5% of 400 jets have negative weights" in caplog.text
    assert 0 < tagger.metrics["accuracy"] < 1
    assert tagger.metrics["intervals"]["classes"]["t"]["auc"] is not None
    page = tagger.report(tmp_path / "page.html").read_text()
    assert "12.5% are negative" in page
    assert "have negative weights: all are worth" in page
    hepjax.write_jets(tmp_path / "jets.h5", signed)
    measured = evaluate.evaluate_model(tmp_path / "run", [tmp_path / "jets.h5"]).metrics
    assert measured["effective_jets"]["t"] < measured["jets"]["t"]


def test_folds_are_reweighted_and_measured_with_the_weights_of_their_file(path, tmp_path):
    words = ["train", "mlp", "--hidden", "4", "--data", str(path), "--epochs", "1", "--folds", "3"]
    words += ["--reweight", *map(str, BINS), "--reweight-to", "mean", "--out", str(tmp_path / "run")]
    chosen = parsing.parse(words)
    assert chosen.reweight == ("j_pt", "0", "1000", "1100", "5000")
    folder, metrics = experiment.run(chosen)
    assert metrics["effective_jets"]["t"] < metrics["jets"]["t"]
    assert run_folder.read_experiment(folder)[0].reweight == chosen.reweight
    weights = record_of(folder)["weights"]
    assert 0 < weights["effective_training"] <= weights["effective"]
    report.write_run_page(folder, tmp_path / "page.html")
    assert "reweighted, they are worth" in (tmp_path / "page.html").read_text()


def test_edges_may_be_negative_on_the_command_line():
    assert parsing.parse(["train", "mlp", "--reweight", "j_eta", "-2.5", "-inf", "2.5"]).reweight[1:3] == (
        "-2.5",
        "-inf",
    )


@pytest.mark.parametrize("memory", [4.0, 1e-5])
def test_goes_on_with_the_same_weights(path, tmp_path, memory):
    options = {"model": SMALL, "data": (path,), "reweight": BINS, "memory": memory, "patience": None}
    whole, _ = experiment.run(Experiment(**options, epochs=2, out=tmp_path / "whole"))
    part, _ = experiment.run(Experiment(**options, epochs=1, out=tmp_path / "part"))
    experiment.run(Experiment(**options, epochs=2, out=part, resume=True))
    histories = [(folder / "history.csv").read_text().splitlines()[-1].split(",")[:4] for folder in (whole, part)]
    assert histories[0] == histories[1]
    with pytest.raises(InputError, match="--resume: reweight was"):
        experiment.run(Experiment(**options | {"reweight": ()}, epochs=2, out=part, resume=True))


def test_regression_to_a_flat_spectrum_of_negative_weights(signed, tmp_path):
    tagger = hepjax.train(
        SMALL, signed, task=Regression(target=("j_mass",)), epochs=1, out=tmp_path / "run", show=None, reweight=BINS
    )
    assert np.isfinite(tagger.metrics["loss"])
    tagger.report(tmp_path / "page.html")


def test_balanced_classes_have_equal_sums_of_weights(plain, tmp_path):
    """As with every class equally heavy in the file."""
    heavy = with_weights(plain, np.where(plain.labels == 4, 10.0, 1.0))
    counts = np.bincount(plain.labels)
    even = with_weights(plain, 1 / counts[plain.labels])
    losses = []
    for name, jets in (("heavy", heavy), ("even", even)):
        hepjax.train(SMALL, jets, task=Classification(balance=True), epochs=1, out=tmp_path / name, show=None)
        losses.append((tmp_path / name / "history.csv").read_text().splitlines()[1].split(",")[1:3])
    np.testing.assert_allclose(*np.array(losses, float), rtol=1e-4)


def test_a_dataset_may_say_how_to_reweight(plain, tmp_path, caplog):
    dataset = dataclasses.replace(plain.dataset, reweighting=Reweighting({"j_pt": (0.0, 1000.0, 5000.0)}, "t"))
    jets = dataclasses.replace(plain, dataset=dataset)
    with caplog.at_level("INFO"):
        hepjax.train(SMALL, jets, epochs=1, out=tmp_path / "run", show=None)
    assert "training jets reweighted to the spectrum of t in j_pt" in caplog.text
    assert run_folder.dataset_of_run(record_of(tmp_path / "run")).reweighting == dataset.reweighting


@pytest.mark.parametrize(
    "weights, options, message",
    [
        (lambda jets: -np.ones(COUNT), {}, "the weights of the 240 jets in the train part add up to -"),
        (
            lambda jets: np.where(jets.labels == 2, np.where(np.arange(COUNT) % 2, -1, 1), 1),
            {"seed": 1},
            "jets of class w in the",
        ),
        (
            lambda jets: np.where(np.arange(COUNT) % 9, 1, -1),
            {"task": TASKS.get("anomaly")(), "model": "autoencoder"},
            "have negative weights, with which the distributions of scores and codes are none; leave such jets out",
        ),
        (
            lambda jets: np.where(np.arange(COUNT) % 9, 1, -1),
            {"insensitive": "j_mass"},
            "have negative weights, under which --insensitive has no distance correlation",
        ),
    ],
)
def test_weights_that_cannot_be_used_leave_nothing_behind(plain, tmp_path, weights, options, message):
    chosen = {"model": SMALL, "out": tmp_path / "run", **options}
    if name := chosen.pop("insensitive", None):
        from hepjax.tasks.classification import Insensitivity

        chosen["task"] = Classification(insensitive=Insensitivity(to=name))
    model = chosen.pop("model")
    with pytest.raises(InputError) as error:
        hepjax.train(model, with_weights(plain, weights(plain)), epochs=1, show=None, **chosen)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"reweight": ("j_pt", 500, 400)},
            "--reweight: j_pt: expected two rising edges of bins or more, found 500 400",
        ),
        ({"reweight": (500, 600)}, "--reweight: expected the name of a column before its edges, found 500"),
        (
            {"reweight": BINS, "task": TASKS.get("generation")(), "model": "coupling-flow"},
            "--reweight: generators do not take event weights; leave it out",
        ),
    ],
)
def test_options_that_cannot_be(options, message):
    if isinstance(options.get("model"), str):
        from hepjax.models import MODELS

        options = options | {"model": MODELS.get(options["model"])()}
    with pytest.raises(InputError) as error:
        check(Experiment(**options))
    assert message in str(error.value)


def test_bins_of_an_unknown_column(path, tmp_path):
    chosen = Experiment(model=SMALL, data=(Path(path),), out=tmp_path / "run", reweight=("pt", 0, 1))
    with pytest.raises(
        InputError, match="--reweight: expected jet columns of the files, found pt; hepjax info lists them"
    ):
        experiment.run(chosen)
    assert not (tmp_path / "run").exists()

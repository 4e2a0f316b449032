"""Recipes: the published choices as defaults that options override, from the command line and from Python."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import hepjax
from hepjax import InputError
from hepjax.choices import Optimizer, Recipe, Schedule
from hepjax.cli import parsing
from hepjax.models.registry import MODELS
from hepjax.runs import options, recipes, stored, train

pytestmark = pytest.mark.usefixtures("brief")
EXACT = ("--optimizer.average", "0.9", "--optimizer.pieces", "3", "--optimizer.name", "ranger")


@pytest.mark.parametrize("recipe", Recipe)
def test_each_is_an_experiment_that_is_not_refused(recipe):
    experiment = parsing.parse(["train", "--recipe", recipe.value, "mlp"])
    assert {name: getattr(experiment, name) for name in recipes.recipe_options(recipe)} == recipes.recipe_options(
        recipe.value
    )
    options.check(experiment)
    assert experiment.optimizer != options.Optimization()


def test_particle_transformer():
    experiment = parsing.parse(["train", "mlp", "--recipe=particle-transformer"])
    chosen = experiment.optimizer
    assert (experiment.epochs, experiment.batch_size, experiment.patience) == (20, 512, None)
    assert (chosen.name, chosen.schedule) == (Optimizer.RANGER, Schedule.FLAT_THEN_DECAY)
    assert (chosen.learning_rate, chosen.weight_decay) == (1e-3, 0.01)
    assert experiment.model == MODELS.get("mlp")()


def test_options_that_are_given_override():
    words = ["train", "--epochs", "50", "mlp", "--recipe", "lorentz-net", "--optimizer.warmup-epochs", "0"]
    experiment = parsing.parse(words)
    assert experiment.epochs == 50
    assert experiment.optimizer.warmup_epochs == 0
    assert experiment.optimizer.schedule is Schedule.COSINE_RESTARTS


def test_unknown_ones_are_refused():
    with pytest.raises(InputError, match=r"^recipe: expected lgatr-slim, .* found 'particle-nett'$"):
        parsing.parse(["train", "mlp", "--recipe", "particle-nett"])


def test_in_python_and_on_disk(jet_file, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="hepjax")
    path = jet_file(count=100)
    given = {"recipe": "particle-flow", "epochs": 1, "weight_decay": 0.2, "out": tmp_path / "run", "show": None}
    hepjax.train("logistic", path, **given)
    words = "ranger, learning rate 0.02 flat-then-decay, batches of 4096, weight decay 0.2; up to 1 epochs"
    assert words in caplog.text
    record = stored.open_run(tmp_path / "run").record["experiment"]
    assert record["optimizer"]["name"] == "ranger"
    assert (record["batch_size"], record["epochs"], record["optimizer"]["weight_decay"]) == (4096, 1, 0.2)
    with pytest.raises(InputError, match="--recipe: a run goes on with the options"):
        parsing.parse(["train", "--out", str(tmp_path / "run"), "--resume", "--recipe", "particle-flow"])


def made(path, out, epochs, *words):
    words = ("logistic", "--data", str(path), "--out", str(out), "--epochs", str(epochs), "--batch-size", "16", *words)
    return parsing.parse(["train", *EXACT, *words])


def test_averages_go_on_exactly(jet_file, tmp_path):
    """With slow weights, pieces and a schedule as well."""
    path = jet_file(count=80)
    train.run(made(path, tmp_path / "straight", 3))
    train.run(made(path, tmp_path / "stopped", 1))
    train.run(parsing.parse(["train", "--out", str(tmp_path / "stopped"), "--resume", "--epochs", "3"]))
    runs = [stored.open_run(tmp_path / name) for name in ("straight", "stopped")]
    assert [row[:5] for row in runs[0].history] == [row[:5] for row in runs[1].history]
    for a, b in zip(*(run.network.params["Dense_0"].values() for run in runs), strict=True):
        np.testing.assert_array_equal(a, b)
    assert runs[0].experiment.optimizer.average == 0.9
    assert hepjax.load(tmp_path / "straight")(hepjax.read_jets(path)[:3]).shape == (3, 5)


def test_each_of_an_ensemble_keeps_its_averages(jet_file, tmp_path):
    path = jet_file(count=80)
    train.run(made(path, tmp_path / "run", 2, "--ensemble", "2"))
    members = stored.open_run(tmp_path / "run").members
    first, second = (member.network.params["Dense_0"]["kernel"] for member in members)
    assert np.abs(first - second).max() > 0.01


@pytest.mark.parametrize(
    "words, problem",
    [
        (["--optimizer.average", "1"], "--optimizer.average: expected more than 0, below 1, found 1.0"),
        (["--optimizer.pieces", "0"], "--optimizer.pieces: expected 1 to 128"),
        (["--optimizer.pieces", "0", "--batch-size", "0"], "--optimizer.pieces: expected 1 or more, found 0"),
        (
            ["--optimizer.pieces", "65", "--batch-size", "64"],
            "so that each has a jet of a batch of 64, found 65",
        ),
        (["--optimizer.pieces", "33", "--batch-size", "64", "--norm", "batch"], "1 to 32, so that each has two jets"),
        (["--label-smoothing", "1"], "--label-smoothing: expected 0 or more, below 1"),
    ],
)
def test_what_makes_no_sense_is_refused(words, problem):
    with pytest.raises(InputError, match=problem):
        options.check(parsing.parse(["train", "mlp", *words]))


def test_augmented_trainings_go_on_exactly(jet_file, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="hepjax")
    path, words = jet_file(count=80), ["--augment", "mirror", "--epochs", "2", "--batch-size", "16"]
    network = ["deepsets", "--particle", "4", "--hidden", "4"]
    for name, epochs in (("straight", "2"), ("stopped", "1"), ("plain", "2")):
        given = words[2:] if name == "plain" else words
        given = ["train", *given, "--data", str(path), "--out", str(tmp_path / name), "--epochs", epochs, *network]
        train.run(parsing.parse(given))
    train.run(parsing.parse(["train", "--out", str(tmp_path / "stopped"), "--resume", "--epochs", "2"]))
    runs = [stored.open_run(tmp_path / name) for name in ("straight", "stopped", "plain")]
    straight, stopped, plain = ([row[:5] for row in run.history] for run in runs)
    assert straight == stopped
    assert straight != plain
    assert "augmented by mirror" in caplog.text


@pytest.mark.parametrize(
    "words, problem",
    [
        (["mlp", "--augment", "mirror"], "--augment: the model does not see particles"),
        (["deepsets", "--augment", "azimuth"], "--augment azimuth: changes nothing"),
        (["deepsets", "--augment", "mirror", "mirror"], "--augment: expected each kind once"),
        (["deepsets", "--task", "regression", "--target", "j_mass", "--augment", "mirror"], "--augment: expected none"),
    ],
)
def test_augmentations_that_cannot_be_are_refused(jet_file, tmp_path, words, problem):
    with pytest.raises(InputError, match=problem):
        train.run(parsing.parse(["train", "--data", str(jet_file(count=80)), "--out", str(tmp_path / "run"), *words]))
    assert not (tmp_path / "run").exists()

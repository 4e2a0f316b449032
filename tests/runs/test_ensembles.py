"""Folds, ensembles and learning rates: trained as one program, each as it would be alone."""

from __future__ import annotations

import dataclasses
import json

import h5py
import jax
import numpy as np
import pytest

from hepjax import InputError, load, models, read_jets, training
from hepjax.choices import Optimizer, Strategy
from hepjax.data.datasets import hls4ml
from hepjax.evaluation import figures_of_merit
from hepjax.runs import ensembles, evaluate, options, records, run_folder, setup, train
from hepjax.runs.predictions import read_predictions
from hepjax.tasks.classification.task import scores_of
from hepjax.types import Scores

pytestmark = pytest.mark.usefixtures("brief")

SMALL = options.Experiment(models.MLP(hidden=(8,)), epochs=3, batch_size=32, patience=None)


@pytest.fixture
def path(jet_file):
    """300 jets of five classes; the mean of one feature tells which."""
    found = jet_file(count=300)
    with h5py.File(found, "r+") as file:
        file[hls4ml.JETS][:, hls4ml.JET_COLUMNS.index("j_mass_mmdt")] += 3 * (np.arange(300) % 5)
    return found


def small(path, folder, **changes):
    return dataclasses.replace(SMALL, data=(path,), out=folder, **changes)


def spoil(monkeypatch):
    """Gives the last member NaN for its parameters."""
    draw = setup._start_members

    def spoilt(experiment, pipeline, optimizer, members, *others):
        start = draw(experiment, pipeline, optimizer, members, *others)
        params = jax.tree.map(lambda x: x.at[len(members) - 1].set(np.nan), start.state.params)
        state = start.state._replace(params=params)
        return start._replace(state=state, best=state)

    monkeypatch.setattr(setup, "_start_members", spoilt)


class TestMembers:
    @pytest.mark.parametrize("folds", [3, 10])
    def test_every_jet_is_tested_once_by_a_model_that_never_saw_it(self, folds):
        split = np.split(np.arange(103), [60, 80])
        members = ensembles.choose_members(options.Experiment(folds=folds), split)
        assert sorted(np.concatenate([member.test for member in members])) == list(range(103))
        for member in members:
            assert sorted(np.concatenate(member[1:4])) == list(range(103))
        assert sorted(np.concatenate([member.val for member in members])) == list(range(103))

    def test_seed_decides_the_folds(self):
        split = np.split(np.arange(50), [30, 40])
        a, b, c = (ensembles.choose_members(options.Experiment(folds=5, seed=s), split)[0].test for s in (1, 1, 2))
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


@pytest.mark.parametrize("model", [models.MLP(hidden=(8,)), models.DeepSets(particle=(3,), hidden=(), particles=20)])
def test_folds(path, tmp_path, model):
    folder, metrics = train.run(small(path, tmp_path / "run", folds=4, model=model))
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    each = [metrics["members"][f"fold-{i}"] for i in range(1, 5)]
    aucs = [one["classes"]["t"]["auc"] for one in each]
    assert metrics["classes"]["t"]["auc"] == pytest.approx(np.mean(aucs))
    assert metrics["spread"]["classes"]["t"]["auc"] == pytest.approx(np.std(aucs, ddof=1))
    assert sum(metrics["jets"].values()) == sum(sum(one["jets"].values()) for one in each) == 300
    assert {p.name for p in folder.glob("*.png")} == {"roc.png", "history.png", "confusion.png", "scores.png"}
    # Each is a run folder of its own; its tagger gives the scores that were measured.
    jets, split = read_jets(path), np.load(folder / "split.npz")
    rows = np.concatenate([np.sort(split[name]) for name in ("train", "val", "test")])
    test = np.sort(np.array_split(np.random.default_rng(0).permutation(300), 4)[1])
    np.testing.assert_array_equal(np.load(folder / "fold-2" / "split.npz")["test"], rows[test])
    assert run_folder.read_experiment(folder)[1]["jets"] == {"train": 150, "val": 75, "test": 75}
    tagger = load(folder / "fold-2")
    scores = tagger.predict(tagger.pipeline.load(jets, rows[test]))
    own = figures_of_merit(Scores(scores, np.asarray(jets.labels)[rows[test]], np.ones(len(test)), hls4ml.CLASSES))
    assert own["loss"] == pytest.approx(each[1]["loss"], rel=1e-4)
    assert own["jets"] == each[1]["jets"]
    together = load(folder).predict(tagger.pipeline.load(jets, slice(10)))
    alone = [load(folder / f"fold-{i}").predict(tagger.pipeline.load(jets, slice(10))) for i in range(1, 5)]
    np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-5)


def test_an_ensemble_answers_with_its_mean_and_learns(path, tmp_path):
    optimizer = options.Optimization(learning_rate=1e-2)
    folder, metrics = train.run(small(path, tmp_path / "run", ensemble=3, epochs=20, optimizer=optimizer))
    each = [metrics["members"][f"model-{i}"] for i in range(1, 4)]
    assert len({one["loss"] for one in each}) == 3
    assert metrics["loss"] < np.mean([one["loss"] for one in each])  # the loss is convex
    assert metrics["accuracy"] > 0.4
    parts = metrics["bias_and_variance"]
    assert parts["brier"] == pytest.approx(parts["variance"] + parts["bias_and_noise"])
    assert metrics["calibration"]["temperature"] > 0
    again = evaluate.evaluate_model(folder, [path]).metrics
    assert again["accuracy"] > 0.4


def test_the_best_learning_rate_is_kept(path, tmp_path):
    chosen = small(path, tmp_path / "run", rates=(1e-5, 3e-2, 1e-4), epochs=10)
    folder, metrics = train.run(chosen)
    assert "0.03" in metrics["verdict"]["words"]
    assert metrics["loss"] == metrics["members"]["rate-0.03"]["loss"]
    for rate in chosen.rates:
        own = folder / f"rate-{rate:g}"
        assert run_folder.read_experiment(own)[0].optimizer.learning_rate == rate
        assert records.read_history(own / "history.csv")[-1].learning_rate == pytest.approx(rate, rel=1e-5)
    best = load(folder).predict(read_jets(path).observables[:5][:, :16])
    np.testing.assert_array_equal(best, load(folder / "rate-0.03").predict(read_jets(path).observables[:5][:, :16]))


def test_sizes_of_the_training_part_give_a_learning_curve(path, tmp_path):
    chosen = small(
        path, tmp_path / "run", sizes=(180, 40, 90), epochs=20, optimizer=options.Optimization(learning_rate=1e-2)
    )
    folder, metrics = train.run(chosen)
    assert list(metrics["members"]) == ["size-180", "size-40", "size-90"]
    parts = [np.load(folder / f"size-{size}" / "split.npz") for size in (40, 90, 180)]
    assert [len(part["train"]) for part in parts] == [40, 90, 180]
    assert set(parts[0]["train"]) < set(parts[1]["train"]) < set(parts[2]["train"])
    for part in parts:
        np.testing.assert_array_equal(np.sort(part["test"]), np.sort(np.load(folder / "split.npz")["test"]))
    assert metrics["loss"] == metrics["members"]["size-180"]["loss"] < metrics["members"]["size-40"]["loss"]
    assert (folder / "learning_curve.png").is_file()
    x = read_jets(path).observables[:5][:, :16]
    np.testing.assert_array_equal(load(folder).predict(x), load(folder / "size-180").predict(x))


def test_the_answers_to_the_test_jets_are_kept(path, tmp_path):
    folder, metrics = train.run(small(path, tmp_path / "run", folds=3))
    whole, jets = read_predictions(folder / "test.h5"), read_jets(path)
    assert sorted(whole.rows) == list(range(300))
    np.testing.assert_array_equal(whole.targets, np.asarray(jets.labels)[whole.rows])
    np.testing.assert_array_equal(
        whole.observables["j_mass"], np.asarray(jets.observables)[whole.rows, jets.observable_names.index("j_mass")]
    )
    one = read_predictions(folder / "fold-2" / "test.h5")
    assert figures_of_merit(scores_of(one))["loss"] == pytest.approx(metrics["members"]["fold-2"]["loss"], rel=1e-6)
    low, high = metrics["intervals"]["classes"]["t"]["auc"]
    assert low < metrics["classes"]["t"]["auc"] < high


def test_a_resumed_run_is_bitwise_the_same(path, tmp_path):
    whole = small(path, tmp_path / "whole", folds=3, epochs=4)
    train.run(whole)
    train.run(dataclasses.replace(whole, out=tmp_path / "half", epochs=2))
    train.run(dataclasses.replace(run_folder.resumable_experiment(tmp_path / "half"), epochs=4))
    for fold in (1, 2, 3):
        a, b = (records.read_history(tmp_path / name / f"fold-{fold}" / "history.csv") for name in ("whole", "half"))
        assert [row[:5] for row in a] == [row[:5] for row in b]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"folds": 2}, "--folds: expected 3 to 1,000"),
        ({"folds": 5, "ensemble": 3}, "--sizes: expected one of them"),
        ({"sizes": (10,)}, "two different ones"),
        ({"sizes": (10, 500)}, "there are 180 jets to train on, found 500"),
        ({"rates": (1e-3, 1e-3)}, "two different ones"),
        ({"folds": 5, "memory": 1e-6}, "--memory: several trainings at once need all jets"),
        ({"folds": 100}, "no jet of class"),
        ({"ensemble": 2, "devices": options.Devices(strategy=Strategy.PMAP)}, "each device has some whole"),
    ],
)
def test_refused(path, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        train.run(small(path, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_folds_go_with_no_files_of_their_own(path, tmp_path):
    with pytest.raises(InputError, match="none where --val or --test is given"):
        train.run(small(path, tmp_path / "run", folds=3, test=(path,)))


class TestDivergence:
    def test_where_all_diverge_the_run_ends_with_one_line(self, path, tmp_path):
        wild = options.Optimization(name=Optimizer.SGD, learning_rate=1e37)
        with pytest.raises(training.DivergedError, match=r"all 2 trainings diverged, the first (at|after) step \d"):
            train.run(small(path, tmp_path / "run", ensemble=2, optimizer=wild))
        for name in ("model-1", "model-2"):
            assert (tmp_path / "run" / name / "checkpoints" / "last_good.msgpack").stat().st_size > 100

    def test_a_learning_rate_that_diverges_is_left_out_and_said(self, path, tmp_path, caplog):
        chosen = small(path, tmp_path / "run", rates=(1e-3, 1e30), epochs=3)
        folder, metrics = train.run(chosen)
        assert json.loads((folder / "metrics.json").read_text()) == metrics
        assert list(metrics["members"]) == ["rate-0.001"]
        assert list(metrics["diverged"]) == ["rate-1e+30"]
        words = metrics["diverged"]["rate-1e+30"]
        assert "step" in words
        assert metrics["verdict"]["words"].startswith("The best of 2 learning rates is 0.001. Left out: rate-1e+30")
        assert f"rate-1e+30 diverged {words}" in caplog.text
        assert f"rate-1e+30 diverged {words}" in (folder / "log.txt").read_text()
        assert (folder / "rate-1e+30" / "checkpoints" / "last_good.msgpack").stat().st_size > 100
        assert not (folder / "rate-1e+30" / "metrics.json").exists()
        assert len(records.read_history(folder / "history.csv")) == 3
        x = read_jets(path).observables[:5][:, :16]
        np.testing.assert_array_equal(load(folder).predict(x), load(folder / "rate-0.001").predict(x))

    @pytest.mark.parametrize("changes", [{"folds": 4}, {"ensemble": 3}, {"sizes": (40, 180)}])
    def test_the_others_stand_for_all(self, path, tmp_path, monkeypatch, changes):
        """The last member is given NaN for its parameters."""
        spoil(monkeypatch)
        folder, metrics = train.run(small(path, tmp_path / "run", **changes))
        names = run_folder.read_experiment(folder)[1]["members"]
        assert list(metrics["members"]) == names[:-1]
        assert list(metrics["diverged"]) == names[-1:]
        assert "at step 1: the loss is nan and the largest gradient nan" in metrics["diverged"][names[-1]]
        assert f"Left out: {names[-1]} diverged at step 1" in metrics["verdict"]["words"]
        x = read_jets(path).observables[:5][:, :16]
        together = load(folder).predict(x)
        assert np.isfinite(together).all()
        np.testing.assert_allclose(
            together, np.mean([load(folder / name).predict(x) for name in names[:-1]], axis=0), rtol=1e-5
        )

    def test_too_few_are_no_mean(self, path, tmp_path, monkeypatch):
        spoil(monkeypatch)
        with pytest.raises(
            InputError, match=r"2 of 3 trainings are left, too few for a mean: fold-3 diverged at step 1"
        ):
            train.run(small(path, tmp_path / "run", folds=3))
        assert not (tmp_path / "run" / "metrics.json").exists()
        assert (tmp_path / "run" / "fold-1" / "metrics.json").exists()


def test_more_devices_than_one_give_the_same_and_go_on(path, tmp_path, many_devices):
    """Two devices share three folds, which leaves a place empty."""
    losses = []
    for count in (1, 2):
        chosen = small(path, tmp_path / f"run-{count}", folds=3, devices=options.Devices(count))
        train.run(chosen)
        other = options.Devices(3 - count)
        longer = dataclasses.replace(run_folder.resumable_experiment(chosen.out), epochs=4, devices=other)
        losses.append([one["loss"] for one in train.run(longer)[1]["members"].values()])
    np.testing.assert_allclose(*losses, rtol=1e-5)

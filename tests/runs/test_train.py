"""Whole runs: what they leave on disk, and that nothing is lost when they end early."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time

import chex
import h5py
import jax
import numpy as np
import pytest
from flax import serialization

from hepjax import InputError, load, models, read_jets, training
from hepjax.choices import Norm, Optimizer, Schedule
from hepjax.data.datasets import hls4ml
from hepjax.evaluation import figures_of_merit
from hepjax.inputs import pipelines, tabular
from hepjax.runs import evaluate, options, predict, records, run_folder
from hepjax.runs import train as experiment
from hepjax.runs.predictions import Predictions, read_predictions, write_predictions
from hepjax.tasks.classification import Classification
from hepjax.tasks.classification.scores import scores_of
from hepjax.types import Scores

pytestmark = pytest.mark.usefixtures("brief")

SMALL = options.Experiment(model=models.MLP(hidden=(8,)), epochs=4, batch_size=64, patience=None)
NOISY = models.MLP(hidden=(8,), dropout=0.2, norm=Norm.BATCH)
"""It has random numbers and a state."""

_PROGRAM = """
import sys
from pathlib import Path
from hepjax import models
from hepjax.choices import Norm
from hepjax.runs import options
from hepjax.runs import train as experiment

model = models.MLP(hidden=(8,), dropout=0.2, norm=Norm.BATCH)
data, out, resume = (Path(sys.argv[1]),), Path(sys.argv[2]), sys.argv[3] == "resume"
experiment.run(options.Experiment(model, data, out=out, epochs=40, batch_size=64, patience=None, resume=resume))
"""


def small(path, folder, **changes):
    return dataclasses.replace(SMALL, data=(path,), out=folder, **changes)


@pytest.fixture
def path(jet_file):
    """300 jets of five classes; the mean of one feature tells which."""
    found = jet_file(count=300)
    with h5py.File(found, "r+") as file:
        file[hls4ml.JETS][:, hls4ml.JET_COLUMNS.index("j_mass_mmdt")] += 3 * (np.arange(300) % 5)
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run on the embedded sample with the defaults of the multilayer perceptron but few epochs."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    shown = []
    optimizer = options.Optimization(learning_rate=5e-3)
    chosen = options.Experiment(models.MLP(), out=folder, epochs=6, optimizer=optimizer)
    return *experiment.run(chosen, shown.append), shown


class TestRunFolder:
    def test_files(self, finished):
        folder, metrics, shown = finished
        names = {"experiment.json", "history.csv", "history.jsonl", "metrics.json", "test.h5", "log.txt", "split.npz"}
        names |= {"trained_jets.msgpack"}
        pictures = {"roc.png", "history.png", "confusion.png", "scores.png"}
        assert {p.name for p in folder.iterdir()} == names | pictures | {"checkpoints"}
        assert json.loads((folder / "metrics.json").read_text()) == metrics
        assert len(shown) == 6

    def test_metrics(self, finished):
        _, metrics, _ = finished
        assert 0.5 < metrics["accuracy"] < 0.8
        assert set(metrics["classes"]) == set(hls4ml.CLASSES)
        for figures in metrics["classes"].values():
            assert set(figures) == {"auc", "tpr_at_fpr_0.1", "tpr_at_fpr_0.01"} | {
                f"background_rejection_at_{e}" for e in (0.3, 0.5, 0.8)
            } | {"max_significance_improvement", "max_significance_improvement_at"}
            assert figures["auc"] > 0.75
        assert sum(metrics["jets"].values()) == 1000

    def test_history(self, finished):
        folder, _, shown = finished
        with (folder / "history.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == [
            "epoch",
            "train_loss",
            "val_loss",
            "val_accuracy",
            "learning_rate",
            "seconds",
            "jets_per_second",
            "waiting",
        ]
        assert records.read_history(folder / "history.csv") == shown[-1].history
        assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])
        lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        assert [run_folder.Epoch(**line) for line in lines] == list(shown[-1].history)

    def test_intervals_and_calibration(self, finished):
        _, metrics, _ = finished
        low, high = metrics["intervals"]["classes"]["t"]["auc"]
        assert 0.003 < high - low < 0.05
        assert 0.5 < metrics["calibration"]["temperature"] < 2

    def test_the_answers_to_the_test_jets(self, finished):
        folder, metrics, _ = finished
        found, jets = read_predictions(folder / "test.h5"), read_jets()
        assert figures_of_merit(scores_of(found))["loss"] == pytest.approx(metrics["loss"], rel=1e-6)
        assert sorted(found.rows) == sorted(np.load(folder / "split.npz")["test"])
        assert set(found.observables) == set(hls4ml.BINNED)
        column = jets.observable_names.index("j_pt")
        np.testing.assert_array_equal(found.observables["j_pt"], np.asarray(jets.observables)[found.rows, column])

    def test_experiment_can_be_repeated(self, finished, tmp_path, monkeypatch):
        folder, metrics, _ = finished
        monkeypatch.undo()  # with intervals as exact as those of the first time
        again, record = run_folder.read_experiment(folder)
        assert record["versions"]["jax"]
        assert record["jets"] == {"train": 3000, "val": 1000, "test": 1000}
        _, repeated = experiment.run(dataclasses.replace(again, out=tmp_path / "again"))
        assert repeated == metrics

    def test_split_is_recorded_and_the_metrics_are_of_its_test_part(self, finished):
        folder, metrics, _ = finished
        split = np.load(folder / "split.npz")
        assert sorted(np.concatenate([split[part] for part in ("train", "val", "test")])) == list(range(5000))
        tagger, jets = load(folder), read_jets()
        rows = np.sort(split["test"])
        scores = tagger.predict(tagger.pipeline.load(jets, slice(None))[rows])
        own = figures_of_merit(Scores(scores, jets.labels[rows], np.ones(1000), tagger.classes))
        assert own == {key: metrics[key] for key in own}


class TestLoad:
    def test_scaling_is_that_of_the_training_part(self, finished):
        folder, _, _ = finished
        train = tabular(read_jets())[np.load(folder / "split.npz")["train"]]
        tagger = load(folder)
        scaled = (train - train.mean(0)) / train.std(0)
        params, state, _ = _content(folder / "checkpoints" / "best.msgpack").values()
        logits = models.MLP(outputs=5).apply({"params": params, **state}, scaled[:50])
        np.testing.assert_allclose(tagger.predict(train[:50]), jax.nn.softmax(logits), rtol=1e-3, atol=1e-5)

    def test_evaluate_and_predict(self, finished, path, tmp_path):
        folder, _, _ = finished
        metrics = evaluate.evaluate_model(folder, [path], tmp_path / "evaluation").metrics
        assert sum(metrics["jets"].values()) == 300
        assert {p.name for p in (tmp_path / "evaluation").iterdir()} == {
            "metrics.json",
            "test.h5",
            "roc.png",
            "confusion.png",
            "scores.png",
        }
        assert predict.predict_files(folder, [path, path], tmp_path / "scores.h5") == 600
        tagger, jets = load(folder), read_jets(path)
        with h5py.File(tmp_path / "scores.h5") as file:
            assert list(file.attrs["classes"]) == list(hls4ml.CLASSES)
            np.testing.assert_array_equal(file["labels"], np.tile(jets.labels, 2))
            expected = tagger.predict(tagger.pipeline.load(jets, slice(None)))
            np.testing.assert_allclose(file["scores"], np.tile(expected, (2, 1)), rtol=1e-5)
        with pytest.raises(InputError, match="exists already"):
            predict.predict_files(folder, [path], tmp_path / "scores.h5")

    def test_unlabeled_jets_can_be_predicted_but_not_measured(self, finished, jet_file, tmp_path):
        folder, _, _ = finished
        with h5py.File(jet_file()) as file:
            changes = {name: file[name][..., :53] for name in (hls4ml.JETS, hls4ml.JET_NAMES)}
        unlabeled = jet_file("unlabeled.h5", **changes)
        predict.predict_files(folder, [unlabeled], tmp_path / "scores.h5")
        with h5py.File(tmp_path / "scores.h5") as file:
            assert set(file) == {"scores"}
        with pytest.raises(InputError, match="no labels"):
            evaluate.evaluate_model(folder, [unlabeled])
        with pytest.raises(InputError, match="no labels"):
            experiment.run(small(unlabeled, tmp_path / "run"))
        assert not (tmp_path / "run").exists()


class TestMeasured:
    """What cannot be measured is refused, and what can be measured in part is said to be so."""

    def test_a_class_without_jets(self, finished, jet_file, caplog):
        values = np.zeros((60, 59), np.float32)
        values[:, -6:] = np.eye(6)[np.arange(60) % 3]
        metrics = evaluate.evaluate_model(finished[0], [jet_file(count=60, **{hls4ml.JETS: values})]).metrics
        assert "class z has no jets: it has no figures of merit" in caplog.text
        assert set(metrics["classes"]["z"].values()) == {None}
        assert metrics["classes"]["g"]["auc"] is not None

    def test_a_single_jet(self, finished, jet_file, tmp_path):
        path = jet_file(count=1)
        with pytest.raises(InputError, match="all jets are of class g; give jets of two classes or more"):
            evaluate.evaluate_model(finished[0], [path])
        assert predict.predict_files(finished[0], [path], tmp_path / "one.h5") == 1

    def test_scores_that_are_all_equal(self, tmp_path, caplog):
        flat = Predictions(np.full((40, 2), 0.5, np.float32), np.repeat([0, 1], 20), ("q", "t"))
        write_predictions(tmp_path / "s.h5", flat, Classification())
        metrics = evaluate.evaluate_model(tmp_path / "s.h5").metrics
        assert metrics["classes"]["q"]["auc"] == 0.5
        assert "the q score is 0.5 for all jets: its figures of merit are those of a guess" in caplog.text

    @pytest.mark.parametrize(
        "scores, labels, words",
        [
            (
                [[0.5, 0.5], [np.nan, 0.5]],
                [0, 1],
                "scores: expected finite numbers, .* for 1 of 2 jets",
            ),
            ([[0.5, 0.5], [2.0, 0.5]], [0, 1], "expected probabilities that add up to 1"),
            ([[0.5, 0.5], [0.5, 0.5]], [0, 2], "labels: expected indices from 0 to 1, found 2 at row 1"),
            ([[0.5, 0.5], [0.5, 0.5]], [1, 1], "all jets are of class t"),
            ([[0.5, 0.5], [0.5, 0.5]], None, "no labels, so nothing can be measured"),
        ],
    )
    def test_files_of_scores_that_are_not_sound(self, tmp_path, scores, labels, words):
        given = Predictions(np.array(scores), None if labels is None else np.array(labels), ("q", "t"))
        write_predictions(tmp_path / "s.h5", given, Classification())
        with pytest.raises(InputError, match=words):
            evaluate.evaluate_model(tmp_path / "s.h5", out=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_weights_that_were_added_to_scores(self, tmp_path, rng):
        p = rng.random(60, np.float32)
        given = Predictions(np.stack([p, 1 - p], axis=1), np.repeat([0, 1], 30), ("q", "t"), weights=rng.random(60))
        write_predictions(tmp_path / "s.h5", given, Classification())
        metrics = evaluate.evaluate_model(tmp_path / "s.h5").metrics
        assert metrics["loss"] == figures_of_merit(scores_of(given))["loss"]
        assert metrics["effective_jets"]["q"] < 30 == metrics["jets"]["q"]
        for weights, words in (
            (np.full(60, -1.0), "add up to -60, expected more"),
            (np.zeros(60), "add up to 0, expected more"),
        ):
            write_predictions(tmp_path / f"{words}.h5", given._replace(weights=weights), Classification())
            with pytest.raises(InputError, match=words):
                evaluate.evaluate_model(tmp_path / f"{words}.h5")

    def test_an_evaluation_can_be_compared_and_measured_again(self, finished, jet_file, tmp_path):
        path = jet_file(count=100)
        metrics = evaluate.evaluate_model(finished[0], [path], tmp_path / "found").metrics
        again = evaluate.evaluate_model(tmp_path / "found" / "test.h5").metrics
        assert again["loss"] == pytest.approx(metrics["loss"])
        warm = evaluate.evaluate_model(finished[0], [path], calibrated=True).metrics
        assert warm["accuracy"] == metrics["accuracy"]
        assert warm["loss"] != metrics["loss"]


class TestOptions:
    @pytest.mark.parametrize(
        "changes",
        [
            {"model": models.Logistic(degree=2, features=("j_mass_mmdt", "j_pt"))},
            {"batch_size": 0, "optimizer": options.Optimization(name=Optimizer.SGD, momentum=0.9, learning_rate=0.1)},
            {
                "task": Classification(balance=True),
                "optimizer": options.Optimization(penalties=((1.0, 1e-4), (2.0, 1e-4)), clip_norm=1.0),
            },
            {"optimizer": options.Optimization(schedule=Schedule.ONE_CYCLE)},
            {"optimizer": options.Optimization(schedule=Schedule.PLATEAU, plateau_patience=1, warmup_epochs=1)},
        ],
    )
    def test_run_and_come_back_from_json(self, path, tmp_path, changes):
        chosen = small(path, tmp_path / "run", **changes)
        experiment.run(chosen)
        resolved = dataclasses.replace(chosen, model=pipelines.resolve_model_columns(chosen.model, hls4ml.HLS4ML))
        assert run_folder.read_experiment(tmp_path / "run")[0] == resolved

    def test_own_validation_and_test_files(self, path, jet_file, tmp_path):
        val, test = jet_file("val.h5", count=50, seed=3), jet_file("test.h5", count=60, seed=4)
        experiment.run(small(path, tmp_path / "run", val=(val,), test=(test,)))
        assert run_folder.read_experiment(tmp_path / "run")[1]["jets"] == {"train": 300, "val": 50, "test": 60}
        experiment.run(small(path, tmp_path / "other", test=(test,)))
        assert run_folder.read_experiment(tmp_path / "other")[1]["jets"] == {"train": 240, "val": 60, "test": 60}

    def test_default_folders_are_numbered(self, path, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        folders = [experiment.run(small(path, None, epochs=1))[0] for _ in range(2)]
        assert [str(folder) for folder in folders] == ["runs/mlp-1", "runs/mlp-2"]


@pytest.mark.parametrize(
    "model",
    [models.MLP(hidden=(4,)), models.GRU(units=(3,)), models.InteractionNetwork(edge=(3,), node=(3,), particles=5)],
    ids=models.MODELS.name_of,
)
def test_one_training_shape_and_one_evaluation_shape(path, tmp_path, monkeypatch, model):
    """Each is traced once, though train, validation and test parts have other sizes, and blocks many batches."""
    seen = []

    def watched(*given):
        apply = recipes_make_apply(*given)

        def traced(params, model_state, inputs, mask, key):
            seen.append((len(mask), key is not None))
            return apply(params, model_state, inputs, mask, key)

        return traced

    recipes_make_apply = experiment.pipelines.make_apply
    monkeypatch.setattr("hepjax.inputs.pipelines.make_apply", watched)
    experiment.run(small(path, tmp_path / "run", model=model, batch_size=11, epochs=2))
    assert seen == [(1, False), (11, True), (60, False)]  # the first counts its cost


class TestRefused:
    def test_more_particles_than_the_files_keep(self, jet_file, tmp_path):
        few = jet_file("few.h5", slots=12, count=50)
        with pytest.raises(InputError, match=r"(?s)30.*12|12.*30"):
            experiment.run(small(few, tmp_path / "run", model=models.ConvNet1D()))
        assert not (tmp_path / "run").exists()

    def test_a_tagger_of_more_particles_than_the_files_keep(self, trained_runs, jet_file):
        with pytest.raises(InputError, match=r"(?s)6.*4|4.*6"):
            evaluate.evaluate_model(trained_runs("convnet1d"), [jet_file("few.h5", slots=4, count=50)])

    def test_jets_of_few_particles_are_the_same_with_more_padding(self, trained_runs, jet_file):
        predict, few = load(trained_runs("deepsets")), jet_file("few.h5", slots=4, count=20)
        with h5py.File(few) as file:
            particles = np.pad(file[hls4ml.CONSTITUENTS][:], ((0, 0), (0, 8), (0, 0)))
        more = jet_file("more.h5", slots=4, count=20, **{hls4ml.CONSTITUENTS: particles})
        np.testing.assert_allclose(predict(read_jets(few)), predict(read_jets(more)), rtol=1e-6)

    def test_a_tagger_of_other_classes(self, finished, path, tmp_path):
        folder = tmp_path / "run"
        shutil.copytree(finished[0], folder)
        record = json.loads((folder / "experiment.json").read_text())
        record["dataset"]["classes"] = record["classes"] = ["q", "g", "z", "t", "b"]
        (folder / "experiment.json").write_text(json.dumps(record))
        with pytest.raises(InputError, match="was changed since it was written"):
            evaluate.evaluate_model(folder, [path])
        record["classes"] = ["q", "t"]
        (folder / "experiment.json").write_text(json.dumps(record))
        with pytest.raises(InputError, match=r"damaged, its classes are q, t, those of its dataset q, g, z, t, b"):
            load(folder)
        record["dataset"]["classes"] = record["dataset"]["background"] = ["q", "t"]
        (folder / "experiment.json").write_text(json.dumps(record))
        with pytest.raises(InputError, match="5 label columns"):
            load(folder)

    @pytest.mark.parametrize("model", [models.ConvNet(), models.GRU(), models.GraphNetwork(), models.MLP()])
    def test_numbers_that_are_not_finite(self, path, tmp_path, monkeypatch, model):
        with h5py.File(path, "r+") as file:
            file[hls4ml.CONSTITUENTS][7, 1, 5] = np.nan
            file[hls4ml.JETS][7, 3] = np.inf
        monkeypatch.setattr("hepjax.training.fit", lambda *_, **__: pytest.fail("it started to train"))
        with pytest.raises(InputError, match="NaN or infinite"):
            experiment.run(small(path, tmp_path / "run", model=model))

    def test_columns_that_the_files_lack(self, path, tmp_path):
        with pytest.raises(InputError, match="j1_charge"):
            experiment.run(small(path, tmp_path / "run", model=models.LSTM(columns=("j1_pt", "j1_charge"))))

    def test_images_that_the_files_lack(self, path, tmp_path):
        with pytest.raises(InputError, match="jetImage"):
            experiment.run(small(path, tmp_path / "run", model=models.ConvNet(images=("jetImage",))))

    def test_class_missing_in_a_part(self, path, jet_file, tmp_path):
        with h5py.File(path) as file:
            jets = file[hls4ml.JETS][()]
        jets[:, -6:] = np.eye(6)[np.where(np.arange(300) == 0, 1, 0)]
        rare = jet_file("rare.h5", count=300, **{hls4ml.JETS: jets})
        with pytest.raises(InputError, match=r"the (train|val|test) part has no jet of class q among (180|60) jets"):
            experiment.run(small(rare, tmp_path / "run"))
        assert not (tmp_path / "run").exists()

    def test_single_class(self, finished, path, jet_file, tmp_path):
        with h5py.File(path) as file:
            jets = file[hls4ml.JETS][()]
        jets[:, -6:] = np.eye(6)[0]
        single = jet_file("single.h5", count=300, **{hls4ml.JETS: jets})
        for call in (
            lambda out: experiment.run(small(single, out)),
            lambda out: evaluate.evaluate_model(finished[0], [single], out),
        ):
            with pytest.raises(InputError, match=r"single.h5: all jets are of class g"):
                call(tmp_path / "out")
            assert not (tmp_path / "out").exists()

    def test_existing_folder(self, path, tmp_path):
        with pytest.raises(InputError, match="--resume"):
            experiment.run(small(path, tmp_path))


class TestResume:
    def test_after_kill_at_any_moment_is_bitwise_the_same(self, path, tmp_path):
        """Killed without warning twice, in another process, the run ends as if it had not been."""
        straight, killed = tmp_path / "straight", tmp_path / "killed"
        experiment.run(small(path, straight, model=NOISY, epochs=40))
        for epochs in (3, 11):
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, path, killed, "resume" if epochs > 3 else "new"]
            )
            deadline = time.monotonic() + 60
            while not (killed / "history.csv").exists() or len(records.read_history(killed / "history.csv")) < epochs:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
        done = len(records.read_history(killed / "history.csv"))
        assert 11 <= done < 40
        experiment.run(run_folder.resumable_experiment(killed))
        a, b = (records.read_history(folder / "history.csv") for folder in (straight, killed))
        assert [row[:5] for row in a] == [row[:5] for row in b]
        for name in ("best.msgpack", "last.msgpack"):
            a, b = (_content(folder / "checkpoints" / name) for folder in (straight, killed))
            if name == "last.msgpack":
                for content in (a, b):  # the other columns of the history are times
                    content["members"]["0"]["1"] = content["members"]["0"]["1"][:, :5]
            chex.assert_trees_all_equal(a, b)

    def test_more_epochs(self, path, tmp_path, monkeypatch):
        experiment.run(small(path, tmp_path / "run"))
        again = dataclasses.replace(run_folder.resumable_experiment(tmp_path / "run"), epochs=6)
        reads, read = [], run_folder.read_experiment
        monkeypatch.setattr(run_folder, "read_experiment", lambda folder: reads.append(folder) or read(folder))
        experiment.run(again)
        assert reads == [tmp_path / "run"]  # once, while it is locked
        assert len(records.read_history(tmp_path / "run" / "history.csv")) == 6
        assert run_folder.resumable_experiment(tmp_path / "run").epochs == 6

    def test_refused(self, path, jet_file, tmp_path):
        experiment.run(small(path, tmp_path / "run"))
        with pytest.raises(InputError, match="batch_size was 64"):
            experiment.run(dataclasses.replace(run_folder.resumable_experiment(tmp_path / "run"), batch_size=32))
        with pytest.raises(InputError, match="--out"):
            experiment.run(options.Experiment(resume=True))
        with pytest.raises(InputError, match="not the folder of a run"):
            experiment.run(options.Experiment(out=tmp_path / "none", resume=True))
        jet_file(count=300, seed=77)  # other jets under the same name
        with pytest.raises(InputError, match="not those"):
            experiment.run(run_folder.resumable_experiment(tmp_path / "run"))

    def test_full_disk_keeps_the_last_checkpoint(self, path, tmp_path, monkeypatch):
        saves, fsync = [], training.checkpoints.os.fsync

        def fills_up(descriptor):
            saves.append(descriptor)
            if len(saves) > 14:  # two files and their folder at the start and after each epoch
                raise OSError(28, "No space left on device")
            fsync(descriptor)

        monkeypatch.setattr("os.fsync", fills_up)
        with pytest.raises(InputError, match=r"msgpack: cannot be written \(No space"):
            experiment.run(small(path, tmp_path / "run"))
        monkeypatch.undo()
        experiment.run(run_folder.resumable_experiment(tmp_path / "run"))
        experiment.run(small(path, tmp_path / "straight"))
        a, b = (records.read_history(tmp_path / name / "history.csv") for name in ("run", "straight"))
        assert [row[:5] for row in a] == [row[:5] for row in b]

    def test_interrupt_says_how_to_go_on(self, path, tmp_path):
        def press(progress):
            if progress.epoch == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt, match=r"--out .*run --resume"):
            experiment.run(small(path, tmp_path / "run"), press)
        experiment.run(run_folder.resumable_experiment(tmp_path / "run"))
        assert len(records.read_history(tmp_path / "run" / "history.csv")) == 4

    def test_full_disk_at_the_start_leaves_nothing(self, path, tmp_path, monkeypatch):
        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(InputError, match="No space"):
            experiment.run(small(path, tmp_path / "run"))
        assert not (tmp_path / "run").exists()

    def test_divergence_seen_by_validation_alone(self, path, tmp_path):
        """One huge step: loss, gradients and parameters are finite, the logits after it are not."""
        chosen = options.Optimization(name=Optimizer.SGD, learning_rate=1e38)
        linear = models.Logistic(features=("j_mass_mmdt",))
        with pytest.raises(training.DivergedError, match="validation loss is"):
            experiment.run(small(path, tmp_path / "run", model=linear, batch_size=0, epochs=1, optimizer=chosen))
        assert records.read_history(tmp_path / "run" / "history.csv") == ()

    def test_divergence_keeps_the_last_good_state(self, path, tmp_path):
        with pytest.raises(training.DivergedError, match="step"):
            experiment.run(small(path, tmp_path / "run", optimizer=options.Optimization(learning_rate=1e38)))
        assert (tmp_path / "run" / "checkpoints" / "last_good.msgpack").stat().st_size > 100
        assert "step" in (tmp_path / "run" / "log.txt").read_text()


def _content(checkpoint):
    return serialization.msgpack_restore(checkpoint.read_bytes()[len(b"hepjax checkpoint 2\n") + 36 :])

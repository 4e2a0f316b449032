"""Runs side by side: on the same jets, or refused."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from hepjax import InputError, evaluation, models, report
from hepjax.choices import AnomalyLoss, Content
from hepjax.runs import compare, evaluate, options, predict, predictions, train
from hepjax.tasks.anomaly import Anomaly
from hepjax.tasks.classification.scores import scores_of
from hepjax.tasks.generation import Generation
from hepjax.tasks.regression import Regression

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
    found = compare.compare_models([runs_of / "poor", runs_of / "good"])
    assert found.jets == 1000
    test = [scores_of(predictions.read_predictions(runs_of / name / "test.h5")) for name in ("poor", "good")]
    assert found.differences == [evaluation.compare_scores(*test)]
    assert found.metrics[1]["accuracy"] == evaluation.figures_of_merit(test[1])["accuracy"]
    (difference,) = found.differences
    assert difference["accuracy"].value > 5 * difference["accuracy"].error
    assert difference["accuracy"].p < 1e-6


def test_jets_that_only_some_were_tested_on_are_left_out(runs_of, caplog):
    found = compare.compare_models([runs_of / "good", runs_of / "other", runs_of / "poor"])
    tests = [predictions.read_predictions(runs_of / name / "test.h5") for name in ("good", "other")]
    shared = np.intersect1d(*(test.rows for test in tests))
    assert found.jets == len(shared) < 500
    assert f"{len(shared)} jets are in all test parts" in caplog.text
    # The same jets in the same order: with themselves nothing differs.
    again = compare.compare_models([runs_of / "other", runs_of / "other"])
    assert again.differences[0]["loss"].value == 0


def test_on_files_of_their_own(runs_of, jet_file):
    path = jet_file(count=200)
    found = compare.compare_models([runs_of / "good", runs_of / "poor"], [path])
    assert found.jets == 200
    assert found.metrics[0]["jets"] == evaluate.evaluate_model(runs_of / "good", [path]).metrics["jets"]


def test_jets_that_differ_are_refused(runs_of, trained_runs):
    with pytest.raises(InputError, match="its test jets are not those of"):
        compare.compare_models([runs_of / "good", trained_runs("mlp")])


def write_run(folder, task, test):
    """Writes a run folder that holds nothing but predictions of test jets."""
    folder.mkdir()
    predictions.write_predictions(folder / "test.h5", test, task)
    return folder


def table_text(found, names):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(found.task.comparison_table(names, found.metrics, found.differences, found.jets))
    return console.export_text()


class TestAnomalies:
    PLAIN = ("reconstruction_error", "latent_distance", "both")
    TASK = Anomaly(background=("q",), anomalies=("w", "t"), loss=AnomalyLoss.RECONSTRUCTION_ERROR)

    @pytest.fixture
    def drawn(self, rng):
        """Targets, and scores of a good model and of a poor one, and those of a variational one."""
        targets = np.repeat([0.0, 1.0, 2.0, -1.0], [400, 100, 100, 20]).astype(np.float32)
        shift = np.array([0, 1, 2, 0])[targets.astype(int)]
        noise = rng.normal(size=(620, 3))
        good, poor = (np.exp(noise + scale * shift[:, None]).astype(np.float32) for scale in (1.0, 0.3))
        rows = np.arange(620)
        more = np.concatenate([good, good[:, :2]], axis=1)
        variational = (*self.PLAIN, "kl_divergence", "negative_elbo")
        return [predictions.Predictions(x, targets, names, rows)
                for x, names in ((poor, self.PLAIN), (good, self.PLAIN), (more, variational))]  # fmt: skip

    def test_scores_are_compared_on_the_same_jets(self, drawn, tmp_path):
        folders = [write_run(tmp_path / name, self.TASK, test) for name, test in zip("ab", drawn, strict=False)]
        found = compare.compare_models(folders)
        (difference,) = found.differences
        assert found.jets == 620
        assert list(difference["anomalies"]) == ["w", "t", "w+t"]
        for kind, of_kind in difference["anomalies"].items():
            a, b = (each["anomalies"][kind]["both"] for each in found.metrics)
            change = of_kind["both"]["auc"]
            assert change.value == pytest.approx(b["auc"] - a["auc"], abs=1e-9)
            assert change.value > 3 * change.error > 0
            ratio = of_kind["both"]["background_rejection_at_0.5"]
            if ratio is not None:
                key = "background_rejection_at_0.5"
                assert ratio.value == pytest.approx(b[key] / a[key], rel=1e-6)
        # The noise of both is the same for background jets, and so is their loss.
        assert difference["loss"].value == pytest.approx(0, abs=1e-6)
        text = table_text(found, ["a", "b"])
        assert "W + t, both: AUC" in text
        assert "±" in text
        json.dumps(report.comparison_numbers(["a", "b"], found.metrics, found.differences, found.jets))

    def test_other_autoencoders_have_some_scores_in_common(self, drawn, tmp_path):
        variational = dataclasses.replace(self.TASK, loss=AnomalyLoss.NEGATIVE_ELBO)
        pair = [write_run(tmp_path / "vae", variational, drawn[2]), write_run(tmp_path / "ae", self.TASK, drawn[0])]
        for folders in (pair, pair[::-1]):
            found = compare.compare_models(folders)
            assert list(found.differences[0]["anomalies"]["t"]) == [*self.PLAIN]
            assert found.differences[0]["loss"] is None
            assert "negative elbo: AUC" in table_text(found, ["a", "b"])

    def test_other_classes_are_refused(self, drawn, tmp_path):
        other = dataclasses.replace(self.TASK, anomalies=("t",))
        folders = [write_run(tmp_path / "a", self.TASK, drawn[0]), write_run(tmp_path / "b", other, drawn[0])]
        with pytest.raises(InputError, match=r"b, beside .*a: --anomalies was t, not w, t; train with the same"):
            compare.compare_models(folders)
        folders[1] = write_run(tmp_path / "c", Regression(target=("j_mass",)), drawn[0])
        with pytest.raises(InputError, match=r"c: has learned regression, and .*a anomaly; compare models of the same"):
            compare.compare_models(folders)


class TestGenerators:
    TASK = Generation(classes=("q", "t"), content=Content.PARTICLES)

    @pytest.fixture
    def draw(self):
        def of(error, shift, slots=3, **changes):
            rng = np.random.default_rng(1)
            targets = (np.arange(200) % 2)[:, None].astype(np.float32)
            angles = rng.normal(size=(200, slots)).astype(np.float32)
            angles[::3, 1:] = np.nan
            jets = {"j_mass": rng.normal(80, 10, 200).astype(np.float32), "j1_etarel": angles}
            made = {name: column[rng.permutation(200)] + np.float32(shift) for name, column in jets.items()}
            values = (error + np.arange(200) % 3)[:, None].astype(np.float32)
            columns = ("matching_error",)
            test = predictions.Predictions(values, targets, columns, np.arange(200), jets, None, made)
            return test._replace(**changes)

        return of

    def test_losses_and_distances_are_compared(self, draw, tmp_path):
        folders = [
            write_run(tmp_path / "a", self.TASK, draw(2.0, 0.0)),
            write_run(tmp_path / "b", self.TASK, draw(2.5, 8.0)),
        ]
        found = compare.compare_models(folders)
        (difference,) = found.differences
        assert difference["loss"].value == pytest.approx(0.5)
        assert difference["loss"].error == pytest.approx(0, abs=1e-9)
        assert list(difference["distances"]) == ["all", "q", "t"]
        for kind, of_kind in difference["distances"].items():
            a, b = (each["distances"][kind]["j_mass"] for each in found.metrics)
            assert of_kind["j_mass"].value == pytest.approx(b["distance"] - a["distance"])
            assert of_kind["j_mass"].error == pytest.approx(np.hypot(a["uncertainty"], b["uncertainty"]))
        assert difference["distances"]["all"]["j1_etarel"].p < 1e-4
        text = table_text(found, ["a", "b"])
        assert "W1 of j_mass" in text
        assert "matching error" in text

    def test_others_are_refused(self, draw, tmp_path):
        first = write_run(tmp_path / "a", self.TASK, draw(2.0, 0.0))
        others = {
            "classes": (dataclasses.replace(self.TASK, classes=("t", "q")), draw(2.0, 0.0)),
            "columns": (Generation(classes=("q", "t")), draw(2.0, 0.0, observables={"j_zlogz": np.zeros(200)})),
            "particles": (self.TASK, draw(2.0, 0.0, 5)),
        }
        words = {
            "classes": "--classes was t, q, not q, t",
            "columns": "makes j_zlogz, not j1_etarel, j_mass",
            "particles": "makes 5 particles, not 3",
        }
        for name, (task, test) in others.items():
            with pytest.raises(InputError, match=words[name]):
                compare.compare_models([first, write_run(tmp_path / name, task, test)])


def test_bad_input(runs_of, tmp_path):
    with pytest.raises(InputError, match="two runs or more, found 1"):
        compare.compare_models([runs_of / "good"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: has no test\.h5"):
        compare.compare_models([runs_of / "good", tmp_path / "empty"])
    predict.predict_files(runs_of / "good", (), tmp_path / "scores.h5")
    with pytest.raises(InputError, match="does not say which jets"):
        compare.compare_models([runs_of / "good", tmp_path / "scores.h5"])

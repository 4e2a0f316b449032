"""Anomaly detection as a task: what is learned from, scores by hand, options, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError, load, models, read_jets
from hepjax.choices import AnomalyLoss, Strategy
from hepjax.data import datasets
from hepjax.data.datasets import hls4ml
from hepjax.runs import evaluate, options, predict, predictions, train
from hepjax.tasks import Predictions
from hepjax.tasks.anomaly import Anomaly, detection, merit_figures, scores
from hepjax.training import losses
from hepjax.types import Reconstruction

HLS4ML = datasets.get("hls4ml")
FEW = {"epochs": 1, "batch_size": 64, "patience": None}
SMALL = models.Autoencoder(hidden=(4,), latent=2)
QCD = Anomaly(background=("g", "q"))
CLASSES = ("g", "q", "w", "z", "t")


def run(path, out, model=SMALL, *, task=QCD, **changes):
    return train.run(options.Experiment(model, (path,), task=task, out=out, **FEW | changes))


@pytest.fixture
def outputs(rng):
    return Reconstruction(*(rng.normal(size=(5, n)).astype(np.float32) for n in (4, 2, 2))), rng.normal(size=(5, 4))


@pytest.fixture
def unlabeled(jet_file):
    path = jet_file("plain.h5", count=120)
    with h5py.File(path, "r+") as file:
        names = [name.decode() for name in file["jetFeatureNames"][:]]
        kept = [i for i, name in enumerate(names) if name not in (*hls4ml.LABEL_COLUMNS, hls4ml.UNDEFINED)]
        jets = file[hls4ml.JETS][:][:, kept]
        del file[hls4ml.JETS], file["jetFeatureNames"]
        file[hls4ml.JETS], file["jetFeatureNames"] = jets, [names[i].encode() for i in kept]
    return path


class TestScores:
    def test_what_is_read_out(self, outputs):
        back, x = outputs
        numbers = detection.anomaly_read_out(back, x.astype(np.float32))
        np.testing.assert_allclose(numbers[:, 0], np.mean((back.values - x) ** 2, axis=1), rtol=1e-5)
        kl = 0.5 * (back.mean**2 + np.exp(back.log_variance) - 1 - back.log_variance).sum(axis=1)
        np.testing.assert_allclose(numbers[:, 1], kl, rtol=1e-4)
        np.testing.assert_allclose(numbers[:, 2], 2 * numbers[:, 0] + kl, rtol=1e-5)
        np.testing.assert_array_equal(numbers[:, 3:], back.mean)
        plain = detection.anomaly_read_out(back._replace(log_variance=back.mean[:, :0]), x.astype(np.float32))
        assert (plain[:, 1] == 0).all()

    def test_loss_is_what_the_model_states(self, outputs):
        back, x = outputs
        x = x.astype(np.float32)
        numbers, weights = detection.anomaly_read_out(back, x), np.array([1, 2, 0, 1, 0.5], np.float32)
        variational = Anomaly().for_model(models.VariationalAutoencoder())
        assert variational.loss is AnomalyLoss.NEGATIVE_ELBO
        value = variational.mean_loss(numbers, np.zeros(5), weights, {})
        assert value == pytest.approx(float(losses.negative_elbo(back, x, weights)), rel=1e-5)
        plain = Anomaly().for_model(SMALL)
        assert plain.loss is AnomalyLoss.RECONSTRUCTION_ERROR
        value = plain.mean_loss(numbers, np.zeros(5), weights, {})
        assert value == pytest.approx(float(losses.reconstruction_error(back, x, weights)), rel=1e-5)

    def test_scores_are_those_of_numpy(self, rng):
        train_part, val, new = (rng.normal(size=(n, 6)).astype(np.float32) for n in (80, 40, 7))
        background = detection.background_references(train_part, val, (np.ones(80), np.ones(40)))
        result = jax.jit(lambda x: detection.anomaly_scores(x, background, variational=True))(new)
        codes = scores.fit_codes(train_part[:, 3:])
        distance = scores.latent_distance(codes, new[:, 3:])
        tails = [scores.fit_score_tail(x) for x in (val[:, 0], scores.latent_distance(codes, val[:, 3:]))]
        both = scores.combine_anomaly_scores(tails, [new[:, 0].astype(float), distance])
        np.testing.assert_allclose(result, np.stack([new[:, 0], distance, both, new[:, 1], new[:, 2]], 1), rtol=1e-4)
        assert detection.anomaly_scores(jnp.asarray(new), background, variational=False).shape == (7, 3)


class TestLearnedFrom:
    def test_only_background_counts_and_the_test_part_has_all(self, jet_file, tmp_path):
        path = jet_file("jets.h5", count=400)
        jets, labels = read_jets(path), np.asarray(read_jets(path).labels)
        out, metrics = run(path, tmp_path / "run", task=Anomaly(background=("q",), anomalies=("t",)))
        split = np.load(out / "split.npz")
        names = np.array(jets.classes)[labels]
        for part in ("train", "val"):
            assert {*names[split[part]]} == {"q"}
        assert {*names[split["test"]]} == {*CLASSES}
        test = predictions.read_predictions(out / "test.h5")
        given = np.array(["q", "t", ""])[test.targets.astype(int)]
        np.testing.assert_array_equal(given, np.where(np.isin(names[test.rows], ("q", "t")), names[test.rows], ""))
        (network,) = load(out).networks
        np.testing.assert_allclose(network.scaling.mean, tabular_mean(jets, split["train"]), rtol=1e-4)
        assert [*metrics["anomalies"]] == ["t"]
        assert metrics["test_jets"] == {"q": int((given == "q").sum()), "t": int((given == "t").sum())}

    def test_folds_leave_out_anomalies_of_training_and_test_all(self, jet_file, tmp_path):
        path = jet_file("jets.h5", count=200)
        out, metrics = run(path, tmp_path / "run", task=Anomaly(background=("g", "q"), contamination=0.1), folds=3)
        labels = np.asarray(read_jets(path).labels)
        for i in (1, 2, 3):
            split = np.load(out / f"fold-{i}" / "split.npz")
            strange = (labels[split["train"]] > 1).sum()
            assert strange == round(0.1 / 0.9 * (labels[split["train"]] <= 1).sum())
            assert (labels[split["test"]] > 1).any()
        assert sum(metrics["test_jets"].values()) == 200
        assert metrics["intervals"]["anomalies"]["t"]["both"]["auc"][0] < metrics["anomalies"]["t"]["both"]["auc"]

    def test_jets_without_labels_give_scores_only(self, unlabeled, tmp_path, caplog):
        out, metrics = run(unlabeled, tmp_path / "run", task=Anomaly())
        assert metrics["anomalies"] == {}
        assert metrics["test_jets"] == {"all": 24}
        assert "all jets are background: scores only" in caplog.text
        assert predict.predict_files(out, [unlabeled], tmp_path / "scores.h5") == 120

    def test_all_classes_as_background_give_scores_only(self, jet_file, tmp_path, caplog):
        path = jet_file("jets.h5", count=120)
        out, metrics = run(path, tmp_path / "run", task=Anomaly(background=CLASSES))
        assert metrics["anomalies"] == {}
        assert caplog.text.count("all jets are background: scores only, there are no figures of merit") == 1
        assert not (out / "roc.png").exists()
        assert json.loads((out / "metrics.json").read_text())["loss"] > 0

    def test_an_unfinished_run_says_so(self, jet_file, tmp_path, monkeypatch):
        path = jet_file("jets.h5", count=120)
        monkeypatch.setattr(train, "measure_trainings", lambda *_, **__: {})
        out, _ = run(path, tmp_path / "run")
        with pytest.raises(
            InputError, match=r"its training has not ended, .* go on with: hepjax train --out .* --resume"
        ):
            load(out)


class TestJets:
    """However jets come, steps of all of them learn the same."""

    def scores(self, path, out, **changes):
        run(path, out, task=Anomaly(background=("qcd",)), batch_size=0, epochs=2, **changes)
        return predictions.read_predictions(out / "test.h5")

    def test_streamed_and_weighted(self, other_file, tmp_path):
        path = other_file(count=240, weights=np.linspace(0.5, 2, 240), observables=("j_pt", "j_mass"))
        kept, streamed = (self.scores(path, tmp_path / f"{memory}", memory=memory) for memory in (4.0, 1e-5))
        np.testing.assert_array_equal(kept.rows, streamed.rows)
        np.testing.assert_allclose(kept.values, streamed.values, rtol=2e-3)
        np.testing.assert_allclose(kept.weights / kept.weights.mean(), streamed.weights / streamed.weights.mean())
        background = kept.targets == 0
        metrics = json.loads((tmp_path / "4.0" / "metrics.json").read_text())
        mean = np.average(kept.values[background, 0], weights=np.linspace(0.5, 2, 240)[kept.rows[background]])
        assert metrics["loss"] == pytest.approx(mean, rel=1e-5)

    def test_divided_among_devices(self, other_file, tmp_path, many_devices):
        path = other_file(count=240, observables=("j_pt", "j_mass"))
        devices = (options.Devices(1), options.Devices(2, Strategy.PMAP))
        one, two = (self.scores(path, tmp_path / f"{chosen.count}", devices=chosen) for chosen in devices)
        np.testing.assert_allclose(one.values, two.values, rtol=2e-3)


class TestRefused:
    @pytest.mark.parametrize(
        "changes, words",
        [
            ({"background": ("g", "b")}, "--background: .* has no class b; there are g, q, w, z, t"),
            ({"anomalies": ("h",)}, "--anomalies: .* has no class h"),
            ({"anomalies": ("g", "t")}, "--anomalies: expected classes other than the background's, g, q, found g, t"),
            ({"background": ("g", "g")}, "--background: expected different classes, found g, g"),
            ({"contamination": 0.5}, "--contamination: expected 0 or a share from 0.001 to 0.1, found 0.5"),
            ({"contamination": 0.001}, "--contamination: 0.001 of the training jets is none"),
            ({"background": CLASSES, "contamination": 0.1}, "--contamination: expected 0, for all jets are background"),
            ({"loss": AnomalyLoss.NEGATIVE_ELBO}, "--loss: .* codes of autoencoder are no distributions"),
        ],
    )
    def test_options(self, changes, words, jet_file, tmp_path):
        task = dataclasses.replace(Anomaly(background=("g", "q")), **changes)
        with pytest.raises(InputError, match=words):
            run(jet_file("jets.h5", count=120), tmp_path / "run", task=task)
        assert not (tmp_path / "run").exists()

    def test_an_autoencoder_without_the_task(self):
        with pytest.raises(
            InputError, match=r"^hepjax train autoencoder: .* run hepjax train autoencoder --task anomaly$"
        ):
            options.check(options.Experiment(models.Autoencoder()))

    def test_the_task_with_a_classifier(self):
        with pytest.raises(InputError, match="--task anomaly: expected a model that gives its inputs back, found mlp"):
            options.check(options.Experiment(models.MLP(), task=Anomaly()))

    def test_classes_where_there_are_no_labels(self, unlabeled, tmp_path):
        with pytest.raises(
            InputError, match=r"--background: .* has no class g; the files have no labels; leave it out"
        ):
            run(unlabeled, tmp_path / "run")

    def test_jets_without_background_cannot_be_measured(self, jet_file, tmp_path):
        path = jet_file("jets.h5", count=120)
        task = Anomaly(background=("q",), anomalies=("t",))
        test = Predictions(np.ones((3, 3), np.float32), np.ones(3, np.float32), task.columns(HLS4ML))
        with pytest.raises(InputError, match="no jet of the background, q"):
            merit_figures.measure_anomaly_scores(task, test)
        out, _ = run(path, tmp_path / "run", task=task)
        metrics, _ = evaluate.evaluate_model(out, [path])
        assert metrics["anomalies"]["t"]["both"]["auc"] is not None


def tabular_mean(jets, rows):
    from hepjax.inputs import tabular

    return tabular(jets)[rows].mean(axis=0)


def test_reconstruct_shows_what_a_network_sees_and_gives_back(jet_file, tmp_path):
    path = jet_file("jets.h5", count=120)
    model = models.ConvAutoencoder(pixels=8, pixel_size=0.1, filters=(2,), strides=(4,), latent=2)
    predictor = load(run(path, tmp_path / "run", model)[0])
    jets = read_jets(path)[:9]
    pairs = detection.reconstruct(predictor.networks[0], predictor.pipeline.load(jets, slice(None)))
    assert pairs.shape == (9, 2, 8, 8, 1)
    norms = np.mean(pairs[:, 0] ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(norms, np.where(norms > 0, 1, 0), rtol=1e-4)  # some images are empty
    assert (norms > 0).sum() > 2
    error = np.mean((pairs[:, 0] - pairs[:, 1]) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(predictor(jets)[:, 0], error, rtol=1e-4)

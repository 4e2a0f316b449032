"""What every task must do: train, go on, be measured, predict, be reported on, be exported, in folds and ensembles."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from hepjax import InputError, load, read_jets, tasks
from hepjax.choices import Activation, ExportFormat, RegressionLoss, Strategy
from hepjax.data import readers
from hepjax.data.datasets import hls4ml
from hepjax.models import MLP, CloudVelocity, ConvAutoencoder, CouplingFlow, DeepSets, VariationalAutoencoder
from hepjax.registry import import_plugin
from hepjax.runs import evaluate, export, options, predict, predictions, records, report, run_folder, train
from hepjax.tasks.anomaly import Anomaly
from hepjax.tasks.classification import Classification
from hepjax.tasks.generation import Generation
from hepjax.tasks.regression import Regression

TOY = Path(__file__).with_name("toy_task.py")


def toy():
    import_plugin(TOY)
    return tasks.TASKS.get("toy-count")(offset=2.0)


CASES = {
    "classification": lambda: Classification(balance=True),
    "regression": lambda: Regression(target=("j_mass",)),
    "regression-gaussian": lambda: Regression(target=("j_mass", "j_pt"), loss=RegressionLoss.GAUSSIAN),
    "regression-quantiles": lambda: Regression(target=("j_mass",), loss=RegressionLoss.QUANTILES),
    "anomaly": lambda: Anomaly(background=("g", "q"), contamination=0.05),
    "anomaly-images": lambda: Anomaly(background=("g",), anomalies=("t",)),
    "generation": lambda: Generation(classes=hls4ml.CLASSES),
    "generation-particles": lambda: Generation(classes=hls4ml.CLASSES),
    "toy": toy,
}
SEVERAL = ("classification", "regression-gaussian", "anomaly", "generation", "toy")
"""The tasks that are trained in folds and as ensembles: each combines and pools in its own way."""
NOT_EXPORTED = {"generation", "generation-particles"}
NOT_PREDICTED = {"generation-particles"}


def make(name, **changes):
    particles = DeepSets(particle=(3,), hidden=(3,), particles=8)
    others = {
        "anomaly": VariationalAutoencoder(hidden=(4,), latent=2),
        "anomaly-images": ConvAutoencoder(pixels=8, pixel_size=0.1, filters=(2,), strides=(4,), latent=2),
        "generation": CouplingFlow(layers=1, hidden=(4,)),
        "generation-particles": CloudVelocity(
            particles=4, totals=(4,), width=4, summary=2, layers=1, frequencies=1, activation=Activation.TANH
        ),
    }
    model = others.get(name, particles if name in {"toy", "regression"} else MLP(hidden=(4,)))
    plugins = (TOY,) if name == "toy" else ()
    return options.Experiment(
        model=model, task=CASES[name](), epochs=2, batch_size=32, patience=None, plugins=plugins, **changes
    )


def write_sample(path, every=5):
    """Writes some of the jets that come with hepjax, whose observables are true ones."""
    with h5py.File(readers.list_files(None)[0]) as sample, h5py.File(path, "w") as file:
        for name in (hls4ml.CONSTITUENTS, hls4ml.JETS):
            file[name] = sample[name][::every]
        for name in (hls4ml.PARTICLE_NAMES, hls4ml.JET_NAMES):
            file[name] = sample[name][:]
    return path


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory, write_jets):
    """A run of two epochs of each task, on few jets, which no test changes."""
    folder = tmp_path_factory.mktemp(request.param)
    path = folder / "jets.h5"
    write_sample(path) if request.param.startswith("generation") else write_jets(path, count=150)
    out, metrics = train.run(make(request.param, data=(path,), out=folder / "run"))
    return request.param, path, out, metrics


class TestRun:
    def test_leaves_the_same_files(self, case):
        _, _, out, metrics = case
        wanted = {"experiment.json", "history.csv", "history.jsonl", "metrics.json", "test.h5", "log.txt", "split.npz"}
        assert wanted | {"checkpoints", "history.png"} <= {path.name for path in out.iterdir()}
        assert json.loads((out / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
        assert np.isfinite(metrics["loss"])
        assert metrics["verdict"]["words"]
        assert len(records.read_history(out / "history.csv")) == 2

    def test_records_the_task(self, case):
        name, _, out, _ = case
        experiment, record = run_folder.read_experiment(out)
        given = make(name)
        dataset = run_folder.dataset_of_run(record)
        assert experiment.task == given.task.for_model(given.model).resolve(dataset)
        assert record["experiment"]["task"]["name"] == tasks.TASKS.name_of(type(experiment.task))
        assert tuple(record["outputs"]) == load(out).outputs

    def test_test_jets_are_measured_again_to_the_same_figures(self, case):
        name, _, out, metrics = case
        task = predictions.read_task(out / "test.h5")
        test = predictions.read_predictions(out / "test.h5")
        assert type(task) is type(make(name).task)
        again = task.evaluate(test)
        assert again["loss"] == pytest.approx(metrics["loss"], rel=1e-6)
        assert sorted(test.rows) == sorted(np.load(out / "split.npz")["test"])

    def test_loaded_model_predicts_what_was_tested(self, case):
        _, path, out, _ = case
        test, jets = predictions.read_predictions(out / "test.h5"), read_jets(path)
        np.testing.assert_allclose(load(out)(jets[test.rows]), test.values, rtol=1e-5, atol=1e-6)


class TestUse:
    @pytest.mark.parametrize("case", SEVERAL, indirect=True)
    def test_resume_ends_where_one_run_would(self, case, tmp_path):
        _name, _, out, _ = case
        shutil.copytree(out, tmp_path / "run")
        again = dataclasses.replace(run_folder.resumable_experiment(tmp_path / "run"), epochs=3)
        train.run(again)
        straight = dataclasses.replace(again, out=tmp_path / "straight", resume=False)
        train.run(straight)
        a, b = (records.read_history(tmp_path / name / "history.csv") for name in ("run", "straight"))
        np.testing.assert_array_equal([row[:5] for row in a], [row[:5] for row in b])

    def test_other_task_cannot_go_on(self, case, tmp_path):
        name, _path, out, _ = case
        other = Regression(target=("j_eta",)) if name == "classification" else Classification()
        other = Anomaly(background=("w",)) if name.startswith("anomaly") else other  # its models serve no other task
        given = dataclasses.replace(run_folder.resumable_experiment(out), task=other)
        words = r"--resume: task\.(name|background|anomalies) was"
        if name.startswith("generation"):
            words = "does not serve the task classification"
        with pytest.raises(InputError, match=words):
            train.run(given)

    def test_evaluate_and_predict(self, case, tmp_path):
        name, path, out, _ = case
        metrics, task = evaluate.evaluate_model(out, [path], tmp_path / "evaluation")
        assert {"metrics.json", "test.h5"} <= {file.name for file in (tmp_path / "evaluation").iterdir()}
        if name in NOT_PREDICTED:
            with pytest.raises(InputError, match="has no density"):
                predict.predict_files(out, [path], tmp_path / "predictions.h5")
            return
        count = len(read_jets(path))
        assert predict.predict_files(out, [path, path], tmp_path / "predictions.h5") == 2 * count
        known = predictions.read_predictions(tmp_path / "predictions.h5")
        with h5py.File(tmp_path / "predictions.h5") as file:
            assert list(file.attrs[task.layout.columns]) == list(load(out).outputs)
        assert known.targets is not None
        np.testing.assert_array_equal(known.targets[:count], known.targets[count:])
        again, _ = evaluate.evaluate_model(tmp_path / "predictions.h5")
        assert again["loss"] == pytest.approx(metrics["loss"], rel=1e-5)

    def test_table_report_and_remarks(self, case, tmp_path):
        name, _, out, metrics = case
        task = make(name).task
        assert task.table(metrics).row_count >= 1
        page = report.write_run_page(out, tmp_path / "page.html").read_text()
        assert f"{metrics['loss']:.4f}" in page

    @pytest.mark.parametrize("kind", [ExportFormat.ONNX, ExportFormat.STABLEHLO])
    def test_export_predicts_the_same(self, case, kind, tmp_path):
        name, path, out, _ = case
        if name in NOT_EXPORTED:
            with pytest.raises(InputError, match="cannot be exported"):
                export.export_run(out, tmp_path / "model", kind)
            return
        files = export.export_run(out, tmp_path / "model", kind)
        jets, predictor = read_jets(path), load(files[0])
        assert predictor.outputs == load(out).outputs
        np.testing.assert_allclose(predictor(jets), load(out)(jets), rtol=2e-4, atol=1e-5)
        card = files[1].read_text()
        for column in predictor.outputs:
            assert column in card


class TestSeveral:
    @pytest.fixture
    def path(self, name, tmp_path, write_jets):
        path = tmp_path / "jets.h5"
        return write_sample(path) if name.startswith("generation") else write_jets(path, count=150)

    @pytest.mark.parametrize("name", SEVERAL)
    def test_folds(self, name, path, tmp_path):
        out, metrics = train.run(make(name, data=(path,), out=tmp_path / "folds", folds=3))
        assert set(metrics["members"]) == {"fold-1", "fold-2", "fold-3"}
        assert metrics["spread"]["loss"] >= 0
        test = predictions.read_predictions(out / "test.h5")
        assert sorted(test.rows) == list(range(len(read_jets(path))))
        assert load(out).predict is not None
        report.write_run_page(out, tmp_path / "page.html")

    # That of generators of observables is beside their other tests, for it takes long to trace.
    @pytest.mark.parametrize("name", [*(name for name in SEVERAL if name != "generation"), "generation-particles"])
    def test_ensemble(self, name, path, tmp_path):
        out, _ = train.run(make(name, data=(path,), out=tmp_path / "ensemble", ensemble=2))
        jets = read_jets(path)
        members = np.stack([load(out / f"model-{i}")(jets) for i in (1, 2)])
        np.testing.assert_allclose(load(out)(jets), load(out).task.combine(members), rtol=1e-5, atol=1e-6)
        if name in NOT_EXPORTED:
            return
        export.export_run(out, tmp_path / "model.onnx")
        np.testing.assert_allclose(load(tmp_path / "model.onnx")(jets), load(out)(jets), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", Strategy)
def test_several_devices_train_as_one(strategy, tmp_path, write_jets, many_devices):
    path = write_jets(tmp_path / "jets.h5", count=160)
    losses = []
    for count in (1, 2):  # steps of all jets: which jets share a batch depends on the devices
        chosen = make("regression-gaussian", data=(path,), out=tmp_path / str(count))
        devices = options.Devices(count, strategy if count > 1 else Strategy.JIT)
        chosen = dataclasses.replace(chosen, batch_size=0, devices=devices)
        losses.append(train.run(chosen)[1]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_streamed_jets_train_as_kept_ones(tmp_path, write_jets):
    path = write_jets(tmp_path / "jets.h5", count=150)
    results = [
        train.run(make("regression", data=(path,), out=tmp_path / name, memory=memory))[1]
        for name, memory in (("kept", 4.0), ("streamed", 1e-5))
    ]
    assert np.isfinite(results[1]["loss"])
    tagger, jets = load(tmp_path / "streamed"), read_jets(path)
    assert tagger(jets).shape == (150, 1)
    assert tagger.networks[0].statistics["mean"] == pytest.approx(
        load(tmp_path / "kept").networks[0].statistics["mean"]
    )


def test_toy_task_comes_from_outside_in_one_file():
    import_plugin(TOY)
    assert "toy-count" in tasks.TASKS.names()
    assert tasks.from_json(tasks.to_json(toy())) == toy()


def test_tasks_are_found_without_being_imported():
    assert {"classification", "generation", "regression"} <= {*tasks.TASKS.names()}
    assert tasks.TASKS.summary("regression").startswith("Predicts the values")


def test_default_is_classification():
    assert options.Experiment(MLP()).task == Classification()

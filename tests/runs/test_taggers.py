"""Trained taggers as functions of jets."""

from __future__ import annotations

import dataclasses
import json
import shutil

import h5py
import jax
import numpy as np
import pytest

from hepjax import InputError, load, read_jets, training
from hepjax.data.datasets import hls4ml
from hepjax.evaluation import apply_temperature
from hepjax.runs import evaluate, export, predict, records, run_folder, stored
from hepjax.runs.predictions import read_predictions
from hepjax.types import Sequences

KINDS = {"features": "mlp", "particles": "deepsets", "graphs": "graph-network", "pixels": "convnet"}


@pytest.fixture(scope="module")
def folders(trained_runs):
    return {kind: trained_runs(name) for kind, name in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_jets_files_and_arrays_give_the_same(folders, kind, tmp_path):
    tagger, jets = load(folders[kind]), read_jets()
    p = tagger(jets[:50])
    assert p.shape == (50, 5)
    assert p.dtype == np.float32
    assert tagger.classes == hls4ml.CLASSES
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    inputs = tagger.pipeline.load(jets, slice(50))
    np.testing.assert_allclose(tagger(inputs), p, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        tagger(inputs.values if isinstance(inputs, Sequences) else inputs), p, rtol=1e-5, atol=1e-7
    )
    predict.predict_files(folders[kind], (), tmp_path / "scores.h5")
    found = read_predictions(tmp_path / "scores.h5")
    np.testing.assert_allclose(found.values[:50], p, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found.targets, jets.labels)


def test_one_jet_no_jet_and_shorter_lists(folders):
    tagger, jets = load(folders["particles"]), read_jets()
    assert tagger(jets[3:4]).shape == (1, 5)
    assert tagger(jets[:0]).shape == (0, 5)
    short = np.asarray(tagger.pipeline.load(jets, slice(20)).values)[:, :4]
    padded = np.concatenate([short, np.zeros((20, 2, 3), np.float32)], axis=1)
    np.testing.assert_allclose(tagger(short), tagger(padded), rtol=1e-6)


@pytest.mark.parametrize("kind, column", [("features", "j_zlogz"), ("particles", "j1_etarel"), ("graphs", "j1_etarel")])
def test_an_absurd_value_counts_as_the_mean_and_is_named(folders, kind, column, caplog):
    tagger, jets = load(folders[kind]), read_jets()[:20]
    name, names = (
        ("observables", jets.observable_names) if kind == "features" else ("constituents", jets.particle_names)
    )
    place = (3, names.index(column)) if kind == "features" else (3, 1, names.index(column))
    seen = []
    for value in (1e30, tagger.networks[0].scaling.mean[tagger.columns.index(column)]):
        values = np.array(getattr(jets, name))
        values[place] = value
        seen.append(tagger(dataclasses.replace(jets, **{name: values})))
    np.testing.assert_allclose(*seen, rtol=1e-5)
    (record,) = caplog.records
    assert f"row 3{', particle 1' if len(place) > 2 else ''}: {column} is 1e+30" in record.getMessage()


@pytest.mark.parametrize(
    "kind, given, words",
    [
        ("features", np.zeros((4, 2)), r"expected \(N, 3\), the columns j_pt, j_mass, j_zlogz; found \(4, 2\)"),
        ("features", np.zeros(3), r"found \(3,\)"),
        ("features", np.full((1, 3), np.nan), "finite"),
        ("particles", np.zeros((4, 7, 3)), r"expected \(N, 6, 3\).*found \(4, 7, 3\)"),
        ("particles", np.zeros((4, 6, 2)), r"found \(4, 6, 2\)"),
        ("particles", np.array([[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]]), "padding in between"),
        ("features", Sequences(np.zeros((4, 3)), np.ones((4, 3), bool)), "the columns j_pt"),
    ],
)
def test_arrays_of_another_kind_are_refused(folders, kind, given, words):
    with pytest.raises(InputError, match=words):
        load(folders[kind])(given)


def test_jets_of_other_classes_are_refused(folders):
    jets = read_jets()[:3]
    dataset = dataclasses.replace(jets.dataset, classes=("a", "b"), labels=None, background=())
    others = dataclasses.replace(jets, labels=np.arange(3) % 2, dataset=dataset)
    with pytest.raises(InputError, match="the jets' classes are a, b, those of the tagger g, q, w, z, t"):
        load(folders["features"])(others)


@pytest.mark.parametrize("kind", ["features", "particles"])
def test_the_pure_answer_is_the_tagger(folders, kind):
    tagger, jets = load(folders[kind]), read_jets()
    inputs = tagger.pipeline.load(jets, slice(30))
    answer = jax.jit(export.make_predict(tagger.networks, tagger.task))
    np.testing.assert_allclose(answer(inputs), tagger(inputs), rtol=1e-5, atol=1e-7)
    warm = export.make_predict(tagger.networks, tagger.task, temperature=2.0)(inputs)
    np.testing.assert_allclose(warm, apply_temperature(tagger(inputs), 2.0), rtol=1e-4, atol=1e-6)


def test_calibrated_scores_are_those_of_the_temperature(folders):
    metrics = records.read_json(folders["features"] / "metrics.json")
    plain, calibrated = load(folders["features"]), load(folders["features"], calibrated=True)
    assert calibrated.temperature == metrics["calibration"]["temperature"] != 1
    p = plain(read_jets()[:9])
    np.testing.assert_allclose(calibrated(read_jets()[:9]), apply_temperature(p, calibrated.temperature), rtol=1e-5)


def test_a_value_that_overflows_the_network_is_told_of(folders, jet_file, tmp_path, monkeypatch):
    monkeypatch.setattr("hepjax.inputs.scaling.FAR", np.inf)  # else it would count as the mean
    path = jet_file("odd.h5", count=30)
    with h5py.File(path, "r+") as file:
        file[hls4ml.CONSTITUENTS][17, 0, : len(hls4ml.PARTICLE_COLUMNS)] = 3e38
    words = r"NaN or infinite ones for 1 of 30 jets, the first in row 17"
    with pytest.raises(InputError, match=words):
        predict.predict_files(folders["graphs"], (path,), tmp_path / "scores.h5")
    assert not (tmp_path / "scores.h5").exists()
    with pytest.raises(InputError, match=words):
        evaluate.evaluate_model(folders["graphs"], (path,))
    with pytest.raises(InputError, match=words):
        load(folders["graphs"])(read_jets(path))


class TestDamaged:
    @pytest.fixture
    def folder(self, folders, tmp_path):
        return shutil.copytree(folders["features"], tmp_path / "run")

    def test_nothing_there(self, tmp_path):
        with pytest.raises(InputError, match="no such folder or file"):
            load(tmp_path / "none")
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="not the folder of a run"):
            load(tmp_path / "empty")

    def test_without_its_scaling(self, folder):
        path = folder / "checkpoints" / "best.msgpack"
        (network,) = load(folder).networks
        training.save(path, (network.params, network.model_state), stored.open_run(folder).record["identity"])
        run_folder.change_record(folder, {"files": None})
        with pytest.raises(InputError, match=r"best\.msgpack"):
            load(folder)

    def test_without_its_parameters(self, folder):
        (folder / "checkpoints" / "best.msgpack").unlink()
        with pytest.raises(InputError, match=r"best\.msgpack: expected a file, found none"):
            load(folder)

    def test_without_a_temperature(self, folder):
        path = folder / "metrics.json"
        metrics = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in metrics.items() if name != "calibration"}))
        run_folder.seal(folder, list(stored.finished_files(*run_folder.read_experiment(folder))))
        with pytest.raises(InputError, match="no temperature to calibrate with"):
            load(folder, calibrated=True)
        path.write_text("{")
        with pytest.raises(InputError, match=r"metrics\.json: damaged"):
            load(folder, calibrated=True)
        path.unlink()
        run_folder.change_record(folder, {"files": None})
        with pytest.raises(InputError, match="its training has not ended"):
            load(folder, calibrated=True)

"""Jets of other columns and classes: trained on, evaluated, predicted, reported and exported."""

from __future__ import annotations

import dataclasses
import json

import h5py
import numpy as np
import pytest

from hepjax import InputError, load, models, read_jets
from hepjax import data as data_module
from hepjax.data.datasets import hls4ml
from hepjax.runs import compare, evaluate, export, predict, report, run_folder, taggers
from hepjax.runs import train as experiment
from hepjax.runs.options import Experiment

TEN = tuple(f"c{i}" for i in range(10))
FILES = {
    "two classes": {},
    "ten classes": {"classes": TEN, "count": 400},
    "six classes": {"classes": (*hls4ml.CLASSES, "h"), "prefix": "j_"},
    "one more particle column": {"particle_extra": ("charge",)},
    "one more jet column": {"observables": ("j_pt", "j_mass", "width")},
    "no observables": {"observables": ()},
    "weights": {"weights": np.linspace(0.5, 2, 240)},
    "names of roles": {"columns": ("px", "py", "pz", "energy"), "observables": ("jet_pt", "x"), "prefix": ""},
}
DEEPSETS = models.DeepSets(particle=(4,), hidden=(4,), particles=12)
MODELS = {
    "mlp": models.MLP(hidden=(4,)),
    "convnet": models.ConvNet(filters=(2,), kernels=(3,), hidden=(4,), pixels=8, pixel_size=0.1, particles=12),
    "gru": models.GRU(units=(3,), hidden=(4,), particles=12),
    "interaction-network": models.InteractionNetwork(edge=(4,), node=(4,), hidden=(4,), particles=12),
    "graph-network": models.GraphNetwork(
        rounds=1, edge=(4,), node=(4,), jet=(4,), hidden=(4,), particles=12, neighbors=2, edge_features=True
    ),
}


def run(data, out, model=DEEPSETS, **changes):
    folder, metrics = experiment.run(Experiment(model=model, data=(data,), out=out, epochs=1, **changes))
    return folder, metrics


@pytest.mark.parametrize("name", FILES)
def test_from_a_file_to_an_exported_tagger(name, other_file, tmp_path, brief):
    data = other_file(**{"count": 240, **FILES[name]})
    classes = read_jets(data).classes
    folder, metrics = run(data, tmp_path / "run")
    assert tuple(metrics["classes"]) == classes
    record = json.loads((folder / "experiment.json").read_text())
    assert record["classes"] == list(classes)
    assert run_folder.dataset_of_run(record) == read_jets(data).dataset
    assert record["experiment"]["model"]["columns"] == list(read_jets(data).dataset.particle_features)
    evaluated = evaluate.evaluate_model(folder, [data]).metrics
    assert tuple(evaluated["classes"]) == classes
    predict.predict_files(folder, [data], tmp_path / "scores.h5")
    with h5py.File(tmp_path / "scores.h5") as file:
        assert file["scores"].shape == (len(read_jets(data)), len(classes))
    if name in {"ten classes", "no observables", "names of roles"}:
        assert classes[0] in report.write_run_page(folder).read_text()
    pytest.importorskip("onnx")
    export.export_run(folder, tmp_path / "tagger.onnx")
    jets = read_jets(data)
    np.testing.assert_allclose(load(tmp_path / "tagger.onnx")(jets), load(folder)(jets), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model(name, other_file, tmp_path, brief):
    data = other_file(count=240)
    folder, metrics = run(data, tmp_path / "run", MODELS[name])
    assert set(metrics["classes"]) == {"qcd", "top"}
    pytest.importorskip("onnx")
    export.export_run(folder, tmp_path / "tagger.onnx")
    jets = read_jets(data)
    np.testing.assert_allclose(load(tmp_path / "tagger.onnx")(jets), load(folder)(jets), atol=1e-5)
    if name in {"mlp", "convnet"}:  # pages of other kinds are those of other datasets above, and of other models
        assert report.write_run_page(folder).exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, write_other):
    """A run that is only read."""
    folder = tmp_path_factory.mktemp("trained")
    return run(write_other(folder / "jets.h5", count=240), folder / "run")[0]


def test_jets_without_labels(trained, other_file, tmp_path):
    bare = other_file("bare.h5", classes=())
    with pytest.raises(InputError, match=r"bare.h5: the jets have no labels, which a classifier learns"):
        run(bare, tmp_path / "new")
    assert predict.predict_files(trained, [bare], tmp_path / "scores.h5") == 60
    with pytest.raises(InputError, match=r"bare.h5: no labels, so nothing can be measured"):
        evaluate.evaluate_model(trained, [bare])


def test_jets_of_other_classes_are_refused(trained, other_file, tmp_path):
    data, others = other_file(count=240), other_file("others.h5", classes=("w", "z"))
    with pytest.raises(InputError, match=r"others.h5: the jets' classes are w, z, those of the tagger qcd, top"):
        taggers.open_tagger_jets(load(trained), [others])
    with pytest.raises(InputError, match=r"--test .*others.h5: the jets' classes are w, z, those to train on qcd, top"):
        run(data, tmp_path / "new", test=(others,))


def test_no_jet_columns_for_a_model_of_jet_columns(other_file, tmp_path):
    with pytest.raises(InputError, match=r"--features: the jets .* have no jet columns to learn from"):
        run(other_file(observables=()), tmp_path / "new", models.MLP())
    assert not (tmp_path / "new").exists()


def test_a_dataset_that_nobody_knows(other_file, tmp_path):
    with pytest.raises(InputError, match="dataset: there is no toys"):
        run(other_file(), tmp_path / "new", dataset="toys")


def test_each_header_is_read_once(other_file, tmp_path, monkeypatch):
    from hepjax.data import readers

    seen, original = [], readers.read_header
    monkeypatch.setattr(readers, "read_header", lambda path, *rest: seen.append(path.name) or original(path, *rest))
    files = tuple(other_file(f"{i}.h5", seed=i, count=120) for i in range(3))
    folder, _ = experiment.run(
        Experiment(model=DEEPSETS, data=files[:2], test=files[2:], out=tmp_path / "run", epochs=1)
    )
    assert sorted(seen) == ["0.h5", "1.h5", "2.h5"]
    seen.clear()
    evaluate.evaluate_model(folder, files)
    assert sorted(seen) == ["0.h5", "1.h5", "2.h5"]


def test_many_trainings_at_once(other_file, tmp_path, brief):
    folder, metrics = run(other_file(count=240, classes=("a", "b", "c")), tmp_path / "run", folds=3)
    assert set(metrics["classes"]) == {"a", "b", "c"}
    assert load(folder).classes == ("a", "b", "c")


DESCRIPTION = """
selection = "j_pt > -1.5"
[particles]
px = "j1_px"
py = "j1_py"
pz = "j1_pz"
energy = "j1_e"
features = ["log_pt", "eta_rel"]
[labels]
columns = ["label_a", "label_b"]
[derived]
log_pt = "log(hypot(j1_px, j1_py))"
"""


def test_a_described_and_selected_run_is_repeated_as_it_was(other_file, tmp_path, brief):
    data = other_file(count=400, classes=("a", "b"))
    (tmp_path / "mine.toml").write_text(DESCRIPTION)
    told = {"dataset": str(tmp_path / "mine.toml"), "where": "abs(j_mass) < 2 and num(j1_e) > 3"}
    jets = read_jets(data, **told)
    flow = data_module.cut_flow(jets)
    assert [*flow] == ["all", "j_pt > -1.5", "abs(j_mass) < 2", "num(j1_e) > 3"]
    assert 0 < len(jets) < 400
    folder, _ = run(data, tmp_path / "run", **told)
    record = json.loads((folder / "experiment.json").read_text())
    assert record["cut_flow"] == {"data": flow}
    assert sum(record["jets"].values()) == len(jets)
    assert record["experiment"]["model"]["columns"] == ["log_pt", "eta_rel"]
    (tmp_path / "mine.toml").unlink()  # the run knows what it said
    experiment.run(dataclasses.replace(run_folder.resumable_experiment(folder), epochs=2))
    report.write_run_page(folder, tmp_path / "page.html")
    rows = data_module.rows_of_files(jets)
    predict.predict_files(folder, [data], tmp_path / "all.h5")
    predict.predict_files(
        folder, [data], tmp_path / "some.h5", where="j_pt > -1.5 and abs(j_mass) < 2 and num(j1_e) > 3"
    )
    with h5py.File(tmp_path / "all.h5") as every, h5py.File(tmp_path / "some.h5") as some:
        assert len(every["scores"]) == 400
        np.testing.assert_array_equal(some["rows"], rows)
        np.testing.assert_allclose(some["scores"][()], every["scores"][()][rows], rtol=1e-5)
    evaluate.evaluate_model(folder, [data], tmp_path / "few", where="j_pt > 1")
    with h5py.File(tmp_path / "few" / "test.h5") as file:
        np.testing.assert_array_equal(file["rows"], data_module.rows_of_files(read_jets(data, where="j_pt > 1")))
    compared = compare.compare_models([folder, folder], [data], where="j_pt > 1").jets
    assert compared == len(read_jets(data, where="j_pt > 1"))
    export.export_run(folder, tmp_path / "tagger.onnx")
    predict.predict_files(tmp_path / "tagger.onnx", [data], tmp_path / "exported.h5")
    with h5py.File(tmp_path / "all.h5") as every, h5py.File(tmp_path / "exported.h5") as exported:
        np.testing.assert_allclose(exported["scores"], every["scores"], atol=1e-4)


def test_streamed_selected_jets_train_as_those_in_memory(other_file, tmp_path, brief):
    data, where = other_file(count=400, classes=("a", "b")), "j_mass < 0.5"
    files = {"val": (other_file("val.h5", count=200, classes=("a", "b"), seed=1),), "where": where}
    records = []
    for memory in (4.0, 1e-5):
        folder, _ = run(data, tmp_path / f"run{memory}", memory=memory, **files)
        records.append(json.loads((folder / "experiment.json").read_text()))
    assert records[0]["fingerprint"] == records[1]["fingerprint"]
    assert records[0]["jets"] == records[1]["jets"]
    flow = {
        name: data_module.cut_flow(read_jets(path, where=where))
        for name, path in (("data", data), ("val", *files["val"]))
    }
    assert records[0]["cut_flow"] == records[1]["cut_flow"] == flow
    assert records[0]["jets"]["val"] == flow["val"][where]

"""What version 0.1 left on disk is still read, and says the same.

`version_0_1.tar.xz` was made by that version: `runs/`, small, of every model and of every way to train several at once;
exported files, a file of scores, the jets; and what it made of them, in expected_scores.npz and expected_metrics.json.
"""

from __future__ import annotations

import json
import signal
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from hepjax import load, read_jets
from hepjax.cli import app

RUNS = (
    "convnet", "convnet1d", "ensemble", "folds", "graph-network", "gru", "interaction-network", "logistic", "lstm",
    "mlp", "rates", "sizes",
)  # fmt: skip
FILES = ("mlp.onnx", "gru.onnx", "interaction-network.stablehlo")


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The folder of all that version 0.1 left, as if it had been made there."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(Path(__file__).with_name("version_0_1.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    for path in folder.rglob("experiment.json"):
        path.write_text(path.read_text().replace("FOLDER", str(folder)))
    return folder


@pytest.fixture(scope="module")
def scores(old):
    return dict(np.load(old / "expected_scores.npz"))


@pytest.fixture
def call(old, monkeypatch, capsys):
    """Runs hepjax in that folder; gives what it prints."""
    monkeypatch.chdir(old)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*words):
        app.main([str(word) for word in words])
        return capsys.readouterr().out

    return run


def assert_as_then(metrics, expected):
    for key in ("accuracy", "loss"):
        assert metrics[key] == pytest.approx(expected[key], rel=1e-5)
    assert {c: one["auc"] for c, one in metrics["classes"].items()} == pytest.approx(expected["auc"], rel=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_predicts_the_same(old, scores, name):
    tagger = load(old / "runs" / name)
    # Masses of light pairs, which its edges have, were what rounding left of them then.
    rtol = 0.01 if name == "graph-network" else 1e-4
    np.testing.assert_allclose(tagger(read_jets(old / "jets.h5")), scores[name], rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("name", FILES)
def test_an_exported_file_predicts_the_same(old, scores, name):
    np.testing.assert_allclose(load(old / name)(read_jets(old / "jets.h5")), scores[name], rtol=1e-4, atol=1e-6)


def test_a_calibrated_run_predicts_the_same(old, scores, call, tmp_path):
    call("predict", "runs/mlp", "--data", "jets.h5", "--calibrated", "--out", tmp_path / "scores.h5")
    with h5py.File(tmp_path / "scores.h5") as file:
        np.testing.assert_allclose(file["scores"], scores["mlp-calibrated"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "lstm", "folds", "ensemble"])
def test_a_run_is_measured_the_same(old, call, tmp_path, name):
    out = call("evaluate", f"runs/{name}", "--data", "jets.h5", "--out", tmp_path / "new")
    assert "200 jets" in out
    expected = json.loads((old / "expected_metrics.json").read_text())[name]
    assert_as_then(json.loads((tmp_path / "new" / "metrics.json").read_text()), expected)


def test_scores_are_measured_the_same(old, call, tmp_path):
    call("evaluate", "scores.h5", "--out", tmp_path / "new")
    expected = json.loads((old / "expected_metrics.json").read_text())["scores"]
    assert_as_then(json.loads((tmp_path / "new" / "metrics.json").read_text()), expected)


def test_runs_are_compared_the_same(old, call, tmp_path):
    expected = json.loads((old / "expected_metrics.json").read_text())["compare"]
    call("compare", *(one["name"] for one in expected), "--json", tmp_path / "new.json")
    taggers = json.loads((tmp_path / "new.json").read_text())["taggers"]
    assert [{"name": one["name"], "accuracy": one["metrics"]["accuracy"]} for one in taggers] == expected


def test_info_tells_of_every_run(call):
    out = call("info", *(f"runs/{name}" for name in RUNS))
    for words in (
        "neighb",
        "features j_pt j_mass j_tau1_b1",
        "train 66, val 67, test 67",
        "hepjax 0.1.0",
        "train 120, val 40, test 40",
    ):
        assert words in out, words


@pytest.mark.parametrize("name", ["mlp", "folds"])
def test_a_run_gets_its_page(call, tmp_path, name):
    call("report", f"runs/{name}", "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    for title in ("Figures of merit", "What the network looks at", "How to repeat it"):
        assert f">{title}<" in text or title in text
    assert "hepjax train" in text


@pytest.mark.parametrize("name", ["mlp", "folds"])
def test_a_run_is_exported(old, scores, call, tmp_path, name):
    call("export", f"runs/{name}", "--out", tmp_path / "tagger.onnx")
    tagger = load(tmp_path / "tagger.onnx")
    np.testing.assert_allclose(tagger(read_jets(old / "jets.h5")), scores[name], rtol=1e-4, atol=1e-5)

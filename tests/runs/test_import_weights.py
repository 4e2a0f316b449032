"""Weights of others as a run folder: used as one of our own, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hepjax
from hepjax import InputError
from hepjax.cli import app
from hepjax.inputs.jetclass_inputs import jetclass_inputs
from hepjax.models import pretrained
from hepjax.runs import import_weights, stored
from hepjax.types import ParticleInputs

GOLDEN = Path(__file__).parents[1] / "models/pretrained/weaver.npz"
CLASSES = ("g", "q", "w", "z", "t")


@pytest.fixture
def arrays(monkeypatch):
    """A small ParticleNet of seven columns and five classes, which stands for the content of any file."""
    with np.load(GOLDEN) as file:
        names = [name for name in file if name.startswith("particle-net/")]
        found = {name.partition("/")[2]: file[name] for name in names}
    found = {name: x for name, x in found.items() if name not in {"logits", "gradients"}}
    monkeypatch.setattr("hepjax.models.pretrained.particle_net.read_pytorch", lambda path: found)
    return found


@pytest.fixture
def weights(tmp_path, arrays):
    path = tmp_path / "net.pt"
    path.write_bytes(b"weights")
    return path


def test_predictions_are_those_of_the_network(tmp_path, weights, jet_file):
    folder = import_weights.import_weights(
        weights, "particle-net", tmp_path / "run", dataset="hls4ml", classes=("t", "z", "w", "q", "g"), particles=30
    )
    jets = hepjax.read_jets()[:40]
    model, params, state = pretrained.load_particle_net(weights)
    seen = jetclass_inputs(jets, particles=30)
    inputs = ParticleInputs(*seen, points=seen.values[..., -2:])
    logits = np.asarray(model.apply({"params": params, **state}, inputs), np.float64)[:, ::-1]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predict = hepjax.load(folder)
    assert predict.outputs == CLASSES
    np.testing.assert_allclose(predict(jets), expected, atol=1e-5)
    app.main(["evaluate", str(folder), "--data", str(jet_file()), "--out", str(tmp_path / "measured")])
    assert json.loads((tmp_path / "measured/metrics.json").read_text())["jets"]
    app.main(["export", str(folder), "--out", str(tmp_path / "net.onnx")])
    np.testing.assert_allclose(hepjax.load(tmp_path / "net.onnx")(jets), expected, atol=1e-5)
    assert "net.pt" in (tmp_path / "net.onnx.md").read_text()


def test_it_is_no_training(tmp_path, weights, capsys):
    folder = import_weights.import_weights(weights, "particle-net", tmp_path / "run", dataset="hls4ml")
    assert stored.open_run(folder).history == ()
    app.main(["info", str(folder)])
    assert "net.pt" in capsys.readouterr().out
    refused = {"hepjax evaluate": ["report", str(folder)], "nothing to go": ["train", "--out", str(folder), "--resume"]}
    for message, words in refused.items():
        with pytest.raises(SystemExit):
            app.main(words)
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"network": "particle-nets"}, "--as particle-nets: .*particle-net"),
        ({"dataset": "top-tagging"}, "net.pt: has 5 outputs, the classes are 2: qcd, top"),
        ({"classes": ("g", "q", "w", "z", "h")}, "--classes: expected those of the dataset hls4ml"),
        ({"columns": ("pt", "eta_rel")}, "pt, eta_rel does not fit its first layer, which takes 7 columns"),
        ({"dataset": "jetnet", "classes": CLASSES}, "--columns"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, weights, changes, message):
    options = {"network": "particle-net", "dataset": "hls4ml"} | changes
    network = options.pop("network")
    if changes.get("dataset") == "jetnet":
        options["columns"] = ("part_charge",)
    with pytest.raises(InputError, match=message):
        import_weights.import_weights(weights, network, tmp_path / "run", **options)
    assert not list(tmp_path.glob("*run*"))

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


def test_what_was_read_is_written(tmp_path, weights, arrays):
    """With the classes in the dataset's order, of which the file's was another."""
    folder = import_weights.import_weights(
        weights, "particle-net", tmp_path / "run", dataset="hls4ml", classes=CLASSES[::-1]
    )
    app.main(["export", str(folder), "--format", "torch", "--out", str(tmp_path / "out.pt")])
    found = pretrained.read_pytorch(tmp_path / "out.pt")
    for name, array in arrays.items():
        expected = array[::-1] if name.startswith("fc.1.") else array
        np.testing.assert_allclose(found[f"mod.{name}"], expected, rtol=1e-6)
    card = (tmp_path / "out.pt.md").read_text()
    assert "`logits`, (N, 5)" in card
    assert "from weaver.nn.model.ParticleNet import ParticleNet" in card
    assert "onnx" not in card.lower()


def test_weights_of_others_are_fine_tuned(tmp_path, weights, jet_file):
    """Its scaling, none, and its running averages go on; only what the new classes need is drawn."""
    folder = import_weights.import_weights(weights, "particle-net", tmp_path / "run", dataset="hls4ml", particles=30)
    tagger = hepjax.train(
        jets=[jet_file(count=100)],
        start_from=folder,
        new_head=True,
        body_rate=0.0,
        epochs=1,
        show=None,
        out=tmp_path / "new",
    )
    before, after = (stored.open_run(path).network for path in (folder, tagger.source))
    changed = {name for name in before.params if str(before.params[name]) != str(after.params[name])}
    assert changed == {"head"}
    np.testing.assert_array_equal(after.scaling.mean[:7], 0)
    averages = [network.model_state["batch_stats"]["BatchNorm_0"]["mean"] for network in (before, after)]
    assert np.abs(averages[1] - averages[0]).max() > 0
    tagger.export(tmp_path / "new.pt")
    assert (tmp_path / "new.pt.md").exists()


@pytest.mark.parametrize(
    "name, message", [("mlp", "weaver-core has no mlp; expected particle-net or particle-transformer")]
)
def test_other_networks_are_not_written_for_pytorch(trained_run, tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        hepjax.load(trained_run(name)).export(tmp_path / "out.pt")
    assert not list(tmp_path.glob("out*"))


def test_several_networks_are_not_written_into_one_file(tmp_path, weights, jet_file):
    folder = import_weights.import_weights(weights, "particle-net", tmp_path / "run", dataset="hls4ml", particles=30)
    common = {"epochs": 1, "show": None, "batch_size": 16, "ensemble": 2}
    tagger = hepjax.train(jets=[jet_file(count=100)], start_from=folder, out=tmp_path / "new", **common)
    with pytest.raises(InputError, match="a file holds one network, found 2"):
        tagger.export(tmp_path / "out.pt")

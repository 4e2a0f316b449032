"""A user's own model: one file, outside of the package, trained by its name like ours."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hepjax import InputError, models, registry
from hepjax.cli import app, parsing
from hepjax.data.datasets import hls4ml
from hepjax.runs import run_folder

TOY = '''"""A network of our own."""

from typing import Annotated

from flax import linen as nn

from hepjax.models import FeatureModel, register
from hepjax.models.bounds import at_least


@register("{name}")
class Toy(FeatureModel):
    """One layer of our own."""

    width: Annotated[int, at_least(1)] = 4
    """Units of the layer."""

    @nn.compact
    def __call__(self, x, mask=None, train=False):
        return nn.Dense(self.outputs)(nn.tanh(nn.Dense(self.width)(x)))
'''
SCRIPT = """
from hepjax.cli.app import main

if __name__ == "__main__":
    main(["train", "toy", "--epochs", "1", "--out", "run", "--width", "3"])
"""


@pytest.fixture
def clean(monkeypatch):
    """What a test registers or imports is forgotten after it, but for our own models, which register when imported."""
    for name in models.MODELS.names():
        models.MODELS.get(name)
    monkeypatch.setattr(models.MODELS, "_values", dict(models.MODELS._values))
    monkeypatch.setattr(models.MODELS, "_places", dict(models.MODELS._places))
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith("hepjax_plugin:"):
            del sys.modules[name]


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "my_toy.py"
    path.write_text(TOY.format(name="toy"))
    return path


def forget(path):
    """As in a new process."""
    del sys.modules[f"hepjax_plugin:{path.resolve()}"]
    del models.MODELS._values["toy"], models.MODELS._places["toy"]


@pytest.fixture
def call(capsys, monkeypatch, tmp_path, clean, brief):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app.signal, "signal", lambda *_: None)

    def run(*arguments):
        try:
            app.main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


def test_a_model_of_ones_own_is_trained_like_ours(call, toy, jet_file, tmp_path):
    data = jet_file(count=300)
    status, _, error = call("--plugins", toy.name, "train", "toy", "--width", "7", "--data", data, "--epochs", "1")
    assert (status, error) == (0, "")
    folder = tmp_path / "runs" / "toy-1"
    saved = json.loads((folder / "experiment.json").read_text())["experiment"]
    assert saved["model"] == {"name": "toy", "features": list(hls4ml.HLS4ML.features), "width": 7}
    assert saved["plugins"] == [str(toy)]
    forget(toy)
    for words in (
        ("info", folder),
        ("evaluate", folder, "--data", jet_file("other.h5", seed=2)),
        ("predict", folder, "--data", data, "--out", "scores.h5"),
        ("report", folder),
        ("train", "--resume", "--out", folder, "--epochs", "2"),
        ("train", "toy", "--resume", "--out", folder, "--epochs", "3"),
    ):
        status, _, error = call(*words)
        assert (status, error) == (0, ""), words
        if words[0] != "info":
            forget(toy)
    assert len((folder / "history.csv").read_text().splitlines()) == 4
    assert json.loads((folder / "experiment.json").read_text())["experiment"]["plugins"] == [str(toy)]
    other = ("train", "--resume", "--out", folder, "--width", "8")
    assert call(*other)[2].startswith("hepjax: --resume: model.width was 7 in ")
    forget(toy)
    export_and_use(call, folder, data, toy)


def export_and_use(call, folder, data, toy):
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    assert call("export", folder, "--out", "toy.onnx")[0] == 0
    forget(toy)
    assert call("predict", "toy.onnx", "--data", data, "--out", "again.h5")[0] == 0
    forget(toy)
    toy.unlink()
    status, _, error = call("evaluate", folder, "--data", data)
    assert status == 2
    assert error.count("\n") == 1
    assert f"experiment.json: plug-in {toy}: there is no such file" in error
    assert "give the Python file by --plugins" in error


def test_help(call, toy):
    for words in (("--plugins", toy, "train", "--help"), ("train", "--help", f"--plugins={toy}")):
        status, out, _ = call(*words)
        assert status == 0
        assert "One layer of our own." in " ".join(out.split())
    status, out, _ = call("train", "toy", "--plugins", toy, "--help")
    assert status == 0
    out = " ".join(out.replace("│", " ").split())
    assert "--width INT Units of the layer. Expected: 1 or more. (default: 4)" in out
    assert "--features" in out
    assert "--outputs" not in out
    assert "--parent" not in out
    assert "--name" not in out


def test_bad_options_of_ones_own_model(call, toy, jet_file):
    data = jet_file(count=300)
    status, _, error = call("train", "toy", "--width", "0", "--plugins", toy, "--data", data)
    assert (status, error) == (2, "hepjax: --width: expected 1 or more, found 0\n")
    status, _, error = call("train", "toi", "--plugins", toy)
    assert (status, error) == (2, "hepjax: model: there is no toi; did you mean toy?\n")


@pytest.mark.parametrize("name", ["mlp", "toy"])
def test_a_name_that_is_taken(call, tmp_path, toy, name):
    other = tmp_path / "other.py"
    other.write_text(TOY.format(name=name))
    status, _, error = call("--plugins", toy, other, "train", "toy", "--help")
    assert status == 2
    assert error.count("\n") == 1
    place = toy if name == "toy" else "mlp.py"
    assert f"plug-in {other}: model {name}: registered at " in error
    assert str(place) in error
    assert f"and again at {other}:" in error


def test_files_that_fail(call, tmp_path):
    (tmp_path / "bad.py").write_text("import nothing_of_this_name\n")
    for words, message in (
        (("--plugins", "bad.py", "info"), "bad.py: fails to import (ModuleNotFoundError: No module named"),
        (("--plugins", "none.py", "info"), "none.py: there is no such file; give the Python file by --plugins"),
        (("train", "--plugins"), "--plugins: expected a Python file that registers models"),
        (("--plugins", "--help"), "--plugins: expected a Python file that registers models"),
    ):
        status, _, error = call(*words)
        assert status == 2, words
        assert error.count("\n") == 1
        assert message in error


def test_a_folder_whose_model_is_not_known(call, toy, jet_file, tmp_path, monkeypatch):
    """As after a script of one's own that registers a model by itself."""
    registry.import_plugin(toy)
    call("train", "toy", "--data", jet_file(count=300), "--epochs", "1", "--out", "run")
    assert json.loads((tmp_path / "run" / "experiment.json").read_text())["experiment"]["plugins"] == []
    forget(toy)
    with pytest.raises(InputError, match=r"run/experiment.json: model: there is no toy; .* need --plugins FILE.py"):
        run_folder.read_experiment(tmp_path / "run")
    assert call("evaluate", "run", "--data", jet_file("other.h5", seed=2), "--plugins", toy)[0] == 0


def test_a_script_that_registers_and_trains(toy, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(toy.read_text() + SCRIPT)
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    model = json.loads((tmp_path / "run" / "experiment.json").read_text())["experiment"]["model"]
    assert (model["name"], model["width"]) == ("toy", 3)


def test_plugins_anywhere():
    assert parsing.split_plugin_words(["train", "--plugins", "/a", "mlp", "--plugins=/b.py", "--out", "x.py"]) == (
        ["train", "mlp", "--out", "x.py"],
        (parsing.Path("/a"), parsing.Path("/b.py")),
    )

"""Tests of Flax modules of one's own, and optax optimizers, in `hepjax.train`."""

import json
import subprocess
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx
from flax.nnx import bridge

import hepjax
from hepjax import InputError
from hepjax.runs import run_folder

pytestmark = pytest.mark.usefixtures("brief")

COLUMNS = ("j1_ptrel", "j1_etarel", "j1_phirel")
SEEN = {"columns": COLUMNS, "particles": 6}
SCRIPT = """
import sys
import hepjax
from flax import linen as nn

class Net(nn.Module):
    outputs: int
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(x)

{guard}hepjax.train(Net(5), hepjax.read_jets()[:300], inputs="observables", epochs=1, out="run", show=None)
"""


class Net(nn.Module):
    """Sums over particles; dropout only in training."""

    width: int = 4
    outputs: int = 5
    activation: Any = nn.relu

    @nn.compact
    def __call__(self, particles, mask, train):
        x = self.activation(nn.Dense(self.width)(particles))
        x = nn.Dropout(0.1, deterministic=not train)(x)
        return nn.Dense(self.outputs)(jnp.where(mask[..., None], x, 0).sum(1))


class Bare(nn.Module):
    """What a task does not take."""

    kind: str

    @nn.compact
    def __call__(self, x):
        y = nn.Dense(5)(x)
        return {"pair": (y, y), "flat": y[:, 0], "transposed": y.T, "blank": 0 * x[:, :5]}[self.kind]


class Unlearned(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x[:, :5]


class Modern(nnx.Module):
    def __init__(self, columns, outputs, *, rngs):
        self.first, self.last = nnx.Linear(columns, 4, rngs=rngs), nnx.Linear(4, outputs, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, particles, mask, train=False):
        x = self.dropout(nnx.relu(self.first(particles)), deterministic=not train)
        return self.last(jnp.where(mask[..., None], x, 0).sum(1))


@pytest.fixture(scope="module")
def jets():
    return hepjax.read_jets()[:300]


@pytest.fixture(scope="module")
def trained(jets, tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hepjax.tasks.classification.Classification.pictures", lambda *_: {})
        return hepjax.train(
            Net(width=3, activation=nn.gelu), jets, **SEEN, epochs=2, out=out, show=None, optimizer=optax.adam(1e-2)
        )


def test_a_module_is_a_tagger_like_others(trained, jets, tmp_path):
    predicted = trained(jets)
    np.testing.assert_allclose(predicted.sum(1), 1, atol=1e-5)
    assert repr(trained).startswith(f"<Net in {trained.source}")
    assert trained.evaluate(jets)["accuracy"] == pytest.approx(np.mean(predicted.argmax(1) == jets.labels), abs=1e-6)
    np.testing.assert_array_equal(hepjax.load(trained.save(tmp_path / "copy"))(jets), predicted)
    assert trained.report(tmp_path / "page.html").is_file()
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    exported, _ = trained.export(tmp_path / "net.onnx")
    np.testing.assert_allclose(hepjax.load(exported)(jets), predicted, rtol=1e-4, atol=1e-5)


def test_the_network_is_the_module_that_was_given(trained, jets):
    """Its parameters, put into the module by hand, give the predictions of the tagger."""
    network = trained.networks[0]
    loaded = network.pipeline.load(jets, slice(None))
    seen = network.pipeline.transform(network.scaling, loaded)
    module = Net(width=3, activation=nn.gelu)
    logits = module.apply({"params": network.params["network"]}, seen.values, seen.mask, train=False)
    np.testing.assert_allclose(nn.softmax(logits), trained(jets), rtol=1e-4, atol=1e-6)
    assert seen.values.shape == (300, 6, 3)


def test_what_is_recorded(trained):
    options = json.loads((trained.source / "experiment.json").read_text())["experiment"]
    assert options["model"] == {
        "name": "flax-particles",
        "particles": 6,
        "columns": list(COLUMNS),
        "module": f"{Net.__module__}:Net",
        "arguments": ["width=3", "outputs=5", 'activation={"$place": "flax.linen:gelu"}'],
    }
    assert options["optimizer"] == {"name": "own", "average": None, "pieces": 1, "penalties": []}
    history = (trained.source / "history.csv").read_text().splitlines()
    assert history[1].split(",")[4] == "nan"


def test_another_optimizer_learns_otherwise(trained, jets, tmp_path):
    rate = optax.inject_hyperparams(optax.sgd)(learning_rate=0.25)
    tagger = hepjax.train(
        Net(width=3, activation=nn.gelu), jets, **SEEN, epochs=1, out=tmp_path / "run", show=None, optimizer=rate
    )
    assert np.abs(tagger(jets) - trained(jets)).max() > 1e-4
    assert (tmp_path / "run" / "history.csv").read_text().splitlines()[1].split(",")[4] == "0.25"


def test_a_run_goes_on_with_its_optimizer_given_again(jets, tmp_path):
    common = {"show": None, **SEEN}
    whole = hepjax.train(Net(), jets, epochs=3, out=tmp_path / "whole", optimizer=optax.adam(1e-2), **common)
    out = tmp_path / "run"
    hepjax.train(Net(), jets, epochs=2, out=out, optimizer=optax.adam(1e-2), **common)
    with pytest.raises(InputError, match=r"no folder holds; expected one by hepjax\.train"):
        hepjax.train(out=out, resume=True, epochs=3)
    with pytest.raises(InputError, match=r"optimizer\.name was own"):
        hepjax.train(out=out, resume=True, epochs=3, name="adam")
    with pytest.raises(InputError, match=r"model\.arguments was"):
        hepjax.train(Net(width=5), out=out, resume=True, epochs=3, optimizer=optax.adam(1e-2), **SEEN)
    with pytest.raises(InputError, match="not those that the run was begun with"):
        hepjax.train(Net(), jets[:200], out=out, resume=True, epochs=3, optimizer=optax.adam(1e-2), **SEEN)
    longer = hepjax.train(Net(), jets, epochs=3, out=out, resume=True, optimizer=optax.adam(1e-2), **common)
    np.testing.assert_array_equal(longer(jets), whole(jets))


def test_several_trainings_at_once_from_modules_of_nnx(jets, tmp_path):
    module = bridge.to_linen(Modern, 3, outputs=5)
    tagger = hepjax.train(
        module, jets, **SEEN, epochs=1, out=tmp_path / "run", show=None, ensemble=2, optimizer=optax.adam(1e-2)
    )
    assert tagger(jets).shape == (300, 5)
    assert tagger.pipeline.network.label() == "Modern"
    apart = [network.params["network"]["last"]["kernel"] for network in tagger.networks]
    assert np.abs(apart[0] - apart[1]).max() > 0


def test_a_head_of_its_own_for_other_classes(trained, jets, tmp_path, monkeypatch):
    """A field `outputs` tells the head, which is drawn anew; without one it is not known."""
    common = {**SEEN, "epochs": 1, "show": None, "start_from": trained.source, "new_head": True, "body_rate": 0.0}
    tagger = hepjax.train(Net(width=3, activation=nn.gelu), jets, out=tmp_path / "run", **common)
    before, after = (x.networks[0].params["network"] for x in (trained, tagger))
    np.testing.assert_array_equal(before["Dense_0"]["kernel"], after["Dense_0"]["kernel"])
    assert np.abs(before["Dense_1"]["kernel"] - after["Dense_1"]["kernel"]).max() > 0.01
    out = tmp_path / "dense"
    known = hepjax.train(nn.Dense(5), jets, inputs="observables", epochs=1, out=out, show=None)
    with pytest.raises(InputError, match="Dense: has no field `outputs`"):
        hepjax.train(nn.Dense(5), jets, inputs="observables", start_from=known.source, new_head=True)


@pytest.mark.parametrize(
    "model, options, message",
    [
        (Net(outputs=3), {}, r"Net: its outputs are \(B, 3\), those of the task \(B, 5\)"),
        (Bare("flat"), {"inputs": "observables"}, r"Bare: its outputs are \(B,\), those of the task \(B, 5\)"),
        (Bare("transposed"), {"inputs": "observables"}, r"Bare: its outputs are \(5, 1\), those of"),
        (Bare("pair"), {"inputs": "observables"}, r"Bare: its outputs are tuple, those of the task \(B, 5\)"),
        (Unlearned(), {"inputs": "observables"}, "has no parameters"),
        (Net(), {"task": "anomaly", "background": "g"}, "has no option background"),
        (Net, {}, r"found the class Net; give an instance, such as Net\(\)"),
        (Modern, {}, r"found Modern of flax.nnx; give flax.nnx.bridge.to_linen\(Modern"),
        (Net(), {"inputs": "observables"}, 'give inputs="particles", which is'),
        (nn.Dense(5), {}, 'give inputs="observables", which is'),
        (Net(), {"inputs": "images"}, "inputs: expected observables or particles"),
        (nn.Dense(5), {"inputs": "observables", "particles": 3}, "particles: a module of observables sees none"),
        (Net(), {"columns": ("j1_nothing",)}, "j1_nothing"),
        (Net(activation=lambda x: x), {}, "Net.activation: .* cannot be recorded"),
        ("mlp", {"columns": ("j_pt",)}, "columns: is for Flax modules of your own; mlp has options"),
        ("mlp", {"optimizer": "adam"}, "optimizer: expected a transformation of optax"),
        ("mlp", {"optimizer": optax.sgd(0.1), "learning_rate": 1.0}, "learning_rate: an optimizer of your own has its"),
        ("mlp", {"optimizer": optax.sgd(0.1), "rates": (1.0, 0.1)}, "--rates: expected none with an optimizer of your"),
        ("mlp", {"name": "own"}, "own is a transformation of optax"),
        ("mlp", {"callbacks": print}, "callbacks: expected a list of functions"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(jets, tmp_path, model, options, message):
    with pytest.raises(InputError, match=message):
        hepjax.train(model, jets, out=tmp_path / "run", show=None, **options)
    assert not [*tmp_path.iterdir()]


def test_another_process_opens_what_a_script_has_trained(jets, tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT.format(guard='if __name__ == "__main__":\n    '))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert repr(hepjax.load(tmp_path / "run")).startswith("<Net in ")
    assert hepjax.load(tmp_path / "run")(jets).shape == (300, 5)
    sys.modules.pop(f"hepjax_plugin:{script}")
    script.write_text(SCRIPT.format(guard=""))
    with pytest.raises(
        InputError, match=r'trains while it is imported; put hepjax\.train under `if __name__ == "__main'
    ):
        run_folder.read_experiment(tmp_path / "run")
    script.unlink()
    with pytest.raises(InputError, match=r"mine\.py:Net: there is no such file; give the Python file by --plugins"):
        run_folder.read_experiment(tmp_path / "run")


def test_a_class_inside_of_a_function_is_known_in_this_process(jets, tmp_path, caplog):
    class Local(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(5)(x)

    tagger = hepjax.train(Local(), jets, inputs="observables", epochs=1, out=tmp_path / "run", show=None)
    assert "Local is defined in no Python file, or inside of a function" in caplog.text
    kept = tagger(jets)

    class Local(nn.Module):  # as where a cell of a notebook is run again
        @nn.compact
        def __call__(self, x):
            return -nn.Dense(5)(x)

    hepjax.models.from_flax(Local(), "observables")
    np.testing.assert_array_equal(tagger(jets[:77]), kept[:77])

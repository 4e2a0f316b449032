"""Tests of training from Python: jets in, a tagger out."""

import dataclasses
import json

import numpy as np
import pytest

import hepjax
from hepjax import InputError
from hepjax.models import MLP
from hepjax.tasks.regression import Regression

pytestmark = pytest.mark.usefixtures("brief")

SMALL = MLP(hidden=(4,))


@pytest.fixture(scope="module")
def jets():
    return hepjax.read_jets()[:300]


def test_jets_in_memory_give_a_tagger_that_stays(jets, tmp_path):
    lines = []
    tagger = hepjax.train(SMALL, jets, epochs=2, out=tmp_path / "run", show=lines.append, learning_rate=3e-3)
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    predicted = tagger(jets)
    assert predicted.shape == (300, 5)
    assert tagger.metrics["accuracy"] == json.loads((tmp_path / "run" / "metrics.json").read_text())["accuracy"]
    measured = tagger.evaluate(jets, tmp_path / "evaluation")
    assert measured["accuracy"] == pytest.approx(np.mean(predicted.argmax(1) == jets.labels), abs=1e-6)
    assert (tmp_path / "evaluation" / "metrics.json").is_file()
    np.testing.assert_array_equal(hepjax.load(tagger.save(tmp_path / "mine"))(jets), predicted)
    exported, _ = tagger.export(tmp_path / "tagger.onnx")
    np.testing.assert_allclose(hepjax.load(exported)(jets), predicted, rtol=1e-4, atol=1e-5)
    assert tagger.report(tmp_path / "page.html").is_file()
    assert repr(tagger) == f"<mlp in {tmp_path / 'run'}, classification of g, q, w, z, t>"
    with pytest.raises(InputError, match="exists"):
        tagger.save(tmp_path / "mine")
    with pytest.raises(InputError, match="an exported tagger has no run folder"):
        hepjax.load(exported).save(tmp_path / "other")


def test_files_are_trained_on_where_they_lie(jets, tmp_path):
    hepjax.write_jets(tmp_path / "jets.h5", jets)
    of_files = [
        hepjax.train(SMALL, given, epochs=1, out=tmp_path / name, show=None)
        for name, given in (("path", tmp_path / "jets.h5"), ("lazy", hepjax.read_jets(tmp_path / "jets.h5")))
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jets.h5", "lazy", "path"]
    in_memory = hepjax.train(SMALL, jets, epochs=1, out=tmp_path / "memory", show=None)
    for tagger in of_files:
        np.testing.assert_array_equal(tagger(jets), in_memory(jets))


def test_other_tasks_and_jets_to_test_on(jets, tmp_path):
    task = Regression(target=("j_mass",))
    tagger = hepjax.train("mlp", jets[:200], test=jets[200:], task=task, epochs=1, out=tmp_path / "run", show=None)
    assert tagger(jets).shape == (300, 1)
    assert len(np.load(tmp_path / "run" / "split.npz")["train"]) > 120


def test_weights_reach_the_training(jets, tmp_path):
    dataset = dataclasses.replace(jets.dataset, weights="event_weight")
    weights = np.where(np.arange(300) % 2, 5.0, 0.1).astype(np.float32)
    weighted = dataclasses.replace(jets, weights=weights, dataset=dataset)
    plain, tagger = (
        hepjax.train(SMALL, given, epochs=1, out=tmp_path / name, show=None)
        for name, given in (("plain", jets), ("weighted", weighted))
    )
    assert np.abs(tagger(jets) - plain(jets)).max() > 1e-5


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model": "mpl"}, "did you mean mlp"),
        ({"model": object()}, "expected the name of a model, one of hepjax.models, or a Flax module, found object"),
        ({"epoch": 3}, "train: has no option epoch; did you mean epochs"),
        ({"task": "regresion"}, "regression"),
        ({"jets": "no-such-file.h5"}, "no-such-file.h5"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(jets, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        hepjax.train(**{"model": "mlp", "jets": jets, "out": tmp_path / "run", "show": None, **changes})
    assert not [*tmp_path.iterdir()]

"""A validation jet that carries most of the loss is named."""

from __future__ import annotations

import logging

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import models
from hepjax.data.datasets import hls4ml
from hepjax.inputs import batching
from hepjax.runs import dominating_jets, options, train
from hepjax.tasks.classification import Classification
from hepjax.tasks.regression import Regression

pytestmark = pytest.mark.usefixtures("brief")


def test_losses_of_jets_are_those_of_the_task():
    task, rng = Regression(target=("j_mass",)), np.random.default_rng(0)
    outputs, targets = rng.normal(size=(7, 1)).astype(np.float32), rng.normal(size=(7, 1)).astype(np.float32)
    statistics = {name: jnp.full((7, 1), value) for name, value in (("mean", 0.5), ("width", 2.0))}
    found = dominating_jets.losses_of_jets(task, jnp.asarray(outputs), targets, statistics)
    np.testing.assert_allclose(found, ((outputs - (targets - 0.5) / 2) ** 2)[:, 0], rtol=1e-5)


def test_cross_entropy_of_each_jet():
    logits, labels = jnp.array([[0.0, 0.0], [0.0, 50.0]]), np.array([0, 0], np.int32)
    found = dominating_jets.losses_of_jets(Classification(), logits, labels, {})
    np.testing.assert_allclose(found, [np.log(2), 50], rtol=1e-6)
    assert dominating_jets.share_of_each(found, np.array([1.0, 0.0])).tolist() == [1, 0]


@pytest.fixture
def spoilt(jet_file):
    """A function that writes 600 jets of which one in the validation part has absurd or merely odd observables."""

    def write(size):
        path, row = jet_file(count=600), int(batching.split(600, seed=0).val[3])
        with h5py.File(path, "r+") as file:
            file[hls4ml.JETS][row, hls4ml.JET_COLUMNS.index("j_zlogz")] = size
        return path, row

    return write


def run(path, folder, **changes):
    chosen = options.Experiment(models.MLP(hidden=(8,)), (path,), out=folder, epochs=4, batch_size=64, **changes)
    return train.run(chosen)[1], (folder / "history.csv").read_text()


def test_an_absurd_validation_jet_neither_decides_nor_passes_in_silence(spoilt, jet_file, tmp_path, caplog):
    expected = run(jet_file("clean.h5", count=600), tmp_path / "clean")[0]
    path, row = spoilt(1e30)
    with caplog.at_level(logging.WARNING, "hepjax"):
        found = run(path, tmp_path / "run")[0]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"row {row}: j_zlogz is 1e+30" in warning
    assert f"row {row}" in found["verdict"]["words"]
    assert found["verdict"]["kind"] != "good fit"
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-6)  # of the test jets: the same epoch is the best


@pytest.mark.parametrize("size, changes", [(-9e3, {}), (9e3, {"ensemble": 2})])
def test_an_odd_validation_jet_that_decides_is_named(spoilt, tmp_path, caplog, size, changes):
    path, row = spoilt(size)  # within the bounds of what is absurd
    with caplog.at_level(logging.WARNING, "hepjax"):
        found = run(path, tmp_path / "run", **changes)[0]
    assert "of the validation loss, by which the best epoch was chosen" in caplog.text
    assert f"{path}, row {row}" in found["verdict"]["words"]
    assert found["verdict"]["kind"] != "good fit"

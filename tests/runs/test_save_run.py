"""The run folder: made whole or not at all, and what one of several trainings leaves in it."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest

from hepjax import InputError, load, models, read_jets, training
from hepjax.data.datasets import hls4ml
from hepjax.inputs import jet_hashes, load_subsets, open_files, pipelines
from hepjax.runs import ensembles, options, predictions, records, save_run, setup
from hepjax.tasks.classification import Classification
from hepjax.types import Epoch, Scaling, TrainState


@pytest.fixture
def jets(jet_file):
    opened = open_files.open_split_files((jet_file(count=100),))
    pipeline = pipelines.make_pipeline(models.Logistic(), 5, hls4ml.HLS4ML)
    return load_subsets.load_subsets(opened, pipeline, Classification().read, seed=0, memory=4.0)


ALONE = (ensembles.Member("", np.arange(60), np.arange(60, 80), np.arange(80, 100), 1e-3),)

TRAINED = jet_hashes.make_trained_jets(np.ones((1, 2), np.uint64), jet_hashes.sampling_limit(1))


def test_a_folder_that_cannot_hold_the_first_checkpoint_is_not_left_behind(jets, tmp_path, monkeypatch):
    def fail(folder, start, task, identity):
        assert (folder / "split.npz").is_file()
        raise OSError("no space")

    chosen = options.Experiment(models.Logistic(), out=tmp_path / "run")
    metadata = save_run.gather_run_metadata(jets, models.Cost(1, 1), ALONE, Classification())
    start = training.start({}, {setup.SCALING: np.zeros(2)}, optax.sgd(0.1), jax.random.key(0))
    monkeypatch.setattr(save_run, "save_trainings", fail)
    with pytest.raises(OSError, match="no space"), save_run.opened(chosen, jets, TRAINED, metadata, start):
        pass
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    with save_run.opened(chosen, jets, TRAINED, metadata, start) as run:
        assert run[:2] == (tmp_path / "run", start)
    with pytest.raises(InputError, match="exists already"), save_run.opened(chosen, jets, TRAINED, metadata, start):
        pass


def test_one_of_several_trainings_is_a_run_of_its_own(jets, tmp_path):
    chosen = options.Experiment(models.Logistic(), out=tmp_path / "run" / "fold-1")
    params, state = pipelines.initialize_from_example(
        pipelines.make_pipeline(chosen.model, 5, hls4ml.HLS4ML), jax.random.key(0)
    )
    scaling = Scaling(np.full(16, 2, np.float32), np.full(16, 3, np.float32))
    best = TrainState(params, {**state, setup.SCALING: scaling}, (), np.zeros((), np.int32), jax.random.key(0))
    history = [Epoch(1, 0.9, 0.8, 0.7, 1e-3, 2.0, 100.0)]
    test = predictions.Predictions(np.eye(5, dtype=np.float32), np.arange(5, dtype=np.int32), hls4ml.CLASSES)
    metadata = save_run.gather_run_metadata(jets, models.Cost(85, 1), ALONE, Classification())
    metrics = {"accuracy": 0.5, "loss": 1.0, "classes": {name: {"auc": 0.5} for name in hls4ml.CLASSES}}
    save_run.write_member_folder(
        chosen, metadata | {"member": "fold-1"}, jets.split, best, history, metrics, test, trained=TRAINED
    )
    assert predictions.read_predictions(chosen.out / "test.h5").columns == hls4ml.CLASSES
    assert records.read_history(chosen.out / "history.csv") == tuple(history)
    tagger, read = load(chosen.out), read_jets()
    dense, x = params["Dense_0"], (tagger.pipeline.load(read, slice(9)) - 2) / 3
    expected = jax.nn.softmax(x @ dense["kernel"] + dense["bias"])
    np.testing.assert_allclose(tagger.predict(tagger.pipeline.load(read, slice(9))), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="no such checkpoint"):
        training.restore(chosen.out / "checkpoints" / "last.msgpack", {})

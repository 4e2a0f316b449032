"""The run folder: made whole or not at all, and what one of many trainings leaves in it."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from hepjax import InputError, load, models, read_jets, training
from hepjax.data.datasets import hls4ml
from hepjax.inputs import pipelines, subsets
from hepjax.runs import options, outputs, predictions, run_folder
from hepjax.types import Epoch, Scaling


@pytest.fixture
def jets(jet_file):
    chosen = options.Experiment(models.Logistic(), (jet_file(count=100),))
    return subsets.load(
        chosen, pipelines.make_pipeline(chosen.model, 5, hls4ml.HLS4ML), subsets.open_jets(chosen.data)
    )


def test_a_folder_that_cannot_hold_the_first_checkpoint_is_not_left_behind(jets, tmp_path):
    def fail(folder, start):
        assert (folder / "split.npz").is_file()
        raise OSError("no space")

    chosen = options.Experiment(models.Logistic(), out=tmp_path / "run")
    facts = outputs.facts(jets, models.Cost(1, 1))
    with pytest.raises(OSError, match="no space"):
        outputs.open_run(chosen, jets, facts, None, fail)
    assert not (tmp_path / "run").exists()
    assert outputs.open_run(chosen, jets, facts, 5, lambda *_: None) == (tmp_path / "run", 5)
    with pytest.raises(InputError, match="exists already"):
        outputs.open_run(chosen, jets, facts, 5, lambda *_: None)


def test_one_of_many_trainings_is_a_run_of_its_own(jets, tmp_path):
    chosen = options.Experiment(models.Logistic(), out=tmp_path / "run" / "fold-1")
    params, state = pipelines.initialize(pipelines.make_pipeline(chosen.model, 5, hls4ml.HLS4ML), jax.random.key(0))
    model = params, state, Scaling(np.full(16, 2, np.float32), np.full(16, 3, np.float32))
    history = [Epoch(1, 0.9, 0.8, 0.7, 1e-3, 2.0, 100.0)]
    test = predictions.Predictions(np.eye(5, dtype=np.float32), np.arange(5, dtype=np.int32), hls4ml.CLASSES)
    facts = outputs.facts(jets, models.Cost(1, 1))
    outputs.write_member(chosen, facts, jets.split, model, history, {"accuracy": 0.5}, test)
    assert predictions.read_predictions(chosen.out / "test.h5").classes == hls4ml.CLASSES
    assert run_folder.read_history(chosen.out) == tuple(history)
    tagger, read = load(chosen.out), read_jets()
    dense, x = params["Dense_0"], (tagger.pipeline.load(read, slice(9)) - 2) / 3
    expected = jax.nn.softmax(x @ dense["kernel"] + dense["bias"])
    np.testing.assert_allclose(tagger.scores(tagger.pipeline.load(read, slice(9))), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="no such checkpoint"):
        training.restore(chosen.out / "checkpoints" / "last.msgpack", {})

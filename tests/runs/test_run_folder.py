"""The run folder: made once, read back whole, refused where it is not one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hepjax import InputError, models
from hepjax.choices import Activation, Channels, Norm, Optimizer, PairForm, Readout, Schedule
from hepjax.data import atomic_files
from hepjax.data.datasets import hls4ml
from hepjax.runs import options, records, run_folder
from hepjax.tasks.classification import Classification
from hepjax.types import Epoch

FOUND = {"classes": list(hls4ml.CLASSES), "fingerprint": 1}

EXPERIMENTS = [
    options.Experiment(),
    options.Experiment(model=models.ConvNet(channels=Channels.CHARGED_NEUTRAL, images=("jetImage",), pixels=100)),
    options.Experiment(model=models.LSTM(order_by="j1_e", units=(3, 4))),
    options.Experiment(model=models.InteractionNetwork(form=PairForm.SEGMENTS, readout=Readout.FLATTEN)),
    options.Experiment(model=models.GraphNetwork(radius=0.2, by=("j1_etarot", "j1_phirot"))),
    options.Experiment(model=models.Logistic(degree=3, features=("j_pt",)), patience=None, batch_size=0),
    options.Experiment(
        model=models.MLP(hidden=(), activation=Activation.PRELU, dropout=0.5, norm=Norm.LAYER),
        data=(Path("/a/b.h5"), Path("/c.h5")),
        out=Path("somewhere"),
        optimizer=options.Optimization(
            Optimizer.LION, 0.5, Schedule.ONE_CYCLE, clip_norm=1.0, penalties=((0.5, 1e-3),)
        ),
        task=Classification(balance=True),
    ),
]


@pytest.mark.parametrize("chosen", EXPERIMENTS)
def test_experiments_come_back_from_json(tmp_path, chosen):
    run_folder.write_experiment(tmp_path, chosen, FOUND)
    back, record = run_folder.read_experiment(tmp_path)
    assert back == chosen
    assert record["classes"] == list(hls4ml.CLASSES)
    assert record["versions"]["hepjax"]


def test_history_comes_back_exactly(tmp_path):
    history = [Epoch(1, 0.1, 1 / 3, 0.5, 1e-3, 2.5, 1e5), Epoch(2, float("nan"), float("inf"), 0.0, 0.0, 0.1, 2.0)]
    run_folder.write_history(tmp_path, history)
    assert repr(records.read_history(tmp_path / "history.csv")) == repr(tuple(history))


def test_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [run_folder.create_run_folder(options.Experiment(models.MLP())) for _ in range(3)]
    assert [str(folder) for folder in found] == ["runs/mlp-1", "runs/mlp-2", "runs/mlp-3"]
    assert str(run_folder.create_run_folder(options.Experiment(model=models.Logistic()))) == "runs/logistic-1"
    with pytest.raises(InputError, match="exists already"):
        run_folder.create_run_folder(options.Experiment(models.MLP(), out=found[0]))
    with pytest.raises(InputError, match="cannot be made"):
        run_folder.create_run_folder(options.Experiment(out=Path("/proc/run")))
    (tmp_path / "runs" / "mlp-4").write_text("a file in the way")
    assert run_folder.create_run_folder(options.Experiment(models.MLP())).name == "mlp-5"


def test_newer(tmp_path):
    run_folder.write_experiment(tmp_path, options.Experiment(), FOUND)
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": records.FORMAT + 1}))
    with pytest.raises(InputError, match="knows up to 2; upgrade"):
        run_folder.read_experiment(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 1, "experiment": {"model": {"name": "unknown"}}}'])
def test_damaged(tmp_path, text):
    (tmp_path / "experiment.json").write_text(text)
    with pytest.raises(InputError, match="damaged"):
        run_folder.read_experiment(tmp_path)


def test_not_a_run(tmp_path):
    with pytest.raises(InputError, match="not the folder of a run"):
        run_folder.read_experiment(tmp_path)


@pytest.mark.parametrize("key", FOUND)
def test_lacking(tmp_path, key):
    run_folder.write_experiment(tmp_path, options.Experiment(), {k: v for k, v in FOUND.items() if k != key})
    with pytest.raises(InputError, match=f"lacks {key}"):
        run_folder.read_experiment(tmp_path)


class TestResume:
    def test_takes_the_options_of_the_run(self, tmp_path):
        chosen = options.Experiment(model=models.MLP(hidden=(3,)), out=Path("elsewhere"), batch_size=7, epochs=9)
        run_folder.write_experiment(tmp_path, chosen, FOUND)
        back = run_folder.resumable_experiment(tmp_path)
        assert back == dataclasses.replace(chosen, out=tmp_path, resume=True)
        run_folder.check_same_experiment(dataclasses.replace(back, epochs=11), back)

    @pytest.mark.parametrize(
        "changes, words",
        [
            ({"batch_size": 8}, "batch_size was 128"),
            ({"seed": 0}, "seed was 3"),
            ({"model": models.Logistic()}, "model.name was mlp"),
            ({"model": models.MLP(dropout=0.5)}, "model.dropout was 0.0 .* is 0.5 now"),
            ({"optimizer": options.Optimization(clip_norm=1.0)}, "optimizer.clip_norm was None"),
        ],
    )
    def test_refuses_others(self, tmp_path, changes, words):
        run_folder.write_experiment(tmp_path, options.Experiment(models.MLP(), out=tmp_path, seed=3), FOUND)
        own = run_folder.resumable_experiment(tmp_path)
        with pytest.raises(InputError, match=words):
            run_folder.check_same_experiment(dataclasses.replace(own, **changes), own)


def test_new_folder_is_whole_or_absent(tmp_path):
    with atomic_files.new_folder(tmp_path / "a" / "b") as folder:
        (folder / "x").write_text("1")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "x").read_text() == "1"

    def breaks():
        with atomic_files.new_folder(tmp_path / "c") as folder:
            (folder / "x").write_text("1")
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="c: cannot be written"):
        breaks()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]

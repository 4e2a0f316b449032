"""The run folder: made once, read back whole, refused where it is not one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hepjax import InputError, options, runs
from hepjax.types import Activation, Epoch, Norm, Optimizer, Schedule

EXPERIMENTS = [
    options.Experiment(),
    options.Experiment(model=options.Logistic(degree=3, features=("j_pt",)), patience=None, batch_size=0),
    options.Experiment(
        model=options.MLP(hidden=(), activation=Activation.PRELU, dropout=0.5, norm=Norm.LAYER),
        data=(Path("/a/b.h5"), Path("/c.h5")),
        out=Path("somewhere"),
        optimizer=options.Optimization(
            Optimizer.LION, 0.5, Schedule.ONE_CYCLE, clip_norm=1.0, penalties=((0.5, 1e-3),)
        ),
        balance=True,
    ),
]


@pytest.mark.parametrize("chosen", EXPERIMENTS)
def test_experiments_come_back_from_json(tmp_path, chosen):
    runs.write_experiment(tmp_path, chosen, {"classes": ["g", "q"]})
    back, record = runs.read_experiment(tmp_path)
    assert back == chosen
    assert record["classes"] == ["g", "q"]
    assert record["versions"]["hepjax"]


def test_history_comes_back_exactly(tmp_path):
    history = [Epoch(1, 0.1, 1 / 3, 0.5, 1e-3, 2.5, 1e5), Epoch(2, float("nan"), float("inf"), 0.0, 0.0, 0.1, 2.0)]
    runs.write_history(tmp_path, history)
    assert repr(runs.read_history(tmp_path)) == repr(tuple(history))


def test_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [runs.create(options.Experiment()) for _ in range(3)]
    assert [str(folder) for folder in found] == ["runs/mlp-1", "runs/mlp-2", "runs/mlp-3"]
    assert str(runs.create(options.Experiment(model=options.Logistic()))) == "runs/logistic-1"
    with pytest.raises(InputError, match="exists already"):
        runs.create(options.Experiment(out=found[0]))
    with pytest.raises(InputError, match="cannot be made"):
        runs.create(options.Experiment(out=Path("/proc/run")))
    (tmp_path / "runs" / "mlp-4").write_text("a file in the way")
    assert runs.create(options.Experiment()).name == "mlp-5"


def test_newer(tmp_path):
    runs.write_experiment(tmp_path, options.Experiment(), {})
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": runs.FORMAT + 1}))
    with pytest.raises(InputError, match="newer"):
        runs.read_experiment(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 1, "experiment": {"model": {"name": "unknown"}}}'])
def test_damaged(tmp_path, text):
    (tmp_path / "experiment.json").write_text(text)
    with pytest.raises(InputError, match="damaged"):
        runs.read_experiment(tmp_path)


def test_not_a_run(tmp_path):
    with pytest.raises(InputError, match="not the folder of a run"):
        runs.read_experiment(tmp_path)


class TestResumed:
    def test_takes_the_options_of_the_run(self, tmp_path):
        chosen = options.Experiment(model=options.MLP(hidden=(3,)), out=tmp_path, batch_size=7, epochs=9)
        runs.write_experiment(tmp_path, chosen, {})
        back = runs.resumed(options.Experiment(out=tmp_path, resume=True))
        assert (back.model, back.batch_size, back.epochs, back.resume) == (chosen.model, 7, 9, True)
        assert runs.resumed(options.Experiment(out=tmp_path, resume=True, batch_size=7, epochs=11)).epochs == 11

    @pytest.mark.parametrize("changes", [{"batch_size": 8}, {"seed": 1}, {"model": options.Logistic()}])
    def test_refuses_others(self, tmp_path, changes):
        runs.write_experiment(tmp_path, options.Experiment(out=tmp_path), {})
        with pytest.raises(InputError, match=next(iter(changes))):
            runs.resumed(options.Experiment(out=tmp_path, resume=True, **changes))

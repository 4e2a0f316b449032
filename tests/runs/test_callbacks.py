"""Tests of functions that are called after each epoch."""

import numpy as np
import pytest

import hepjax
from hepjax.errors import CallbackError
from hepjax.models import MLP
from hepjax.runs import callbacks

pytestmark = pytest.mark.usefixtures("brief")

SMALL = MLP(hidden=(4,), features=("j_pt", "j_mass"))


@pytest.fixture(scope="module")
def jets():
    return hepjax.read_jets()[:300]


def test_each_is_called_after_each_epoch_in_order_once_it_is_saved(jets, tmp_path):
    calls, out = [], tmp_path / "run"

    def count(progress):
        saved = (out / "history.csv").read_text().splitlines()[1:]
        calls.append((progress.epoch, len(saved), progress.history[-1].val_loss))

    hepjax.train(SMALL, jets, epochs=3, out=out, show=None, callbacks=[count, lambda _: calls.append("second")])
    assert [call[:2] for call in calls[::2]] == [(1, 1), (2, 2), (3, 3)]
    assert calls[1::2] == ["second"] * 3
    losses = [float(line.split(",")[2]) for line in (out / "history.csv").read_text().splitlines()[1:]]
    assert [call[2] for call in calls[::2]] == losses


@pytest.mark.parametrize("answer", [True, np.True_])
def test_one_that_returns_true_ends_the_training(jets, tmp_path, answer):
    def enough(progress):
        return answer if progress.epoch == 2 else "not this"

    tagger = hepjax.train(SMALL, jets, epochs=9, out=tmp_path / "run", show=None, callbacks=(enough,))
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 3
    assert tagger.metrics["accuracy"] >= 0
    hepjax.train(out=tmp_path / "run", resume=True, show=None, epochs=3)
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 4


def test_one_that_fails_stops_a_training_that_can_go_on(jets, tmp_path):
    def broken(progress):
        if progress.epoch == 2:
            raise ConnectionError("no such\nserver")

    whole = hepjax.train(SMALL, jets, epochs=3, out=tmp_path / "whole", show=None)
    out = tmp_path / "run"
    with pytest.raises(CallbackError) as raised:
        hepjax.train(SMALL, jets, epochs=3, out=out, show=None, callbacks=[print, broken])
    assert str(raised.value) == (
        "callback test_one_that_fails_stops_a_training_that_can_go_on.<locals>.broken, 2 of 2, after epoch 2: "
        "ConnectionError: no such server; the last whole epoch is saved; go on with: "
        f"hepjax train --out {out} --resume"
    )
    assert isinstance(raised.value.__cause__, ConnectionError)
    assert len((out / "history.csv").read_text().splitlines()) == 3
    tagger = hepjax.train(SMALL, jets, out=out, resume=True, show=None)
    np.testing.assert_array_equal(tagger(jets), whole(jets))


def test_ctrl_c_in_one_ends_the_training_as_elsewhere(jets, tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="the last whole epoch is saved"):
        hepjax.train(SMALL, jets, epochs=3, out=tmp_path / "run", show=None, callbacks=[interrupt])


def test_several_processes_call_them_in_the_first_and_agree(monkeypatch):
    progress, calls = hepjax.types.Progress(epoch=1), []
    monkeypatch.setattr(callbacks.runtime, "is_first", lambda: False)
    monkeypatch.setattr(callbacks.runtime, "agree", lambda counts: counts + 1)  # the first has asked
    assert callbacks.call_after_epoch([calls.append], progress, "") is True
    assert not calls
    assert callbacks.call_after_epoch([], progress, "") is False

"""The trace of an epoch, as the viewers read it."""

from __future__ import annotations

import gzip
import json

import jax
import jax.numpy as jnp
import pytest

from hepjax import models
from hepjax.runs import options, train
from hepjax.runtime.profiling import trace_epoch


@pytest.mark.parametrize("done, epochs, traced", [(0, 5, 2), (0, 1, 1), (3, 9, 5), (3, 4, 4)])
def test_the_second_epoch_is_traced_or_the_only_one(tmp_path, monkeypatch, done, epochs, traced):
    running, seen = [], []
    monkeypatch.setattr("jax.profiler.start_trace", running.append)
    monkeypatch.setattr("jax.profiler.stop_trace", running.clear)
    with trace_epoch(tmp_path, done, epochs) as after:
        for epoch in range(done + 1, epochs + 1):
            seen += [epoch] * len(running)
            after(epoch)
    assert seen == [traced]
    assert not running


def test_an_epoch_that_fails_ends_the_trace(tmp_path):
    def fail():
        with trace_epoch(tmp_path, 0, 1):
            jnp.ones(3).block_until_ready()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    jax.profiler.start_trace(tmp_path / "again")  # would fail, were the other one running
    jax.profiler.stop_trace()


def test_a_run_leaves_a_trace_that_viewers_read(jet_file, tmp_path):
    data = (jet_file(count=100),)
    chosen = options.Experiment(models.Logistic(), data, out=tmp_path / "run", epochs=2, profile=True)
    folder, _ = train.run(chosen)
    (trace,) = folder.glob("profile/plugins/profile/*/*.trace.json.gz")
    (binary,) = trace.parent.glob("*.xplane.pb")
    assert binary.stat().st_size > 1000
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert any("jit" in event.get("name", "") or "Execute" in event.get("name", "") for event in events)

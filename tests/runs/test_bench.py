"""What `hepjax bench` measures, prints and refuses; the speeds themselves are the machine's."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

import hepjax
from hepjax import InputError, models, report, runtime
from hepjax.cli import app
from hepjax.runs import bench

TINY = (models.MLP(hidden=(4,)), models.DeepSets(particle=(2,), hidden=(2,), particles=3))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(bench, "_SECONDS", 0.0)
    monkeypatch.setattr(bench, "_SIZES", (8, 16))
    monkeypatch.setattr(bench, "_PROGRAM_STEPS", 2)


def test_every_number_fits_the_others(quick, many_devices):
    found = bench.measure_speed(TINY, batch_size=8, block=6, rounds=3)
    assert list(found["models"]) == ["mlp", "deepsets"]
    assert found["devices"] == 8
    assert found["versions"]["jax"] == jax.__version__
    for model in found["models"].values():
        train, answer = model["training"], model["inference"]
        assert (train["batch_size"], answer["batch_size"]) == (8, 8)  # eight devices share 8, and not 6
        assert train["flop_per_jet"] == 3 * answer["flop_per_jet"] > 0
        for kind in (train, answer):
            speed = kind["jets_per_second"]
            assert 0 < speed["lowest"] <= speed["median"] <= speed["highest"]
            reached = kind["flop_per_jet"] * speed["median"]
            assert kind["share_of_peak"] == pytest.approx(reached / found["peak_flop_per_second"])
    assert found["models"]["mlp"]["parameters"] == 16 * 4 + 4 + 4 * 5 + 5


def test_without_a_block_it_is_that_of_a_training(quick):
    found = bench.measure_speed(TINY[:1], batch_size=4, rounds=1)["models"]["mlp"]["inference"]
    assert (
        found["batch_size"] == bench.batch_feeds.choose_evaluation_size(models.Cost(1, found["flop_per_jet"])) == 8192
    )


def test_the_speed_counts_all_jets_of_a_program(quick, monkeypatch):
    """A clock that goes on by a second a call: a program of 2 steps of 8 jets is 16 jets a second."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(bench.time, "perf_counter", lambda: float(next(ticks)))
    found = bench.measure_speed(TINY[:1], batch_size=8, block=12, rounds=2)
    assert found["models"]["mlp"]["training"]["jets_per_second"]["median"] == 16
    assert found["models"]["mlp"]["inference"]["jets_per_second"]["median"] == 12
    assert found["peak_flop_per_second"] in {2 * 8**3, 2 * 16**3}


def test_slow_products_are_left_out(monkeypatch):
    monkeypatch.setattr(bench, "_SECONDS", 0.0)
    monkeypatch.setattr(bench, "_SIZES", (8, 10**9))
    monkeypatch.setattr(bench, "_LONG", 0.0)
    assert bench._peak_matrix_flop(runtime.make_devices(), 1) > 0


def test_steps_take_every_jet_in_turn(quick, many_devices, monkeypatch):
    monkeypatch.setattr(bench, "_PROGRAM_STEPS", 1000)
    jets = hepjax.read_jets()[:13]
    data = bench._bench_batch(np.arange(13.0), jets, 16)
    assert data.inputs.tolist() == [*range(13), 0, 1, 2]
    assert data.targets.tolist() == [*jets.labels, *jets.labels[:3]]
    window = bench._bench_window(data, runtime.make_devices(), 8, flop_per_jet=int(bench._PROGRAM_FLOP / 3 / 8 / 10))
    assert window.examples.shape == (10, 8, 1)
    assert window.data[0].inputs.shape == (8, 2)
    for device in range(8):
        assert np.bincount(np.asarray(window.examples)[:, device, 0]).tolist() == [5, 5]


@pytest.mark.parametrize(
    "numbers, word",
    [
        ({"rounds": 0}, "--rounds"),
        ({"batch_size": 0}, "--batch-size"),
        ({"block": 0}, "--block"),
        ({"batch_size": 6}, "give 8"),
    ],
)
def test_bad_numbers_are_refused_before_anything_is_measured(numbers, word, many_devices, monkeypatch):
    monkeypatch.setattr(bench, "_peak_matrix_flop", None)
    with pytest.raises(InputError, match=word):
        bench.measure_speed(TINY, **numbers)


def printed(found):
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(report.bench_table(found))
    return console.file.getvalue()


def test_table_is_whole_in_80_columns():
    speed = {"median": 6_389_692.2, "lowest": 364.2, "highest": 7_123_456.0}
    kind = {"batch_size": 8192, "flop_per_jet": 10_157_820, "jets_per_second": speed, "share_of_peak": 1.0}
    model = {"parameters": 1_234_567, "training": kind, "inference": kind}
    found = {
        "device": "NVIDIA H100 80GB HBM3",
        "devices": 8,
        "versions": {"hepjax": "0.1.0", "jax": "0.10.2"},
        "peak_flop_per_second": 4e14,
        "rounds": 5,
        "models": {"interaction-network": model},
    }
    lines = printed(found).splitlines()
    assert max(map(len, lines)) <= 80
    first, second = (line.split() for line in lines if "10.2 M" in line)
    assert " ".join(first) == "interaction-network training 8192 10.2 M 6.39 M 364 to 7.12 M 100.0%"
    assert " ".join(second) == "1,234,567 parameters inference 8192 10.2 M 6.39 M 364 to 7.12 M 100.0%"
    for word in ("8 x NVIDIA H100 80GB HBM3", "jax 0.10.2", "medians of 5 rounds", "400 TFLOP/s"):
        assert word in " ".join(" ".join(lines).split())


class TestCommand:
    @pytest.fixture
    def call(self, capsys, monkeypatch, tmp_path, quick):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(signal, "signal", lambda *_: None)

        def run(*words):
            try:
                app.main(["bench", *words])
                status = 0
            except SystemExit as end:
                status = end.code
            return status, *capsys.readouterr()

        return run

    def test_prints_a_table_and_writes_json(self, call):
        words = ("mlp", "logistic", "mlp", "--rounds", "1", "--batch-size", "8", "--block", "8", "--json", "a.json")
        status, out, error = call(*words)
        assert (status, error) == (0, "")
        found = json.loads(Path("a.json").read_text())
        assert list(found["models"]) == ["mlp", "logistic"]
        assert found["models"]["mlp"]["parameters"] == 4389
        for word in ("4,389 parameters", "mlp: ", "jets/s in training", "a.json: all numbers", bench._device_name()):
            assert " ".join(word.split()) in " ".join(out.split())

    def test_no_model_is_every_model(self, monkeypatch, call):
        chosen = []
        monkeypatch.setattr(bench, "measure_speed", lambda models, **_: chosen.extend(models))
        monkeypatch.setattr(report, "bench_table", lambda _: "")
        assert call()[0] == 0
        assert [models.MODELS.name_of(model) for model in chosen] == [
            name for name in models.MODELS.names() if not models.MODELS.get(name).serves
        ]

    def test_help_teaches(self, call):
        status, out, _ = call("--help")
        assert status == 0
        for word in ("names that hepjax train knows", "--batch-size INT", "peak", "Example: hepjax bench"):
            assert word in out

    def test_bad_input(self, call):
        assert call("mpl")[::2] == (2, "hepjax: model: there is no mpl; did you mean mlp?\n")
        status, _, error = call("mlp", "--rounds", "0")
        assert (status, error) == (2, "hepjax: --rounds: expected 1 or more, found 0\n")
        status, _, error = call("mlp", "--json", "none/a.json")
        assert status == 2
        assert "none/a.json" in error
        assert error.count("\n") == 1

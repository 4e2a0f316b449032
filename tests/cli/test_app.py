"""The command line as a person meets it: what it prints, its exit status, and what it leaves behind."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

from hepjax import models
from hepjax.choices import Keep
from hepjax.cli import app, parsing
from hepjax.data.datasets import hls4ml
from hepjax.data.download import Record

pytestmark = [pytest.mark.usefixtures("brief"), pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

MODELS = sorted(name for name in models.MODELS.names() if not models.MODELS.get(name).serves)
COMMANDS = [
    "train", *(f"train {name}" for name in MODELS), "evaluate", "predict", "compare", "report", "export", "info",
    "simulate", "fetch", "bench",
]  # fmt: skip
TRAIN = ["--epochs", "2", "--hidden", "8"]


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Runs hepjax in a folder of its own: (arguments) → (status, standard output, standard error)."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments):
        try:
            app.main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


def refused(result, *words):
    status, _, error = result
    assert status == 2
    assert error.startswith("hepjax: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    for word in words:
        assert str(word) in error


def test_from_files_to_scores(call, jet_file, tmp_path):
    train, other = jet_file(count=300), jet_file("other.h5", count=40, seed=2)
    status, out, error = call(
        "train", "mlp", "--data", train, "--out", "run", *TRAIN, "--optimizer.learning-rate", "0.01"
    )
    assert (status, error) == (0, "")
    assert "epoch 1/2" in out
    assert "AUC" in out
    record = json.loads(Path("run/experiment.json").read_text())
    assert record["experiment"]["optimizer"]["learning_rate"] == 0.01
    status, out, _ = call("evaluate", "run", "--data", other, "--out", "evaluation")
    assert status == 0
    assert "40 jets" in out
    assert call("predict", "run", "--data", other, other, "--out", "scores.h5")[0] == 0
    with h5py.File("scores.h5") as file:
        assert file["scores"].shape == (80, 5)
    refused(call("train", "logistic", "--out", "run", "--resume"), "model.name was mlp")
    refused(call("train", "mlp", "--out", "run", "--resume", "--dropout", "0.5"), "model.dropout was 0.0")
    refused(call("train", "--out", "run", "--resume", "--seed", "5"), "seed was 0")
    assert call("train", "mlp", "--out", "run", "--resume", "--epochs", "3", "--hidden", "8")[0] == 0
    assert len(Path("run/history.csv").read_text().splitlines()) == 4


def test_from_runs_to_comparison_page_and_exported_file(call, trained_runs, jet_file):
    other = jet_file("other.h5", count=40, seed=2)
    for name, run in (("a", "mlp"), ("b", "logistic")):
        shutil.copytree(trained_runs(run), name)
    status, out, _ = call("compare", "a", "b", "--json", "found.json")
    assert status == 0
    for words in ("Accuracy", "40 jets", "±"):
        assert words in out
    assert [one["name"] for one in json.loads(Path("found.json").read_text())["taggers"]] == ["a", "b"]
    assert "40 jets" in call("compare", "a", "b", "--data", other)[1]
    status, out, error = call("report", "a", "--out", "page.html")
    assert (status, error, out) == (0, "", "page.html: open it in a browser\n")
    assert "<title>a" in Path("page.html").read_text()
    status, out, error = call("export", "a", "--out", "a.onnx")
    assert (status, error) == (0, "")
    assert "a.onnx.md: its model card" in out
    assert call("predict", "a.onnx", "--data", other, "--out", "exported.h5")[0] == 0
    assert call("predict", "a", "--data", other, "--out", "own.h5")[0] == 0
    with h5py.File("exported.h5") as exported, h5py.File("own.h5") as own:
        np.testing.assert_allclose(exported["scores"], own["scores"], atol=1e-5)
    status, out, _ = call("evaluate", "exported.h5")
    assert status == 0
    assert "40 jets" in out
    refused(call("compare", "a"), "two runs or more")
    refused(call("export", "a", "--out", "a.onnx"), "a.onnx: exists already")
    refused(call("report", "none"), "none: not the folder of a run")
    refused(call("evaluate", "a"), "--data: expected files of labeled jets")
    refused(call("evaluate", "own.h5", "--data", other), "holds scores already")


# One of each kind of input; every model is trained and exported in tests/runs/test_other_datasets.py.
@pytest.mark.parametrize("model", ["convnet", "deepsets", "gru", "mlp"])
def test_models_measure_predict_and_go_on(call, trained_run, jet_file, model):
    run, other = trained_run(model), jet_file("other.h5", count=30, seed=2)
    status, out, _ = call("evaluate", run, "--data", other)
    assert status == 0
    assert "30 jets" in out
    assert call("predict", run, "--data", other, "--out", "scores.h5")[0] == 0
    with h5py.File("scores.h5") as file:
        np.testing.assert_allclose(file["scores"][()].sum(axis=1), 1, rtol=1e-5)
    status, out, _ = call("info", run)
    assert status == 0
    for word in (f"model     {model}", "FLOP a jet", "train 120, val 40, test 40", "1 of at most 1"):
        assert " ".join(word.split()) in " ".join(out.split())
    status, out, error = call("train", model, "--out", run, "--resume", "--epochs", "2")
    assert (status, error) == (0, "")
    assert "parameters" in out
    assert "FLOP a jet" in out


def test_train_alone_means_the_mlp(call):
    command = parsing.parse(["train"])
    assert models.MODELS.name_of(command.model) == "mlp"
    assert parsing.parse(["train", "--epochs", "3"]).model == command.model


def test_logistic_without_data_uses_the_sample_that_comes_along(call):
    status, out, _ = call("train", "logistic", "--epochs", "1")
    assert status == 0
    assert "runs/logistic-1" in out
    assert "1,000 jets" in out


def test_info(call, jet_file):
    status, out, _ = call("info", jet_file())
    assert status == 0
    for word in ("25", "j_mass_mmdt", "j1_deltaR", "g 5"):
        assert word in out
    status, out, _ = call("info")
    assert status == 0
    assert "Simulated physics" in out
    with h5py.File(jet_file("bad.h5"), "r+") as file:
        file[hls4ml.CONSTITUENTS][3, 0, 0] = np.nan
    status, out, error = call("info", jet_file().parent / "bad.h5")
    assert status == 2
    assert "row 3" in out
    assert f"bad.h5: {hls4ml.CONSTITUENTS} has 1 NaN" in error


def test_info_shows_a_file_as_it_is(call, jet_file):
    path = jet_file()
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = "[/usr/bin] [bold]plain[/bold]"
    status, out, _ = call("info", path)
    assert status == 0
    assert "[/usr/bin] [bold]plain[/bold]" in out


def test_info_goes_on_after_a_bad_file(call, jet_file, tmp_path):
    (tmp_path / "text.h5").write_text("no")
    status, out, error = call("info", tmp_path / "text.h5", jet_file("good.h5"))
    assert status == 2
    assert "good.h5" in out
    assert "text.h5: not an HDF5" in error


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_teaches(self, call, command):
        status, out, _ = call(*command.split(), "--help")
        assert status == 0
        assert len(out) > 300

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_option_has_help(self, call, command):
        lines = [line.strip("│ ") for line in call(*command.split(), "--help")[1].splitlines()]
        for option, after in pairwise(lines):
            if option.startswith("--") and "  " not in option:
                assert after, f"{option} has no help"

    def test_version(self, call):
        assert call("--version")[1].startswith("hepjax 0.")

    def test_misspelt_option_is_corrected(self, call):
        status, out, error = call("train", "--epoch", "3")
        assert status == 2
        assert "--epochs" in out + error

    def test_records_are_those_of_fetch(self, call):
        out = call("fetch", "--help")[1]
        assert all(record.value in out for record in Record)


class TestSimulate:
    @pytest.fixture(autouse=True)
    def sim(self):
        for package in ("pythia8mc", "fastjet"):
            pytest.importorskip(package, reason="the extra `sim` is not installed")

    @pytest.fixture
    def asked(self, monkeypatch):
        """What the command line asks of the library."""
        found = {}
        for name in ("simulate", "simulate_files", "jets_of_events"):
            monkeypatch.setattr(
                f"hepjax.physics.simulation.{name}", lambda *a, n=name, **k: found.update(k, function=n, paths=a)
            )
        return found

    def test_conditions_reach_the_library(self, call, asked):
        from hepjax.physics.simulation import PUBLIC, Layout

        assert call("simulate", "a.h5")[0] == 0
        assert asked["function"] == "simulate"
        assert (asked["jets"], asked["seed"], asked["layout"], asked["conditions"]) == (10_000, 1, Layout(), PUBLIC)
        options = ["--pt", "495", "505", "--radius", "0.8", "--keep", "matched", "--no-detector", "--pile-up", "5"]
        assert (
            call("simulate", "jets", *options, "--pythia", "PartonLevel:MPI = off", "--truth", "--per-file", "9")[0]
            == 0
        )
        assert (asked["function"], asked["per_file"], asked["layout"]) == ("simulate_files", 9, Layout(truth=True))
        changed = {
            "pt": (495, 505),
            "unlimited": (),
            "radius": 0.8,
            "keep": Keep.MATCHED,
            "detector": None,
            "pile_up": 5.0,
        }
        assert asked["conditions"] == PUBLIC._replace(**changed, pythia=("PartonLevel:MPI = off",))
        assert call("simulate", "a.h5", "--events", "some.lhe", "--label", "w")[0] == 0
        assert (asked["function"], asked["label"], asked["jets"]) == ("jets_of_events", 2, None)
        assert call("simulate", "a.h5", "--events", "some.lhe", "--jets", "7")[0] == 0
        assert (asked["label"], asked["jets"]) == (None, 7)
        assert call("simulate", "a.hdf", "--classes", "t", "w")[0] == 0
        assert asked["function"] == "simulate"
        assert asked["classes"] == ("t", "w")

    def test_help_names_the_cuts(self, call):
        words = " ".join(call("simulate", "--help")[1].replace("│", " ").split())
        assert "jets of at least 100 GeV and two particles are kept" in words

    def test_the_command_in_a_file_makes_it_again(self, call, asked):
        from hepjax.physics.simulation import PUBLIC, Detector, Layout
        from hepjax.physics.simulation.provenance import Sample, describe_events, describe_sample

        settings = ("PartonLevel:MPI = off", "Tune:pp = 5")
        narrow = PUBLIC._replace(pt=(495.0, 505.5), unlimited=(), keep=Keep.MATCHED, pythia=settings)
        other = PUBLIC._replace(radius=0.8, detector=None, pile_up=2.5)
        for sample in (
            Sample(10, Layout(), 1, conditions=PUBLIC),
            Sample(20, Layout(100, mantissa_bits=9), 3, ("t", "w"), narrow),
            Sample(30, Layout(truth=True), conditions=other),
        ):
            assert call(*shlex.split(describe_sample(sample)["command"])[1:])[0] == 0
            assert sample == Sample(*(asked[name] for name in Sample._fields))
        Path("my events.lhe").touch()
        attributes = describe_events(Sample(7, conditions=narrow), Path("my events.lhe"), 3)
        assert call(*shlex.split(attributes["command"])[1:])[0] == 0
        assert (asked["paths"][1].name, asked["label"], asked["jets"]) == ("my events.lhe", 3, 7)
        assert asked["conditions"] == PUBLIC._replace(keep=Keep.MATCHED, pythia=settings)
        assert attributes["events"].startswith("my events.lhe, sha256 e3b0c44298fc1c14")
        # What no option says is not passed over.
        special = PUBLIC._replace(undecayed=False, detector=Detector(resolution=1.0))
        words = describe_sample(Sample(10, conditions=special))["command"]
        assert words.endswith("# and from Python: undecayed, detector")

    def test_bad_input_is_one_line(self, call):
        refused(call("simulate", "a.h5", "--pt", "900", "800"), "pt", "low < high")
        refused(call("simulate", "a.h5", "--pt", "30", "40"), "pt", "above 100 GeV", "softer jets are not kept")
        refused(call("simulate", "a.h5", "--label", "w"), "--label", "--events")
        refused(call("simulate", "jets", "--events", "x.lhe"), "jets", ".h5")
        for other in ("jets.root", "jets.parquet", "jets.npz"):
            refused(call("simulate", other), other, "jets are written as HDF5")
        refused(call("simulate", "a.h5", "--events", "x.lhe", "--jobs", "1"), "x.lhe", "No such file")
        refused(call("simulate", "a.h5", "--events", "x.lhe", "--pt", "9", "99"), "--pt", "--events")
        refused(call("simulate", "a.h5", "--per-file", "0"), "--per-file", "found 0")
        refused(call("simulate", "a.h5", "--classes", "w", "w"), "classes")
        refused(call("simulate", "none/a.h5"), "none")
        refused(call("simulate", "a.h5", "--jets", "5", "--jobs", "1", "--pythia", "Nonsense = on"), "Nonsense")
        assert not list(Path().iterdir())


class TestBadInput:
    def test_files(self, call, jet_file, tmp_path):
        (tmp_path / "text.h5").write_text("no")
        refused(call("train", "--data", "none.h5"), "none.h5", "no such file")
        refused(call("train", "--data", tmp_path / "text.h5"), "text.h5", "not an HDF5")
        refused(call("info", "none.h5"), "none.h5")
        refused(call("evaluate", "none", "--data", jet_file()), "none", "no such folder or file")
        assert not list(Path().iterdir())

    def test_folder_exists(self, call, jet_file, tmp_path):
        refused(call("train", "--data", jet_file(), "--out", tmp_path), "--resume")

    def test_options(self, call, jet_file):
        path = jet_file(count=300)
        refused(call("train", "mlp", "--data", path, "--features", "j_masss"), "j_masss", "j_mass")
        refused(call("train", "--data", path, "--optimizer.momentum", "0.9"), "momentum", "adam")
        refused(call("train", "--data", jet_file("few.h5", count=3)), "split")
        for option, value in (
            ("--epochs", "0"),
            ("--batch-size", "-1"),
            ("--optimizer.learning-rate", "-1"),
            ("--dropout", "1.5"),
            ("--hidden", "0"),
            ("--seed", "-1"),
            ("--patience", "0"),
            ("--optimizer.warmup-epochs", "100"),
        ):
            refused(call("train", "mlp", "--data", path, option, value), option.removeprefix("--").split(".")[-1])
        assert not list(Path().iterdir())

    def test_divergence(self, call, jet_file):
        wild = ("--optimizer.learning-rate", "1e38")
        result = call("train", "mlp", "--data", jet_file(count=300), *wild, "--out", "run")
        refused(result, "step", "gradient")

    def test_unwritable(self, call, trained_runs, jet_file):
        refused(call("train", "--data", jet_file(count=300), "--out", "/proc/run"), "/proc/run")
        scores = ("--out", "none/scores.h5")
        refused(call("predict", trained_runs("mlp"), "--data", jet_file(), *scores), "none/scores.h5")

    def test_debug_shows_the_traceback(self, call):
        from hepjax import InputError

        with pytest.raises(InputError):
            call("--debug", "train", "--data", "none.h5")


def test_warm_up_of_almost_all_epochs(call, jet_file):
    warm = ("--epochs", "1", "--optimizer.warmup-epochs", "0.99")
    assert call("train", "mlp", "--data", jet_file(count=300), "--out", "run", *warm)[0] == 0


@pytest.mark.parametrize("command", ["train logistic --epochs 30 --patience None --out run", "info", "train --help"])
def test_closed_pipe_ends_quietly(jet_file, tmp_path, command):
    words = command.split()
    data = {"train": ["--data", jet_file(count=300)], "info": [jet_file(count=300)]}[words[0]]
    call = [sys.executable, "-m", "hepjax", *words, *data]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    process.stdout.read(10)
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() in (0, 141)
    assert not error


def test_full_standard_output_is_one_line(jet_file, tmp_path):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        call = [sys.executable, "-m", "hepjax", "info", jet_file()]
        done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


@pytest.fixture
def heard():
    """Lets new processes hear SIGINT, which a shell has its background jobs ignore, and their children with them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_folds_use_all_cores_and_are_told_as_mean_and_spread(jet_file, tmp_path):
    out = tmp_path / "run"
    words = ["train", "--folds", "3", "--epochs", "2", "--data", jet_file(count=300), "--out", out, "logistic"]
    done = subprocess.run([sys.executable, "-m", "hepjax", *words], capture_output=True, text=True, check=True)
    cores = min(len(os.sched_getaffinity(0)), 3)
    assert f"3 trainings at once on {cores} devices" in done.stdout
    assert "±" in done.stdout
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"checkpoints", "fold-1", "fold-2", "fold-3"}
    assert set(json.loads((out / "metrics.json").read_text())["members"]) == {"fold-1", "fold-2", "fold-3"}


@pytest.mark.usefixtures("heard")
def test_interrupt_while_compiling(jet_file, tmp_path):
    """Threads that compile are still at work when the process ends."""
    out = tmp_path / "run"
    long = ["--epochs", "100000", "--patience", "None"]  # whatever this machine does meanwhile
    options = ["--data", jet_file(count=300), "--out", out, *long, "mlp", "--dropout", "0.1", "--norm", "batch"]
    call = [sys.executable, "-m", "hepjax", "train", *options]
    slow = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=slow)
    deadline = time.monotonic() + 60
    while not (out / "log.txt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "--resume" in error


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_can_be_gone_on_with(jet_file, tmp_path, number, status):
    path, out = jet_file(count=300), tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "hepjax",
        "train",
        "--data",
        path,
        "--out",
        out,
        "--epochs",
        "100000",
        "--patience",
        "None",
        "mlp",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "history.csv").exists() or len((out / "history.csv").read_text().splitlines()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == status
    assert error.count("\n") == 1
    assert f"--out {out} --resume" in error


def on_a_terminal(*arguments):
    """What a person sees on a terminal without color."""
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-m", "hepjax", *arguments], stdout=side, stderr=side, env=environment)
    os.close(side)
    seen = b""
    try:
        while block := os.read(main, 4096):
            seen += block
    except OSError:  # the other side has closed
        pass
    os.close(main)
    assert process.wait() == 0
    return seen.decode()


COLOR = re.compile(r"\x1b\[(\d+;)*(3[0-7]|4[0-7]|9[0-7]|38|48)[;m]")


def test_terminal_shows_a_bar_and_no_colour_on_request(jet_file, tmp_path):
    text = on_a_terminal("train", "logistic", "--data", jet_file(count=300), "--out", tmp_path / "run", "--epochs", "2")
    assert "training" in text
    assert "2/2" in text
    assert not COLOR.search(text)
    assert not COLOR.search(on_a_terminal("--help"))
    assert COLOR.search("\x1b[91mred")


class TestHostileFiles:
    @pytest.fixture
    def outside(self, jet_file, tmp_path):
        """A file whose particles are in another one, outside its folder."""
        (tmp_path / "inner").mkdir()
        path, other = jet_file("inner/jets.h5", count=200), jet_file("other.h5", count=200)
        with h5py.File(path, "a") as file:
            del file[hls4ml.CONSTITUENTS]
            file[hls4ml.CONSTITUENTS] = h5py.ExternalLink(str(other), hls4ml.CONSTITUENTS)
        return path

    def test_data_outside_is_read_where_that_is_allowed(self, call, outside, trained_run, tmp_path):
        run = trained_run("mlp")
        for command in (
            ("info", outside),
            ("train", "logistic", "--epochs", "1", "--data", outside, "--out", tmp_path / "new"),
            ("predict", run, "--data", outside, "--out", tmp_path / "scores.h5"),
            ("evaluate", run, "--data", outside),
            ("compare", run, run, "--data", outside),
        ):
            refused(call(*command), "stored in another file", "other.h5, outside its folder", "--allow-external")
            if command[0] != "train":
                status, _, error = call(*command, "--allow-external")
                assert (status, error) == (0, "")

    @pytest.mark.parametrize("command", ["info", "train", "predict", "load"])
    def test_a_pipe_is_refused_at_once(self, call, trained_run, tmp_path, command):
        pipe = tmp_path / "pipe.h5"
        os.mkfifo(pipe)
        arguments = {
            "info": ("info", pipe),
            "train": ("train", "--data", pipe),
            "predict": ("predict", trained_run("mlp"), "--data", pipe, "--out", tmp_path / "scores.h5"),
            "load": ("predict", pipe, "--out", tmp_path / "scores.h5"),
        }[command]
        refused(call(*arguments), "pipe.h5")

    def test_too_little_memory_is_said_in_one_line(self, call, monkeypatch):
        def fail(*_, **__):
            raise MemoryError("Unable to allocate 3 TiB")

        monkeypatch.setattr("hepjax.data.summarize", fail, raising=False)
        refused(call("info"), "out of memory", "give fewer jets", "Unable to allocate 3 TiB")

"""A dataset of a user's own, registered in one file outside of the package, through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

TOY = """
    from hepjax.choices import Role
    from hepjax.data import register_dataset
    from hepjax.types import Dataset, OneHot

    register_dataset("toy", Dataset(
        "toy",
        classes=("background", "signal"),
        labels=OneHot(("truth_bkg", "truth_sig")),
        weights="event_weight",
        roles={Role.PX: "c_x", Role.PY: "c_y", Role.PZ: "c_z", Role.ENERGY: "c_t", Role.JET_MASS: "mass"},
        units={"c_x": "MeV", "c_y": "MeV", "c_z": "MeV", "c_t": "MeV", "mass": "MeV"},
        titles={"mass": "Mass of the jet [MeV]"},
    ))
"""


SEVERAL = "import json, sys; from hepjax.cli.app import main; [main(words) for words in json.loads(sys.argv[1])]"


def hepjax(*commands, folder):
    """Gives commands one after the other to a new process."""
    words = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL, words], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def files(other_file, tmp_path):
    (tmp_path / "toy.py").write_text(textwrap.dedent(TOY))
    common = {"columns": ("c_x", "c_y", "c_z", "c_t"), "observables": ("mass", "x"), "classes": ("bkg", "sig")}
    return other_file("toy.h5", count=200, prefix="truth_", event_weight=[1.0] * 200, **common), tmp_path / "toy.py"


def test_it_is_read_trained_on_and_used(files, other_file, tmp_path):
    data, plugin = files
    small = ("--particle", "4", "--hidden", "4", "--epochs", "1", "--particles", "8")
    toy, run = ("--dataset", "toy", "--plugins", plugin), tmp_path / "run"
    shown = hepjax(
        ("info", data, *toy), ("train", "deepsets", "--data", data, *toy, "--out", run, *small), folder=tmp_path
    )
    for words in ("toy", "background 100, signal 100", "event_weight", "jet_mass", "GeV"):
        assert words in shown
    record = json.loads((run / "experiment.json").read_text())
    assert record["classes"] == ["background", "signal"]
    assert record["experiment"]["dataset"] == record["dataset"]["name"] == "toy"
    assert record["experiment"]["model"]["columns"] == [
        "pt", "pt_rel", "c_t", "energy_rel", "eta_rel", "phi_rel", "delta_r"
    ]  # fmt: skip
    # What the run was told to read, it reads again, with its plug-in, without being told.
    bare = other_file("bare.h5", columns=("c_x", "c_y", "c_z", "c_t"), observables=("mass", "x"), classes=())
    hepjax(
        ("evaluate", run, "--data", data),
        ("predict", run, "--data", data, "--out", tmp_path / "scores.h5"),
        ("predict", run, "--data", bare, "--out", tmp_path / "bare-scores.h5"),
        folder=tmp_path,
    )

"""Descriptions of datasets in TOML files: what they mean, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.choices import Role
from hepjax.data.descriptions import dataset_of
from hepjax.data.toml_descriptions import read_toml
from hepjax.types import Dataset, FileName, Index, OneHot, Reweighting

WHOLE = """
name = "mine"
selection = "jet_pt > 5"
weights = "w0"
observers = ["event"]
background = ["qcd"]

[particles]
px = "px"
py = "py"
pt = "pt"
features = ["log_pt", "px"]
units = "MeV"

[jets]
pt = "jet_pt"
features = ["jet_pt"]
units = {jet_pt = "MeV"}

[labels]
columns = ["label_qcd", "is_top"]

[derived]
pt = "hypot(px, py)"
log_pt = "log(pt)"
label_qcd = "truth == 0"
is_top = "truth == 6"

[titles]
jet_pt = "Jet pT [GeV]"

[reweight]
bins = {jet_pt = [500, 700, inf]}
to = "top"
"""


def described(tmp_path, text):
    (tmp_path / "mine.toml").write_text(text)
    return read_toml(tmp_path / "mine.toml")


def test_every_key(tmp_path):
    assert described(tmp_path, WHOLE) == Dataset(
        "mine",
        classes=("qcd", "top"),
        labels=OneHot(("label_qcd", "is_top")),
        weights="w0",
        roles={Role.PX: "px", Role.PY: "py", Role.PT: "pt", Role.JET_PT: "jet_pt"},
        units={"px": "MeV", "py": "MeV", "pt": "GeV", "jet_pt": "MeV"},
        features=("jet_pt",),
        particle_features=("log_pt", "px"),
        observers=("event",),
        background=("qcd",),
        titles={"jet_pt": "Jet pT [GeV]"},
        derived={"pt": "hypot(px, py)", "log_pt": "log(pt)", "label_qcd": "truth == 0", "is_top": "truth == 6"},
        selection="jet_pt > 5",
        reweighting=Reweighting({"jet_pt": (500.0, 700.0, np.inf)}, "top"),
    )


def test_the_example_of_the_documentation(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "own-jets.md").read_text()
    dataset = described(tmp_path, re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    assert dataset.classes == ("qcd", "top")
    assert dataset.particle_features == ("log_pt", "eta_rel", "phi_rel", "cand_charge")


def test_a_file_is_read_as_it_is_described(tmp_path):
    described(tmp_path, WHOLE)
    rng = np.random.default_rng(0)
    px = rng.uniform(1000, 9000, (20, 3)).astype(np.float32)
    truth = rng.choice([0, 6], 20)
    jet_pt = np.linspace(1000, 9000, 20)
    np.savez(tmp_path / "jets.npz", px=px, py=0 * px, jet_pt=jet_pt, truth=truth, w0=np.arange(20.0), event=truth)
    jets = read_jets(tmp_path / "jets.npz", dataset=str(tmp_path / "mine.toml"))
    kept = jet_pt > 5000
    assert len(jets) == kept.sum()
    np.testing.assert_array_equal(np.asarray(jets.labels), truth[kept] == 6)
    np.testing.assert_allclose(np.asarray(jets.weights), np.arange(20)[kept])
    place = jets.particle_names.index("log_pt")
    true = -np.sort(-np.log(px[kept] / 1000), 1)
    np.testing.assert_allclose(np.asarray(jets.constituents)[..., place], true, rtol=1e-5)


@pytest.mark.parametrize(
    "text, labels, classes",
    [
        ('column = "y"\nclasses = ["g", "q"]', Index("y"), ("g", "q")),
        ('files = ["qcd", "top_"]\nclasses = ["qcd", "top"]', FileName(("qcd", "top_")), ("qcd", "top")),
        ('columns = ["a", "b"]\nundefined = "c"\nclasses = ["x", "y"]', OneHot(("a", "b"), "c"), ("x", "y")),
    ],
)
def test_kinds_of_labels(tmp_path, text, labels, classes):
    dataset = described(tmp_path, f"[labels]\n{text}")
    assert (dataset.labels, dataset.classes) == (labels, classes)
    assert dataset.name == "mine"  # of the file


@pytest.mark.parametrize(
    "text, message",
    [
        ('weightz = "w"', "weightz: unknown; did you mean weights"),
        ('[particles]\nptt = "a"', "[particles] ptt: unknown; did you mean pt"),
        ('[jets]\njet_pt = "a"', "[jets] jet_pt: unknown; there are pt, eta"),
        ("weights = 3", "weights: expected a text, found 3"),
        ('observers = "a"', "observers: expected a list of texts, found 'a'"),
        ('[particles]\nunits = ["MeV"]', "[particles] units: expected a unit or a table of units"),
        ('particles = "a"', "particles: expected a table, found 'a'"),
        ("[derived]\na = 1", "derived: expected a table of texts"),
        ('[arrays]\nX = "a"', "arrays: expected a table of lists of texts"),
        ('[labels]\nclasses = ["a", "b"]', "[labels] expected columns (one a class)"),
        ('[labels]\ncolumn = "y"', "[labels] classes: expected the names of the classes"),
        ('[labels]\ncolumn = "y"\nundefined = "z"\nclasses = ["a", "b"]', "undefined: goes with columns"),
        ('[derived]\na = "__import__(1)"', 'derived column a: expression "__import__(1)"'.replace('"', "'")),
        ('selection = "a >"', "selection: expression 'a >': cannot be read"),
        ('[jets.units]\nm = "TeV"', "column m has the unknown unit 'TeV'"),
        ('[reweight]\nbins = {pt = ["a"]}', "[reweight] bins: expected a table of lists of numbers"),
        ("[reweight]\nbins = {pt = [2, 1]}", "reweighting: pt: expected two rising edges of bins or more, found 2 1"),
        ('[reweight]\nto = "w"', "reweighting is to w, expected flat, mean or a class"),
        ("a = ", "no TOML"),
        ("a = " + "[" * 50_000, "no TOML"),
        ('"a\\u001b[31m" = 1', "a?[31m: unknown"),
        ("[particles]\npt = {a = 1}", "[particles] pt: expected a text, found dict"),
        ('[particles]\npt = "a"\neta = "a"', "column a has two roles"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path, text, message):
    with pytest.raises(InputError) as error:
        described(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'mine.toml'}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file; give the file that describes the columns"):
        dataset_of(str(tmp_path / "none.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="no text"):
        dataset_of(str(tmp_path / "binary.toml"))
    (tmp_path / "long.toml").write_text("#" * 2**21)
    with pytest.raises(InputError, match="at most 1,048,576 bytes"):
        dataset_of(str(tmp_path / "long.toml"))

"""What a dataset may say, and what follows from it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from hepjax import InputError
from hepjax.choices import Role
from hepjax.data import datasets, register_dataset
from hepjax.data.dataset import (
    check_dataset,
    column,
    grows_with_energy,
    particle_hardness,
    particle_mask,
    unit_of_column,
)
from hepjax.data.dataset_json import dataset_from_json, dataset_to_json
from hepjax.data.datasets import hls4ml
from hepjax.data.momenta import derivable_roles
from hepjax.types import Dataset, Index, OneHot

TOY = Dataset(
    "toy",
    particle_columns=("a", "b"),
    jet_columns=("m",),
    classes=("x", "y"),
    labels=OneHot(("is_x", "is_y")),
    roles={Role.PT: "a", Role.JET_MASS: "m"},
    units={"a": "GeV"},
)
WRONG = {
    "two roles": ({"roles": {Role.PT: "a", Role.ENERGY: "a"}}, "column a has two roles, pt and energy; give it one"),
    "twice": ({"particle_columns": ("a", "a")}, "particle_columns names a more than once"),
    "a class twice": ({"classes": ("x", "x")}, "classes names x more than once"),
    "a label twice": ({"labels": OneHot(("is_x", "is_x"))}, "labels names is_x more than once"),
    "too many classes": ({"classes": ("x", "y", "z")}, r"3 classes \(x, y, z\) but 2 label columns .*no label can be"),
    "too few classes": ({"labels": Index("i"), "classes": ("x",)}, "only the class x; name two classes or more"),
    "no classes": ({"classes": ()}, "has labels but no classes"),
    "no labels": ({"labels": None}, "has the classes x, y but no labels that tell them"),
    "a label is a feature": ({"features": ("is_x",)}, "features names is_x, which is a label or weight"),
    "a label is a column": ({"jet_columns": ("is_y", "m")}, "jet_columns names is_y, which is a label"),
    "a weight is a feature": ({"weights": "m", "features": ("m",)}, "names m, which is a label or weight"),
    "a weight is a label": ({"weights": "is_x"}, "is_x is both a label and the weights"),
    "a label with a role": ({"roles": {Role.JET_MASS: "is_x"}}, "is_x has the role jet_mass but is a label"),
    "unit": ({"units": {"a": "TeV"}}, "column a has the unknown unit 'TeV'; give GeV, MeV, rad, or none"),
    "background": ({"background": ("z",)}, "background names z, which is no class; the classes are x, y"),
}


@pytest.mark.parametrize("case", WRONG)
def test_contradictions_are_named_in_one_line(case):
    changes, words = WRONG[case]
    with pytest.raises(InputError, match=words) as caught:
        check_dataset(dataclasses.replace(TOY, **changes), "jets.h5")
    assert str(caught.value).startswith("jets.h5: dataset toy: ")
    assert "\n" not in str(caught.value)


def test_those_of_the_library_are_good():
    for name in datasets.DATASETS.names():
        check_dataset(datasets.get(name))
    check_dataset(TOY)


def test_a_column_of_particles_and_one_of_jets_may_have_one_name():
    check_dataset(dataclasses.replace(TOY, jet_columns=("a",), roles={Role.PT: "a", Role.JET_PT: "a"}))


def test_a_role_that_no_column_has():
    with pytest.raises(InputError, match=r"no particle column has the role phi; .* are a, b; .*Role\.PHI"):
        column(TOY, Role.PHI)
    assert column(TOY, Role.JET_MASS) == "m"


@pytest.mark.parametrize(
    "roles, derived",
    [
        ({Role.PX, Role.PY, Role.PZ, Role.ENERGY}, True),
        ({Role.PX, Role.PY, Role.PZ, Role.MASS}, True),
        ({Role.PT, Role.ETA, Role.PHI}, True),
        ({Role.PX, Role.PY, Role.PZ}, False),
        ({Role.PT, Role.ETA}, False),
    ],
)
def test_what_follows_from_what(roles, derived):
    assert ({Role.DELTA_R, Role.MASS} <= derivable_roles(Dataset("t", roles={r: r.value for r in roles}))) == derived


@pytest.mark.parametrize(
    "dataset", [TOY, hls4ml.HLS4ML, Dataset("bare"), dataclasses.replace(TOY, labels=Index("i"), weights="w")]
)
def test_json_keeps_everything(dataset):
    assert dataset_from_json(json.loads(json.dumps(dataset_to_json(dataset)))) == dataset


@pytest.mark.parametrize(
    "tree", [{}, {"name": "x", "roles": {"mass of it": "m"}}, {"name": "x", "color": 1}, {"name": "x", "labels": 3}]
)
def test_json_of_anything_else_is_refused(tree):
    with pytest.raises(InputError, match="dataset: "):
        dataset_from_json(tree)


def test_energies_grow():
    names = (*hls4ml.PARTICLE_COLUMNS, *hls4ml.OBSERVABLE_COLUMNS, *hls4ml.IMAGES)
    grows = grows_with_energy(hls4ml.HLS4ML, names)
    assert {name for name, yes in zip(names, grows, strict=True) if yes} == {*hls4ml.IN_GEV}
    assert [unit_of_column(hls4ml.HLS4ML, name) for name in ("mass", "delta_r", "eta_rel", "phi")] == [
        "GeV",
        "",
        "",
        "rad",
    ]


def test_masks_and_order():
    values = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -1.0]])
    for roles, mask in (
        ({Role.ENERGY: "b"}, [True, False, False]),
        ({Role.PT: "a"}, [True, False, False]),
        ({Role.PX: "a", Role.PY: "b"}, [True, False, True]),
        ({}, [True, False, True]),
    ):
        assert particle_mask(values, ("a", "b"), roles).tolist() == mask
    assert particle_hardness(values, ("a", "b"), {Role.PX: "a", Role.PY: "b"}).tolist() == [5, 0, 1]
    assert particle_hardness(values, ("a", "b"), {Role.PT_REL: "b"}).tolist() == [4, 0, -1]
    assert particle_hardness(values, ("a", "b"), {}) is None


@pytest.fixture
def registry(monkeypatch):
    """The registry, which forgets after the test what was registered."""
    for name in datasets.DATASETS.names():  # which register when they are imported, once
        datasets.get(name)
    for name in ("_values", "_places"):
        monkeypatch.setattr(datasets.DATASETS, name, dict(getattr(datasets.DATASETS, name)))


@pytest.mark.usefixtures("registry")
class TestRegister:
    def test_one_that_is_none(self):
        register_dataset("no-dataset", {"name": "no-dataset"})
        with pytest.raises(InputError, match=r"dataset no-dataset: expected a hepjax\.types\.Dataset, found dict"):
            datasets.get("no-dataset")

    def test_of_another_name(self):
        register_dataset("one-name", dataclasses.replace(TOY, name="another"))
        with pytest.raises(InputError, match=r"dataset one-name: .* its own is another; give it one name"):
            datasets.get("one-name")

    def test_twice(self):
        with pytest.raises(InputError, match=r"dataset hls4ml: registered at .*hls4ml.* and again at .*test_dataset"):
            register_dataset("hls4ml", TOY)

    def test_unknown(self):
        with pytest.raises(InputError, match="dataset: there is no hls4m; did you mean hls4ml"):
            datasets.get("hls4m")

"""Tests of jets from arrays and tables in memory, and of jets that are written to files."""

import dataclasses
import json
import re

import h5py
import numpy as np
import pytest

import hepjax
from hepjax.choices import Role
from hepjax.data.recognition import DESCRIPTION
from hepjax.errors import InputError
from hepjax.inputs import sequences
from hepjax.types import OneHot

COUNTS = (3, 1, 2)


@pytest.fixture
def lists(rng):
    """The momenta of jets with 3, 1 and 2 particles, by falling pT."""
    jets = []
    for count in COUNTS:
        p3 = rng.normal(size=(count, 3)) * 10
        p3 = p3[np.argsort(-np.hypot(p3[:, 0], p3[:, 1]))]
        jets.append(np.concatenate([p3, np.linalg.norm(p3, axis=1, keepdims=True)], axis=1))
    return jets


def padded(lists):
    p4 = np.zeros((len(lists), max(COUNTS), 4))
    for row, jet in zip(p4, lists, strict=True):
        row[: len(jet)] = jet
    return p4


class TestArrays:
    def test_padded_ones_and_lists_are_the_same(self, lists):
        awkward = pytest.importorskip("awkward")
        expected = hepjax.from_arrays(padded(lists))
        assert expected.mask.sum(1).tolist() == [*COUNTS]
        for p4 in (lists, awkward.Array([jet.tolist() for jet in lists])):
            jets = hepjax.from_arrays(p4)
            np.testing.assert_array_equal(jets.constituents, expected.constituents)
            np.testing.assert_array_equal(jets.mask, expected.mask)

    def test_particles_are_put_in_order_with_all_their_columns(self, lists, rng):
        p4, charge = padded(lists), rng.choice([-1.0, 1.0], (3, 3))
        order = np.array([2, 0, 1])
        jets = hepjax.from_arrays(p4, particles={"charge": charge})
        shuffled = hepjax.from_arrays(p4[:, order], particles={"charge": charge[:, order]})
        np.testing.assert_array_equal(shuffled.constituents, jets.constituents)
        np.testing.assert_array_equal(shuffled.mask, jets.mask)
        assert jets.dataset.roles[Role.CHARGE] == "charge"

    def test_a_mask_leaves_particles_out(self, lists):
        mask = np.array([[True, False, True]] * 3)
        jets = hepjax.from_arrays(padded(lists), mask=mask)
        assert jets.mask.sum(1).tolist() == [2, 1, 1]

    def test_models_find_what_they_see(self, lists):
        jets = hepjax.from_arrays(padded(lists), observables={"jet_mass": [1, 2, 3]}, weights=[1, -1, 2])
        seen = sequences(jets, jets.dataset.particle_features)
        p4 = padded(lists)
        np.testing.assert_allclose(seen.values[..., 0], np.hypot(p4[..., 0], p4[..., 1]), rtol=1e-6)
        assert (jets.dataset.roles[Role.JET_MASS], jets.dataset.weights) == ("jet_mass", "weights")
        np.testing.assert_array_equal(jets.weights, [1, -1, 2])

    def test_columns_that_are_called_by_their_roles_are_seen_once(self, lists):
        jets = hepjax.from_arrays(padded(lists), particles={"eta_rel": np.zeros((3, 3)), "charge": np.ones((3, 3))})
        features = jets.dataset.particle_features
        assert (len(features), features[-1]) == (len({*features}), "charge")
        assert sequences(jets, features).values.shape == (3, 3, len(features))

    @pytest.mark.parametrize(
        "labels, classes, index, names",
        [
            ([0, 1, 1], (), [0, 1, 1], ("0", "1")),
            ([False, True, False], ("qcd", "top"), [0, 1, 0], ("qcd", "top")),
            (["top", "qcd", "qcd"], (), [1, 0, 0], ("qcd", "top")),
            (["top", "qcd", "qcd"], ("top", "qcd", "w"), [0, 1, 1], ("top", "qcd", "w")),
        ],
    )
    def test_labels(self, lists, labels, classes, index, names):
        jets = hepjax.from_arrays(lists, labels=labels, classes=classes)
        assert (jets.labels.tolist(), jets.classes, jets.labels.dtype) == (index, names, np.int32)

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"p4": np.ones((3, 2))}, "p4: expected the shape (N, P, 4), found (3, 2)"),
            (
                {"p4": np.full((3, 2, 4), np.nan)},
                "p4: 24 values are NaN, infinite or beyond float32, the first in row 0",
            ),
            ({"p4": [["a"], ["b", "c"]]}, "p4: expected numbers"),
            ({"mask": np.ones((3, 9))}, "mask: expected the shape (3, 3), found (3, 9)"),
            ({"labels": [0, 1]}, "labels: expected the shape (3,), found (2,)"),
            ({"labels": [0, 1, 2], "classes": ("a", "b")}, "found the label 2, but there are only 2 classes: a, b"),
            ({"labels": [0, -1, 2]}, "labels: expected whole numbers from 0"),
            ({"labels": ["a", "b", "z"], "classes": ("a", "b")}, "labels: z is none of the classes a, b"),
            (
                {"particles": {"charge": np.ones((3, 2))}},
                "particles['charge']: expected the shape (3, 3), found (3, 2)",
            ),
            ({"observables": {"m": [1, np.inf, 2]}}, "observables['m']: 1 values are NaN"),
            ({"weights": [[1], [2], [3]]}, "weights: expected the shape (3,), found (3, 1)"),
        ],
    )
    def test_mistakes_are_named(self, lists, changes, message):
        with pytest.raises(InputError, match=re.escape(message)):
            hepjax.from_arrays(**{"p4": padded(lists), **changes})


class TestTables:
    def test_of_all_kinds_are_the_same(self, lists):
        awkward, arrow = pytest.importorskip("awkward"), pytest.importorskip("pyarrow")
        columns = {name: [jet[:, i].tolist() for jet in lists] for i, name in enumerate(("px", "py", "pz", "energy"))}
        columns["label"] = [0, 1, 1]
        expected = hepjax.from_arrays(padded(lists))
        for table in (columns, arrow.table(columns), awkward.Array(columns)):
            jets = hepjax.from_table(table)
            np.testing.assert_array_equal(jets.constituents, expected.constituents)
            assert (jets.labels.tolist(), jets.classes) == ([0, 1, 1], ("0", "1"))

    def test_numbered_columns_are_particles(self, rng):
        wide = {f"{name}_{slot}": rng.uniform(1, 2, 4) for slot in range(12) for name in ("pt", "eta", "phi")}
        jets = hepjax.from_table({**wide, "mass": [1.0, 2, 3, 4]})
        assert (jets.constituents.shape, jets.observable_names) == ((4, 12, 3), ("mass",))
        assert set(jets.particle_names) == {"pt", "eta", "phi"}

    def test_azimuths_are_wrapped_and_those_in_degrees_refused(self, caplog):
        columns = {"pt": [[3.0, 2.0], [5.0]], "eta": [[0.1, 0.2], [0.3]]}
        jets = hepjax.from_table({**columns, "phi": [[6.0, 1.0], [-4.0]]})
        place = jets.particle_names.index("phi")
        np.testing.assert_allclose(
            jets.constituents[..., place], [[6 - 2 * np.pi, 1], [2 * np.pi - 4, 0]], rtol=1e-5, atol=1e-6
        )
        assert "table: azimuths outside -π to π are wrapped: 2 of 3 in phi" in caplog.text
        with pytest.raises(InputError, match="phi, an azimuth, is beyond ±100 in 2 of 3 places; give radians"):
            hepjax.from_table({**columns, "phi": [[300.0, 1.0], [180.0]]})

    def test_columns_of_other_lengths_are_refused(self):
        with pytest.raises(InputError, match="its columns have 2, 3 rows"):
            hepjax.from_table({"pt": [[1.0], [2.0]], "mass": [1, 2, 3]})


@pytest.mark.parametrize("suffix", [".h5", ".parquet"])
class TestWriting:
    def test_what_is_written_reads_back_equal(self, suffix, tmp_path, write_jets):
        if suffix == ".parquet":
            pytest.importorskip("pyarrow")
        jets = hepjax.read_jets()[100:160]
        jets = dataclasses.replace(
            jets,
            weights=np.linspace(-1, 1, 60, dtype=np.float32),
            dataset=dataclasses.replace(jets.dataset, weights="event_weight"),
        )
        hepjax.write_jets(tmp_path / f"jets{suffix}", jets)
        back = hepjax.read_jets(tmp_path / f"jets{suffix}")
        for field in ("constituents", "mask", "observables", "labels", "weights"):
            np.testing.assert_array_equal(np.asarray(getattr(back, field)), np.asarray(getattr(jets, field)), field)
        assert isinstance(jets.dataset.labels, OneHot)
        labels = jets.dataset.labels._replace(undefined=None)
        assert back.dataset == dataclasses.replace(jets.dataset, labels=labels, images=())

    def test_no_file_is_overwritten_or_left_in_part(self, suffix, tmp_path, monkeypatch):
        if suffix == ".parquet":
            pytest.importorskip("pyarrow")
        path = tmp_path / f"jets{suffix}"
        path.write_text("mine")
        with pytest.raises(InputError, match="exists"):
            hepjax.write_jets(path, hepjax.read_jets()[:3])
        assert path.read_text() == "mine"
        path.unlink()
        monkeypatch.setattr("hepjax.data.writing._jet_columns", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            hepjax.write_jets(path, hepjax.read_jets()[:3])
        assert not [*tmp_path.iterdir()]

    def test_no_jets_are_no_file(self, suffix, tmp_path):
        with pytest.raises(InputError, match="there are no jets to write"):
            hepjax.write_jets(tmp_path / f"jets{suffix}", hepjax.read_jets()[:0])
        assert not [*tmp_path.iterdir()]


def test_other_names_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"ends in \.h5 or \.parquet"):
        hepjax.write_jets(tmp_path / "jets.csv", hepjax.read_jets()[:3])


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": 3}', "[" * 10_000, json.dumps({"name": "x", "jets": 1})])
def test_a_damaged_description_is_refused(text, tmp_path):
    path = tmp_path / "jets.h5"
    hepjax.write_jets(path, hepjax.read_jets()[:3])
    with h5py.File(path, "r+") as file:
        file.attrs[DESCRIPTION] = text
    with pytest.raises(InputError, match="its description of the dataset is damaged"):
        hepjax.read_jets(path)

"""The file of scores: whole or absent."""

from __future__ import annotations

import os

import chex
import h5py
import numpy as np
import pytest

from hepjax import InputError, tasks
from hepjax.runs.predictions import Predictions, read_predictions, write_blocks, write_predictions
from hepjax.tasks.classification import Classification
from hepjax.tasks.classification.scores import scores_of

NAMED = {"columns": ("a", "b", "c"), "task": Classification()}


def blocks(rng, sizes, labels=True):
    return [(rng.random((n, 3)).astype(np.float32), rng.integers(3, size=n) if labels else None) for n in sizes]


@pytest.mark.parametrize("labels", [True, False])
def test_row_for_row(tmp_path, rng, labels):
    given = blocks(rng, (4, 1, 7), labels)
    write_blocks(tmp_path / "s.h5", given, jets=12, **NAMED)
    with h5py.File(tmp_path / "s.h5") as file:
        np.testing.assert_array_equal(file["scores"], np.concatenate([scores for scores, _ in given]))
        assert list(file.attrs["classes"]) == ["a", "b", "c"]
        assert ("labels" in file) == labels
        if labels:
            np.testing.assert_array_equal(file["labels"], np.concatenate([found for _, found in given]))


def test_all_that_is_known_comes_back(tmp_path, rng):
    given = Predictions(
        rng.random((6, 2), np.float32),
        np.array([0, 1, 1, 0, 0, 1]),
        ("q", "t"),
        np.array([3, 1, 9, 2**40, 5, 6]),
        {"j_pt": rng.random(6, np.float32), "j_eta": rng.random(6, np.float32)},
        np.arange(6.0),
    )
    write_predictions(tmp_path / "s.h5", given, Classification())
    chex.assert_trees_all_equal(read_predictions(tmp_path / "s.h5"), given)
    few = given._replace(targets=None, rows=None, observables={}, weights=None)
    write_predictions(tmp_path / "few.h5", few, Classification())
    chex.assert_trees_all_equal(read_predictions(tmp_path / "few.h5"), few)
    with pytest.raises(InputError, match="no labels"):
        scores_of(read_predictions(tmp_path / "few.h5"))


def test_files_that_hold_no_scores_are_refused(tmp_path, rng, jet_file):
    with pytest.raises(InputError, match="not a file of scores"):
        read_predictions(jet_file())
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path / "none.h5")
    path = tmp_path / "s.h5"
    write_blocks(path, blocks(rng, (500,)), jets=500, **NAMED)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"s\.h5"):
        read_predictions(path)


def test_nothing_half_written(tmp_path, rng):
    def breaks():
        yield from blocks(rng, (4,))
        raise InputError("row 5 is bad")

    with pytest.raises(InputError, match="row 5"):
        write_blocks(tmp_path / "s.h5", breaks(), jets=12, **NAMED)
    assert not list(tmp_path.iterdir())


def test_refused(tmp_path, rng):
    (tmp_path / "s.h5").write_text("here first")
    with pytest.raises(InputError, match="exists already"):
        write_blocks(tmp_path / "s.h5", blocks(rng, (1,)), jets=1, **NAMED)
    assert (tmp_path / "s.h5").read_text() == "here first"
    with pytest.raises(InputError, match="cannot be written"):
        write_blocks(tmp_path / "none" / "s.h5", blocks(rng, (1,)), jets=1, **NAMED)


@pytest.mark.parametrize("jets", [10, 3000])
@pytest.mark.parametrize("room", [0, 1_000])
def test_a_full_disk_gives_one_line_and_leaves_nothing(tmp_path, rng, monkeypatch, room, jets):
    original, written = os.write, 0

    def small_disk(descriptor, data):
        nonlocal written
        written += len(data)
        if written > room:
            raise OSError(28, "No space left on device")
        return original(descriptor, data)

    monkeypatch.setattr(os, "write", small_disk)
    given = blocks(rng, (jets // 2,) * 2)
    out = tmp_path / "s.h5"
    with pytest.raises(InputError) as caught:
        write_blocks(out, given, jets=jets, **NAMED)
    assert str(caught.value) == (
        f"--out {out}: cannot be written (No space left on device); free some space or give another place"
    )
    assert list(tmp_path.iterdir()) == []


def test_scores_are_on_the_disk_before_they_get_their_name(tmp_path, rng, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((tmp_path / "s.h5").exists()))
    write_blocks(tmp_path / "s.h5", blocks(rng, (3,)), jets=3, **NAMED)
    assert seen == [False]


def test_a_disk_that_is_full_at_last_leaves_nothing(tmp_path, rng, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_blocks(tmp_path / "s.h5", blocks(rng, (3,)), jets=3, **NAMED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(tmp_path, value):
    values = np.full((6, 2), 0.5, np.float32)
    values[[2, 5]] = value
    write_predictions(tmp_path / "s.h5", Predictions(values, None, ("q", "t")), tasks.default_task())
    with pytest.raises(InputError, match="found NaN or infinite ones for 2 of 6 jets, the first in row 2"):
        read_predictions(tmp_path / "s.h5")


class TestHostileScores:
    @pytest.fixture
    def scores(self, tmp_path):
        path = tmp_path / "scores.h5"
        with h5py.File(path, "w") as file:
            file.attrs["classes"] = np.array(["g", "q"], "S")
            file["scores"] = np.full((7, 2), 0.5, np.float32)
            file["labels"] = np.zeros(7, np.int32)
            file["observables/j_pt"] = np.ones(7, np.float32)
        return path

    def test_names_that_are_bytes(self, scores):
        found = read_predictions(scores)
        assert found.columns == ("g", "q")
        assert found.observables["j_pt"].tolist() == [1.0] * 7

    @pytest.mark.parametrize(
        "name, make, words",
        [
            ("scores", lambda file, name: file.create_group(name), "not a file of scores"),
            ("scores", lambda file, name: file.__setitem__(name, np.zeros((7, 3))), r"scores has shape \(7, 3\)"),
            ("labels", lambda file, name: file.__setitem__(name, np.zeros(6, int)), r"labels has shape \(6,\)"),
            ("labels", lambda file, name: file.__setitem__(name, np.array(["a"] * 7, "S")), "labels has shape"),
            ("labels", lambda file, name: file.create_dataset(name, (7,), "i4", chunks=(2,)), "holds 0 of 4 chunks"),
            ("labels", lambda file, name: file.__setitem__(name, h5py.ExternalLink("pipe", "x")), "a pipe, not a file"),
            (
                "scores",
                lambda file, name: file.create_dataset(name, (7, 2), "f4", external=[("/dev/zero", 0, 2**40)]),
                "a device, not a file",
            ),
            (
                "observables/j_pt",
                lambda file, name: file.__setitem__(name, h5py.ExternalLink("pipe", "x")),
                "a pipe, not a file",
            ),
        ],
    )
    def test_others_are_refused(self, scores, name, make, words):
        os.mkfifo(scores.with_name("pipe"))
        with h5py.File(scores, "a") as file:
            del file[name]
            make(file, name)
        with pytest.raises(InputError, match=words) as caught:
            read_predictions(scores)
        assert "scores.h5: " in str(caught.value)

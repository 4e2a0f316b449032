"""Reading, splitting and refusing the jets of an experiment."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest

from hepjax import InputError, options, parts, recipes, schema
from hepjax.options import Experiment

RECIPE = recipes.make_recipe(options.Deepsets(particles=20, columns=("j1_pt", "j1_etarel")), 5)


def load(*data, **changes):
    return parts.load(Experiment(data=data, **changes), RECIPE, schema.CLASSES)


@pytest.fixture
def hollow(jet_file):
    """100 jets of which three have no particle."""
    path = jet_file("hollow.h5", count=100)
    with h5py.File(path, "r+") as file:
        file[schema.CONSTITUENTS][[4, 5, 60]] = 0
    return path


def test_parts_are_disjoint_and_whole(jet_file):
    found = load(jet_file(count=100))
    assert [len(part.targets) for part in found[:3]] == [60, 20, 20]
    assert sorted(np.concatenate(found.split)) == list(range(100))
    for part in found[:3]:
        assert part.inputs.values.shape == (len(part.targets), 20, 2)
        assert part.inputs.mask.shape == (len(part.targets), 20)


def test_own_files_are_taken_whole(jet_file):
    found = load(jet_file(count=100), test=(jet_file("test.h5", count=40, seed=1),))
    assert [len(part.targets) for part in found[:3]] == [80, 20, 40]


def test_files_of_several_lengths(jet_file):
    assert load(jet_file(count=50), jet_file("long.h5", slots=40, count=50)).train.inputs.values.shape[1] == 20


def test_too_few_particles_name_both_numbers(jet_file):
    with pytest.raises(InputError, match=r"(?s)20.*12|12.*20"):
        load(jet_file(slots=12, count=100))


def test_jets_without_particles_are_counted(hollow, jet_file, caplog):
    with caplog.at_level(logging.WARNING, "hepjax"):
        load(jet_file(count=100))
        assert not caplog.records
        load(hollow)
    assert "3 of 100 jets have no particle" in caplog.text


def test_jets_without_particles_are_counted_in_blocks(hollow, monkeypatch, caplog):
    monkeypatch.setattr(parts, "_ROWS", 30)
    jets = parts.open_jets((hollow,), RECIPE)
    with caplog.at_level(logging.WARNING, "hepjax"):
        blocks = list(parts.blocks(jets, RECIPE))
    assert [len(labels) for _, labels in blocks] == [30, 30, 30, 10]
    assert caplog.text.count("3 of 100 jets have no particle") == 1


def test_fingerprint_sees_every_number(jet_file):
    found = load(jet_file(count=100))
    before = parts.fingerprint(found)
    assert before == parts.fingerprint(load(jet_file("copy.h5", count=100)))
    found.test.inputs.values[3, 2, 1] += 1
    assert parts.fingerprint(found) != before


def test_one_class_is_refused(jet_file):
    values = np.zeros((30, len(schema.JET_COLUMNS)), np.float32)
    values[:, schema.JET_COLUMNS.index("j_w")] = 1
    with pytest.raises(InputError, match="all jets are of class w"):
        load(jet_file(count=30, jets=values))


def test_unlabelled_jets_are_refused(jet_file):
    names = np.array(schema.OBSERVABLE_COLUMNS, "S")
    path = jet_file(jets=np.ones((25, len(names)), np.float32), jetFeatureNames=names)
    with pytest.raises(InputError, match="no labels"):
        load(path)

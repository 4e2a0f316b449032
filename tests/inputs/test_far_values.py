"""Values far outside the rest are named once, wherever they lie and however jets are read."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest

from hepjax import models
from hepjax.data.datasets import hls4ml
from hepjax.inputs import far_values, load_subsets, open_files, pipelines
from hepjax.tasks.classification import Classification

COLUMNS = ("j1_pt", "j1_etarel")
PARTICLES = pipelines.make_pipeline(models.DeepSets(particles=20, columns=COLUMNS), 5, hls4ml.HLS4ML)
OBSERVABLES = pipelines.make_pipeline(models.MLP(), 5, hls4ml.HLS4ML)
STREAMED = 1e-5
"""Gigabytes that 400 jets do not fit into."""


def load(pipeline, *data, memory=4.0, **others):
    opened = open_files.open_split_files(data, **others)
    return load_subsets.load_subsets(opened, pipeline, Classification().read, seed=0, memory=memory)


@pytest.fixture
def clean(jet_file):
    return jet_file("clean.h5", count=400, chunk=50)


@pytest.fixture
def spoil(jet_file):
    """A function that writes the same jets but for one number, of a jet of the training or validation part."""

    def write(name, part, size):
        path = jet_file(f"{name}-{part}.h5", count=400, chunk=50)
        row = int(load_subsets.batching.split(400, seed=0)._asdict()[part][3])
        with h5py.File(path, "r+") as file:
            if name == "particle":
                file[hls4ml.CONSTITUENTS][row, 1, hls4ml.PARTICLE_COLUMNS.index("j1_etarel")] = size
            else:
                file[hls4ml.JETS][row, hls4ml.JET_COLUMNS.index("j_zlogz")] = size
        return path, row

    return write


@pytest.mark.parametrize("memory", [4.0, STREAMED])
@pytest.mark.parametrize("part, size", [("train", 1e11), ("val", 1e30), ("test", -1e30)])
@pytest.mark.parametrize("name", ["particle", "jet"])
def test_one_absurd_number_is_named_and_changes_little(spoil, clean, caplog, name, part, size, memory):
    pipeline = {"particle": PARTICLES, "jet": OBSERVABLES}[name]
    path, row = spoil(name, part, size)
    with caplog.at_level(logging.WARNING, "hepjax"):
        expected = load(pipeline, clean, memory=memory)
        assert not caplog.records
        assert not expected.far_values
        found = load(pipeline, path, memory=memory)
    (record,) = caplog.records
    place = f"row {row}, particle 1: j1_etarel" if name == "particle" else f"row {row}: j_zlogz"
    assert f"{path}: {place} is {size:g}, more than 10000 standard deviations" in record.getMessage()
    assert "other value" not in record.getMessage()
    assert found.far_values in record.getMessage()
    assert (found.train.data is None) == (memory == STREAMED)
    if part == "train":
        np.testing.assert_allclose(found.scaling.mean, expected.scaling.mean, atol=0.02 * expected.scaling.std.max())
        np.testing.assert_allclose(found.scaling.std, expected.scaling.std, rtol=0.01)
    else:
        np.testing.assert_array_equal(found.scaling, expected.scaling)


def test_all_are_counted_and_the_first_of_all_files_is_named(spoil, clean, caplog):
    path, row = spoil("jet", "train", 1e11)
    with h5py.File(path, "r+") as file:
        for name in OBSERVABLES.columns:
            file[hls4ml.JETS][row + 1, hls4ml.JET_COLUMNS.index(name)] = 1e20
    with caplog.at_level(logging.WARNING, "hepjax"):
        load(OBSERVABLES, clean, test=(path,))
    (record,) = caplog.records
    assert f"{path}: row {row}: j_zlogz is 1e+11" in record.getMessage()
    assert f", and so are {len(OBSERVABLES.columns)} other values" in record.getMessage()


def test_both_ways_of_reading_scale_alike(spoil):
    path, _ = spoil("jet", "train", 1e11)
    kept, streamed = load(OBSERVABLES, path), load(OBSERVABLES, path, memory=STREAMED)
    np.testing.assert_allclose(kept.scaling, streamed.scaling, rtol=1e-6)


def test_models_without_scaled_columns_name_none(clean):
    pipeline = pipelines.make_pipeline(models.ConvNet(), 5, hls4ml.HLS4ML)
    assert far_values.extent(0, 1, pipeline.example, pipeline) == []
    assert load(pipeline, clean).far_values == ""

"""What jets promise, wherever they come from: every reader is tested by being listed."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import pickle
import sys

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import file_kinds
from file_kinds import CLASSES, COUNT, DATASET, LABELS, OBSERVABLES, PARTICLES, SLOTS, content

from hepjax import Jets, read_jets
from hepjax.data import chunk_starts
from hepjax.data.datasets import hls4ml

FIELDS = ("constituents", "mask", "observables", "labels", "weights")


def in_memory(folder, arrays):
    return Jets(**arrays, dataset=DATASET)


def in_hdf5(folder, arrays):
    flags = np.eye(3, dtype=np.float32)[arrays["labels"]]
    values = np.concatenate([arrays["observables"], flags, arrays["weights"][:, None]], axis=1)
    with h5py.File(folder / "jets.h5", "w") as file:
        file.create_dataset(hls4ml.CONSTITUENTS, data=arrays["constituents"], chunks=(5, SLOTS, 3), compression="gzip")
        file[hls4ml.PARTICLE_NAMES] = np.array(PARTICLES, "S")
        file.create_dataset(hls4ml.JETS, data=values, chunks=(4, values.shape[1]), compression="gzip")
        file[hls4ml.JET_NAMES] = np.array([*OBSERVABLES, *LABELS, "event_weight"], "S")
    return read_jets(folder / "jets.h5", dataset=DATASET)


def in_file(kind, folder, arrays):
    return file_kinds.read(kind, file_kinds.write(kind, folder, arrays))


READERS = {
    "memory": in_memory,
    "hdf5": in_hdf5,
    **{kind: functools.partial(in_file, kind) for kind in file_kinds.WRITERS},
}
"""Kind of file → a function that writes `content` into a folder and opens it."""


@pytest.fixture(params=READERS)
def opened(request, tmp_path):
    """The jets, and the arrays that they must be."""
    arrays = content()
    return READERS[request.param](tmp_path, arrays), arrays


def test_fields_have_their_values_shapes_and_types(opened):
    jets, arrays = opened
    assert len(jets) == COUNT
    for field in FIELDS:
        value = getattr(jets, field)
        assert (value.shape, value.dtype) == (arrays[field].shape, arrays[field].dtype)
        np.testing.assert_array_equal(np.asarray(value), arrays[field], strict=True)


def test_the_dataset_says_what_they_are(opened):
    jets, _ = opened
    assert dataclasses.replace(jets.dataset, arrays={}) == DATASET
    assert (jets.particle_names, jets.observable_names, jets.classes) == (PARTICLES, OBSERVABLES, CLASSES)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(rows=st.one_of(st.slices(COUNT), st.lists(st.integers(-COUNT, COUNT - 1)).map(lambda r: np.array(r, int))))
def test_any_rows(opened, rows):
    jets, arrays = opened
    part = jets[rows]
    assert part.dataset is jets.dataset
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(part, field), arrays[field][rows], strict=True)
        np.testing.assert_array_equal(getattr(jets, field)[rows], arrays[field][rows], strict=True)


@pytest.mark.parametrize("rows", [3, (1, 2), Ellipsis, None, np.zeros((2, 2), int)])
def test_anything_else_is_no_rows(opened, rows):
    with pytest.raises(TypeError, match="slice or a one-dimensional array"):
        opened[0][rows]


def test_other_processes_can_have_them(opened):
    jets, arrays = opened
    copy = pickle.loads(pickle.dumps(jets))  # noqa: S301 — our own bytes
    np.testing.assert_array_equal(copy[3:9].weights, arrays["weights"][3:9])
    assert copy.dataset == jets.dataset


def test_chunks_cover_all_rows(opened):
    starts = chunk_starts(opened[0])
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert starts[-1] < COUNT

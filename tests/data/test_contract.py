"""What jets promise, wherever they come from: every reader is tested by being listed."""

from __future__ import annotations

import dataclasses
import pickle

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepjax import Jets, read_jets
from hepjax.choices import Role
from hepjax.data import chunk_starts
from hepjax.data.datasets import hls4ml
from hepjax.types import Dataset, OneHot

COUNT, SLOTS = 23, 6
PARTICLES = ("E", "pT", "charge")
OBSERVABLES = ("mass", "width")
CLASSES = ("qcd", "top", "w")
LABELS = tuple(f"label_{name}" for name in CLASSES)
DATASET = Dataset(
    "toy",
    particle_columns=PARTICLES,
    jet_columns=OBSERVABLES,
    classes=CLASSES,
    labels=OneHot(LABELS),
    weights="event_weight",
    roles={Role.ENERGY: "E", Role.PT: "pT", Role.JET_MASS: "mass"},
    units={"E": "GeV", "pT": "GeV", "mass": "GeV"},
    features=("mass",),
    particle_features=("pT",),
)
FIELDS = ("constituents", "mask", "observables", "labels", "weights")


def content(seed=0):
    """Jets of few particles, by falling pT, with weights of both signs."""
    rng = np.random.default_rng(seed)
    pt = np.sort(rng.exponential(20, (COUNT, SLOTS)).astype(np.float32), axis=1)[:, ::-1]
    mask = np.arange(SLOTS) < rng.integers(1, SLOTS + 1, COUNT)[:, None]
    particles = np.stack([1.5 * pt, pt, rng.choice([-1, 0, 1], pt.shape)], axis=-1).astype(np.float32)
    return {
        "constituents": particles * mask[..., None],
        "mask": mask,
        "observables": rng.normal(size=(COUNT, 2)).astype(np.float32),
        "labels": rng.integers(0, 3, COUNT).astype(np.int32),
        "weights": rng.normal(size=COUNT).astype(np.float32),
    }


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


def jet_columns(arrays):
    """Label columns are of three types, as those of JetClass are."""
    flags = [(arrays["labels"] == i).astype(kind) for i, kind in enumerate((np.float32, bool, np.int32))]
    columns = {name: arrays["observables"][:, i] for i, name in enumerate(OBSERVABLES)}
    return columns | dict(zip(LABELS, flags, strict=True)) | {"event_weight": arrays["weights"]}


def particle_columns(arrays):
    return {name: arrays["constituents"][..., i] for i, name in enumerate(PARTICLES)}


def in_hdf5_arrays(folder, arrays):
    with h5py.File(folder / "jets.h5", "w") as file:
        for name, values in (particle_columns(arrays) | jet_columns(arrays)).items():
            file.create_dataset(f"deep/{name}", data=values, chunks=(5, *values.shape[1:]), compression="gzip")
    return read_jets(folder / "jets.h5", dataset=DATASET)


def in_hdf5_tables(folder, arrays):
    """As in flavor tagging: a table of jets, and one of their tracks."""
    with h5py.File(folder / "jets.h5", "w") as file:
        for name, columns in (("jets", jet_columns(arrays)), ("tracks", particle_columns(arrays))):
            table = np.empty(next(iter(columns.values())).shape, [(key, x.dtype) for key, x in columns.items()])
            for key, values in columns.items():
                table[key] = values
            file[name] = table
    return read_jets(folder / "jets.h5", dataset=DATASET)


def in_hdf5_lists(folder, arrays):
    """As in CMS open data of EnergyFlow: all particles in a row, and where those of each jet begin."""
    with h5py.File(folder / "jets.h5", "w") as file:
        file["pfcs"] = arrays["constituents"][arrays["mask"]]
        file["pfcs"].attrs["cols"] = PARTICLES
        file["pfcs_index"] = np.concatenate([[0], np.cumsum(arrays["mask"].sum(1))]).astype(np.uint32)
        columns = jet_columns(arrays)
        file["jets_f"] = np.stack(list(columns.values()), axis=1).astype(np.float64)
        file["jets_f"].attrs["cols"] = list(columns)
    return read_jets(folder / "jets.h5", dataset=DATASET, particles=SLOTS)


def in_numpy(folder, arrays):
    np.savez_compressed(folder / "jets.npz", X=arrays["constituents"].astype(np.float64), **jet_columns(arrays))
    return read_jets(folder / "jets.npz", dataset=dataclasses.replace(DATASET, arrays={"X": PARTICLES}))


def lists(arrays):
    awkward = pytest.importorskip("awkward")
    counts = arrays["mask"].sum(1)
    return {name: awkward.unflatten(x[arrays["mask"]], counts) for name, x in particle_columns(arrays).items()}


def in_parquet(folder, arrays):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    columns = {name: arrow.array(x.tolist(), arrow.list_(arrow.float32())) for name, x in lists(arrays).items()}
    parquet.write_table(arrow.table(columns | jet_columns(arrays)), folder / "jets.parquet", row_group_size=5)
    return read_jets(folder / "jets.parquet", dataset=DATASET, particles=SLOTS)


def in_root_tree(folder, arrays):
    uproot = pytest.importorskip("uproot")
    columns = lists(arrays) | jet_columns(arrays)
    kinds = {name: "var * float32" if name in PARTICLES else x.dtype for name, x in columns.items()}
    with uproot.recreate(folder / "jets.root") as file:
        tree = file.mktree("tree", kinds)
        tree.extend({name: x[:9] for name, x in columns.items()})
        tree.extend({name: x[9:] for name, x in columns.items()})
        file.mktree("other", {"x": np.int64}).extend({"x": np.arange(3)})
    return read_jets(f"{folder}/jets.root:tree", dataset=DATASET, particles=SLOTS)


def in_root_ntuple(folder, arrays):
    uproot = pytest.importorskip("uproot")
    with uproot.recreate(folder / "jets.root") as file:
        file.mkrntuple("events", lists(arrays) | jet_columns(arrays))
    return read_jets(folder / "jets.root", dataset=DATASET, particles=SLOTS)


READERS = {
    "memory": in_memory,
    "hdf5": in_hdf5,
    "hdf5 arrays": in_hdf5_arrays,
    "hdf5 tables": in_hdf5_tables,
    "hdf5 lists": in_hdf5_lists,
    "npz": in_numpy,
    "parquet": in_parquet,
    "root tree": in_root_tree,
    "root ntuple": in_root_ntuple,
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

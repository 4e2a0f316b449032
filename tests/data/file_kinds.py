"""The same few jets in every kind of file that is read by arrays, for the contract of readers and for bad input."""

from __future__ import annotations

import dataclasses
import importlib

import h5py
import numpy as np

from hepjax import read_jets
from hepjax.choices import Role
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


def content(seed=0, count=COUNT, fewest=1):
    """Jets of few particles, by falling pT, with weights of both signs."""
    rng = np.random.default_rng(seed)
    pt = np.sort(rng.exponential(20, (count, SLOTS)).astype(np.float32), axis=1)[:, ::-1]
    mask = np.arange(SLOTS) < rng.integers(fewest, SLOTS + 1, count)[:, None]
    particles = np.stack([1.5 * pt, pt, rng.choice([-1, 0, 1], pt.shape)], axis=-1).astype(np.float32)
    return {
        "constituents": particles * mask[..., None],
        "mask": mask,
        "observables": rng.normal(size=(count, 2)).astype(np.float32),
        "labels": rng.integers(0, 3, count).astype(np.int32),
        "weights": rng.normal(size=count).astype(np.float32),
    }


def jet_columns(arrays):
    """Label columns are of three types, as those of JetClass are."""
    flags = [(arrays["labels"] == i).astype(kind) for i, kind in enumerate((np.float32, bool, np.int32))]
    columns = {name: arrays["observables"][:, i] for i, name in enumerate(OBSERVABLES)}
    return columns | dict(zip(LABELS, flags, strict=True)) | {"event_weight": arrays["weights"]}


def particle_columns(arrays):
    return {name: arrays["constituents"][..., i] for i, name in enumerate(PARTICLES)}


def hdf5_arrays(folder, particles, jets, mask):
    with h5py.File(folder / "jets.h5", "w") as file:
        for name, values in (particles | jets).items():
            options = {"chunks": (min(5, len(values)), *values.shape[1:]), "compression": "gzip"} if values.size else {}
            file.create_dataset(f"deep/{name}", data=values, fletcher32=bool(values.size), **options)
    return folder / "jets.h5"


def hdf5_tables(folder, particles, jets, mask):
    """As in flavor tagging: a table of jets, and one of their tracks."""
    with h5py.File(folder / "jets.h5", "w") as file:
        for name, columns in (("jets", jets), ("tracks", particles)):
            table = np.empty(next(iter(columns.values())).shape, [(key, x.dtype) for key, x in columns.items()])
            for key, values in columns.items():
                table[key] = values
            file[name] = table
    return folder / "jets.h5"


def hdf5_lists(folder, particles, jets, mask):
    """As in CMS open data of EnergyFlow: all particles in a row, and where those of each jet begin."""
    with h5py.File(folder / "jets.h5", "w") as file:
        file["pfcs"] = np.stack(list(particles.values()), axis=-1)[mask]
        file["pfcs"].attrs["cols"] = np.array(list(particles), "S")
        file["pfcs_index"] = np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.uint32)
        file["jets_f"] = np.stack(list(jets.values()), axis=1).astype(np.float64)
        file["jets_f"].attrs["cols"] = np.array(list(jets), "S")
    return folder / "jets.h5"


def npz(folder, particles, jets, mask):
    np.savez_compressed(folder / "jets.npz", X=np.stack(list(particles.values()), axis=-1), **jets)
    return folder / "jets.npz"


def is_padded(x):
    return isinstance(x, np.ndarray) and x.ndim == 2


def lists(particles, mask):
    awkward = importlib.import_module("awkward")
    return {name: awkward.unflatten(x[mask], mask.sum(1)) if is_padded(x) else x for name, x in particles.items()}


def parquet(folder, particles, jets, mask, group=5):
    writer, arrow = importlib.import_module("pyarrow.parquet"), importlib.import_module("pyarrow")
    columns = {
        name: arrow.array([row[held] for row, held in zip(x, mask, strict=True)]) if is_padded(x) else x
        for name, x in particles.items()
    }
    table = arrow.table(columns | jets)
    writer.write_table(table, folder / "jets.parquet", row_group_size=group, write_page_checksum=True)
    return folder / "jets.parquet"


def root_tree(folder, particles, jets, mask):
    """Two baskets, and another tree."""
    uproot = importlib.import_module("uproot")
    with uproot.recreate(folder / "jets.root") as file:
        columns = lists(particles, mask) | jets
        tree = file.mktree("tree", {name: getattr(x, "dtype", None) or x.type.content for name, x in columns.items()})
        for part in (slice(9), slice(9, None)):
            if len(columns["width"][part]):
                tree.extend({name: x[part] for name, x in columns.items()})
        file.mktree("other", {"x": "int64"}).extend({"x": np.arange(3)})
    return f"{folder}/jets.root:tree"


def root_ntuple(folder, particles, jets, mask):
    uproot = importlib.import_module("uproot")
    with uproot.recreate(folder / "jets.root") as file:
        file.mkrntuple("events", lists(particles, mask) | jets)
    return folder / "jets.root"


WRITERS = {
    "hdf5 arrays": hdf5_arrays,
    "hdf5 tables": hdf5_tables,
    "hdf5 lists": hdf5_lists,
    "npz": npz,
    "parquet": parquet,
    "root tree": root_tree,
    "root ntuple": root_ntuple,
}
"""Kind of file → a function: folder, (N, P) columns of particles, (N,) columns of jets, (N, P) mask → path."""
PADDED = ("hdf5 arrays", "hdf5 tables", "npz")
"""Kinds of file in which each jet has the same number of slots."""


def dataset_of(kind, dataset=DATASET):
    return dataclasses.replace(dataset, arrays={"X": PARTICLES}) if kind == "npz" else dataset


def write(kind, folder, arrays=None, particles=None, jets=None):
    """Writes `content`, with some of its columns replaced, or left out where they are None."""
    arrays = content() if arrays is None else arrays
    columns = [particle_columns(arrays) | (particles or {}), jet_columns(arrays) | (jets or {})]
    columns = [{name: x for name, x in each.items() if x is not None} for each in columns]
    return WRITERS[kind](folder, *columns, arrays["mask"])


def read(kind, path, dataset=DATASET):
    return read_jets(path, dataset=dataset_of(kind, dataset), particles=None if kind in PADDED else SLOTS)

"""Columns by expressions, and selections of jets: the same for every kind of file."""

from __future__ import annotations

import dataclasses
import itertools

import h5py
import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.choices import Role
from hepjax.data import chunk_starts, cut_flow, rows_of_files, with_columns
from hepjax.data.dataset_json import dataset_from_json, dataset_to_json
from hepjax.data.datasets import hls4ml
from hepjax.data.validation import check_jets
from hepjax.types import Dataset, Index, OneHot

COUNT, SLOTS = 50, 4
DATASET = Dataset(
    "toy",
    classes=("qcd", "top"),
    labels=OneHot(("is_qcd", "is_top")),
    weights="weight",
    roles={Role.PX: "px", Role.PY: "py", Role.PT: "pt", Role.JET_PT: "jet_pt"},
    units={"px": "MeV", "py": "MeV", "jet_pt": "MeV"},
    features=("jet_pt", "leading", "n_hard"),
    particle_features=("log_pt", "pt_frac"),
    derived={
        "pt_frac": "pt / jet_pt",  # before the column that it reads
        "pt": "np.hypot(px, py)",
        "log_pt": "log(pt)",
        "leading": "max(pt)",
        "n_hard": "sum(pt > 2)",
        "is_top": "truth == 6",
        "is_qcd": "1 - is_top",
        "weight": "w0 * w1",
    },
)


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, SLOTS + 1, COUNT)
    mask = np.arange(SLOTS) < counts[:, None]
    pt = np.sort(rng.exponential(3000, (COUNT, SLOTS)) + 10, 1)[:, ::-1]
    phi = rng.uniform(-3, 3, pt.shape)
    return {
        "px": np.where(mask, pt * np.cos(phi), 0).astype(np.float32),
        "py": np.where(mask, pt * np.sin(phi), 0).astype(np.float32),
        "jet_pt": (np.where(mask, pt, 0).sum(1) + 1000).astype(np.float32),
        "event": 2**40 + np.arange(COUNT),
        "truth": rng.choice([0, 6], COUNT),
        "w0": np.full(COUNT, 2.0),
        "w1": rng.normal(size=COUNT),
    }


def as_hdf5(path, values):
    """The older reader: one array of particles, one of jets, in chunks of 7; numbers of events are too long for it."""
    with h5py.File(path, "w") as file:
        particles = np.stack([values["px"], values["py"]], -1)
        file.create_dataset(hls4ml.CONSTITUENTS, data=particles, chunks=(7, SLOTS, 2))
        file[hls4ml.PARTICLE_NAMES] = np.array(["px", "py"], "S")
        names = ["jet_pt", "event", "truth", "w0", "w1"]
        jets = np.stack([values[name] for name in names], -1)
        file.create_dataset(hls4ml.JETS, data=jets.astype(np.float64), chunks=(7, len(names)))
        file[hls4ml.JET_NAMES] = np.array(names, "S")


def as_npz(path, values):
    np.savez(path, **values)


def as_parquet(path, values):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    lists = {name: [row[row != 0].tolist() for row in values[name]] for name in ("px", "py")}
    parquet.write_table(arrow.table({**values, **lists}), path, row_group_size=7)


KINDS = {"jets.h5": as_hdf5, "jets.npz": as_npz, "jets.parquet": as_parquet}


@pytest.fixture(params=KINDS)
def file(request, tmp_path):
    path = tmp_path / request.param
    KINDS[request.param](path, arrays())
    return path


def expected():
    values = {name: x.astype(np.float64) for name, x in arrays().items()}
    px, py, jet_pt = (values[name] / 1000 for name in ("px", "py", "jet_pt"))
    pt = np.hypot(px, py)
    return values | {"px": px, "py": py, "jet_pt": jet_pt, "pt": pt, "mask": pt > 0}


def column(jets, name):
    if name in jets.particle_names:
        return np.asarray(jets.constituents)[..., jets.particle_names.index(name)]
    return np.asarray(jets.observables)[:, jets.observable_names.index(name)]


def test_columns_of_particles_and_jets_labels_and_weights(file):
    jets, true = read_jets(file, dataset=DATASET, particles=SLOTS), expected()
    mask = true["mask"]
    np.testing.assert_array_equal(np.asarray(jets.mask), mask)
    for part in (jets, jets[:]):
        np.testing.assert_allclose(column(part, "pt"), true["pt"], rtol=1e-6)
        np.testing.assert_allclose(column(part, "pt_frac"), true["pt"] / true["jet_pt"][:, None], rtol=1e-6)
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(column(part, "log_pt"), np.where(mask, np.log(true["pt"]), 0), rtol=1e-5)
        np.testing.assert_allclose(column(part, "leading"), true["pt"].max(1), rtol=1e-6)
        np.testing.assert_array_equal(column(part, "n_hard"), (true["pt"] > 2).sum(1))
        np.testing.assert_array_equal(np.asarray(part.labels), true["truth"] == 6)
        np.testing.assert_allclose(np.asarray(part.weights), 2 * true["w1"], rtol=1e-6)
    assert jets.constituents.dtype == jets.observables.dtype == np.float32
    assert "truth" not in jets.observable_names  # it tells the labels
    assert jets.dataset.units["jet_pt"] == "GeV"
    rows = np.array([30, 2, 2, 17])
    np.testing.assert_array_equal(np.asarray(jets[rows].constituents), np.asarray(jets[:].constituents)[rows])


def test_narrow_jets_read_what_expressions_need(file):
    jets = read_jets(file, dataset=DATASET, particles=SLOTS)
    narrow = with_columns(jets, ["pt_frac"], ["leading"])
    assert narrow.observable_names == ("leading",)
    np.testing.assert_array_equal(column(narrow, "pt_frac"), column(jets, "pt_frac"))
    np.testing.assert_array_equal(column(narrow[:5], "leading"), column(jets, "leading")[:5])


def test_a_selection_leaves_jets_and_says_how_many(file, caplog):
    caplog.set_level("INFO", "hepjax")
    true, dataset = expected(), dataclasses.replace(DATASET, selection="n_hard >= 1")
    jets = read_jets(file, dataset=dataset, particles=SLOTS, where="jet_pt > 5 and (event % 2 == 0) & (truth > -1)")
    cuts = [true["pt"].max(1) > 2, true["jet_pt"] > 5, np.arange(COUNT) % 2 == 0, np.ones(COUNT, bool)]
    passed = np.logical_and.accumulate(cuts)
    flow = dict(
        zip(
            ["all", "n_hard >= 1", "jet_pt > 5", "event % 2 == 0", "truth > -1"],
            [COUNT, *passed.sum(1).tolist()],
            strict=True,
        )
    )
    if file.suffix == ".h5":  # rounds numbers of events to float64 and writes them as given: exact here too
        assert cut_flow(jets)["all"] == COUNT
    assert cut_flow(jets) == flow
    rows = np.flatnonzero(passed[-1])
    np.testing.assert_array_equal(rows_of_files(jets), rows)
    whole = read_jets(file, dataset=DATASET, particles=SLOTS)[rows]
    np.testing.assert_array_equal(np.asarray(jets.constituents), whole.constituents)
    np.testing.assert_array_equal(jets[:].labels, whole.labels)
    np.testing.assert_array_equal(jets[np.array([3, 0])].weights, whole.weights[[3, 0]])
    assert f"{COUNT} jets; n_hard >= 1: {flow['n_hard >= 1']}" in caplog.text


def test_chunks_of_selected_jets(file):
    whole = read_jets(file, dataset=DATASET, particles=SLOTS)
    jets = read_jets(file, dataset=DATASET, particles=SLOTS, where="(event % 2 == 0) or (event % 49 < 14)")
    rows, starts = rows_of_files(jets), chunk_starts(jets)
    edges = [*chunk_starts(whole).tolist(), COUNT]
    held = [rows[(low <= rows) & (rows < high)] for low, high in itertools.pairwise(edges)]
    parts = np.split(rows, starts[1:])
    assert [part.tolist() for part in parts] == [part.tolist() for part in held if len(part)]


def test_files_that_follow_each_other_keep_their_rows(file):
    jets = read_jets([file, file], dataset=DATASET, particles=SLOTS, where="truth == 6")
    once = read_jets(file, dataset=DATASET, particles=SLOTS, where="truth == 6")
    assert len(jets) == 2 * len(once)
    np.testing.assert_array_equal(np.asarray(jets.observables), np.tile(once.observables, (2, 1)))


def test_a_selection_may_leave_out_jets_whose_labels_or_columns_are_bad(file):
    bad = dataclasses.replace(DATASET, labels=Index("kind"), derived={**DATASET.derived, "kind": "truth - 5"})
    with pytest.raises(InputError, match="labels are not whole numbers from 0 to 1 in kind"):
        np.asarray(read_jets(file, dataset=bad).labels)
    few = read_jets(file, dataset=bad, where="truth == 6")
    assert set(few[:].labels.tolist()) == {1}
    logs = dataclasses.replace(DATASET, derived={**DATASET.derived, "log_truth": "log(truth)"})
    row = int(np.argmax(arrays()["truth"] == 0))
    with pytest.raises(InputError, match=rf"log_truth = log\(truth\) is NaN, infinite .* in row {row};"):
        np.asarray(read_jets(file, dataset=logs).observables)
    assert np.isfinite(np.asarray(read_jets(file, dataset=logs, where="truth == 6").observables)).all()


def test_no_jet_left_is_refused_with_the_numbers(file):
    with pytest.raises(InputError, match=r"leaves no jet: 50 jets; jet_pt > 0: 50; jet_pt < 0: 0; loosen it"):
        read_jets(file, dataset=DATASET, where="jet_pt > 0 and jet_pt < 0")


@pytest.mark.parametrize("derived", [{"is_top": "truth == 6", "is_qcd": "truth == 0"}, {"pt_frac": "px / jet_pt"}])
def test_what_is_read_for_expressions_alone_is_no_column_of_the_jets(file, derived):
    labels = {"classes": DATASET.classes, "labels": DATASET.labels} if "is_top" in derived else {}
    roles = {Role.PX: "px", Role.PY: "py"}
    jets = read_jets(file, dataset=Dataset("toy", roles=roles, derived=derived, weights="w0", **labels))
    narrow = with_columns(jets, ["pt_frac"], ["event"])
    for part in (jets, narrow):
        memory = part[:]
        check_jets(memory)
        assert memory.constituents.shape[-1] == len(part.particle_names)
        assert memory.observables.shape[-1] == len(part.observable_names)
        np.testing.assert_array_equal(memory.observables, np.asarray(part.observables))
        np.testing.assert_array_equal(memory.constituents, np.asarray(part.constituents))
    np.testing.assert_array_equal(column(narrow[:], "event"), arrays()["event"].astype(np.float32))


def test_a_cut_may_be_a_column_and_is_one_of_jets(file):
    assert len(read_jets(file, where="truth")) == (arrays()["truth"] != 0).sum()
    with pytest.raises(InputError, match=r"px > 1: has a value for each particle, .* write any\(…\) or all\(…\)"):
        read_jets(file, where="px > 1")


@pytest.mark.parametrize(
    "derived, message",
    [
        ({"a": "b + 1", "b": "a"}, "go round in a circle: a ← b ← a"),
        ({"a": "a * 2"}, "go round in a circle: a ← a"),
        ({"a": "jet_pz"}, "a = jet_pz: there is no column jet_pz; did you mean jet_pt"),
        ({"a": "sum(jet_pt)"}, "sum goes over particles"),
        ({"a": "open(1)"}, "'open(1)' is not allowed"),
        ({"a": 3}, "expected derived to map a column to a text"),
    ],
)
def test_expressions_that_cannot_be(tmp_path, derived, message):
    as_npz(tmp_path / "jets.npz", arrays())
    with pytest.raises(InputError) as error:
        read_jets(tmp_path / "jets.npz", dataset=Dataset("toy", roles={Role.PX: "px"}, derived=derived))
    assert message in str(error.value)


def test_columns_of_one_name_are_told_apart(tmp_path):
    values = arrays()
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        for name, columns in {"consts": ("px", "py"), "jets": ("jet_pt", "truth")}.items():
            kind = [("pt" if i == 0 else column, np.float32) for i, column in enumerate(columns)]
            table = np.zeros(values[columns[0]].shape, kind)
            for (title, _), column in zip(kind, columns, strict=True):
                table[title] = np.abs(values[column])
            file[name] = table
    with pytest.raises(InputError, match=r"write particles\.pt or jets\.pt"):
        read_jets(tmp_path / "jets.h5", where="pt > 1")
    jets = read_jets(tmp_path / "jets.h5", where="jets.pt > 6000 and max(particles.pt) > 1")
    assert len(jets) == (values["jet_pt"] > 6000).sum()


def test_labels_that_cannot_be_computed_are_left_out_where_none_are_needed(tmp_path):
    values = arrays()
    del values["truth"], values["w1"]
    as_npz(tmp_path / "jets.npz", values)
    with pytest.raises(InputError, match="there is no column truth"):
        read_jets(tmp_path / "jets.npz", dataset=DATASET)
    jets = read_jets(tmp_path / "jets.npz", dataset=DATASET, unlabeled=True)
    assert jets.labels is None
    assert jets.weights is None
    assert np.isfinite(jets[:].constituents).all()


def test_a_dataset_comes_back_from_json_and_a_written_file_needs_no_expressions(file, tmp_path):
    from hepjax.data.writing import write_jets

    dataset = dataclasses.replace(DATASET, selection="jet_pt > 5")
    assert dataset_from_json(dataset_to_json(dataset)) == dataset
    jets = read_jets(file, dataset=dataset, particles=SLOTS)
    write_jets(tmp_path / "again.h5", jets)
    again = read_jets(tmp_path / "again.h5")
    assert again.dataset.derived == {}
    np.testing.assert_array_equal(column(again, "pt_frac"), column(jets, "pt_frac"))
    assert len(again) == len(jets) < COUNT

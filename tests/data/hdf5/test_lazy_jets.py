"""What every reader promises, and what the HDF5 reader refuses."""

from __future__ import annotations

import multiprocessing
import operator
import pickle

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hepjax import InputError
from hepjax.data import read_header, read_jets, summarize
from hepjax.data import summary as summary_module
from hepjax.data.datasets import hls4ml

READERS = [read_jets]
E_COLUMN, PT_COLUMN = (hls4ml.PARTICLE_COLUMNS.index(name) for name in ("j1_e", "j1_pt"))


def raw(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


@pytest.fixture(params=READERS, ids=lambda reader: reader.__name__)
def reader(request):
    return request.param


@pytest.fixture
def opened(reader, jet_file):
    """The same jets on disk and in memory."""
    jets = reader(jet_file())
    return jets, jets[:]


class TestContract:
    """Every reader is tested by being listed in READERS."""

    def test_shapes_dtypes_and_values(self, reader, jet_file):
        path = jet_file()
        jets, file = reader(path), raw(path)
        assert len(jets) == 25
        assert (jets.particle_names, jets.observable_names) == (hls4ml.PARTICLE_COLUMNS, hls4ml.OBSERVABLE_COLUMNS)
        part = jets[:]
        np.testing.assert_array_equal(part.constituents, file[hls4ml.CONSTITUENTS])
        np.testing.assert_array_equal(part.mask, file[hls4ml.CONSTITUENTS][..., E_COLUMN] > 0)
        np.testing.assert_array_equal(part.observables, file[hls4ml.JETS][:, :53])
        np.testing.assert_array_equal(part.labels, np.arange(25) % 5)
        assert [a.dtype for a in (part.constituents, part.mask, part.observables, part.labels)] == [
            np.float32,
            bool,
            np.float32,
            np.int32,
        ]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
    @given(rows=st.one_of(st.slices(50), st.lists(st.integers(-50, 49)).map(lambda r: np.array(r, dtype=int))))
    def test_any_rows_of_many_files(self, reader, jet_file, rows):
        paths = [jet_file("a.h5", seed=1), jet_file("b.h5", count=15, seed=2), jet_file("c.h5", count=10, seed=3)]
        jets = reader(paths)
        whole, part = jets[:], jets[rows]
        for field in ("constituents", "mask", "observables", "labels"):
            np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[rows])
            np.testing.assert_array_equal(getattr(jets, field)[rows], getattr(part, field))

    def test_fields_are_arrays(self, reader, jet_file):
        jets = reader(jet_file())
        assert np.asarray(jets.observables).shape == jets.observables.shape == (25, 53)
        assert jets.constituents[3, 0].shape == (16,)
        np.testing.assert_array_equal(jets.constituents[2:4, :, 3], np.asarray(jets.constituents)[2:4, :, 3])

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
    @given(field=st.sampled_from(["constituents", "mask", "observables", "labels"]), data=st.data())
    def test_fields_index_as_numpy_does(self, opened, field, data):
        jets, whole = opened
        lazy, array = getattr(jets, field), getattr(whole, field)
        key = data.draw(
            st.one_of(
                hnp.basic_indices(array.shape, allow_newaxis=False),
                hnp.integer_array_indices(array.shape),
                hnp.arrays(bool, hnp.array_shapes(max_dims=array.ndim).map(lambda s: array.shape[: len(s)])),
            )
        )
        np.testing.assert_array_equal(lazy[key], array[key], strict=True)

    @pytest.mark.parametrize(
        "key",
        [
            ((0, 1), slice(None), (2, 3)),
            (slice(2, 9), slice(None), [2, 3]),
            (4, slice(None), [2, 3]),
            ([[0], [24]], [[2, 3]]),
            (np.arange(25) % 2 == 0, 1),
            (Ellipsis, [1, 5], 2),
            [],
            (np.array(3), 1),
            (),
        ],
    )
    def test_mixed_indices(self, opened, key):
        lazy, array = opened[0].constituents, opened[1].constituents
        np.testing.assert_array_equal(lazy[key], array[key], strict=True)

    def test_wrong_indices(self, opened):
        for key in (25, (0, 30), (0, 0, 0, 0), (Ellipsis, Ellipsis), np.ones(24, bool)):
            for part in opened:
                with pytest.raises(IndexError):
                    part.constituents[key]
        for key in (None, True, 1.5, "a"):
            with pytest.raises(TypeError, match="jets on disk"):
                opened[0].constituents[key]

    @pytest.mark.parametrize("rows", [3, np.int64(3), (1, 2), Ellipsis, None, [[0, 1]], np.zeros((2, 2), int)])
    def test_jets_take_rows_only(self, opened, rows):
        for part in opened:
            with pytest.raises(TypeError, match=r"slice or a one-dimensional array, such as jets\[3:4\]"):
                part[rows]

    def test_hardest_particles(self, reader, jet_file):
        path = jet_file()
        np.testing.assert_array_equal(reader(path, particles=5)[:].constituents, raw(path)[hls4ml.CONSTITUENTS][:, :5])

    def test_unsorted_particles_are_sorted(self, reader, jet_file, rng):
        path = jet_file()
        shuffled = raw(path)[hls4ml.CONSTITUENTS][:, rng.permutation(30)]
        other = jet_file("shuffled.h5", **{hls4ml.CONSTITUENTS: shuffled})
        np.testing.assert_array_equal(
            reader(other, particles=8)[:].constituents, reader(path, particles=8)[:].constituents
        )

    def test_columns_by_name(self, reader, jet_file, rng):
        path = jet_file()
        file, particle, jet = raw(path), rng.permutation(16), rng.permutation(59)
        other = jet_file(
            "permuted.h5",
            **{
                hls4ml.CONSTITUENTS: file[hls4ml.CONSTITUENTS][..., particle],
                hls4ml.PARTICLE_NAMES: file[hls4ml.PARTICLE_NAMES][:16][particle],
                hls4ml.JETS: file[hls4ml.JETS][:, jet],
                hls4ml.JET_NAMES: file[hls4ml.JET_NAMES][jet],
            },
        )
        a, b = reader(path)[:], reader(other)[:]
        for field in ("constituents", "mask", "observables", "labels"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))

    @pytest.mark.parametrize("slots", [30, 50, 100, 150])
    def test_lengths_types_and_images(self, reader, jet_file, slots):
        path = jet_file(slots=slots, count=3, jetImage=np.zeros((3, 100, 100), np.float32))
        double = jet_file(
            "double.h5", slots=slots, count=3, **{hls4ml.CONSTITUENTS: raw(path)[hls4ml.CONSTITUENTS].astype(float)}
        )
        np.testing.assert_array_equal(reader(path)[:].constituents, reader(double)[:].constituents)

    def test_without_labels(self, reader, jet_file):
        path = jet_file()
        file = raw(path)
        other = jet_file(
            "x.h5", **{hls4ml.JETS: file[hls4ml.JETS][:, :53], hls4ml.JET_NAMES: file[hls4ml.JET_NAMES][:53]}
        )
        assert reader(other).labels is None
        assert reader(other)[:3].labels is None

    def test_many_processes_share_one_object(self, reader, jet_file):
        jets = reader([jet_file("a.h5"), jet_file("b.h5", seed=5)])
        jets[:2]
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            parts = pool.starmap(operator.getitem, [(jets, slice(i, i + 20)) for i in range(4)])
        for i, part in enumerate(parts):
            np.testing.assert_array_equal(part.constituents, jets[i : i + 20].constituents)
        assert len(pickle.loads(pickle.dumps(jets))) == 50  # noqa: S301 — our own bytes


def test_embedded_sample_is_simulated_and_balanced():
    jets = read_jets()
    part = jets[:]
    assert len(jets) >= 5000
    assert part.constituents.shape[1:] == (30, 16)
    assert np.bincount(part.labels).min() >= 1000
    summary = summarize(jets.store.files[0].header.path)
    assert not summary.problems
    assert "simulat" in " ".join(summary.provenance.values()).lower()


def bad_labels(file, row, value):
    values = file[hls4ml.JETS].copy()
    values[row, -6:] = value
    return {hls4ml.JETS: values}


def spoil(file, row, value):
    values = file[hls4ml.CONSTITUENTS].copy()
    values[row, 0, 2:4] = value
    return {hls4ml.CONSTITUENTS: values}


REFUSED = {
    "no particles": (lambda f: {hls4ml.CONSTITUENTS: None}, ["jetConstituentList", "public jet layout"]),
    "no names": (lambda f: {hls4ml.JET_NAMES: None}, ["jetFeatureNames"]),
    "rank": (
        lambda f: {hls4ml.CONSTITUENTS: f[hls4ml.CONSTITUENTS][:, 0]},
        ["(25, 16)", "3 dimensions", "give a file"],
    ),
    "no particle columns": (lambda f: {hls4ml.CONSTITUENTS: f[hls4ml.CONSTITUENTS][..., :0]}, ["(25, 30, 0)", "give"]),
    "no particle slots": (lambda f: {hls4ml.CONSTITUENTS: f[hls4ml.CONSTITUENTS][:, :0]}, ["(25, 0, 16)", "give"]),
    "no jet columns": (lambda f: {hls4ml.JETS: f[hls4ml.JETS][:, :0]}, ["jets", "(25, 0)", "give"]),
    "no text": (
        lambda f: {hls4ml.JET_NAMES: np.array([b"j_\xff\n", *f[hls4ml.JET_NAMES][1:]])},
        ["names that are no text: j_\\xff\\n", "rename"],
    ),
    "numbers for names": (
        lambda f: {hls4ml.JET_NAMES: np.arange(59)},
        ["holds no names but int", "make the file again"],
    ),
    "type": (lambda f: {hls4ml.JETS: f[hls4ml.JETS].astype(int)}, ["jets", "int64"]),
    "an empty name": (
        lambda f: {hls4ml.JET_NAMES: np.array(["", *hls4ml.JET_COLUMNS[1:]], "S")},
        ["names that are no text: an empty one", "rename"],
    ),
    "one label column": (
        lambda f: {hls4ml.JET_NAMES: np.array([*hls4ml.JET_COLUMNS[:-1], "label_t"], "S")},
        ["label_t is the only column label_", "Index('label_t')"],
    ),
    "weights twice": (
        lambda f: {"weights": np.ones(25), hls4ml.JET_NAMES: np.array([*hls4ml.JET_COLUMNS[:-1], "weights"], "S")},
        ["both a jet column and a dataset called weights", "rename"],
    ),
    "a weight that is no number": (
        lambda f: {"weights": np.where(np.arange(25) == 3, np.nan, 1.0)},
        ["weights has 1 NaN", "row 3"],
    ),
    "twice": (
        lambda f: {hls4ml.JET_NAMES: np.array(["j_pt", *hls4ml.JET_COLUMNS[1:]], "S")},
        ["j_pt", "more than once"],
    ),
    "count of names": (lambda f: {hls4ml.JET_NAMES: np.array(hls4ml.JET_COLUMNS[1:], "S")}, ["58 names", "59 columns"]),
    "nan": (lambda f: spoil(f, 11, np.nan), ["jetConstituentList", "2 NaN", "row 11"]),
    "inf": (lambda f: spoil(f, 24, -np.inf), ["jetConstituentList", "2 NaN", "row 24"]),
    "too large": (
        lambda f: spoil({n: f[n].astype(float) for n in f if f[n].dtype.kind == "f"}, 11, -1e300),
        ["jetConstituentList", "2 NaN", "beyond float32 (±3.4e+38)", "row 11"],
    ),
    "no class": (lambda f: bad_labels(f, 3, 0), ["one-hot", "3"]),
    "two classes": (lambda f: bad_labels(f, [8, 20], [1, 1, 0, 0, 0, 0]), ["one-hot", ": 8;"]),
    "half a class": (lambda f: bad_labels(f, 3, [0.5, 0.5, 0, 0, 0, 0]), ["one-hot", "3"]),
    "undefined": (lambda f: bad_labels(f, 4, [0, 0, 0, 0, 0, 1]), ["j_undef = 1", "4"]),
    "undefined too": (lambda f: bad_labels(f, 4, [1, 0, 0, 0, 0, 1]), ["j_undef = 1", "4"]),
    "some labels": (
        lambda f: {hls4ml.JETS: f[hls4ml.JETS][:, :-2], hls4ml.JET_NAMES: f[hls4ml.JET_NAMES][:-2]},
        ["j_g, j_q, j_w, j_z", "lacks j_t", "give all label columns or none"],
    ),
    "rows": (lambda f: {hls4ml.JETS: f[hls4ml.JETS][:-1]}, ["25 rows", "24"]),
    "no jets": (lambda f: {n: f[n][:0] for n in (hls4ml.JETS, hls4ml.CONSTITUENTS)}, ["no jets"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_clear_line(jet_file, case):
    change, words = REFUSED[case]
    path = jet_file("bad.h5", **change(raw(jet_file())))
    with pytest.raises(InputError) as caught:
        read_jets(path)[:]
    message = str(caught.value)
    assert "\n" not in message
    for word in [str(path), *words]:
        assert word in message


def test_refused_files(jet_file, tmp_path):
    good = jet_file()
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "cut.h5").write_bytes(good.read_bytes()[:-3000])
    (tmp_path / "empty").mkdir()
    for path, word in (
        ("none.h5", "no such file"),
        ("text.h5", "not an HDF5"),
        ("cut.h5", "truncated"),
        ("empty", "folder"),
    ):
        with pytest.raises(InputError, match=word):
            read_jets(tmp_path / path)
    with pytest.raises(InputError, match="no file given"):
        read_jets([])


def test_damaged_chunk(jet_file):
    path = jet_file()
    with h5py.File(path) as file:
        chunk = file[hls4ml.CONSTITUENTS].id.get_chunk_info(1)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + 40] = bytes(40)
    path.write_bytes(data)
    read_jets(path)[:7]
    with pytest.raises(InputError, match="damaged"):
        read_jets(path)[:]


def flip(path, place, change):
    data = bytearray(path.read_bytes())
    data[place] ^= change
    (path.parent / "flipped.h5").write_bytes(data)
    return path.parent / "flipped.h5"


def test_flipped_bytes_are_refused_or_harmless(jet_file):
    """Outside the data itself: the superblock, headers, indices and names."""
    path, rng = jet_file(), np.random.default_rng(2)
    structure = np.ones(path.stat().st_size, bool)
    with h5py.File(path) as file:
        for dataset in (file[hls4ml.CONSTITUENTS].id, file[hls4ml.JETS].id):
            for chunk in map(dataset.get_chunk_info, range(dataset.get_num_chunks())):
                structure[chunk.byte_offset : chunk.byte_offset + chunk.size] = False
        structure &= np.frombuffer(path.read_bytes(), np.uint8) != 0  # most zeros are unused room
    refused = 0
    for place in rng.choice(np.flatnonzero(structure), 200).tolist():
        try:
            read_jets(flip(path, place, int(rng.integers(1, 256))))[:]
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("chunked", [True, False])
def test_a_shape_without_data_is_refused_before_memory_is_set_aside(jet_file, tmp_path, chunked):
    file, path = raw(jet_file()), tmp_path / "bomb.h5"
    with h5py.File(path, "w") as bomb:
        for name, data in file.items():
            if data.ndim == 1:
                bomb[name] = data
            else:
                bomb.create_dataset(name, (2**40, *data.shape[1:]), np.float32, chunks=data.shape if chunked else None)
    with pytest.raises(InputError, match=r"damaged; the file holds 0 of .*fetch or make it again"):
        read_jets(path)


def test_files_that_differ(jet_file):
    path, longer = jet_file(), jet_file("longer.h5", slots=50)
    file = raw(path)
    fewer = {name: file[name][..., 1:] for name in (hls4ml.JETS, hls4ml.JET_NAMES)}
    with pytest.raises(InputError, match=r"j_ptfrac; read these files apart"):
        read_jets([path, jet_file("fewer.h5", **fewer)])
    for both in ([path, longer], [longer, path]):
        with pytest.raises(InputError, match=r"keeps (30|50) particles per jet but .*; give particles=30"):
            read_jets(both)
    with pytest.raises(InputError, match=r"asked for particles=0; give 1 to 30"):
        read_jets(path, particles=0)
    with pytest.raises(InputError, match="asked for particles=50"):
        read_jets([longer, path], particles=50)
    assert read_jets([path, longer], particles=30)[:].constituents.shape == (50, 30, 16)


def test_summary(jet_file):
    path = jet_file(jetImage=np.zeros((25, 100, 100), np.float32))
    summary, jets = summarize(path), read_jets(path)[:]
    assert (summary.jets, summary.slots, summary.images) == (25, 30, ("jetImage",))
    assert summary.classes == dict.fromkeys(hls4ml.CLASSES, 5)
    pt = jets.constituents[..., PT_COLUMN][jets.mask]
    np.testing.assert_allclose(summary.ranges["j1_pt"], [pt.min(), pt.mean(), pt.max()], rtol=1e-6)
    assert not summary.problems
    bad = jet_file("bad.h5", **spoil(raw(path), 11, np.nan))
    assert "row 11" in " ".join(summarize(bad).problems)


def test_summary_of_a_file_with_a_bad_block(jet_file, monkeypatch):
    monkeypatch.setattr(summary_module, "_ROWS", 10)
    path = jet_file()
    kept = read_jets(path)[np.r_[:10, 20:25]]
    bad = summarize(jet_file("bad.h5", **spoil(raw(path), [11, 14], np.nan)))
    assert bad.mean_particles == kept.mask.sum() / 15
    (problem,) = bad.problems
    assert "row 11" in problem
    assert "10 of 25 jets" in problem
    assert bad.classes == dict.fromkeys(hls4ml.CLASSES, 3)
    lost = summarize(jet_file("lost.h5", **spoil(raw(path), [1, 11, 21], np.nan)))
    assert "25 of 25 jets" in " ".join(lost.problems)
    assert np.isnan(lost.mean_particles)


def test_unchunked_dataset(tmp_path, jet_file):
    file = raw(jet_file())
    with h5py.File(tmp_path / "plain.h5", "w") as plain:
        for name, data in file.items():
            plain[name] = data
    assert read_header(tmp_path / "plain.h5").jets == 25
    np.testing.assert_array_equal(read_jets(tmp_path / "plain.h5")[3:9].observables, file[hls4ml.JETS][3:9, :53])

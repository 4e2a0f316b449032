"""Chunks decoded in threads are what h5py would have read, and what h5py would have refused is refused."""

from __future__ import annotations

import ctypes
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from hepjax import InputError, read_jets
from hepjax.data.datasets import hls4ml
from hepjax.data.hdf5 import blocks
from hepjax.data.hdf5.chunks import make_chunk_reader

FIELDS = ("constituents", "mask", "observables", "labels")
TYPES = ["<f4", ">f4", "<f8", ">f8", "<f2", ">f2"]
OURS = {
    "none": {},
    "shuffle": {"shuffle": True},
    "gzip": {"compression": "gzip", "compression_opts": 1},
    "shuffle, gzip": {"compression": "gzip", "shuffle": True},
}
"""What is decoded here."""
THEIRS = {
    "lzf": {"compression": "lzf"},
    "shuffle, lzf": {"compression": "lzf", "shuffle": True},
    "fletcher32": {"fletcher32": True},
    "gzip, fletcher32": {"compression": "gzip", "fletcher32": True},
    "scale-offset": {"scaleoffset": 3},
    "scale-offset, gzip": {"scaleoffset": 3, "compression": "gzip"},
}
"""What is left to h5py."""


def memory_file():
    return h5py.File("memory", "w", driver="core", backing_store=False)


def numbers(shape, dtype="<f4", seed=0):
    return np.random.default_rng(seed).normal(size=shape).round(1).astype(dtype)


@pytest.fixture
def no_h5py(monkeypatch):
    """Tells whether h5py has read rows."""
    read, getitem = [], h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key: read.append(key) or getitem(self, key))
    return read


class TestMakeRead:
    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize("filters", [*OURS, *THEIRS])
    def test_every_filter_and_type(self, filters, dtype, no_h5py):
        options, rows = {**OURS, **THEIRS}[filters], ((0, 7), (8, 13), (21, 25), (24, 25))
        if "scale" in filters and dtype[1:] == "f2":
            return  # h5py does not write these
        with memory_file() as file:
            data = file.create_dataset("x", data=numbers((25, 6, 3), dtype), chunks=(7, 6, 3), **options)
            read = make_chunk_reader(data)
            parts = [read(first, last) for first, last in rows]
            # The last chunk is not full, and may be plain in spite of the filter.
            assert no_h5py == [
                slice(first, last) for first, last in rows if filters in THEIRS or (filters == "shuffle" and first > 20)
            ]
            for part, (first, last) in zip(parts, rows, strict=True):
                np.testing.assert_array_equal(part, data[first:last], strict=True)

    @pytest.mark.parametrize("order", ["deflate shuffle", "deflate deflate", "shuffle shuffle deflate"])
    def test_unusual_orders_of_filters(self, order):
        with memory_file() as file:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((4, 3))
            for name in order.split():
                plist.set_deflate(3) if name == "deflate" else plist.set_shuffle()
            space = h5py.h5s.create_simple((10, 3))
            data = h5py.Dataset(h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, plist))
            data[...] = numbers((10, 3))
            np.testing.assert_array_equal(make_chunk_reader(data)(4, 8), numbers((10, 3))[4:8], strict=True)

    @pytest.mark.parametrize("filters", ["shuffle", "deflate", "shuffle deflate"])
    def test_a_last_chunk_without_filters(self, tmp_path, filters):
        """HDF5 writes it so on request, and notes no filter mask."""
        hdf5 = ctypes.CDLL(h5py.h5p.__file__)  # h5py has no name for what is asked
        hdf5.H5Pset_chunk_opts.argtypes = [ctypes.c_int64, ctypes.c_uint]
        with h5py.File(tmp_path / "x.h5", "w", libver="latest") as file:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((4, 3))
            for name in filters.split():
                plist.set_deflate(3) if name == "deflate" else plist.set_shuffle()
            assert hdf5.H5Pset_chunk_opts(plist.id, 2) == 0
            space = h5py.h5s.create_simple((10, 3))
            h5py.Dataset(h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, plist))[...] = numbers((10, 3))
        with h5py.File(tmp_path / "x.h5") as file:
            for first in (0, 4, 8):
                last = min(first + 4, 10)
                np.testing.assert_array_equal(make_chunk_reader(file["x"])(first, last), numbers((10, 3))[first:last])

    def test_types_that_numpy_does_not_have(self):
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_fields(31, 23, 8, 0, 23)
        kind.set_ebias(100)
        with memory_file() as file:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk((4, 3))
            plist.set_deflate(1)
            space = h5py.h5s.create_simple((10, 3))
            data = h5py.Dataset(h5py.h5d.create(file.id, b"x", kind, space, plist))
            data[...] = numbers((10, 3))
            np.testing.assert_array_equal(make_chunk_reader(data)(4, 8), data[4:8], strict=True)
            np.testing.assert_array_equal(data[4:8], numbers((10, 3))[4:8])

    @pytest.mark.parametrize("dtype", [np.longdouble, "u1"])
    def test_other_widths(self, dtype):
        with memory_file() as file:
            data = file.create_dataset("x", data=numbers((9, 3), dtype), chunks=(4, 3), shuffle=True)
            np.testing.assert_array_equal(make_chunk_reader(data)(4, 8), data[4:8], strict=True)

    def test_contiguous_and_virtual(self, tmp_path):
        with h5py.File(tmp_path / "plain.h5", "w") as file:
            file["x"] = numbers((10, 3))
        layout = h5py.VirtualLayout((10, 3), "<f4")
        layout[:] = h5py.VirtualSource(tmp_path / "plain.h5", "x", (10, 3))
        with h5py.File(tmp_path / "all.h5", "w") as file:
            file["plain"] = numbers((10, 3))
            file.create_virtual_dataset("virtual", layout)
            for name in file:
                np.testing.assert_array_equal(make_chunk_reader(file[name])(2, 9), numbers((10, 3))[2:9], strict=True)

    def test_grown_and_shrunk(self):
        with memory_file() as file:
            data = file.create_dataset("x", (5, 3), "<f4", chunks=(4, 8), maxshape=(None, 8), compression="gzip")
            data[...] = numbers((5, 3))
            np.testing.assert_array_equal(make_chunk_reader(data)(0, 4), data[:4])
            data.resize((10, 8))
            data[...] = numbers((10, 8))
            np.testing.assert_array_equal(make_chunk_reader(data)(8, 10), data[8:10])
            data.resize((9, 8))
            np.testing.assert_array_equal(make_chunk_reader(data)(8, 9), data[8:9])

    @pytest.mark.parametrize("skipped", [0b00, 0b01, 0b10, 0b11])
    def test_filters_that_a_chunk_skips(self, tmp_path, skipped, no_h5py):
        values = numbers((8, 3))
        raw = values[4:].tobytes()
        raw = raw if skipped & 1 else np.frombuffer(raw, np.uint8).reshape(-1, 4).T.tobytes()
        raw = raw if skipped & 2 else zlib.compress(raw)
        with h5py.File(tmp_path / "x.h5", "w") as file:
            data = file.create_dataset("x", data=values, chunks=(4, 3), shuffle=True, compression="gzip")
            data.id.write_direct_chunk((4, 0), raw, skipped)
        with h5py.File(tmp_path / "x.h5") as file:  # the file that writes remembers an older mask
            found = make_chunk_reader(file["x"])(4, 8)
            assert not no_h5py
            np.testing.assert_array_equal(found, values[4:], strict=True)
            np.testing.assert_array_equal(found, file["x"][4:8], strict=True)


@st.composite
def storage(draw):
    """How two datasets are stored: in chunks of any shape, whole rows more often than not."""

    def chunk(shape):
        inner = draw(st.one_of(st.just(shape[1:]), st.tuples(*(st.integers(1, n) for n in shape[1:]))))
        return (draw(st.integers(1, shape[0])), *inner)

    count, slots = draw(st.integers(1, 30)), draw(st.integers(2, 6))
    options = draw(st.sampled_from([*OURS.values(), THEIRS["lzf"], THEIRS["fletcher32"]]))
    dtype = draw(st.sampled_from(TYPES))
    return count, slots, chunk((count, slots, 16)), chunk((count, 59)), options, dtype


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(how=storage(), data=st.data())
def test_any_chunks_and_rows(jet_file, monkeypatch, use_cores, how, data):
    count, slots, *chunks, options, dtype = how
    path = jet_file(count=count, slots=slots)
    with h5py.File(path, "a", libver=data.draw(st.sampled_from(["earliest", "latest"]))) as file:
        values = []
        for name, chunk in zip((hls4ml.CONSTITUENTS, hls4ml.JETS), chunks, strict=True):
            values.append(file[name][()].astype(dtype))
            del file[name]
            file.create_dataset(name, data=values[-1], chunks=chunk, **options)
    rows = data.draw(
        st.one_of(
            st.slices(2 * count), st.lists(st.integers(-2 * count, 2 * count - 1)).map(lambda r: np.array(r, int))
        )
    )
    use_cores(data.draw(st.integers(1, 4)))
    monkeypatch.setattr(blocks, "_TASK_ROWS", data.draw(st.integers(1, 10)))
    particles, table = (np.concatenate([v, v]).astype(np.float32)[rows] for v in values)
    part = read_jets([path, path])[rows]
    np.testing.assert_array_equal(part.constituents, particles, strict=True)
    np.testing.assert_array_equal(part.mask, particles[..., hls4ml.PARTICLE_COLUMNS.index("j1_e")] > 0)
    np.testing.assert_array_equal(part.observables, table[:, :53], strict=True)
    np.testing.assert_array_equal(part.labels, table[:, 53:58].argmax(1).astype(np.int32), strict=True)


@pytest.mark.parametrize("filters", [*OURS, "lzf", "fletcher32"])
def test_unsorted_particles_are_sorted(jet_file, stored, rng, filters):
    path = jet_file()
    with h5py.File(path, "a") as file:
        before = file[hls4ml.CONSTITUENTS][()]
        file[hls4ml.CONSTITUENTS][...] = before[:, rng.permutation(30)]
    path = stored(path, **{**OURS, **THEIRS}[filters])
    np.testing.assert_array_equal(read_jets(path, particles=8)[3:20].constituents, before[3:20, :8])


GOOD = np.zeros((7, 30, 16), np.float32).tobytes()
DAMAGED = {
    "garbage": (b"\x00garbage" * 20, 0),
    "cut": (zlib.compress(GOOD)[:-5], 0),
    "wrong checksum": (zlib.compress(GOOD)[:-1] + b"\xff", 0),
    "too long": (zlib.compress(GOOD + b"1234"), 0),
    "much too long": (zlib.compress(GOOD * 100), 0),
    "too short": (zlib.compress(GOOD[:-4]), 0),
    "ends within a number": (zlib.compress(GOOD[:-3]), 0),
    "short without gzip": (GOOD[:-4], 0b11),
    "not compressed": (GOOD, 0),
}


@pytest.mark.parametrize("filters", ["gzip", "shuffle, gzip"])
@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_chunk_is_refused_in_one_line(jet_file, stored, case, filters):
    path = stored(jet_file(), **OURS[filters])
    with h5py.File(path, "a") as file:
        file[hls4ml.CONSTITUENTS].id.write_direct_chunk((7, 0, 0), *DAMAGED[case])
    jets = read_jets(path)
    assert len(jets[:7]) == 7
    for rows in (slice(None), slice(13, 14), np.array([20, 10])):
        with pytest.raises(InputError, match=r"jets.h5: damaged; fetch or make it again") as caught:
            jets[rows]
        assert "\n" not in str(caught.value)


def test_any_flipped_byte_of_a_compressed_chunk_is_refused(jet_file):
    path, rng = jet_file(), np.random.default_rng(0)
    with h5py.File(path) as file:
        chunk = file[hls4ml.JETS].id.get_chunk_info(2)
    good = path.read_bytes()
    for place in rng.integers(chunk.byte_offset + 2, chunk.byte_offset + chunk.size, 100).tolist():
        data = bytearray(good)
        data[place] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged"):
            read_jets(path)[:]


@pytest.mark.parametrize("error", [MemoryError, OverflowError])
def test_a_chunk_that_claims_too_much(jet_file, monkeypatch, error):
    class Stream:
        def decompress(self, *_, **__):
            raise error("no room")

    jets = read_jets(jet_file())
    monkeypatch.setattr(isal_zlib, "decompressobj", Stream)
    with pytest.raises(InputError, match=r"damaged.*no room"):
        jets[:3]

"""How rows are read: those asked for only, by several threads, in little memory."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import tracemalloc

import h5py
import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.data import chunk_starts
from hepjax.data.datasets import hls4ml
from hepjax.data.hdf5 import blocks, chunks
from hepjax.data.threads import reader_cores, run_in_threads

FIELDS = ("constituents", "mask", "observables", "labels")


class TestLazy:
    def test_opening_reads_headers_only(self, jet_file, monkeypatch):
        path = jet_file()
        read = []
        getitem = h5py.Dataset.__getitem__
        monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key: read.append(self.name) or getitem(self, key))
        read_jets([path] * 100)
        assert set(read) == {f"/{hls4ml.PARTICLE_NAMES}", f"/{hls4ml.JET_NAMES}"}

    def test_a_slice_reads_its_chunks_only(self, jet_file, monkeypatch):
        path = jet_file()  # chunks of 7
        jets, read, decompress = read_jets(path), [], chunks._inflate_chunk
        with h5py.File(path) as file:
            expected = [
                file[name].id.read_direct_chunk((row, *[0] * (file[name].ndim - 1)))[1]
                for name in (hls4ml.CONSTITUENTS, hls4ml.JETS)
                for row in (0, 7)
            ]
        monkeypatch.setattr(chunks, "_inflate_chunk", lambda data, size: read.append(data) or decompress(data, size))
        jets[5:9]
        assert sorted(read) == sorted(expected)

    def test_a_slice_reads_its_rows_only_where_h5py_reads(self, jet_file, monkeypatch, stored):
        jets, read = read_jets(stored(jet_file(), compression="lzf")), []
        getitem = h5py.Dataset.__getitem__
        monkeypatch.setattr(
            h5py.Dataset,
            "__getitem__",
            lambda self, key: read.append((self.name, key.start, key.stop)) or getitem(self, key),
        )
        jets[5:9]
        rows = ((5, 7), (7, 9))
        assert sorted(read) == sorted(
            (f"/{name}", *part) for name in (hls4ml.CONSTITUENTS, hls4ml.JETS) for part in rows
        )

    @pytest.mark.parametrize("cores", [1, 2])
    def test_memory_is_the_slice_and_two_chunks_a_thread(self, jet_file, cores, use_cores):
        use_cores(cores)
        jets = read_jets(jet_file(count=4000, slots=100, chunk=200))
        jets[:1]
        tracemalloc.start()
        part = jets[:3500]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        size = sum(getattr(part, f).nbytes for f in ("constituents", "mask", "observables", "labels"))
        chunk = 200 * 100 * 16 * 4  # as it is in the file, where random numbers hardly shrink, and decompressed
        assert peak < size + 2 * cores * chunk + 2**20  # a quarter MiB for names and indices


class TestThreads:
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_several_are_used_and_none_is_left(self, jet_file, monkeypatch, shuffle, use_cores, stored):
        jets, decompress = read_jets(stored(jet_file(), compression="gzip", shuffle=shuffle)), chunks._inflate_chunk
        expected, before = jets[:], set(threading.enumerate())
        both, seen = threading.Barrier(2, timeout=30), set()

        def meet(*args, **kwargs):
            both.wait()  # two chunks are decompressed at the same time, or this breaks
            seen.add(threading.get_ident())
            return decompress(*args, **kwargs)

        use_cores(2)
        monkeypatch.setattr(blocks, "_TASK_ROWS", 1)
        monkeypatch.setattr(chunks, "_inflate_chunk", meet)
        found = jets[:]
        assert len(seen) == 2
        assert threading.get_ident() not in seen
        assert set(threading.enumerate()) <= before
        assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == 0
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), strict=True)

    def test_chunks_of_different_files_are_read_at_the_same_time(self, jet_file, monkeypatch, use_cores):
        jets, decompress = read_jets([jet_file("a.h5"), jet_file("b.h5")]), chunks._inflate_chunk
        both = threading.Barrier(2, timeout=30)
        use_cores(2)
        monkeypatch.setattr(chunks, "_inflate_chunk", lambda *a, **k: (both.wait() and None) or decompress(*a, **k))
        assert jets.constituents[np.array([0, 25])].shape == (2, 30, 16)

    def test_one_core_needs_none(self, jet_file, monkeypatch, use_cores):
        jets, seen, decompress = read_jets(jet_file()), set(), chunks._inflate_chunk

        def watched(*given, **options):
            seen.add(threading.get_ident())
            return decompress(*given, **options)

        use_cores(1)
        monkeypatch.setattr(chunks, "_inflate_chunk", watched)
        jets[:]
        assert seen == {threading.get_ident()}

    def test_the_result_does_not_depend_on_their_number(self, jet_file, monkeypatch, rng, use_cores):
        monkeypatch.setattr(blocks, "_TASK_ROWS", 1)
        jets = read_jets([jet_file("a.h5"), jet_file("b.h5", count=90, seed=1)])
        rows = rng.permutation(len(jets))
        parts = []
        for count in (1, 2, 7, 64):
            use_cores(count)
            parts.append(jets[rows])
        for part in parts[1:]:
            for field in FIELDS:
                np.testing.assert_array_equal(getattr(part, field), getattr(parts[0], field), strict=True)

    def test_nor_does_the_error(self, jet_file, monkeypatch, use_cores):
        """Chunks are damaged in different ways; the first in the file is told of."""
        monkeypatch.setattr(blocks, "_TASK_ROWS", 1)
        path = jet_file(count=70)
        with h5py.File(path, "a") as file:
            values = file[hls4ml.CONSTITUENTS][14:21]
            values[3, 0, 0] = np.nan
            file[hls4ml.CONSTITUENTS][14:21] = values
            file[hls4ml.JETS][5, -6:] = 0
            for row in range(21, 70, 7):
                file[hls4ml.CONSTITUENTS].id.write_direct_chunk((row, 0, 0), b"short")
        jets = read_jets(path)
        for count in (1, 2, 7):
            use_cores(count)
            with pytest.raises(InputError, match="damaged"):
                jets[21:]
        # A scan for the other bad numbers meets the damage; without it they are counted.
        whole = jet_file("whole.h5", count=70)
        with h5py.File(whole, "a") as file:
            file[hls4ml.CONSTITUENTS][14:21] = values
            file[hls4ml.JETS][5, -6:] = 0
        for count in (1, 2, 7):
            use_cores(count)
            with pytest.raises(InputError, match=r"has 1 NaN .* the first in row 17"):
                read_jets(whole)[:]

    @pytest.mark.parametrize("count", [1, 3])
    def test_an_error_ends_the_rest(self, count, use_cores):
        use_cores(count)
        done = []

        def task(number):
            if number == 2:
                raise InputError("two")
            time.sleep(0.01)
            done.append(number)

        with pytest.raises(InputError, match="two"):
            run_in_threads([lambda number=number: task(number) for number in range(200)])
        assert len(done) < 100

    @pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs a signal to one thread")
    def test_an_interrupt_ends_it(self, use_cores):
        use_cores(2)
        done, before = [], set(threading.enumerate())

        def task(number):
            if number == 3:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.01)
            done.append(number)

        gc.collect()
        gc.disable()  # Python loses an interrupt that meets the collector
        try:
            with pytest.raises(KeyboardInterrupt):
                run_in_threads([lambda number=number: task(number) for number in range(200)])
        finally:
            gc.enable()
        assert len(done) < 100
        assert set(threading.enumerate()) <= before

    def test_cores(self, monkeypatch, use_cores):
        use_cores(5)
        assert reader_cores() == 5
        monkeypatch.delattr(os, "sched_getaffinity")
        assert reader_cores() == (os.cpu_count() or 1)


class TestChunkStarts:
    def test_of_many_files(self, jet_file):
        jets = read_jets([jet_file("a.h5"), jet_file("b.h5", count=10, chunk=5), jet_file("c.h5", count=3, chunk=9)])
        starts = chunk_starts(jets)
        assert starts.tolist() == [0, 7, 14, 21, 25, 30, 35]
        assert starts.dtype.kind == "i"

    def test_they_are_those_of_the_particles(self, jet_file):
        path = jet_file()
        with h5py.File(path, "a") as file:
            values = file[hls4ml.JETS][()]
            del file[hls4ml.JETS]
            file.create_dataset(hls4ml.JETS, data=values, chunks=(2, 59))
        assert chunk_starts(read_jets(path)).tolist() == [0, 7, 14, 21]

    def test_in_memory_and_without_chunks(self, jet_file, stored):
        path = jet_file(count=2300, slots=2)
        assert chunk_starts(read_jets(path)[:]).tolist() == [0, 1000, 2000]
        assert chunk_starts(read_jets(path)[:0]).tolist() == []
        assert chunk_starts(read_jets(stored(path, chunks=None))).tolist() == [0, 1000, 2000]

    def test_a_chunk_is_decompressed_once(self, jet_file, monkeypatch):
        """Whole chunks in any order, the rows mixed: as much work as reading in a line."""
        jets, decompress, calls = read_jets(jet_file(count=70)), chunks._inflate_chunk, []
        groups = np.split(np.arange(70), chunk_starts(jets)[1:])
        rng = np.random.default_rng(0)
        rng.shuffle(groups)
        monkeypatch.setattr(chunks, "_inflate_chunk", lambda data, size: calls.append(data) or decompress(data, size))
        for first in range(0, 10, 5):
            jets.constituents[rng.permutation(np.concatenate(groups[first : first + 5]))]
        assert len(calls) == 10

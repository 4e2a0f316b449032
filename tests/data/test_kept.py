"""A pass over a file decodes each part once, and what is kept for that is bounded."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import pathlib
import pickle
import sys
import threading

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import file_kinds

from hepjax.data import inflate, npz, parquet, root
from hepjax.data.kept import Kept

JETS = 3000


def columns(kind, folder):
    """A file in few large pieces, the reader of its arrays, the names of two arrays, and their values."""
    arrays = file_kinds.content(count=JETS)
    particles, jets = file_kinds.particle_columns(arrays), file_kinds.jet_columns(arrays)
    if kind == "npz":
        path = file_kinds.npz(folder, particles, jets, arrays["mask"])
        return path, npz._read, {"X": arrays["constituents"], "mass": jets["mass"]}
    if kind == "root":
        path = file_kinds.root_tree(folder, particles, jets, arrays["mask"])
        return path, root._read, {"pT": particles["pT"][arrays["mask"]], "mass": jets["mass"]}
    path = file_kinds.parquet(folder, particles, jets, arrays["mask"], group=1000)
    return path, parquet._read, {"pT": particles["pT"][arrays["mask"]], "mass": jets["mass"]}


@pytest.fixture
def decoded(monkeypatch):
    """Counts: bytes of NumPy archives, rows of Parquet files and of ROOT files that are decoded."""
    counts = {"npz": 0, "parquet": 0, "root": 0}
    inflated, values, lock = inflate.inflate, root._values, threading.Lock()

    def count(kind, size):
        with lock:
            counts[kind] += size

    def counted_inflate(*arguments):
        piece, offset = inflated(*arguments)
        count("npz", len(piece))
        return piece, offset

    def counted_values(array):
        count("root", len(array))
        return values(array)

    arrow = pytest.importorskip("pyarrow.parquet")
    group, batches = arrow.ParquetFile.read_row_group, arrow.ParquetFile.iter_batches

    def counted_group(self, *arguments, **options):
        table = group(self, *arguments, **options)
        count("parquet", len(table) * table.num_columns)
        return table

    def counted_batches(self, *arguments, **options):
        for batch in batches(self, *arguments, **options):
            count("parquet", len(batch) * batch.num_columns)
            yield batch

    monkeypatch.setattr(inflate, "inflate", counted_inflate)
    monkeypatch.setattr(root, "_values", counted_values)
    monkeypatch.setattr(arrow.ParquetFile, "read_row_group", counted_group)
    monkeypatch.setattr(arrow.ParquetFile, "iter_batches", counted_batches)
    return counts


def read_in_slices(path, read, names, kept, size):
    """All rows of arrays, joined."""
    parts = [
        read(pathlib.Path(path), names, start, min(start + size, JETS), kept=kept) for start in range(0, JETS, size)
    ]
    return {name: np.concatenate([getattr(part[name], "values", part[name]) for part in parts]) for name in names}


@pytest.mark.parametrize("most", [2**28, 20_000, 1000])
@pytest.mark.parametrize("kind", ["npz", "parquet", "root"])
def test_a_pass_decodes_everything_once(tmp_path, decoded, kind, most, monkeypatch):
    monkeypatch.setattr(parquet, "_PART", 2**12)
    monkeypatch.setattr(inflate, "_APART", 2**14)
    path, read, values = columns(kind, tmp_path)
    kept = Kept(most)
    found = read_in_slices(path, read, list(values), kept, 170)
    for name, expected in values.items():
        np.testing.assert_array_equal(found[name], expected)
    if kind == "npz":
        assert sum(x.nbytes for x in values.values()) <= decoded[kind] <= sum(x.nbytes + 1000 for x in values.values())
    elif kind == "parquet" or most == 2**28:
        assert decoded[kind] == 2 * JETS
    # Another order costs a part of the file for each read, not all that lies before.
    before = decoded[kind]
    last = read(pathlib.Path(path), list(values), JETS - 10, JETS, kept=kept)
    np.testing.assert_array_equal(last["mass"], values["mass"][-10:])
    assert decoded[kind] - before <= (2**14 * 2 if kind == "npz" else 2 * JETS)
    kept.close()


def test_threads_decode_a_part_once(decoded, tmp_path):
    path, read, _ = columns("parquet", tmp_path)
    kept, results = Kept(), []
    rows = [(start, start + 100) for start in range(0, 1000, 100)]
    threads = [
        threading.Thread(
            target=lambda first, last: results.append(read(path, ["mass"], first, last, kept=kept)), args=pair
        )
        for pair in rows
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 10
    assert decoded["parquet"] == 1000
    kept.close()


def test_the_end_of_an_archive_tells_its_checksum(tmp_path):
    path, read, _ = columns("npz", tmp_path)
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\1\2")  # the directory, where the checksums stand
    content[place + 16] ^= 1
    path.write_bytes(content)
    kept = Kept()
    with pytest.raises(ValueError, match="damaged"):
        read_in_slices(path, read, ["X"], kept, 1000)


def test_what_is_kept_is_bounded():
    kept, made = Kept(100), []

    def decode(name, size=40):
        return kept.decoded(pathlib.Path("no-file"), name, lambda: made.append(name) or name, lambda _: size)

    for name in "aabab":
        decode(name)
    assert made == ["a", "b"]
    decode("c")  # a goes, b and c stay
    decode("b")
    assert made == ["a", "b", "c"]
    decode("a")
    assert made == ["a", "b", "c", "a"]
    decode("huge", 1000)
    decode("huge", 1000)
    assert made[-2:] == ["huge", "huge"]


def test_a_failure_is_not_kept():
    kept = Kept()

    def fail():
        raise OSError("no")

    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            kept.decoded(pathlib.Path("no-file"), "a", fail, len)
    assert kept.decoded(pathlib.Path("no-file"), "a", lambda: "yes", len) == "yes"


def test_files_stay_open_until_they_change_or_are_too_many(tmp_path):
    log, kept = [], Kept()

    @contextlib.contextmanager
    def opens(path):
        log.append(f"open {path.name}")
        yield path
        log.append(f"close {path.name}")

    files = [tmp_path / str(number) for number in range(18)]
    for file in files:
        file.write_bytes(b"x")
        for _ in range(2):
            with kept.opened(file, lambda file=file: opens(file)):
                pass
    assert [line for line in log if line.startswith("open")] == [f"open {n}" for n in range(18)]
    assert [line for line in log if line.startswith("close")] == ["close 0", "close 1"]
    files[-1].write_bytes(b"xy")
    os.utime(files[-1], (1, 1))
    with kept.opened(files[-1], lambda: opens(files[-1])):
        pass
    assert log.count("open 17") == 2
    assert isinstance(pickle.loads(pickle.dumps(kept)), Kept)  # noqa: S301 — our own bytes
    with pytest.raises(KeyError), kept.opened(files[-1], lambda: opens(files[-1])):
        raise KeyError
    with kept.opened(files[-1], lambda: opens(files[-1])):
        pass
    assert log.count("open 17") == 3
    kept.close()


def test_what_a_reader_has_open_is_closed_when_it_goes(tmp_path):
    source = io.BytesIO(b"jets")
    kept = Kept()
    with kept.opened(tmp_path, lambda: contextlib.closing(source)):
        pass
    assert not source.closed
    kept.itself = kept  # collected with all that it holds, in any order
    del kept
    gc.collect()
    assert source.closed

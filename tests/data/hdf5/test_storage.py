"""A file may only hold its own data, in pieces that memory holds; what is elsewhere, or too large, is named."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.data import list_files, stores, summarize
from hepjax.data.datasets import hls4ml
from hepjax.data.hdf5 import storage

C, J, CN, JN = hls4ml.CONSTITUENTS, hls4ml.JETS, hls4ml.PARTICLE_NAMES, hls4ml.JET_NAMES
SHAPE = (25, 30, 16)


@pytest.fixture
def good(jet_file):
    return jet_file("good.h5")


@pytest.fixture
def particles(good):
    with h5py.File(good) as file:
        return file[C][()]


@pytest.fixture
def change(jet_file):
    """A function that replaces a dataset of a new file: `change(lambda file, name: …)`."""

    def changed(make, name=C, file="changed.h5"):
        path = jet_file(file)
        with h5py.File(path, "a") as opened:
            del opened[name]
            make(opened, name)
        return path

    return changed


def virtual(source, inside=C, shape=SHAPE, rows=25, whole=25):
    def make(file, name):
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:rows] = h5py.VirtualSource(source, inside, (whole, *shape[1:]))[:rows]
        file.create_virtual_dataset(name, layout)

    return make


def external(source, size=h5py.h5f.UNLIMITED, shape=SHAPE):
    return lambda file, name: file.create_dataset(name, shape, "f4", external=[(source, 0, size)])


def link(target):
    return lambda file, name: file.__setitem__(name, target)


def make_targets(folder, good, particles):
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "raw").write_bytes(particles.tobytes())
    (folder / "short").write_bytes(particles.tobytes()[:-1])
    (folder / "folder").mkdir()
    outside = folder / "outside"
    outside.mkdir()
    shutil.copy(good, outside / "good.h5")
    shutil.copy(folder / "raw", outside / "raw")
    inner = folder / "inner"
    inner.mkdir()
    (inner / "leak.h5").symlink_to(outside / "good.h5")
    return inner


WAYS = {"virtual": virtual, "external": external, "link": lambda source: link(h5py.ExternalLink(source, C))}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize(
    "source, words",
    [
        ("gone", "gone: no such file"),
        ("pipe", "pipe: a pipe, not a file"),
        ("loop", r"loop: cannot be found \(Too many levels of symbolic links\)"),
        ("folder", "folder: a folder, not a file"),
        ("/dev/zero", "/dev/zero: a device, not a file"),
    ],
)
def test_a_source_that_is_no_file_is_named(  # noqa: PLR0917
    change, good, particles, tmp_path, way, allow, source, words
):
    make_targets(tmp_path, good, particles)
    path = change(WAYS[way](source))
    with pytest.raises(InputError, match=rf"changed.h5: {C} is stored in another file, {words}; put that file"):
        read_jets(path, allow_external=allow)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("absolute", [False, True])
def test_a_source_outside_is_refused_unless_allowed(change, good, particles, tmp_path, monkeypatch, way, absolute):
    inner = make_targets(tmp_path, good, particles)
    name = "raw" if way == "external" else "good.h5"
    path = change(WAYS[way](str(tmp_path / "outside" / name) if absolute else f"../outside/{name}"))
    path = path.rename(inner / "changed.h5")
    with pytest.raises(InputError, match=r"outside its folder; copy the data .* --allow-external") as caught:
        read_jets(path)
    assert f"outside/{name}" in str(caught.value)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(read_jets(path, allow_external=True)[:].constituents, particles)


def test_a_link_of_the_file_system_leads_outside_too(change, good, particles, tmp_path):
    inner = make_targets(tmp_path, good, particles)
    path = change(virtual("leak.h5")).rename(inner / "changed.h5")
    with pytest.raises(InputError, match=r"another file, leak.h5, outside its folder"):
        read_jets(path)


@pytest.mark.parametrize("way", WAYS)
def test_a_source_beside_the_file_is_read_wherever_one_is(change, good, particles, tmp_path, monkeypatch, way):
    make_targets(tmp_path, good, particles)
    path = change(WAYS[way]("raw" if way == "external" else "good.h5"))
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(read_jets(path)[:].constituents, particles)
    assert summarize(path).jets == 25


REFUSED = {
    "itself": (virtual("."), "is made of itself"),
    "itself by name": (virtual("changed.h5"), "is made of itself"),
    "a link to itself": (link(h5py.ExternalLink("changed.h5", C)), "is made of itself"),
    "no such dataset": (virtual("good.h5", "nothing"), "is made of nothing in .*good.h5, which has no such dataset"),
    "a link to nothing": (link(h5py.ExternalLink("good.h5", "nothing")), "link to nothing in .*good.h5"),
    "a part": (virtual("good.h5", rows=10), r"holds 4800 of 12000 values"),
    "more than there is": (virtual("good.h5", shape=(50, 30, 16), rows=50, whole=50), "another part of"),
    "too short": (external("short"), r"hold 47999 of its 48000 bytes"),
    "declared too short": (external("short", 48000), r"hold 47999 of its 48000 bytes"),
    "declared too long": (external("raw", shape=(10**9, 30, 16)), "hold 48000 of its 1920000000000 bytes"),
    "a soft link to itself": (link(h5py.SoftLink(C)), f"has no dataset {C}"),
    "a soft link to nothing": (link(h5py.SoftLink("/a/b")), f"has no dataset {C}"),
    "a group": (lambda file, name: file.create_group(name), f"has no dataset {C}"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_data_that_is_not_there_is_refused(change, good, particles, tmp_path, case):
    make, words = REFUSED[case]
    make_targets(tmp_path, good, particles)
    with pytest.raises(InputError, match=words) as caught:
        read_jets(change(make))[:]
    assert "changed.h5: " in str(caught.value)
    assert str(caught.value).isprintable()


def test_links_within_the_file_are_followed(change, particles):
    path = change(link(h5py.SoftLink("/a/./b")))
    with h5py.File(path, "a") as file:
        file["a/b"] = h5py.SoftLink("../c")
        file["a/../c"] = h5py.SoftLink("/d")
    with h5py.File(path, "a") as file:
        file["d"] = particles
        del file["a/b"]
        file["a/b"] = h5py.SoftLink("/d")
    np.testing.assert_array_equal(read_jets(path)[:].constituents, particles)


def test_a_way_out_through_a_soft_link_is_seen(change, good, particles, tmp_path):
    make_targets(tmp_path, good, particles)
    path = change(link(h5py.SoftLink("/a/b")))
    with h5py.File(path, "a") as file:
        file["a/b"] = h5py.ExternalLink("pipe", "x")
    with pytest.raises(InputError, match="pipe: a pipe, not a file"):
        read_jets(path)


def test_a_source_that_lacks_chunks_is_noticed(change, good):
    with h5py.File(good, "a") as file:
        file.create_dataset("holes", SHAPE, "f4", chunks=(5, 30, 16))[:10] = 1
    with pytest.raises(InputError, match=r"good.h5: damaged; the file holds 2 of 5 chunks of holes"):
        read_jets(change(virtual("good.h5", "holes")))


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "loop", "device", "long name"])
def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path, monkeypatch, kind):
    path = tmp_path / "x.h5"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # the names of sockets are short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("x.h5")
    elif kind == "folder":
        path = tmp_path / "in" / "x.h5"
        path.mkdir(parents=True)
        path = path.parent
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "device":
        path = pathlib.Path("/dev/zero")
    else:
        path = tmp_path / ("x" * 300)
    with pytest.raises(InputError, match=r"a pipe|a socket|a folder|Too many levels|a device|too long"):
        read_jets(path)


BYTES = zlib.compress(bytes(2**24))


def chunked(shape, dtype, chunks, data=BYTES):
    def make(file, name):
        made = file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip")
        if data:
            for offset in np.ndindex(*(-(-n // size) for n, size in zip(shape, chunks, strict=True))):
                made.id.write_direct_chunk(tuple(np.multiply(offset, chunks)), data)

    return make


@pytest.mark.parametrize(
    "name, make, words",
    [
        (CN, chunked((10**9,), "S10", (10**6,), None), "1000000000 names of 10 bytes for the 16 columns"),
        (CN, chunked((17,), "S100000000", (1,), None), "17 names of 100000000 bytes"),
        (CN, chunked((17,), "S900", (1,), None), "holds 0 of 17 chunks of particleFeatureNames"),
        (C, chunked((10**9, 30, 16), "f4", (10**5, 30, 16), None), "holds 0 of 10000 chunks"),
        (C, chunked((1, 10**6, 300), "f4", (1, 10**6, 300)), "a chunk of .* unpacks to 1.1 GiB"),
        (C, chunked((1, 10**6, 300), "f4", (1, 10**6, 30)), "a row of .* unpacks to 1.1 GiB"),
        (J, chunked((25, 10**5), "f4", (25, 10**5)), "jets has 100000 columns, more than 10000"),
        (C, chunked(SHAPE, "f4", (5, 30, 16)), "damaged.* larger than its dataset says"),
    ],
)
def test_what_no_memory_holds_is_refused(change, name, make, words):
    with pytest.raises(InputError, match=words):
        read_jets(change(make, name))[:]


@pytest.mark.parametrize("filters", [{}, {"fletcher32": True}, {"shuffle": True}])
def test_a_bomb_that_hdf5_would_unpack_is_seen(change, monkeypatch, filters):
    monkeypatch.setattr("hepjax.data.hdf5.chunks.LARGEST", 2**22)

    def make(file, name):
        made = file.create_dataset(name, SHAPE, "f4", chunks=(25, 30, 8), compression="gzip", **filters)
        for place in (0, 8):
            made.id.write_direct_chunk((0, 0, place), BYTES)

    with pytest.raises(InputError, match=r"damaged.* larger than its dataset says"):
        read_jets(change(make))[:]


def test_large_chunks_are_read_few_at_a_time(jet_file, monkeypatch, use_cores):
    monkeypatch.setattr("hepjax.data.hdf5.blocks.LARGEST", 7 * 30 * 16 * 4)
    monkeypatch.setattr("hepjax.data.hdf5.blocks._TASK_ROWS", 1)
    use_cores(4)
    at_once, most, plain = [], [], storage.open_dataset

    def watched(file, name):
        at_once.append(name) if name == C else None
        most.append(len(at_once))
        return plain(file, name)

    from hepjax.data.hdf5 import blocks

    read = blocks._read_rows_of_chunk

    def done(name, *given):
        values = read(name, *given)
        at_once.remove(C) if name == C else None
        return values

    monkeypatch.setattr(blocks, "open_dataset", watched)
    monkeypatch.setattr(blocks, "_read_rows_of_chunk", done)
    assert len(read_jets(jet_file(count=70))[:]) == 70
    assert max(most) == 1


def test_more_jets_than_memory_holds(jet_file, monkeypatch):
    monkeypatch.setattr(stores, "physical_memory", lambda: 20_000.0)
    jets = read_jets(jet_file())
    assert len(jets[:5]) == 5
    with pytest.raises(InputError, match=r"25 jets take 0.0 GB, more than the memory of this machine; read fewer"):
        jets[:]


def test_a_summary_unpacks_each_chunk_once(jet_file, monkeypatch):
    from hepjax.data.hdf5 import chunks

    path, unpacked, plain = jet_file(count=12_000, slots=2, chunk=12_000), [], chunks._inflate_chunk
    monkeypatch.setattr(chunks, "_inflate_chunk", lambda data, size: unpacked.append(size) or plain(data, size))
    assert summarize(path).jets == 12_000
    assert sorted(unpacked) == [12_000 * 2 * 16 * 4, 12_000 * 59 * 4]


def test_a_filter_that_h5py_has_not_got_is_named(change, monkeypatch):
    def make(file, name):
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk((5, 30, 16))
        created.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple(SHAPE)
        made = h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F32LE, space, created)
        for row in range(0, 25, 5):
            made.write_direct_chunk((row, 0, 0), b"packed")

    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    storage._has_plugins.cache_clear()
    with pytest.raises(
        InputError,
        match=rf"{C} is compressed by zstd \(HDF5 filter 32015\), which h5py lacks; pip install hdf5plugin",
    ):
        read_jets(change(make))
    storage._has_plugins.cache_clear()


def test_the_file_by_blosc():
    case = pathlib.Path(__file__).parents[4] / "shared" / "cases" / "f_blosc.h5"
    if not case.exists():
        pytest.skip("the cases are not beside the checkout")
    with pytest.raises(InputError, match=r"compressed by blosc \(HDF5 filter 32001\).*pip install hdf5plugin"):
        read_jets(case)


class TestGoodThoughUnusual:
    def test_floats_of_24_bits(self, change, particles):
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_fields(23, 15, 8, 0, 15)
        kind.set_size(3)
        kind.set_ebias(127)

        def make(file, name):
            space = h5py.h5s.create_simple(SHAPE)
            h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space))[...] = particles

        np.testing.assert_allclose(read_jets(change(make))[:].constituents, particles, rtol=2**-15)

    def test_names_filled_up_with_blanks(self, change):
        names = np.array([name.ljust(40) for name in hls4ml.JET_COLUMNS], "S")
        jets = read_jets(change(lambda file, name: file.__setitem__(name, names), JN))
        assert jets.observable_names == hls4ml.OBSERVABLE_COLUMNS
        assert jets.classes == hls4ml.CLASSES

    def test_names_that_are_the_text_of_bytes(self, change):
        names = np.array([str(name.encode()) for name in hls4ml.JET_COLUMNS], "S")  # b'j_pt', as Python 3 shows it
        jets = read_jets(change(lambda file, name: file.__setitem__(name, names), JN))
        assert jets.observable_names == hls4ml.OBSERVABLE_COLUMNS
        assert jets.classes == hls4ml.CLASSES

    @pytest.mark.parametrize("columns", [[0], slice(None), [5, 9]])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_padding_that_is_no_number(self, change, particles, columns, value):
        if value == np.inf and columns == slice(None):
            return  # an infinite energy is none of padding
        spoilt = particles.copy()
        energy = hls4ml.PARTICLE_COLUMNS.index("j1_e")
        padding = np.argwhere(particles[..., energy] == 0)
        for jet, place in padding:
            spoilt[jet, place, columns] = value
        jets = read_jets(change(lambda file, name: file.create_dataset(name, data=spoilt, chunks=(7, 30, 16))))
        np.testing.assert_array_equal(jets[:].constituents, particles)
        np.testing.assert_array_equal(jets[:].mask, particles[..., energy] > 0)

    def test_a_particle_that_is_no_number_is_none_of_padding(self, change, particles):
        spoilt = particles.copy()
        spoilt[:, -1] = np.nan
        spoilt[4, 1, 3] = np.nan
        with pytest.raises(InputError, match=rf"{C} has 1 NaN .* the first in row 4, column j1_e"):
            read_jets(change(lambda file, name: file.__setitem__(name, spoilt)))[:]

    @pytest.mark.parametrize("value, accepted", [(0.9999, True), (1.0004, True), (0.99, False), (0.9, False)])
    def test_labels_that_were_rounded(self, change, good_labels, value, accepted):
        values = good_labels.copy()
        values[:, -6:] *= np.float32(value)
        jets = read_jets(change(lambda file, name: file.__setitem__(name, values), J))
        if accepted:
            np.testing.assert_array_equal(jets[:].labels, np.arange(25) % 5)
        else:
            with pytest.raises(
                InputError, match=rf": 0, 1, 2, 3, 4, …; the first has {value}, 0, .*; correct the labels"
            ):
                jets[:]

    @pytest.fixture
    def good_labels(self, good):
        with h5py.File(good) as file:
            return file[J][()]


def test_a_file_that_is_being_written(tmp_path, jet_file):
    path = jet_file()
    code = "import h5py, sys\nfile = h5py.File(sys.argv[1], 'a')\nprint('open', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline().strip() == b"open"
        with pytest.raises(InputError, match=r"jets.h5: is open elsewhere, where it is written; wait until"):
            read_jets(path)
        writer.stdin.close()
    assert len(read_jets(path)) == 25


def test_folders_without_what_a_mac_leaves(tmp_path, jet_file):
    for end in ("h5", "hdf5", "hdf", "H5"):
        jet_file(f"b.{end}")
    (tmp_path / "._b.h5").write_bytes(b"\x00\x05\x16\x07")
    assert [path.name for path in list_files(tmp_path)] == ["b.H5", "b.h5", "b.hdf", "b.hdf5"]
    assert len(read_jets(tmp_path)) == 100


def test_attributes_are_texts(jet_file):
    path = jet_file()
    with h5py.File(path, "r+") as file:
        file.attrs["classes"], file.attrs["seed"], file.attrs["by"] = np.array(["g", "q"], "S"), 3, "b'me'"
        file.attrs["many"] = np.arange(100)
    found = summarize(path).provenance
    assert (found["classes"], found["seed"], found["by"]) == ("g, q", "3", "me")
    assert found["many"].endswith("18, 19, …")

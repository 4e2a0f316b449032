"""Files of other machines read as those of this one, by a server of this machine."""

from __future__ import annotations

import pathlib
import pickle
import sys

import h5py
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import file_kinds
from file_server import serving

from hepjax import read_jets
from hepjax.choices import Role
from hepjax.cli import parsing
from hepjax.data import remote, with_columns
from hepjax.data.containers import split_tree
from hepjax.data.readers import container_of_file, list_files
from hepjax.data.remote import RemotePath, path_of
from hepjax.errors import InputError
from hepjax.inputs.open_files import check_files_differ
from hepjax.types import Dataset

COLUMNS = ("part_pt", *(f"part_x{i}" for i in range(20)))
PLAIN = Dataset("plain", particle_columns=COLUMNS, roles={Role.PT: "part_pt"})
FIELDS = ("constituents", "mask", "observables", "labels", "weights")


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_DELAYS", (0.0, 0.0))
    with serving(tmp_path) as server:
        yield server


def address_of(server, path):
    """The address of a file that `file_kinds` wrote; a tree stands before the query."""
    file, tree = split_tree(pathlib.Path(path))
    return server.address(f"{file.name}{f':{tree}' if tree else ''}", "?download=1&token=a:b")


@pytest.mark.parametrize("kind", file_kinds.WRITERS)
def test_any_kind_reads_as_from_this_machine(server, tmp_path, kind):
    path = file_kinds.write(kind, tmp_path)
    local, far = file_kinds.read(kind, path), file_kinds.read(kind, address_of(server, path))
    assert server.sent > 0
    assert far.dataset == local.dataset
    copy = pickle.loads(pickle.dumps(far))  # noqa: S301 — our own bytes
    (whole, part), (local_whole, local_part) = ((jets[:], again[2:9]) for jets, again in ((far, copy), (local, local)))
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(whole, field), getattr(local_whole, field), strict=True)
        np.testing.assert_array_equal(getattr(part, field), getattr(local_part, field), strict=True)


def test_the_public_layout_too(server, tmp_path):
    sample = list_files(None)[0]
    (tmp_path / "jets.h5").write_bytes(sample.read_bytes())
    jets, far = read_jets(sample), read_jets(server.address("jets.h5"))
    for field in ("constituents", "observables", "labels"):
        np.testing.assert_array_equal(getattr(far[1500:2500], field), getattr(jets[1500:2500], field), strict=True)


def large_file(kind, folder, jets=4000):
    """A column of particles, and twenty others of noise; the file is megabytes large."""
    random = np.random.default_rng(0)
    counts = np.full(jets, 10)
    columns = {name: random.exponential(size=(jets, 10)).astype(np.float32) for name in COLUMNS}
    if kind == "hdf5":
        with h5py.File(folder / "large.h5", "w") as file:
            for name, values in columns.items():
                file.create_dataset(name, data=values, chunks=(1000, 10), compression="gzip")
        return folder / "large.h5"
    awkward = pytest.importorskip("awkward")
    if kind == "root":
        uproot = pytest.importorskip("uproot")
        with uproot.recreate(folder / "large.root") as file:
            file["tree"] = {name: awkward.unflatten(x.ravel(), counts) for name, x in columns.items()}
        return folder / "large.root"
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({name: list(x) for name, x in columns.items()}), folder / "large.parquet")
    return folder / "large.parquet"


@pytest.mark.parametrize("kind", ["hdf5", "parquet", "root"])
def test_only_what_is_needed_is_fetched(server, tmp_path, kind):
    path = large_file(kind, tmp_path)
    jets = read_jets(server.address(path.name), dataset=PLAIN, particles=10)
    before = server.sent
    narrow = with_columns(jets, ["part_x3", "part_pt"], [])
    assert narrow.dataset.particle_columns == ("part_pt", "part_x3")
    np.asarray(narrow.constituents)
    assert 0 < server.sent - before < 0.4 * path.stat().st_size


def test_what_fails_once_is_tried_again(server, tmp_path):
    path = file_kinds.write("hdf5 arrays", tmp_path)
    server.faults = [503, "cut"]
    jets = file_kinds.read("hdf5 arrays", server.address(path.name))
    assert not server.faults
    np.testing.assert_array_equal(np.asarray(jets.mask), file_kinds.content()["mask"])


@pytest.mark.parametrize("kind", ["hdf5 arrays", "npz", "parquet", "root tree"])
@pytest.mark.parametrize(
    "fault, words",
    [
        (404, "the server answers 404 .*look at the address"),
        (403, "the server answers 403; look at the address"),
        (503, "the server answers 503; try again later"),
        ("cut", "the connection failed .*; try again later"),
        ("whole", "as a whole only, not in pieces"),
    ],
)
def test_what_fails_for_good_is_one_clear_line(server, tmp_path, kind, fault, words):
    path = file_kinds.write(kind, tmp_path, file_kinds.content(count=4000))
    address = address_of(server, path)
    if fault == "whole":
        server.in_pieces = False
    else:
        server.faults = [fault] * 20
    with pytest.raises(InputError, match=words) as error:
        np.asarray(file_kinds.read(kind, address).mask)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(server.address(pathlib.Path(str(path).partition(":")[0]).name))


def test_no_such_file_and_no_server(server, tmp_path):
    with pytest.raises(InputError, match=r"none.h5: the server answers 404 \(no such file\)"):
        read_jets(server.address("none.h5"))
    with pytest.raises(InputError, match="the connection failed"):
        read_jets("http://127.0.0.1:1/jets.h5")


def test_no_jets_behind_an_address(server, tmp_path):
    for end, kind in (("h5", "HDF5"), ("npz", "NumPy"), ("parquet", "Parquet"), ("root", "ROOT")):
        (tmp_path / f"x.{end}").write_bytes(b"<html>Please log in</html>" * 100)
        with pytest.raises(InputError, match=kind):
            read_jets(server.address(f"x.{end}"))


def test_data_of_further_files_is_not_followed(server, tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.zeros((5, 3))
    path = file_kinds.write("hdf5 arrays", tmp_path)
    with h5py.File(path, "a") as file:
        file["far"] = h5py.ExternalLink(str(secret), "x")
    for external in (False, True):
        with pytest.raises(InputError, match="not followed from an address"):
            read_jets(server.address(path.name), dataset=file_kinds.DATASET, allow_external=external)


@pytest.mark.parametrize(
    "text, file, tree",
    [
        ("https://h:8/a.root:dir/t?x=b:c", "https://h:8/a.root?x=b:c", "dir/t"),
        ("https://h/a.root?x=y.root:t", "https://h/a.root?x=y.root:t", None),
        ("https://my.root:80/jets.parquet", "https://my.root:80/jets.parquet", None),
        ("root://h:1094//store/a.root:Events", "root://h:1094//store/a.root", "Events"),
        ("s3://bucket/a.npz:train", "s3://bucket/a.npz", "train"),
    ],
)
def test_trees_ports_and_queries(text, file, tree):
    found, inside = split_tree(path_of(text))
    assert (str(found), inside, isinstance(found, RemotePath)) == (file, tree, True)
    expected = "ROOT" if ".root" in text.partition("?")[0].rpartition("/")[2] else None
    assert expected is None or container_of_file(path_of(text)).name == expected


def test_an_address_stays_what_it_is():
    text = "root://host//store//a.root?x=1"
    path = path_of(text)
    assert [str(p) for p in (path, path.resolve(), pickle.loads(pickle.dumps(path)), path_of(path))] == [text] * 4  # noqa: S301
    assert (path.name, path.stem, path.suffix) == ("a.root", "a", ".root")
    assert parsing.parse(["train", "--data", text, "--val", "b.h5"]).data == (path,)
    assert not (path / "experiment.json").exists()
    with pytest.raises(InputError, match="is there twice"):
        check_files_differ({"data": [path, path_of(text)]})


@pytest.mark.parametrize(
    "text, words",
    [
        ("simplecache::file:///etc/passwd", "chain"),
        ("https://h/a.zip::file:///etc/passwd", "chain"),
        ("file://other/etc/passwd", "file:///PATH"),
        ("reference://x.h5", "no other machine"),
        ("memory://x.h5", "no other machine"),
        ("nonsense://x.h5", "no protocol nonsense"),
        ("s3://bucket/x.h5", "pip install s3fs"),
        ("root://host//x.root", "pip install fsspec-xrootd"),
    ],
)
def test_addresses_that_are_refused(text, words):
    with pytest.raises(InputError, match=words):
        read_jets(text)


def test_a_file_of_this_machine_by_its_address():
    sample = list_files(None)[0]
    assert len(read_jets(f"file://{sample}")) == len(read_jets(sample))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    with pytest.raises(InputError, match=r"pip install 'hepjax\[remote\]'"):
        read_jets("https://127.0.0.1:1/jets.h5")

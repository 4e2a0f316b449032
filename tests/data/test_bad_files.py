"""Bad files of every kind that is read by arrays: one clear line, which names the file, the rows and the columns."""

from __future__ import annotations

import collections
import io
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile
import zlib

import h5py
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import file_kinds
import hostile
from file_kinds import CLASSES, COUNT, LABELS, OBSERVABLES, PADDED, PARTICLES, SLOTS, WRITERS, content

from hepjax import InputError, read_jets
from hepjax.data import parquet, root, summarize, with_columns
from hepjax.data.containers import split_tree
from hepjax.types import Dataset

HDF5 = ("hdf5 arrays", "hdf5 tables", "hdf5 lists")
LISTS = tuple(kind for kind in WRITERS if kind not in PADDED)
WORDS = {**dict.fromkeys(HDF5, "HDF5"), "npz": "NumPy archive", "parquet": "Parquet"} | dict.fromkeys(
    ("root tree", "root ntuple"), "ROOT"
)

kinds = pytest.mark.parametrize("kind", WRITERS)


@pytest.fixture(autouse=True)
def _extras(request):
    for module in ("uproot", "pyarrow") if "kind" in request.fixturenames else ():
        pytest.importorskip(module)


@pytest.fixture
def good(kind, tmp_path):
    """A good file, without its tree, and the tree with its colon."""
    path, tree = split_tree(pathlib.Path(file_kinds.write(kind, tmp_path)))
    return path, f":{tree}" if tree else ""


def refusal(action, *words):
    """The message of an error, which is one line and holds the words."""
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    for word in words:
        assert word in message, message
    return message


@kinds
class TestWhatIsNoSuchFile:
    def test_missing(self, kind, good):
        path, tree = good
        path.unlink()
        refusal(lambda: read_jets(f"{path}{tree}"), str(path), "no such file")

    @pytest.mark.parametrize("words", [b"", b"pt,eta,phi\n1,2,3\n" * 300])
    def test_empty_or_a_text(self, kind, good, words):
        path, tree = good
        path.write_bytes(words)
        refusal(lambda: read_jets(f"{path}{tree}"), str(path), WORDS[kind])

    def test_a_pipe_is_not_waited_for(self, kind, good):
        path, tree = good
        path.unlink()
        os.mkfifo(path)
        refusal(lambda: read_jets(f"{path}{tree}"), str(path), "a pipe, not a file")

    def test_a_device(self, kind, good):
        path, tree = good
        path.unlink()
        path.symlink_to("/dev/zero")
        refusal(lambda: read_jets(f"{path}{tree}"), str(path), "a device, not a file")

    def test_another_kind_of_file(self, kind, good):
        path, tree = good
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "no jets")
        refusal(lambda: read_jets(f"{path}{tree}"), str(path))

    def test_cut_anywhere(self, kind, good):
        path, tree = good
        data = path.read_bytes()
        for share in np.linspace(0.02, 0.98, 17):
            path.write_bytes(data[: int(share * len(data))])
            refusal(lambda: file_kinds.read(kind, f"{path}{tree}")[:], str(path))


def test_flipped_bytes():
    """HDF5 itself may loop for ever over damaged texts of any length, so that names here have a fixed one."""
    for module in ("uproot", "pyarrow"):
        pytest.importorskip(module)
    found = hostile.run(pathlib.Path(__file__).with_name("hostile_containers.py"), seed=0, count=1400)
    counts = collections.Counter(outcome for _, outcome, _ in found)
    assert not [case for case in found if case[1] not in hostile.GOOD]
    assert min(counts["read"], counts["refused"]) > 200


@pytest.mark.parametrize("kind", ["hdf5 arrays", "npz", "parquet"])
def test_values_that_have_a_checksum_are_never_read_wrong(kind, good, tmp_path):
    """A bit of the data changes: of 60 places in the largest run of bytes behind the header."""
    path, tree = good
    data, expected = path.read_bytes(), content()["constituents"]
    refused = 0
    for place in np.linspace(len(data) // 8, len(data) // 2, 60).astype(int):
        path.write_bytes(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])
        try:
            found = np.asarray(file_kinds.read(kind, f"{path}{tree}")[:].constituents)
        except InputError:
            refused += 1
        else:
            np.testing.assert_array_equal(found, expected)
    assert refused > 10


class TestTypes:
    @pytest.mark.parametrize("kind", [k for k in WRITERS if k not in ("hdf5 lists", "npz", "root tree")])
    def test_text(self, kind, tmp_path):
        words = np.array(["a", "b"] * 11 + ["c"])
        if kind in HDF5:
            words = words.astype("S")
        path = file_kinds.write(kind, tmp_path, jets={"mass": words})
        refusal(lambda: file_kinds.read(kind, path), "mass is ", "expected a jet column of numbers")

    @pytest.mark.parametrize("kind", [*HDF5[:2], "npz"])
    def test_complex(self, kind, tmp_path):
        path = file_kinds.write(kind, tmp_path, jets={"mass": np.ones(COUNT, complex)})
        refusal(lambda: file_kinds.read(kind, path), "mass is ", "complex128")

    def test_lists_of_lists(self, tmp_path):
        pytest.importorskip("pyarrow")
        path = file_kinds.write("parquet", tmp_path, particles={"E": [[[1.0], [2.0, 3.0]]] * COUNT})
        refusal(lambda: file_kinds.read("parquet", path), "E is of the type list<", "a particle column")

    @kinds
    def test_a_list_that_should_be_a_number(self, kind, tmp_path):
        path = file_kinds.write(kind, tmp_path)
        refusal(lambda: file_kinds.read(kind, path, Dataset("x", jet_columns=("pT",))), "lacks the jet column pT")

    @kinds
    def test_flags_of_any_types(self, kind, tmp_path):
        arrays = content()
        types = zip(LABELS, (np.uint8, np.float64, np.int64), strict=True)
        types = {name: (arrays["labels"] == i).astype(of) for i, (name, of) in enumerate(types)}
        jets = file_kinds.read(kind, file_kinds.write(kind, tmp_path, arrays, jets=types))
        np.testing.assert_array_equal(jets.labels, arrays["labels"])

    def test_objects_and_pickles_are_never_loaded(self, tmp_path):
        class Harm:
            def __reduce__(self):
                return (pathlib.Path.touch, (tmp_path / "harm",))

        np.savez(tmp_path / "a.npz", X=np.array([Harm()], object), y=np.ones(1))
        (tmp_path / "b.npz").write_bytes(pickle.dumps(Harm()))
        refusal(lambda: read_jets(tmp_path / "a.npz"), "X holds Python objects, which may run code")
        refusal(lambda: read_jets(tmp_path / "b.npz"), "cannot be read as a NumPy archive")
        with h5py.File(tmp_path / "c.h5", "w") as file:
            table = file.create_group("table")
            table.attrs["values_block_0_kind"] = np.void(pickle.dumps(Harm()))
            table["x"] = np.ones((3, 4, 5))
        assert read_jets(tmp_path / "c.h5").constituents.shape == (3, 4, 5)
        assert not (tmp_path / "harm").exists()


class TestValues:
    @kinds
    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
    def test_particles(self, kind, tmp_path, value):
        arrays = content()
        row = int(np.flatnonzero(arrays["mask"].sum(1) > 2)[3])
        energy = arrays["constituents"][..., 0].astype(np.float64)
        energy[row, 1] = value
        columns = file_kinds.particle_columns(arrays) | {"charge": energy}
        path = file_kinds.write(kind, tmp_path, arrays, particles=columns)
        message = refusal(lambda: file_kinds.read(kind, path)[:], "column charge is NaN, infinite", "remove those jets")
        assert f" in row {row} " in message

    @kinds
    def test_jets(self, kind, tmp_path):
        mass = np.ones(COUNT)
        mass[[7, 20]] = np.nan
        path = file_kinds.write(kind, tmp_path, jets={"mass": mass})
        refusal(lambda: file_kinds.read(kind, path).observables[:], "column mass is NaN", " in row 7 ")

    @kinds
    def test_a_column_that_nobody_reads(self, kind, tmp_path):
        """It does no harm: models ask for columns, and the summary goes on without it."""
        path = file_kinds.write(kind, tmp_path, jets={"mass": np.full(COUNT, np.nan)})
        dataset = file_kinds.dataset_of(kind)
        jets = file_kinds.read(kind, path)
        np.testing.assert_array_equal(with_columns(jets, ("pT",), ("width",))[:].labels, content()["labels"])
        summary = summarize(path, dataset)
        assert sum(summary.classes.values()) == COUNT
        assert {"mass"} == {*OBSERVABLES} - {*summary.ranges}
        assert len(summary.problems) == 1
        assert "float32: mass, from row 0; they are left out" in summary.problems[0]

    @kinds
    def test_nan_in_padding_is_no_data(self, kind, tmp_path):
        arrays = content()
        charge = np.where(arrays["mask"], arrays["constituents"][..., 2], np.nan)
        jets = file_kinds.read(kind, file_kinds.write(kind, tmp_path, arrays, particles={"charge": charge}))
        np.testing.assert_array_equal(jets[:].constituents, arrays["constituents"])

    @kinds
    @pytest.mark.parametrize("flags, found", [((0, 0, 0), "0, 0, 0"), ((1, 0, 1), "1, 0, 1"), ((0, 2, 0), "0, 2, 0")])
    def test_labels_of_no_class_or_two(self, kind, tmp_path, flags, found):
        arrays = content()
        columns = {name: (arrays["labels"] == i) * 1.0 for i, name in enumerate(LABELS)}
        for name, value in zip(LABELS, flags, strict=True):
            columns[name][[3, 4]] = value
        path = file_kinds.write(kind, tmp_path, arrays, jets=columns)
        refusal(lambda: file_kinds.read(kind, path).labels[:], "labels are not one-hot", ": 3, 4; the first has", found)

    def test_missing_values(self, tmp_path):
        pytest.importorskip("pyarrow")
        path = file_kinds.write("parquet", tmp_path, jets={"mass": [1.0] * 7 + [None] + [2.0] * 15})
        refusal(
            lambda: file_kinds.read("parquet", path).observables[:], "column mass has 1 missing values", "in row 7;"
        )
        path = file_kinds.write("parquet", tmp_path, particles={"E": [[1.0]] * 8 + [None] + [[2.0]] * 14})
        refusal(lambda: file_kinds.read("parquet", path)[:], "column E has 1 missing values", "in row 8")

    @pytest.mark.parametrize("kind", ["parquet", "root tree", "root ntuple"])
    def test_lists_of_unequal_length(self, kind, tmp_path):
        """One jet has an energy too few: its row and the columns are named."""
        arrays = content()
        energies = [row[held] for row, held in zip(arrays["constituents"][..., 0], arrays["mask"], strict=True)]
        row = next(i for i, x in enumerate(energies) if i > 5 and len(x) > 1)
        energies[row] = energies[row][:-1]
        if kind != "parquet":
            energies = pytest.importorskip("awkward").Array(energies)
        path = file_kinds.write(kind, tmp_path, arrays, particles={"E": energies})
        few = len(energies[row])
        refusal(lambda: file_kinds.read(kind, path)[:], f"row {row} has {few} values of E but {few + 1} of ")

    def test_starts_of_lists_that_are_none(self, tmp_path):
        path = file_kinds.write("hdf5 lists", tmp_path)
        with h5py.File(path, "a") as file:
            file["pfcs_index"][5] = 10_000
        refusal(lambda: file_kinds.read("hdf5 lists", path)[:], "pfcs_index has starts that are not in pfcs")


class TestContents:
    @pytest.mark.parametrize("kind", [k for k in WRITERS if k != "npz"])
    def test_a_column_that_is_absent(self, kind, tmp_path):
        path = file_kinds.write(kind, tmp_path, particles={"charge": None}, jets={"mass": None})
        message = refusal(lambda: file_kinds.read(kind, path), "lacks the particle column charge")
        assert "particle columns are E, pT" in message
        path = file_kinds.write(kind, tmp_path, jets={"mass": None})
        refusal(lambda: file_kinds.read(kind, path), "lacks the jet column mass", "jet columns are ", "width")

    def test_an_array_that_is_absent(self, tmp_path):
        path = file_kinds.write("npz", tmp_path)
        dataset = Dataset("toy", arrays={"P": PARTICLES})
        refusal(lambda: read_jets(path, dataset=dataset), "has no array P with 3 columns", "X of 3, event_weight,")

    def test_a_tree_that_is_absent(self, tmp_path):
        pytest.importorskip("uproot")
        path, _ = split_tree(pathlib.Path(file_kinds.write("root tree", tmp_path)))
        refusal(lambda: read_jets(f"{path}:jets"), f"{path}: has no tree jets; its trees are tree, other")
        refusal(lambda: read_jets(path), "has 2 trees (tree, other); say which, such as", "jets.root:tree")
        refusal(lambda: read_jets(f"{path}:other"), f"{path}:other: holds no particles", "its arrays are x")

    def test_a_part_that_is_absent(self, tmp_path):
        parts = {f"{name}_{part}": np.ones((count, 3, 4)[:rank]) for part, count in (("train", 5), ("val", 4))
                 for name, rank in (("X", 3), ("y", 1))}  # fmt: skip
        np.savez(tmp_path / "all.npz", **parts)
        path = tmp_path / "all.npz"
        assert len(read_jets(f"{path}:val")) == 4
        refusal(lambda: read_jets(f"{path}:test"), "has no arrays …_test; its parts are train, val")
        refusal(lambda: read_jets(path), "has the parts train, val; say which, such as", "all.npz:train")

    @kinds
    def test_no_jets(self, kind, tmp_path):
        arrays = {name: x[:0] for name, x in content().items()}
        if kind == "root ntuple":
            pytest.skip("uproot writes no RNTuple without jets")
        path = file_kinds.write(kind, tmp_path, arrays)
        refusal(lambda: file_kinds.read(kind, path), "holds no jets; leave the file out")

    @kinds
    def test_one_jet(self, kind, tmp_path):
        arrays = {name: x[:1] for name, x in content().items()}
        jets = file_kinds.read(kind, file_kinds.write(kind, tmp_path, arrays))
        np.testing.assert_array_equal(jets[:].constituents, arrays["constituents"])

    @kinds
    def test_jets_without_particles(self, kind, tmp_path):
        arrays = content(fewest=0)
        arrays["mask"][[0, 5, 22]] = False
        arrays["constituents"] *= arrays["mask"][..., None]
        jets = file_kinds.read(kind, file_kinds.write(kind, tmp_path, arrays))
        np.testing.assert_array_equal(jets[:].constituents, arrays["constituents"])
        np.testing.assert_array_equal(jets[:].mask, arrays["mask"])

    @kinds
    def test_no_particles_at_all(self, kind, tmp_path):
        arrays = content()
        arrays["mask"][:] = False
        arrays["constituents"][:] = 0
        jets = file_kinds.read(kind, file_kinds.write(kind, tmp_path, arrays))
        assert not jets[:].mask.any()
        assert jets.constituents.shape == (COUNT, SLOTS, 3)
        assert tuple(jets.dataset.classes) == CLASSES

    @pytest.mark.parametrize("kind", [k for k in WRITERS if k != "npz"])
    def test_files_whose_columns_differ(self, kind, tmp_path):
        paths = []
        for name, extra in (("a", {}), ("b", {"mass": None, "girth": np.ones(COUNT)})):
            (tmp_path / name).mkdir()
            paths.append(file_kinds.write(kind, tmp_path / name, jets=extra))
        refusal(lambda: read_jets(paths), str(paths[1]), f"differ from those of {paths[0]}: girth, mass")

    def test_two_columns_of_a_name(self, tmp_path):
        arrow, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        column = arrow.array([[1.0], [2.0]])
        writer.write_table(arrow.Table.from_arrays([column, column], names=["pt", "pt"]), tmp_path / "a.parquet")
        refusal(lambda: read_jets(tmp_path / "a.parquet"), "names pt more than once")


class TestPackages:
    @pytest.mark.parametrize(
        "kind, package, extra", [("root tree", "uproot", "root"), ("parquet", "pyarrow", "parquet")]
    )
    def test_that_is_absent(self, kind, package, extra, good, monkeypatch):
        path, tree = good
        for module in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.setitem(sys.modules, module, None)
        message = refusal(lambda: read_jets(f"{path}{tree}"))
        assert message == f"{path}{tree}: needs the package {package}; pip install 'hepjax[{extra}]'"

    def test_of_a_compression(self):
        path = pathlib.Path("a.root")

        def unpack(converted, error):
            with converted:
                raise error

        said = ModuleNotFoundError("install the 'xxhash' package with:\n\n    pip install xxhash")
        words = "a.root: pt is compressed by what needs the package xxhash; pip install xxhash"
        assert refusal(lambda: unpack(root._damage(path, "pt"), said)) == words
        arrow = pytest.importorskip("pyarrow")
        said = arrow.ArrowNotImplementedError("Support for codec 'snappy' not built")
        refusal(lambda: unpack(parquet._damage(path), said), "codec 'snappy'", "install a pyarrow that has it")

    @pytest.mark.parametrize("bug", [TypeError("ours"), KeyError("ours")])
    def test_our_own_errors_are_not_taken_for_damage(self, tmp_path, monkeypatch, bug):
        """Where a library is not at work, nothing is converted."""
        pytest.importorskip("uproot")
        path = file_kinds.write("root tree", tmp_path)

        def fails(*_):
            raise bug

        monkeypatch.setattr(root, "_shape", fails)
        with pytest.raises(type(bug), match="ours"):
            read_jets(path)


def npz_bomb(path, shape):
    """Zeros that deflate packs a thousand times: the same block over and over, whose checksum nobody gets to."""
    size, block = 4 * int(np.prod(shape)), 2**26
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("y.npy", "w") as file:
        np.lib.format.write_array(file, np.zeros(shape[0], np.float32))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = deflate.compress(header.getvalue()) + deflate.flush(zlib.Z_FULL_FLUSH)
    one = deflate.compress(bytes(block)) + deflate.flush(zlib.Z_FULL_FLUSH)
    data = start + one * (size // block) + deflate.compress(bytes(size % block)) + deflate.flush()
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("X.npy")
        info.header_offset, info.compress_type = archive.start_dir, zipfile.ZIP_DEFLATED
        info.CRC, info.file_size, info.compress_size = 0, size + len(header.getvalue()), len(data)
        archive.fp.seek(archive.start_dir)
        archive.fp.write(info.FileHeader(zip64=True) + data)
        archive.start_dir = archive.fp.tell()
        archive.filelist.append(info)
        archive._didModify = True


def npz_rows(folder):
    npz_bomb(folder / "jets.npz", (2_500_000, 100, 10))
    return folder / "jets.npz"


def npz_row(folder):
    npz_bomb(folder / "jets.npz", (1, 25_000_000, 100))
    return folder / "jets.npz"


def hdf5_rows(folder):
    with h5py.File(folder / "jets.h5", "w") as file:
        file.create_dataset("y", data=np.zeros(2_500_000, np.int8), compression="gzip")
        data = file.create_dataset("X", (2_500_000, 100, 10), "f4", chunks=(25_000, 100, 10), compression="gzip")
        packed = zlib.compress(bytes(4 * 25_000 * 1000), 9)
        for start in range(0, 2_500_000, 25_000):
            data.id.write_direct_chunk((start, 0, 0), packed)
    return folder / "jets.h5"


def parquet_group(folder):
    """One group of rows that packs 0.3 GB: a dictionary of one number, and runs of its place."""
    arrow, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    count, each = 40_000_000, 20_000
    starts = np.arange(0, count + 1, each, dtype=np.int32)
    lists = arrow.ListArray.from_arrays(starts, arrow.array(np.zeros(count, np.int8)))
    writer.write_table(arrow.table({"pt": lists}), folder / "jets.parquet")
    assert writer.read_metadata(folder / "jets.parquet").num_row_groups == 1
    return folder / "jets.parquet"


def root_basket(folder):
    """A basket that packs 0.3 GB."""
    uproot = pytest.importorskip("uproot")
    with uproot.recreate(folder / "jets.root", compression=uproot.ZSTD(1)) as file:
        file.mktree("tree", {"pt": ("f4", (70_000,))}).extend({"pt": np.zeros((1000, 70_000), np.float32)})
    return folder / "jets.root"


def root_cluster(folder):
    """The same as an RNTuple."""
    uproot, awkward = pytest.importorskip("uproot"), pytest.importorskip("awkward")
    with uproot.recreate(folder / "jets.root", compression=uproot.ZSTD(1)) as file:
        zeros = awkward.unflatten(np.zeros(70_000_000, np.float32), np.full(1000, 70_000))
        file.mkrntuple("tree", {"pt": zeros})
    return folder / "jets.root"


READ = """
import resource, sys
from hepjax.data import parquet, root
parquet.LARGEST = root.LARGEST = 2**28
from hepjax import InputError, read_jets
import h5py, zipfile, zlib
for module in ("pyarrow.parquet", "uproot", "awkward"):
    try:
        __import__(module)
    except ImportError:
        pass
before, words = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, ""
try:
    jets = read_jets(sys.argv[1])
    jets[:10]
    jets[3:2000:500]
except InputError as error:
    words = str(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, words, sep="|")
"""


@pytest.mark.parametrize(
    "make, words, most",
    [
        (npz_rows, "", 400),
        (npz_row, "a jet takes 9.3 GiB", 100),
        (hdf5_rows, "", 500),
        (parquet_group, "unpacks", 150),
        (root_basket, "unpacks to 0.3 GiB", 150),
        (root_cluster, "unpacks to 0.3 GiB", 150),
    ],
)
def test_bombs(make, words, most, tmp_path):
    """A few megabytes that say they are 10 GB: memory, in MiB, stays near what is read at a time.

    Parquet and ROOT take long to write so much, so that these say 0.3 GB, and 0.25 GiB are read at a time, not 1.
    """
    path = make(tmp_path)
    assert path.stat().st_size < 12e6
    command = [sys.executable, "-c", READ, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()
    taken, _, said = found.partition("|")
    assert words in said
    assert bool(words) == bool(said), said
    assert int(taken) < most

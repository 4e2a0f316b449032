"""A contract: whatever a run folder holds, opening it gives a run or one line that names the file."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import zlib

import h5py
import numpy as np
import pytest
from flax import serialization
from jax import tree_util
from rich.console import Console

from hepjax import InputError, report
from hepjax.runs import records, run_folder, stored

HOSTILE = [
    None, True, False, 0, -1, 3, 60, 10**9, 10**30, 0.5, -1e308, 1e999, float("nan"), "", "x", "é\x00\ud800", "../..",
    "/etc/passwd", "<script>alert(1)</script>", [], [0], [-1], [10**12], ["a", "a"], [[]], [None], {}, {"a": 1},
    {"name": "mlp"}, "9" * 5000, ["f"] * 3000, {"name": "no-such-model"},
]  # fmt: skip
TEXTS = [
    b"", b"{}", b"[]", b"1", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b'{"format": 1}', b"{" * 10,
    b'{"format": 99}', b'{"format": 2, "experiment": {}}', b"\x00" * 1000, b"NaN", b'{"format": 1e999}',
]  # fmt: skip
CONTENTS = [
    1, "text", [], [1, 2], {}, {"0": 1}, {"0": {}, "1": {}, "2": {}}, {"params": np.zeros(3)}, None, [[]] * 50, True,
    2.5, {"0": np.zeros((10**4, 3))},
]  # fmt: skip


def read(folder):
    return json.loads((folder / "experiment.json").read_text())


def sign(folder, record):
    """Writes experiment.json with checksums that fit, as whoever means harm would."""
    with contextlib.suppress(Exception):
        if "identity" in record:
            record["identity"] = records.identity_of(record, run_folder._what_stays(record["experiment"]))
            for path in (folder / "checkpoints").glob("*.msgpack"):
                raw = path.read_bytes()
                data = bytes.fromhex(record["identity"]) + raw[56:]
                path.write_bytes(raw[:20] + zlib.crc32(data).to_bytes(4, "little") + data)
        if isinstance(record.get("files"), dict):
            record["files"] = {name: records.checksum(folder / name) for name in record["files"]}
    (folder / "experiment.json").write_text(json.dumps(record, default=str))


def make_old(folder):
    """Makes a folder one of version 0.1, which has no checksums."""
    record = read(folder)
    record = {name: value for name, value in record.items() if name not in {"identity", "files"}} | {"format": 1}
    (folder / "experiment.json").write_text(json.dumps(record))
    for path in (folder / "checkpoints").glob("*.msgpack"):
        data = path.read_bytes()[56:]
        path.write_bytes(b"hepjax checkpoint 1\n" + zlib.crc32(data).to_bytes(4, "little") + data)


def places(tree, path=()):
    """All paths into nested dicts and lists."""
    yield path
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inside:
        yield from places(value, (*path, key))


def mutate(tree, rng):
    """One value of nested dicts and lists is replaced, taken out, doubled or turned around."""
    tree = copy.deepcopy(tree)
    paths = [path for path in places(tree) if path]
    *way, last = paths[rng.integers(len(paths))]
    parent = tree
    for key in way:
        parent = parent[key]
    kind = rng.integers(5)
    if kind == 0:
        del parent[last]
    elif kind == 1 and isinstance(parent[last], list):
        parent[last] = parent[last][::-1] if rng.integers(2) else parent[last] * 2
    elif kind == 2 and isinstance(parent, dict):
        parent[f"{last}_"] = parent.pop(last)
    else:
        parent[last] = HOSTILE[rng.integers(len(HOSTILE))]
    return tree


def of_json(name):
    def damage(folder, rng):
        path = folder / name
        tree = mutate(json.loads(path.read_text()), rng)
        if name != "experiment.json":
            path.write_text(json.dumps(tree))
            tree = read(folder)
        if rng.integers(3):
            sign(folder, tree)
        elif name == "experiment.json":
            path.write_text(json.dumps(tree))

    return damage


def text(folder, rng):
    name = ("experiment.json", "metrics.json", "history.csv")[rng.integers(3)]
    whole = (folder / name).read_bytes()
    cut = int(rng.integers(len(whole)))
    (folder / name).write_bytes(
        [TEXTS[rng.integers(len(TEXTS))], whole[:cut], whole * 2, whole + b"\x00"][rng.integers(4)]
    )
    if name != "experiment.json":
        sign(folder, read(folder))


def flip(folder, rng):
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in {".json", ".csv", ".h5", ".msgpack"}]
    path = files[rng.integers(len(files))]
    data = bytearray(path.read_bytes())
    for place in rng.integers(len(data), size=rng.integers(1, 20)):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    if rng.integers(2) and path.name != "experiment.json":
        sign(folder, read(folder))


def other_kind(folder, rng):
    """A file is gone, empty, a pipe, a folder, a link to itself or to what has no end."""
    names = (
        "checkpoints/best.msgpack",
        "checkpoints/last.msgpack",
        "metrics.json",
        "history.csv",
        "test.h5",
        "experiment.json",
    )
    path = folder / names[rng.integers(len(names))]
    path.unlink()
    kind = rng.integers(6)
    if kind == 1:
        path.touch()
    elif kind == 2:
        os.mkfifo(path)
    elif kind == 3:
        path.mkdir()
    elif kind == 4:
        path.symlink_to(path.name)
    elif kind == 5:
        path.symlink_to("/dev/zero")


def checkpoint(folder, rng):
    """Parameters of another type or shape, or not finite, with a checksum that fits."""
    path = folder / "checkpoints" / ("best.msgpack", "last.msgpack")[rng.integers(2)]
    raw = path.read_bytes()
    start = 56 if raw.startswith(b"hepjax checkpoint 2") else 24
    tree = serialization.msgpack_restore(raw[start:])
    leaves, structure = tree_util.tree_flatten(tree)
    at, kind = rng.integers(len(leaves)), rng.integers(6)
    leaf = np.asarray(leaves[at])
    if kind < 4 and leaf.dtype.kind in "fiu":
        changed = [
            leaf.astype(np.float16),
            leaf * np.nan,
            np.zeros((*leaf.shape, 2), leaf.dtype),
            leaf.astype(np.int64),
        ]
        leaves[at] = changed[kind]
        tree = tree_util.tree_unflatten(structure, leaves)
        data = serialization.msgpack_serialize(tree)
    elif kind == 4:
        data = serialization.msgpack_serialize(CONTENTS[rng.integers(len(CONTENTS))])
    else:
        data = rng.bytes(rng.integers(1, 200))
    data = raw[24:start] + data
    path.write_bytes(raw[:20] + zlib.crc32(data).to_bytes(4, "little") + data)
    sign(folder, read(folder))


def scores(folder, rng):
    """Predictions of another shape, type or order."""
    with h5py.File(folder / "test.h5", "r+") as file:
        name, kind = ("scores", "labels", "rows")[rng.integers(3)], rng.integers(7)
        whole = isinstance(file[name], h5py.Dataset) and file[name].size < 10**6
        values = file[name][()] if whole else np.zeros(3)
        if kind == 6:
            file.attrs["classes"] = list(file.attrs["classes"])[:: -1 if rng.integers(2) else 2]
        else:
            del file[name]
        if kind == 1:
            file.create_group(name)
        elif kind == 2:
            file[name] = values.astype("S3")
        elif kind == 3:
            file.create_dataset(name, (10**12,), np.float32, chunks=(1000,))
        elif kind == 4:
            file[name] = values[:3]
        elif kind == 5:
            file[name] = values * np.nan if values.dtype.kind == "f" else values - 100
    sign(folder, read(folder))


def history(folder, rng):
    lines = (folder / "history.csv").read_text().splitlines()
    row = lines[1].split(",")
    row[rng.integers(len(row))] = str(HOSTILE[rng.integers(20)])
    (folder / "history.csv").write_text("\n".join([lines[0], ",".join(row)]), errors="replace")
    sign(folder, read(folder))


DAMAGES = {
    "options": of_json("experiment.json"),
    "figures": of_json("metrics.json"),
    "text": text,
    "bytes": flip,
    "kind of file": other_kind,
    "checkpoint": checkpoint,
    "scores": scores,
    "history": history,
}


def damaged(sources, target, seed):
    """Copies a folder, damages the copy, and says how."""
    rng = np.random.default_rng(seed)
    name = list(DAMAGES)[seed % len(DAMAGES)]
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(sources[rng.integers(len(sources))], target)
    if old := bool(rng.integers(3) == 0):
        make_old(target)
    for _ in range(rng.integers(1, 3)):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):  # a second one of what is gone
            DAMAGES[name](target, rng)
    return f"{name}{', old' if old else ''}"


def look_at(folder):
    """What `hepjax info` and the other commands do first; the sections of a page take longer."""
    run = stored.open_run(folder)
    stored.predictions_of(run)
    with stored.presenting(run):
        console = Console(file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
        console.print(report.run_table(str(folder), run.record, len(run.history)))
        if run.metrics is not None:
            console.print(run.experiment.task.table(run.metrics))
            report.page(str(folder), run.record, run.metrics, run.history, None, [], summary=None)
    return run


@pytest.fixture(scope="module")
def sources(trained_runs):
    return [trained_runs(name) for name in ("mlp", "logistic")]


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_folder_gives_a_run_or_one_line(sources, tmp_path):
    refused = {}
    for seed in range(240):
        what = damaged(sources, tmp_path / "run", seed)
        try:
            look_at(tmp_path / "run")
        except InputError as error:
            refused[seed] = f"{what}: {error}"
        except BaseException as error:
            error.add_note(f"seed {seed}: {what}")
            raise
    for seed, words in refused.items():
        assert len(words) < 1000, seed
        assert "\n" not in words, seed
    assert len(refused) > 180  # and the others are as harmless as another path of a data file


MOST_HOSTILE = {
    "degrees of 60": lambda e: e["model"].update(name="logistic", degree=60),
    "a degree of 1e9": lambda e: e["model"].update(degree=10**9),
    "no features": lambda e: e["model"].update(features=[]),
    "a million features": lambda e: e["model"].update(features=[f"f{i}" for i in range(10**6)]),
    "a fraction of a layer": lambda e: e["model"].update(hidden=[4.5]),
    "a wide layer": lambda e: e["model"].update(hidden=[10**12]),
    "a billion folds": lambda e: e.update(folds=10**9),
    "a word for a number": lambda e: e.update(epochs="3"),
    "a model of markup": lambda e: e["model"].update(name="<b>mlp</b>"),
}


@pytest.mark.parametrize("what", MOST_HOSTILE)
@pytest.mark.parametrize("old", [False, True])
def test_hostile_options_are_refused(trained_run, what, old):
    folder = trained_run("logistic" if "degree" in what else "mlp")
    if old:
        make_old(folder)
    record = read(folder)
    MOST_HOSTILE[what](record["experiment"])
    sign(folder, record)
    with pytest.raises(InputError, match=r"experiment\.json|best\.msgpack|members|: is of another"):
        stored.open_run(folder)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("change", [lambda names: names[::-1], lambda names: [names[0], *names[:-1]]])
def test_classes_in_another_order_or_twice_are_refused(trained_run, change, old):
    folder = trained_run("mlp")
    if old:
        make_old(folder)
    record = read(folder)
    record["classes"] = record["outputs"] = record["dataset"]["classes"] = change(record["classes"])
    (folder / "experiment.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"checksum|metrics\.json|test\.h5|more than once"):
        stored.open_run(folder)


@pytest.mark.parametrize("name", ["best", "last"])
@pytest.mark.parametrize("what", ["gone", "empty", "a pipe", "of another model", "of another training"])
def test_a_checkpoint_that_is_not_the_runs_is_refused(trained_run, trained_runs, tmp_path, name, what):
    folder = trained_run("mlp")
    run_folder.change_record(folder, {"files": None})  # as of a training that has not ended
    path = folder / "checkpoints" / f"{name}.msgpack"
    data = path.read_bytes()
    path.unlink()
    if what == "empty":
        path.touch()
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "of another model":
        shutil.copy(trained_runs("logistic") / "checkpoints" / f"{name}.msgpack", path)
    elif what == "of another training":
        mark = bytes(32) + data[56:]
        path.write_bytes(data[:20] + zlib.crc32(mark).to_bytes(4, "little") + mark)
    with pytest.raises(InputError, match=rf"{name}\.msgpack: "):
        stored.open_run(folder)


def test_members_of_another_run_are_refused(trained_run):
    folder = trained_run("folds")
    assert len(stored.networks_of(stored.open_run(folder))) == 3
    first, second = (folder / f"fold-{i}" for i in (1, 2))
    first.rename(folder / "spare")
    second.rename(first)
    (folder / "spare").rename(second)
    with pytest.raises(InputError, match=r"fold-1/experiment\.json: damaged, or of another training"):
        stored.open_run(folder)


def test_each_file_of_a_finished_run_has_a_checksum(trained_run):
    folder = trained_run("mlp")
    record = read(folder)
    assert set(record["files"]) == {
        "checkpoints/best.msgpack",
        "checkpoints/last.msgpack",
        "history.csv",
        "metrics.json",
        "test.h5",
        "trained_jets.msgpack",
    }
    for name in record["files"]:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(InputError, match=rf"{name}: damaged, or of another training"):
            stored.open_run(folder)
        (folder / name).write_bytes(data)
    assert stored.open_run(folder).measured

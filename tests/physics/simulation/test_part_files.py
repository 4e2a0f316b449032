"""Runs that are interrupted, and runs beside each other."""

import fcntl
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics.simulation import PUBLIC, Layout, assemble, blocks, part_files, simulate, simulate_files
from tests.physics.simulation.conftest import toy_observables


class StopError(Exception):
    """A failure from outside."""


def stopping(after):
    def observe(p4, mask, left=[after]):  # noqa: B006 — counts calls
        left[0] -= 1
        if left[0] < 0:
            raise StopError
        return toy_observables(p4, mask)

    return observe


@pytest.mark.parametrize("calls", range(8))
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, toys, calls):
    options = {"jets": 75, "layout": Layout(5, truth=True), "seed": 3}
    simulate(tmp_path / "whole.h5", observables=toy_observables, **options)
    everything = len(toys)
    with pytest.raises(StopError):
        simulate(tmp_path / "a.h5", observables=stopping(calls), **options)
    assert (tmp_path / "a.h5.unfinished").exists() == (calls > 0)
    assert not (tmp_path / "a.h5").exists()
    toys.clear()
    counts = []
    simulate(tmp_path / "a.h5", observables=toy_observables, progress=counts.append, **options)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert counts[0] == 10 * calls
    assert sum(counts) == 75
    # Units that are wholly in what was kept are not made again.
    kept = np.bincount(blocks.shuffled_labels(75, hls4ml.CLASSES, 3)[: 10 * calls], minlength=5)
    assert len(toys) == everything - np.where(kept == 15, 3, kept // 7).sum()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "whole.h5"]


@pytest.mark.usefixtures("toys")
def test_other_arguments_do_not_go_on(tmp_path):
    with pytest.raises(StopError):
        simulate(tmp_path / "a.h5", jets=75, seed=3, observables=stopping(4))
    for other, words in (
        ({"jets": 75, "seed": 4}, "seed 3, not 4"),
        ({"jets": 76, "seed": 3}, "jets 75, not 76"),
        ({"jets": 75, "seed": 3, "conditions": PUBLIC._replace(radius=0.8)}, "conditions 'those"),
    ):
        with pytest.raises(InputError, match=f"a.h5.unfinished: was begun with .*{words}.*delete it"):
            simulate(tmp_path / "a.h5", observables=toy_observables, **other)
    (tmp_path / "a.h5.unfinished" / "recipe.json").write_text("")
    with pytest.raises(InputError, match=r"a.h5.unfinished: was begun otherwise; ask for the same, or delete it"):
        simulate(tmp_path / "a.h5", jets=75, seed=3, observables=toy_observables)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:500])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("harm", [cut_short, empty, flip, os.remove])
def test_a_damaged_part_is_made_again(tmp_path, caplog, harm):
    simulate(tmp_path / "whole.h5", jets=75, observables=toy_observables)
    with pytest.raises(StopError):
        simulate(tmp_path / "a.h5", jets=75, observables=stopping(6))
    harm(tmp_path / "a.h5.unfinished" / "part_000002.npz")
    caplog.clear()
    counts = []
    simulate(tmp_path / "a.h5", jets=75, observables=toy_observables, progress=counts.append)
    assert counts[0] == 20
    assert ("part_000002.npz: damaged" in caplog.text) == (harm is not os.remove)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.usefixtures("toys")
def test_a_full_disk_keeps_what_was_finished(tmp_path, monkeypatch, caplog):
    real, left = np.savez, [2]

    def savez(file, **arrays):
        left[0] -= 1
        if left[0] < 0:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        real(file, **arrays)

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(InputError, match=r"part_000002.npz: cannot be written \(No space left on device\)"):
        simulate(tmp_path / "a.h5", jets=75, observables=toy_observables)
    assert "a.h5.unfinished keeps 20 jets; the same command goes on from there" in caplog.text
    assert sorted(path.name for path in (tmp_path / "a.h5.unfinished").iterdir()) == [
        "lock", "part_000000.npz", "part_000001.npz", "recipe.json",
    ]  # fmt: skip
    left[0] = 100
    counts = []
    simulate(tmp_path / "a.h5", jets=75, observables=toy_observables, progress=counts.append)
    assert counts[0] == 20


@pytest.mark.usefixtures("toys")
def test_a_disk_that_is_full_at_the_end_or_a_kill_then_cost_nothing(tmp_path, monkeypatch):
    def no_writer(*_, **__):
        raise InputError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(assemble, "jet_writer", no_writer)
        with pytest.raises(InputError, match="no space"):
            simulate(tmp_path / "a.h5", jets=75, observables=toy_observables)
    for name in (".a.h5.123.part", ".b.h5.123.part"):
        (tmp_path / name).write_text("left by a killed process")
    simulate(tmp_path / "a.h5", jets=75, observables=stopping(0))  # all that was measured is there
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.h5.123.part", "a.h5"]


@pytest.fixture
def held(tmp_path):
    """Holds the file of seed 6, as another run does that makes it."""
    folder = tmp_path / "jets_30p_000006.h5.unfinished"
    folder.mkdir()
    with (folder / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


@pytest.mark.usefixtures("toys")
def test_what_another_run_is_making_is_left_to_it(tmp_path, held):
    options = {"seed": 5, "observables": toy_observables}
    with pytest.raises(InputError, match=r"000006.h5: another run is making it; wait for that one, or"):
        simulate(tmp_path / "jets_30p_000006.h5", jets=30, **options | {"seed": 6})
    counts = []
    files = simulate_files(tmp_path, jets=90, per_file=30, progress=counts.append, **options)
    assert [file.name for file in files] == ["jets_30p_000005.h5", "jets_30p_000007.h5"]
    assert sum(counts) == 60
    held.close()  # as when that run ends, or is killed
    assert len(simulate_files(tmp_path, jets=90, per_file=30, progress=counts.append, **options)) == 3
    assert sum(counts) == 60 + 90
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.usefixtures("toys")
def test_what_another_run_makes_meanwhile_is_left_alone(tmp_path):
    last = tmp_path / "jets_30p_000006.h5"

    def observe(p4, mask):
        if not last.exists():
            simulate(last, jets=30, seed=6, observables=toy_observables)
        return toy_observables(p4, mask)

    counts = []
    files = simulate_files(tmp_path, jets=60, per_file=30, seed=5, observables=observe, progress=counts.append)
    assert sorted(tmp_path.iterdir()) == files
    assert sum(counts) == 60
    with (
        pytest.raises(part_files.BusyError, match="another run has just made it"),
        part_files.lock_parts_folder(last, {}),
    ):
        pass
    assert sorted(tmp_path.iterdir()) == files


KILLED = """
import sys
import numpy as np
from hepjax.physics.simulation import simulate
if __name__ == "__main__":
    def report(count):
        print(count, flush=True)
    def observe(p4, mask):
        return np.zeros((len(p4), 53))
    simulate(sys.argv[1], jets=1000, seed=2, jobs=2, classes=("w",), observables=observe, progress=report)
"""


def processes(*options):
    listed = subprocess.run(["/usr/bin/env", "pgrep", *options], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


@pytest.mark.usefixtures("sim")
@pytest.mark.parametrize(
    "kill, words",
    [
        (lambda pid: os.kill(pid, signal.SIGKILL), ""),
        (lambda pid: os.kill(pid, signal.SIGINT), "a.h5.unfinished keeps 250 jets; the same command goes on"),
        (lambda pid: os.kill(processes("-P", str(pid), "-f", "spawn_main")[0], signal.SIGKILL), "worker died"),
    ],
    ids=["the run", "Ctrl-C", "a worker"],
)
def test_a_killed_run_keeps_whole_parts_and_leaves_no_process(tmp_path, kill, words):
    (tmp_path / "killed.py").write_text(KILLED)
    command = [sys.executable, str(tmp_path / "killed.py"), str(tmp_path / "a.h5")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        counts = [int(process.stdout.readline()) for _ in range(2)]
        kill(process.pid)
        process.wait(60)
        said = process.stderr.read()
    assert counts == [0, 250]
    assert (tmp_path / "a.h5.unfinished" / "part_000000.npz").exists()
    assert not (tmp_path / "a.h5").exists()
    assert words in said
    end = time.monotonic() + 10
    while processes("-f", str(tmp_path)):
        assert time.monotonic() < end, "a worker lives on"
        time.sleep(0.1)

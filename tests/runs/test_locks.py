"""One training at a time in a folder, and none that is dead keeps others out."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hepjax import InputError
from hepjax.cli import parsing
from hepjax.runs import locks, save_run, train

HOLD = """
import pathlib, sys, time
from hepjax.runs import locks
with locks.locked(pathlib.Path(sys.argv[1])):
    print(1, flush=True)
    time.sleep(60)
"""


def test_a_second_one_is_refused_and_told_of_the_first(tmp_path):
    words = f"is being trained by process {os.getpid()} on "
    with locks.locked(tmp_path), pytest.raises(InputError, match=words), locks.locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
    with locks.locked(tmp_path):
        pass


def test_a_process_that_was_killed_keeps_nobody_out(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"1\n"
    with pytest.raises(InputError, match=f"process {process.pid}"), locks.locked(tmp_path):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    assert (tmp_path / ".lock").exists()
    with locks.locked(tmp_path):
        pass


def test_a_run_is_not_resumed_twice_at_once(trained_run):
    folder = trained_run("mlp")
    again = parsing.parse(["train", "--out", str(folder), "--resume"])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with locks.locked(folder), pytest.raises(InputError, match="is being trained by"):
        train.run(again)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_what_killed_processes_left_is_removed(tmp_path):
    left = (
        ".metrics.json.12.part",
        "checkpoints/.best.msgpack.509.part",
        "fold-1/.test.h5",
        "fold-1/checkpoints/.best.msgpack.7.part",
    )
    kept = ("metrics.json", ".hidden", "checkpoints/best.msgpack", "fold-1/notes.part")
    for name in (*left, *kept):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    save_run.remove_leftovers(tmp_path)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} == set(kept)

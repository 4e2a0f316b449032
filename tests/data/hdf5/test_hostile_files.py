"""Any HDF5 file is read, or refused in one clear line: no traceback, no crash, no hang."""

from __future__ import annotations

import collections
import importlib.util
import pathlib

import pytest

SCRIPT = pathlib.Path(__file__).with_name("hostile_files.py")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hostile = load(pathlib.Path(__file__).parents[2] / "hostile.py")


def test_hostile_files_are_read_or_refused():
    found = hostile.run(SCRIPT, seed=0, count=300)
    counts = collections.Counter(outcome for _, outcome, _ in found)
    assert not [case for case in found if case[1] not in hostile.GOOD]
    assert min(counts["read"], counts["refused"]) > 50


@pytest.mark.parametrize(
    "body, outcome",
    [
        ("raise Refused('one line')", "refused"),
        ("raise Refused('two\\nlines')", "unclear"),
        ("raise KeyError", "traceback"),
        ("import os; os.abort()", "crash"),
        ("import time; time.sleep(60)", "hang"),
        ("import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)\n    while True: pass", "hang"),
        ("return 'fine'", "read"),
    ],
)
def test_the_driver_sees_each_outcome(tmp_path, monkeypatch, body, outcome):
    (tmp_path / "cases.py").write_text(
        f"import sys\nsys.path.insert(0, {str(SCRIPT.parents[2])!r})\nimport hostile\nhostile.SECONDS = 1\n"
        f"class Refused(Exception): pass\ndef attempt(_, seed, folder):\n    if seed[1] != 1: return 'fine'\n"
        f"    {body}\n"
        "hostile.main(lambda folder: None, attempt, Refused)\n"
    )
    monkeypatch.setattr(hostile, "SECONDS", 1)
    found = hostile.run(tmp_path / "cases.py", seed=0, count=3)
    assert [each[1] for each in found] == ["read", outcome, "read"]

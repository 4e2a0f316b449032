"""Any exported file is read and predicts, or is refused in one clear line: no traceback, no crash, no hang."""

from __future__ import annotations

import collections
import importlib.util
import pathlib

import pytest

pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
pytest.importorskip("flatbuffers", reason="the extra `export` is not installed")

SCRIPT = pathlib.Path(__file__).with_name("hostile_exports.py")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hostile = load(SCRIPT.parents[1] / "hostile.py")


def test_hostile_exports_are_read_or_refused():
    found = hostile.run(SCRIPT, seed=0, count=200)
    counts = collections.Counter(outcome for _, outcome, _ in found)
    assert not [case for case in found if case[1] not in hostile.GOOD]
    assert counts["refused"] > 100
    assert counts["read"] > 5

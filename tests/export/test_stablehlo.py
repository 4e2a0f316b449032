"""Taggers as StableHLO answer as before, and damaged files are refused."""

from __future__ import annotations

import hashlib
import json
import sys

import jax
import numpy as np
import pytest

from hepjax import InputError, export

from .conftest import MODELS, first, make_tagger

pytest.importorskip("flatbuffers", reason="the extra `export` is not installed")

KINDS = (
    "mlp-relu",
    "convnet",
    "convnet-of-files",
    "gru",
    "graph-neighbours",
    "pairs-by-receiver",
    "lorentz-net",
    "lgatr-slim",
)


def write(folder, answer, inputs):
    path, example = folder / "tagger.stablehlo", first(inputs, 1)
    made = export.to_stablehlo(answer, example)
    path.write_bytes(made)
    beside = export.describe_stablehlo(answer, example, made, {"classes": '["g"]'})
    (folder / "tagger.stablehlo.json").write_text(beside)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_as_before(kind, tmp_path):
    output, inputs, expected = make_tagger(MODELS[kind])
    path = write(tmp_path, output, inputs)
    run, metadata, *_ = export.read(path)
    assert metadata == {"classes": '["g"]'}
    for count in (1, 7, 1000):
        np.testing.assert_allclose(run(first(inputs, count)), expected[:count], rtol=0, atol=1e-5)
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    assert set(exported.platforms) == {"cpu", "cuda", "tpu"}
    assert {str(aval.shape[0]) for aval in (*exported.in_avals, *exported.out_avals)} == {"batch"}


@pytest.fixture
def written(tmp_path):
    example = np.zeros((1, 3), np.float32)
    return write(tmp_path, jax.nn.softmax, example)


def change(path, **values):
    beside = path.with_name(path.name + ".json")
    result = json.loads(beside.read_text()) | {"sha256_of_this": None} | values
    beside.write_text(json.dumps({key: value for key, value in result.items() if value is not None}))


def test_no_jets_and_blocks(written):
    change(written, jets_at_once=4)
    run, *_ = export.read(written)
    x = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
    np.testing.assert_allclose(run(x), np.asarray(jax.nn.softmax(x)), rtol=1e-6)
    assert run(x[:0]).shape == (0, 3)
    with pytest.raises(InputError, match=r"features: expected \(N, 3\)"):
        run(x[:, :2])


def test_damaged_files_are_refused(written):
    made, beside = written.read_bytes(), written.with_name(written.name + ".json")
    text = beside.read_text()
    for end in (0, 100, len(made) - 1):
        written.write_bytes(made[:end])
        with pytest.raises(InputError, match="cut short or changed"):
            export.read(written)
    written.write_bytes(made)
    beside.write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match=r"stablehlo\.json: no JSON, or cut short"):
        export.read(written)
    beside.write_text("[]")
    with pytest.raises(InputError, match="no hepjax metadata"):
        export.read(written)
    beside.unlink()
    with pytest.raises(InputError, match=r"stablehlo\.json: no such file"):
        export.read(written)
    with pytest.raises(InputError, match="no such file"):
        export.read(written.with_name("other.stablehlo"))


def test_files_of_another_version_are_refused(written, monkeypatch):
    change(written, hepjax_format="2")
    with pytest.raises(InputError, match="format 2, expected 1"):
        export.read(written)
    change(written, hepjax_format="1", sha256=None)
    with pytest.raises(InputError, match="lacks sha256"):
        export.read(written)
    strange = b"no flatbuffer at all"
    written.write_bytes(strange)
    change(written, sha256=hashlib.sha256(strange).hexdigest())
    with pytest.raises(InputError, match=r"this jax, .*, cannot read it"):
        export.read(written)
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(InputError, match=r"pip install 'hepjax\[export\]'"):
        export.read(written)


def test_a_file_for_other_devices_is_refused(written, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "metal")
    with pytest.raises(InputError, match="made for cpu, cuda, tpu, found metal"):
        export.read(written)

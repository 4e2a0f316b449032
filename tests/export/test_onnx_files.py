"""Taggers in ONNX Runtime answer as they do in JAX."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError, export, models
from hepjax.choices import Precision
from hepjax.data.datasets import hls4ml
from hepjax.inputs import pipelines

from .conftest import FEWEST, MODELS, first, make_tagger

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")

FACTS = {"classes": '["g", "q", "w", "z", "t"]', "model": "{}", "hepjax": "0"}


@pytest.fixture(scope="module", params=MODELS)
def tagger(request, tmp_path_factory):
    output, inputs, expected = make_tagger(MODELS[request.param])
    path = tmp_path_factory.mktemp("taggers") / f"{request.param}.onnx"
    path.write_bytes(export.to_onnx(output, first(inputs, 1), FACTS))
    return inputs, expected, path


def test_onnx_runtime_answers_as_jax_does(tagger):
    inputs, expected, path = tagger
    assert expected[len(FEWEST) :].std(axis=0).max() > 0.005  # answers that are all alike would agree by themselves
    run, metadata, *_ = export.read(path)
    assert FACTS.items() <= metadata.items()
    for count in (1, 7, 1000):
        result = run(first(inputs, count))
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected[:count], rtol=0, atol=1e-5)
    made = onnx.load(path)
    assert made.opset_import[0].version == export.OPSET
    assert [value.name for value in made.graph.output] == ["probabilities"]
    sizes = [
        size.dim_param
        for value in (*made.graph.input, *made.graph.output)
        for size in value.type.tensor_type.shape.dim[:1]
    ]
    assert set(sizes) == {"batch"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    output, inputs, _ = make_tagger(MODELS["deepsets"])
    made = export.to_onnx(output, first(inputs, 1), FACTS)
    return made, inputs, tmp_path_factory.mktemp("small")


def written(small, name, data=None, **changes):
    made, _, folder = small
    path = folder / name
    if data is None:
        model = onnx.load_from_string(made)
        for change in changes.values():
            unsealed(model)
            change(model)
        data = model.SerializeToString()
    path.write_bytes(data)
    return path


def test_jets_are_answered_in_blocks(small):
    made, inputs, _ = small
    model = onnx.load_from_string(made)
    named(model, "jets_at_once", "64")
    unsealed(model)
    few, many = (
        export.read_onnx(written(small, *name))[0] for name in (("a.onnx", model.SerializeToString()), ("b.onnx",))
    )
    np.testing.assert_allclose(few(first(inputs, 130)), many(first(inputs, 130)), atol=1e-7)
    assert many(first(inputs, 0)).shape == (0, 5)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97, 0.999])
def test_a_file_cut_short_is_refused(small, share):
    made = small[0]
    with pytest.raises(InputError, match=r"cut\.onnx: .*cut short"):
        export.read(written(small, "cut.onnx", made[: int(share * len(made))]))


def test_every_cut_is_noticed(small):
    made = small[0]
    for end in range(len(made) - 600, len(made)):  # behind the graph: opset and facts
        with pytest.raises(InputError, match="cut short"):
            export.read(written(small, "cut.onnx", made[:end]))


def unsealed(model):
    """Takes the checksum out, as files of version 0.1 have none."""
    kept = [each for each in model.metadata_props if each.key != "sha256"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)


def named(model, key, value):
    next(each for each in model.metadata_props if each.key == key).value = value


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda m: setattr(m.opset_import[0], "version", 99),
            "expected ONNX opset 18 and IR version 8, found 99 and 8",
        ),
        (lambda m: setattr(m.opset_import[0], "version", 9), "found 9 and 8"),
        (lambda m: setattr(m, "ir_version", 99), "found 18 and 99"),
        (lambda m: m.ClearField("metadata_props"), "cut short or damaged, the end of hepjax's metadata is missing"),
        (
            lambda m: (m.ClearField("metadata_props"), setattr(m, "producer_name", "pytorch")),
            "no hepjax metadata in it: made by another program, pytorch; give a file that hepjax export made",
        ),
        (lambda m: named(m, "hepjax_format", "2"), "format 2, expected 1"),
        (
            lambda m: setattr(m.graph.input[0], "name", "x"),
            r"expected inputs features\[F\], images\[H, W, C\], or particles\[P, F\] and mask\[P\], found x float32",
        ),
        (
            lambda m: setattr(m.graph.output[0], "name", "y"),
            "expected the output probabilities or predictions, found y",
        ),
        (lambda m: setattr(m.graph.node[0], "op_type", "Sculpture"), "ONNX Runtime cannot load it"),
    ],
)
def test_a_file_of_another_kind_is_refused(small, change, words, capfd):
    with pytest.raises(InputError, match=words) as result:
        export.read(written(small, "other.onnx", change=change))
    assert "\n" not in str(result.value)
    assert capfd.readouterr().err == ""


def test_a_missing_file_text_or_folder_is_refused(small, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        export.read(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="a folder, not a file"):
        export.read(tmp_path)
    with pytest.raises(InputError, match="no ONNX file"):
        export.read(written(small, "text.onnx", b"this is no tagger\n" * 9))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x: x.values, "expected particles and mask, found 1 arrays"),
        (
            lambda x: x._replace(values=x.values[:, :7]),
            r"particles: expected \(N, 30, 7\) float32.*found \(1000, 7, 7\)",
        ),
        (lambda x: x._replace(values=x.values[:5]), r"mask: .* the same N"),
        (lambda x: x._replace(mask=x.mask.astype(np.float32)), r"mask: expected \(N, 30\) bool"),
    ],
)
def test_other_arrays_are_refused(small, change, words):
    run, *_ = export.read(written(small, "right.onnx"))
    with pytest.raises(InputError, match=words):
        run(change(small[1]))


def test_an_absent_extra_is_named(small, monkeypatch):
    path = written(small, "right.onnx")
    for package in ("onnxruntime", "onnx"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=rf"need {package}, .*pip install 'hepjax\[export\]'"):
            export.read(path)
    with pytest.raises(InputError, match=r"pip install 'hepjax\[export\]'"):
        export.to_onnx(jax.nn.softmax, np.zeros((1, 3), np.float32), {})


def test_sixteen_bits_and_unknown_operations_are_refused():
    pipeline = pipelines.make_pipeline(models.MLP(hidden=(4,)), 5, hls4ml.HLS4ML)
    params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    apply = pipelines.make_apply(pipeline, pipelines.blank_scaling(pipeline), Precision.BFLOAT16)
    with pytest.raises(InputError, match="bfloat16"):
        export.to_onnx(lambda x: apply(params, state, x, jnp.ones(1, bool), None)[0], pipeline.example, {})
    with pytest.raises(InputError, match="JAX's fft"):
        export.to_onnx(lambda x: jnp.fft.fft(x).real, np.zeros((1, 4), np.float32), {})
    with pytest.raises(InputError, match="example: expected Sequences"):
        export.to_onnx(lambda x: x, np.zeros((1, 4, 4), np.float32), {})

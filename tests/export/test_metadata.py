"""What an exported file says is held against its own function, and what it is not is said."""

from __future__ import annotations

import importlib.util
import json
import pathlib

import jax
import numpy as np
import pytest

from hepjax import InputError, export, load, models, tasks
from hepjax.data.dataset_json import dataset_to_json
from hepjax.data.datasets import hls4ml
from hepjax.tasks.regression import Regression
from hepjax.types import Dataset, OneHot

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
pytest.importorskip("flatbuffers", reason="the extra `export` is not installed")

TWO = Dataset("two", jet_columns=("a", "b", "c"), classes=("x", "y"), labels=OneHot(("l_x", "l_y")), features=("a",))


@pytest.fixture(scope="module")
def cases():
    path = pathlib.Path(__file__).with_name("hostile_exports.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parents[1]))
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(cases):
    return cases.prepare(None)["mlp"]


@pytest.fixture
def file(made, tmp_path):
    """A function that writes the file in either format: facts that are replaced, and a change of the ONNX model."""

    def write(kind, facts=(), change=lambda model: None, seal=True):
        path = tmp_path / f"tagger.{kind}"
        data, stablehlo, text, _ = made
        if kind == "stablehlo":
            tree = json.loads(text)
            tree["facts"] |= dict(facts)
            if seal:
                tree["sha256_of_this"] = export.stablehlo._checksum(tree)
            path.write_bytes(stablehlo)
            path.with_name(f"{path.name}.json").write_text(json.dumps(tree))
            return path
        model = onnx.load_from_string(data)
        props = {prop.key: prop.value for prop in model.metadata_props} | dict(facts)
        change(model)
        onnx.helper.set_model_props(model, props)
        if seal:
            onnx.helper.set_model_props(model, props | {"sha256": export.onnx_files._checksum(model)})
        path.write_bytes(model.SerializeToString())
        return path

    return write


KINDS = ("onnx", "stablehlo")


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_file_is_read(file, made, kind):
    tagger = load(file(kind))
    assert (tagger.classes, tagger.columns) == (hls4ml.CLASSES, ("j_pt", "j_mass", "j_zlogz"))
    np.testing.assert_allclose(tagger(np.repeat(made[3], 3, axis=0)).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "facts, words",
    [
        (
            {"classes": '["g", "q", "w", "z"]'},
            "its classes are g, q, w, z, those of its model and dataset g, q, w, z, t",
        ),
        ({"classes": '["q", "g", "w", "z", "t"]'}, "its classes are q, g, w, z, t, those"),
        ({"outputs": '["g"]'}, "its outputs are g, those"),
        (
            {"columns": '["j_pt", "j_zlogz", "j_mass"]'},
            "its columns are j_pt, j_zlogz, j_mass, those .* j_mass, j_zlogz",
        ),
        (
            {
                "dataset": json.dumps(dataset_to_json(TWO)),
                "classes": '["x", "y"]',
                "outputs": '["x", "y"]',
                "columns": '["a", "b", "c"]',
                "model": json.dumps(models.to_json(models.MLP(hidden=(4,), features=("a", "b", "c")))),
            },
            "its function gives 5 columns and its metadata names 2: x, y",
        ),
        (
            {
                "model": json.dumps(models.to_json(models.MLP(hidden=(4,), features=("j_pt", "j_mass")))),
                "columns": '["j_pt", "j_mass"]',
            },
            r"its function takes features float32\[3\], the model that it names features float32\[2\]",
        ),
        ({"classes": "[1]"}, r"its metadata is damaged \(expected a list of names\)"),
        ({"classes": '"gqwzt"'}, "its metadata is damaged"),
        ({"model": "[" * 100_000}, "its metadata is damaged"),
        ({"model": '{"name": "mlp", "hidden": [0]}'}, r"--hidden: expected .*, found \(0,\)"),
        ({"dataset": '{"name": "x", "classes": "gq"}'}, "dataset: not a description of one"),
        ({"dataset": '{"name": 3}'}, "dataset: not a description of one"),
        ({"task": '{"name": "regression", "target": ["j_tau1_b1"]}'}, "damaged, its outputs are"),
    ],
)
def test_what_a_file_says_must_be_so(file, kind, facts, words):
    with pytest.raises(InputError, match=words) as caught:
        load(file(kind, facts))
    assert f"tagger.{kind}: " in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_after_the_export_is_noticed(file, kind):
    facts = {"temperature": "2.0"}
    with pytest.raises(InputError, match=r"damaged or changed since (its|the) export; export the tagger again"):
        load(file(kind, facts, seal=False))


def test_a_weight_that_changed_is_noticed(file, made):
    path = file("onnx", seal=False)
    data = bytearray(path.read_bytes())
    raw = onnx.load_from_string(made[0]).graph.initializer[-1].raw_data
    data[data.index(raw)] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged or changed since its export"):
        load(path)


def test_an_output_of_another_task_is_noticed(file):
    def change(model):
        name = model.graph.output[0].name
        for node in model.graph.node:
            for place, output in enumerate(node.output):
                node.output[place] = "predictions" if output == name else output
        model.graph.output[0].name = "predictions"

    with pytest.raises(InputError, match="its output is called predictions, that of its task probabilities"):
        load(file("onnx", change=change))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda m: setattr(m.graph.node[0], "op_type", "Loop"), "has the operator Loop"),
        (lambda m: setattr(m.graph.node[0], "domain", "evil"), "has the operator evil"),
        (lambda m: setattr(m.graph.initializer[0], "data_location", 1), "has data in other files"),
        (lambda m: m.functions.add(), "holds functions"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 3), "no free number of jets"),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 0),
            r"found features float32\[0\]",
        ),
        (lambda m: setattr(m.graph.output[0].type.tensor_type.shape.dim[1], "dim_value", 0), "found 0 columns"),
    ],
)
def test_a_graph_that_none_exports_is_refused(file, change, words):
    with pytest.raises(InputError, match=words):
        load(file("onnx", change=change))


@pytest.mark.parametrize("most", ["0", "-1", "x", "1e3", "99999999999", "\u0663"])
def test_a_number_of_jets_at_once_that_is_none(file, most):
    with pytest.raises(InputError, match=r"its jets_at_once is .*, expected 1 to 4096"):
        load(file("onnx", {"jets_at_once": most}))


def test_a_function_of_ones_own_is_called_so(tmp_path):
    path = tmp_path / "own.onnx"
    path.write_bytes(export.to_onnx(jax.nn.softmax, np.zeros((1, 3), np.float32), {"mine": "1"}))
    with pytest.raises(
        InputError, match=r"own.onnx: a function without a model of hepjax's, .* hepjax.export.read reads it"
    ):
        load(path)
    own = export.read(path)
    assert (own.metadata["mine"], own.columns, own.output) == ("1", 3, "probabilities")
    np.testing.assert_allclose(own.predict(np.zeros((2, 3), np.float32)), 1 / 3, rtol=1e-6)


def test_only_a_classifier_gives_probabilities():
    assert tasks.default_task().layout.exported == "probabilities"
    assert Regression(target=("j_mass",)).layout.exported == "predictions"
    data = export.to_onnx(lambda x: x, np.zeros((1, 3), np.float32), {}, output="predictions")
    model = onnx.load_from_string(data)
    assert [value.name for value in model.graph.output] == ["predictions"]
    assert "probabilities" not in model.doc_string

"""Hostile exported files: flipped, cut, with other metadata or other graphs, in ONNX and StableHLO."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import hostile
import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import TensorProto, helper

from hepjax import InputError, export, load, models, tasks
from hepjax.data.dataset_json import dataset_to_json
from hepjax.data.datasets import hls4ml
from hepjax.export import onnx_files, stablehlo
from hepjax.inputs import pipelines
from hepjax.types import Sequences

JUNK = (
    None, True, 0, -1, 1, 3, 10**9, 10**30, 1.5, float("nan"), "", "x", "mlp", "\n", "ü" * 300, [], [1], ["g"],
    ["g", "q", "w", "z", "t", "t"], {}, {"name": "mlp"}, {"a": {"b": []}}, [[[]]],
)  # fmt: skip
DEEP = "[" * 100_000


def prepare(folder):
    """An untrained model of each kind, exported to both formats."""
    made = {}
    task = tasks.default_task()
    for name, model in (
        ("mlp", models.MLP(hidden=(4,), features=("j_pt", "j_mass", "j_zlogz"))),
        ("sets", models.DeepSets(particle=(3,), hidden=(), particles=6, columns=("j1_pt", "j1_etarel"))),
    ):
        pipeline = pipelines.make_pipeline(model, 5, hls4ml.HLS4ML)
        params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
        apply = pipelines.make_apply(pipeline, pipelines.blank_scaling(pipeline))

        def predict(inputs, apply=apply, params=params, state=state):
            mask = jnp.ones(jax.tree.leaves(inputs)[0].shape[0], bool)
            return jax.nn.softmax(apply(params, state, inputs, mask, None)[0])

        facts = {
            "model": json.dumps(models.to_json(model)),
            "task": json.dumps(tasks.to_json(task)),
            "plugins": "[]",
            "classes": json.dumps(hls4ml.CLASSES),
            "outputs": json.dumps(hls4ml.CLASSES),
            "dataset": json.dumps(dataset_to_json(hls4ml.HLS4ML)),
            "columns": json.dumps(pipeline.columns),
            "temperature": "1.0",
        }
        data = export.to_stablehlo(predict, pipeline.example)
        made[name] = (
            export.to_onnx(predict, pipeline.example, facts),
            data,
            export.describe_stablehlo(predict, pipeline.example, data, facts),
            pipeline.example,
        )
    return made


def flipped(rng, data):
    """Bytes that are flipped, cut or exchanged."""
    data = bytearray(data)
    kind, at = rng.integers(4), int(rng.integers(len(data)))
    if kind == 0:
        del data[at:]
    elif kind == 1:
        data[at : at + 40] = rng.bytes(int(rng.integers(0, 80)))
    else:
        for place in rng.integers(len(data), size=int(rng.choice([1, 1, 2, 8]))).tolist():
            data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def junk_in(rng, tree):
    """A tree of JSON with one value replaced, dropped or doubled."""
    tree = copy.deepcopy(tree)
    place = tree
    while True:
        if isinstance(place, dict) and place:
            key = str(rng.choice([*place]))
        elif isinstance(place, list) and place:
            key = int(rng.integers(len(place)))
        else:
            return JUNK[int(rng.integers(len(JUNK)))]
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.4:
            break
        place = inner
    if rng.random() < 0.15:
        del place[key]
    else:
        place[key] = JUNK[int(rng.integers(len(JUNK)))]
    return tree


def other_text(rng, text):
    """Another text of metadata."""
    kind = rng.integers(5)
    if kind == 0:
        return str(rng.choice(["", "[]", "null", "{}", "1e999", "-0", "NaN", DEEP, '{"a":' * 50_000, "\x00", "'"]))
    try:
        return json.dumps(junk_in(rng, json.loads(text)))
    except (RecursionError, ValueError):
        return str(rng.choice(["x", "1", "0", "-1", "4096", "99999999999", "1.0", "\u0663"]))


def other_metadata(rng, model):
    """Facts that are changed, dropped or added."""
    props = {prop.key: prop for prop in model.metadata_props}
    key = str(rng.choice([*props]))
    if rng.random() < 0.15:
        model.metadata_props.remove(props[key])
    else:
        props[key].value = other_text(rng, props[key].value)


def other_graph(rng, model):  # noqa: C901, PLR0912 - one branch for each kind
    """A graph that takes, does or gives something else."""
    graph = model.graph
    tensors = [*graph.input, *graph.output]
    tensor = tensors[int(rng.integers(len(tensors)))]
    node = graph.node[int(rng.integers(len(graph.node)))]
    constant = graph.initializer[int(rng.integers(len(graph.initializer)))]
    dims = tensor.type.tensor_type.shape.dim
    kind = rng.integers(14)
    if kind == 0:
        tensor.name = str(rng.choice(["x", "", "mask", "features", "probabilities", "predictions"]))
    elif kind == 1:
        dims[int(rng.integers(len(dims)))].dim_value = int(rng.choice([0, -1, 1, 2, 10**6, 2**40, 2**62]))
    elif kind == 2:
        tensor.type.tensor_type.elem_type = int(rng.integers(0, 30))
    elif kind == 3:
        del graph.node[int(rng.integers(len(graph.node)))]
    elif kind == 4:
        node.op_type = str(rng.choice(["Loop", "If", "Scan", "Relu", "Exp", "MatMul", "Tile", "Nothing", ""]))
    elif kind == 5:
        node.domain = str(rng.choice(["evil", "com.microsoft", "ai.onnx.ml"]))
    elif kind == 6:
        constant.data_location = TensorProto.EXTERNAL
        entry = constant.external_data.add()
        entry.key, entry.value = "location", str(rng.choice(["/dev/zero", "/etc/passwd", "pipe", "../x"]))
    elif kind == 7:
        del constant.dims[:]
        constant.dims.extend(int(x) for x in rng.choice([0, 1, 3, 10**6, 2**40, -1], int(rng.integers(0, 4))))
    elif kind == 8:
        constant.raw_data = rng.bytes(int(rng.choice([0, 1, 4, len(constant.raw_data)])))
    elif kind == 9:
        node.input[0] = str(rng.choice(["", "nothing", node.output[0], *[x.name for x in graph.initializer]]))
    elif kind == 10:
        graph.node.add().CopyFrom(node)
    elif kind == 11 and node.attribute:
        node.attribute[0].i = int(rng.choice([-(2**62), -1, 2**31, 2**62]))
        node.attribute[0].ints.append(int(rng.choice([-1, 10**9])))
    elif kind == 12:
        made = helper.make_node("Constant", [], ["huge"], value_ints=[10**6, 10**6])
        graph.node.insert(0, made)
        graph.node.insert(1, helper.make_node("ConstantOfShape", ["huge"], ["zeros"]))
        graph.node.append(helper.make_node("ReduceSum", ["zeros"], ["unused"]))
    elif model.opset_import:
        del model.opset_import[0]


def sealed(model):
    """A model with the checksum that belongs to it."""
    props = [(prop.key, prop.value) for prop in model.metadata_props]
    if "sha256" in dict(props):
        helper.set_model_props(model, {**dict(props), "sha256": onnx_files._checksum(model)})
    return model


def write_onnx(rng, path, data):
    """A hostile ONNX file."""
    if (kind := rng.integers(5)) == 0:
        path.write_bytes(flipped(rng, data))
        return "flipped"
    model = onnx.load_from_string(data)
    if kind == 1:
        kept = [prop for prop in model.metadata_props if prop.key != "sha256"]
        del model.metadata_props[:]
        model.metadata_props.extend(kept)
        path.write_bytes(flipped(rng, model.SerializeToString()))
        return "flipped, without a checksum"
    for _ in range(int(rng.choice([1, 1, 2]))):
        (other_metadata if kind == 2 else other_graph)(rng, model)
    path.write_bytes((sealed(model) if rng.random() < 0.9 else model).SerializeToString())
    return "other metadata" if kind == 2 else "another graph"


def write_stablehlo(rng, path, data, text):
    """A hostile StableHLO file, and its metadata."""
    kind = rng.integers(5)
    tree = json.loads(text)
    if kind == 0:
        text = flipped(rng, text.encode())
    elif kind == 1:
        data = flipped(rng, data)
        tree["sha256"] = hashlib.sha256(data).hexdigest()
        text = json.dumps({**tree, "sha256_of_this": stablehlo._checksum(tree)})
    elif kind == 2:
        text = str(rng.choice(["", "[]", "null", "1", DEEP, '{"a":' * 50_000, '"x"', "{}"]))
    else:
        if kind == 3:
            tree = junk_in(rng, tree)
        else:
            key = str(rng.choice([*tree["facts"]]))
            tree["facts"][key] = other_text(rng, tree["facts"][key])
        if isinstance(tree, dict) and rng.random() < 0.9:
            tree["sha256_of_this"] = stablehlo._checksum(tree)
        text = json.dumps(tree)
    path.write_bytes(data)
    path.with_name(f"{path.name}.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return f"stablehlo {kind}"


def attempt(made, seed, folder):
    """Makes one file, reads it, and predicts with it."""
    rng = np.random.default_rng(seed)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    for path in work.iterdir():
        path.unlink()
    onnx_data, data, text, example = made[str(rng.choice([*made]))]
    kind = rng.random()
    if kind < 0.05:
        path = work / "tagger.onnx"
        os.mkfifo(path) if rng.random() < 0.5 else path.symlink_to(path.name)
        words = "no file"
    elif kind < 0.7:
        path = work / "tagger.onnx"
        words = write_onnx(rng, path, onnx_data)
    else:
        path = work / "tagger.stablehlo"
        words = write_stablehlo(rng, path, data, text)
    try:
        tagger = load(path)
        inputs = jax.tree.map(lambda x: np.repeat(x, 3, axis=0), example)
        tagger(inputs if isinstance(inputs, Sequences) else inputs + 1)
    except InputError as error:
        raise InputError(f"{words}: {error}") from error
    return words


if __name__ == "__main__":
    hostile.main(prepare, attempt, InputError)

"""Export of taggers to ONNX files, and import with ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hepjax.errors import InputError
from hepjax.export.inputs import (
    FORMAT,
    NAMES,
    OUTPUTS,
    SYMBOL,
    InputSpec,
    check_format,
    flatten_inputs,
    input_specs,
    jets_at_once,
    predict_in_blocks,
    read_bytes,
    require_package,
    symbolic_inputs,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from hepjax.types import PyTree

OPSET = 18
"""The version of the operators, which ONNX Runtime 1.14 and newer support."""
IR_VERSION = 8
"""The version of the file format that belongs to this opset."""


def to_onnx(
    predict: Callable[[PyTree], jax.Array], example: PyTree, metadata: Mapping[str, str], *, output: str = OUTPUTS[0]
) -> bytes:
    """Converts a model to an ONNX model from raw columns to predictions.

    The size of the first axis of inputs and output is free. `metadata_props` hold the metadata and `jets_at_once`, the
    number of jets whose intermediate arrays fit in a cache; more jets are evaluated faster in blocks.

    Args:
      predict: a pure function from the input of N jets to (N, C) predictions, softmax included; the prediction for a
        jet depends on that jet only.
      example: input of one jet: (1, F) features, (1, H, W, C) images, or `Sequences` with values (1, P, F) and mask
        (1, P).
      metadata: texts to store with the model: its options, classes, columns.
      output: its name, one of `OUTPUTS`.

    Returns:
      The bytes of the file. Its inputs are `features`, `images`, or `particles` and `mask` (bool); its output is
      `output`.

    Raises:
      InputError: the extra is not installed, or ONNX does not support an operation of the function.

    >>> import onnx
    >>> data = to_onnx(lambda x: jax.nn.softmax(x * 2), np.zeros((1, 3), np.float32), {"classes": "q,g,t"})
    >>> [node.op_type for node in onnx.load_from_string(data).graph.node]
    ['Mul', 'Softmax']
    """
    require_package("onnx")
    from onnx import checker, helper

    from hepjax.export.graph import Graph, Value
    from hepjax.export.lowering import lower
    from hepjax.version import __version__

    specs = input_specs(example)
    closed = jax.make_jaxpr(flatten_inputs(predict, example))(*symbolic_inputs(specs))
    graph = Graph(batch_of=specs[0].name)
    values = [
        Value(spec.name, None, tuple(v.aval.shape), spec.dtype)
        for spec, v in zip(specs, closed.jaxpr.invars, strict=True)
    ]
    (result,) = lower(graph, closed, values)
    out = closed.out_avals[0]
    nodes, constants = graph.finish(graph.expand(result, out.shape), output)
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tagger",
            [_info(spec.name, spec.shape, spec.dtype) for spec in specs],
            [_info(output, out.shape[1:], out.dtype)],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="hepjax",
        producer_version=__version__,
        doc_string="A tagger of particle jets: columns in their own units in, class probabilities out.",
    )
    # The format comes last in the file: one that is cut short lacks it.
    added = {"jets_at_once": str(jets_at_once(graph.shared.largest)), "hepjax_format": FORMAT}
    helper.set_model_props(model, {**metadata, **added})
    checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def read_onnx(path: str | os.PathLike[str]) -> tuple[Callable[[PyTree], np.ndarray], dict[str, str]]:
    """Reads a tagger from an ONNX file and runs it with ONNX Runtime on the CPU.

    Args:
      path: path of a file that `to_onnx` wrote.

    Returns:
      A function from the input of N jets, as `to_onnx` describes it, to (N, C) float32 probabilities, and the metadata.
      The function raises InputError if the arrays do not fit the inputs of the tagger.

    Raises:
      InputError: the extra is not installed; the file is missing, cut short, not from hepjax, or of another version.
    """
    require_package("onnx")
    require_package("onnxruntime")
    import onnxruntime  # type: ignore[import-untyped]
    from onnx import helper

    data = read_bytes(path)
    model = _parse_model(path, data)
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    check_format(path, metadata.get("hepjax_format"))
    opset = {operators.domain: operators.version for operators in model.opset_import}.get("", 0)
    if opset != OPSET or model.ir_version > IR_VERSION:
        raise InputError(
            f"{path}: expected ONNX opset {OPSET} and IR version {IR_VERSION}, found {opset} and {model.ir_version}; "
            "export the tagger again with this hepjax"
        )
    names = [tensor.name for tensor in model.graph.input]
    outputs = [tensor.name for tensor in model.graph.output]
    if names not in NAMES or not {*outputs} < {*OUTPUTS}:
        raise InputError(
            f"{path}: expected inputs {' or '.join(' and '.join(n) for n in NAMES)} and output {' or '.join(OUTPUTS)}, "
            f"found {', '.join(names)} and {', '.join(outputs)}; export the tagger again"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no other base
        raise InputError(
            f"{path}: ONNX Runtime cannot load it ({_one_line(error)}); export the tagger again"
        ) from error
    specs = []
    for tensor in model.graph.input:
        kind = tensor.type.tensor_type
        shape = tuple(size.dim_value for size in kind.shape.dim)[1:]
        specs.append(InputSpec(tensor.name, shape, helper.tensor_dtype_to_np_dtype(kind.elem_type)))
    classes = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value

    def run(arrays: list[np.ndarray]) -> np.ndarray:
        predictions: np.ndarray = session.run(outputs, dict(zip(names, arrays, strict=True)))[0]
        return predictions

    return predict_in_blocks(run, specs, classes, int(metadata["jets_at_once"])), metadata


def _parse_model(path: str | os.PathLike[str], data: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_from_string(data)
    except DecodeError as error:
        raise InputError(f"{path}: no ONNX file, or cut short; export the tagger again") from error
    if not model.graph.node or not model.graph.output:
        raise InputError(f"{path}: no ONNX file, or cut short; export the tagger again")
    return model


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _info(name: str, shape: Sequence[int], dtype: Any) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [SYMBOL, *shape])

"""Export of taggers to ONNX files, and import with ONNX Runtime."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hepjax.errors import InputError
from hepjax.export.tagger_inputs import (
    FORMAT,
    OUTPUTS,
    PRODUCER,
    SYMBOL,
    Exported,
    InputSpec,
    check_export_format,
    check_signature,
    flatten_inputs,
    input_specs,
    jets_per_exported_call,
    one_line,
    predict_in_blocks,
    read_exported_bytes,
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
_CHECKSUM = "sha256"
"""The key of the checksum of all else in the file; files of version 0.1 have none."""
_ENDLESS = "Loop"
"""An operator that no exported file has, and that may run for ever."""


def to_onnx(
    predict: Callable[[PyTree], jax.Array], example: PyTree, metadata: Mapping[str, str], *, output: str = OUTPUTS[0]
) -> bytes:
    """Converts a model to an ONNX model from raw columns to predictions.

    The size of the first axis of inputs and output is free. `metadata_props` hold the metadata and
    `jets_per_exported_call`, the
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
    from hepjax.export.lowering import lower_function
    from hepjax.version import __version__

    specs = input_specs(example)
    closed = jax.make_jaxpr(flatten_inputs(predict, example))(*symbolic_inputs(specs))
    graph = Graph(batch_of=specs[0].name)
    values = [
        Value(spec.name, None, tuple(v.aval.shape), spec.dtype)
        for spec, v in zip(specs, closed.jaxpr.invars, strict=True)
    ]
    (result,) = lower_function(graph, closed, values)
    out = closed.out_avals[0]
    nodes, constants = graph.finish(graph.expand(result, out.shape), output)
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tagger",
            [_onnx_input_info(spec.name, spec.shape, spec.dtype) for spec in specs],
            [_onnx_input_info(output, out.shape[1:], out.dtype)],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
        producer_version=__version__,
        doc_string=f"A model of particle jets: columns in their own units in, {output} out.",
    )
    facts = {**metadata, "jets_at_once": str(jets_per_exported_call(graph.shared.largest))}
    helper.set_model_props(model, facts)
    checker.check_model(model)
    # The format comes last in the file: one that is cut short lacks it.
    helper.set_model_props(model, {**facts, _CHECKSUM: _checksum(model), "hepjax_format": FORMAT})
    data: bytes = model.SerializeToString()
    return data


def read_onnx(path: str | os.PathLike[str]) -> Exported:
    """Reads a tagger from an ONNX file, to be run with ONNX Runtime on the CPU.

    Args:
      path: path of a file that `to_onnx` wrote.

    Returns:
      The tagger.

    Raises:
      InputError: the extra is not installed; the file is missing, cut short, damaged, not from hepjax, or of another
        version.
    """
    require_package("onnx")
    require_package("onnxruntime")
    import onnxruntime  # type: ignore[import-untyped]

    data = read_exported_bytes(path)
    model = _parse_onnx_model(path, data)
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    check_export_format(path, metadata.get("hepjax_format"), model.producer_name)
    opset = {operators.domain: operators.version for operators in model.opset_import}
    if opset != {"": OPSET} or model.ir_version > IR_VERSION:
        raise InputError(
            f"{path}: expected ONNX opset {OPSET} and IR version {IR_VERSION}, found {opset.get('', 0)} and "
            f"{model.ir_version}; export the tagger again with this hepjax"
        )
    if metadata.pop(_CHECKSUM, checksum := _checksum(model)) != checksum:
        raise InputError(f"{path}: damaged or changed since its export; export the tagger again")
    _check_graph(path, model)
    specs, columns = _signature(path, model)
    most = metadata.get("jets_at_once", "")
    most_jets = int(most) if most.isascii() and most.isdecimal() and len(most) < 9 else most
    check_signature(path, specs, columns, most_jets)
    output = model.graph.output[0].name
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no other base
        raise InputError(f"{path}: ONNX Runtime cannot load it ({one_line(error)}); export the tagger again") from error

    def run_onnx(arrays: list[np.ndarray]) -> np.ndarray:
        named = {spec.name: array for spec, array in zip(specs, arrays, strict=True)}
        predictions: np.ndarray = session.run([output], named)[0]
        return predictions

    return Exported(
        predict_in_blocks(run_onnx, specs, columns, int(most_jets)), metadata, tuple(specs), columns, output
    )


def _parse_onnx_model(path: str | os.PathLike[str], data: bytes) -> Any:
    import onnx

    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's, or of text that is no UTF-8
        raise InputError(f"{path}: no ONNX file, or cut short; export the tagger again") from error
    if not model.graph.node or not model.graph.output:
        raise InputError(f"{path}: no ONNX file, or cut short; export the tagger again")
    return model


def _checksum(model: Any) -> str:
    """The SHA-256 of a model without its checksum and format."""
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    bare.metadata_props.extend(prop for prop in model.metadata_props if prop.key not in (_CHECKSUM, "hepjax_format"))
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def _check_graph(path: str | os.PathLike[str], model: Any) -> None:
    """Refuses a graph that reads other files, calls other programs, or may run for ever."""
    from onnx import TensorProto

    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise InputError(
            f"{path}: holds functions, training or sparse arrays, as no exported tagger does; export again"
        )
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        tensors = list(graph.initializer)
        for node in graph.node:
            if node.domain not in ("", "ai.onnx") or node.op_type == _ENDLESS:
                name = one_line(f"{node.domain} {node.op_type}")
                raise InputError(f"{path}: has the operator {name}, as no exported tagger does; export again")
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
            tensors += [attribute.t for attribute in node.attribute if attribute.HasField("t")]
        if any(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data for tensor in tensors):
            raise InputError(f"{path}: has data in other files, as no exported tagger does; export again")


def _signature(path: str | os.PathLike[str], model: Any) -> tuple[list[InputSpec], int]:
    """The inputs, and the columns of the output, that a graph declares."""
    from onnx import helper

    outputs = [tensor.name for tensor in model.graph.output]
    if len(outputs) != 1 or outputs[0] not in OUTPUTS:
        found = ", ".join(map(one_line, outputs[:9]))
        raise InputError(f"{path}: expected the output {' or '.join(OUTPUTS)}, found {found}; export the tagger again")
    sizes, kinds = [], []
    for tensor in (*model.graph.input, model.graph.output[0]):
        kind = tensor.type.tensor_type
        try:
            kinds.append(np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: {one_line(tensor.name)} holds no numbers; export the tagger again") from error
        sizes.append(tuple(size.dim_value for size in kind.shape.dim))
        if not kind.shape.dim or kind.shape.dim[0].HasField("dim_value"):
            raise InputError(f"{path}: {one_line(tensor.name)} takes no free number of jets; export the tagger again")
    specs = [InputSpec(t.name, size[1:], kind) for t, size, kind in zip(model.graph.input, sizes, kinds, strict=False)]
    return specs, sizes[-1][1] if len(sizes[-1]) == 2 and kinds[-1] == np.float32 else 0


def _onnx_input_info(name: str, shape: Sequence[int], dtype: Any) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [SYMBOL, *shape])

"""Taggers as ONNX files, and back through ONNX Runtime."""

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
    Slot,
    check_format,
    flat,
    in_blocks,
    jets_at_once,
    need,
    read_bytes,
    slots,
    specs,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from hepjax.types import PyTree

OPSET = 18
"""The operators' version: ONNX Runtime 1.14 and newer run it."""
IR_VERSION = 8
"""The file format's version that came with this opset."""


def to_onnx(
    answer: Callable[[PyTree], jax.Array], example: PyTree, facts: Mapping[str, str], *, output: str = OUTPUTS[0]
) -> bytes:
    """A tagger as an ONNX model: raw columns in, probabilities out.

    The first axis of inputs and output has any size. `metadata_props` hold the facts, and `jets_at_once`: the arrays
    in between of so many jets fit in a processor's cache, and more are answered faster in parts.

    Args:
      answer: a pure function from what is read of N jets to (N, C) probabilities, softmax inside; each jet's answer
        depends on that jet only.
      example: what is read of one jet: (1, F) features, (1, H, W, C) images, or `Sequences` with values (1, P, F) and
        mask (1, P).
      facts: texts to keep with the model: its options, classes, columns.
      output: its name, one of `OUTPUTS`.

    Returns:
      The bytes of the file. Its inputs are `features`, `images`, or `particles` and `mask` (bool); its output is
      `output`.

    Raises:
      InputError: the extra is not installed, or the function does what ONNX cannot.

    >>> import onnx
    >>> made = to_onnx(lambda x: jax.nn.softmax(x * 2), np.zeros((1, 3), np.float32), {"classes": "q,g,t"})
    >>> [node.op_type for node in onnx.load_from_string(made).graph.node]
    ['Mul', 'Softmax']
    """
    need("onnx")
    from onnx import checker, helper

    from hepjax.export.graph import Graph, Value
    from hepjax.export.lowering import lower
    from hepjax.version import __version__

    inputs = slots(example)
    closed = jax.make_jaxpr(flat(answer, example))(*specs(inputs))
    graph = Graph(batch_of=inputs[0].name)
    values = [
        Value(slot.name, None, tuple(v.aval.shape), slot.dtype)
        for slot, v in zip(inputs, closed.jaxpr.invars, strict=True)
    ]
    (found,) = lower(graph, closed, values)
    out = closed.out_avals[0]
    nodes, constants = graph.finish(graph.expanded(found, out.shape), output)
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "tagger",
            [_info(slot.name, slot.shape, slot.dtype) for slot in inputs],
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
    about = {"jets_at_once": str(jets_at_once(graph.shared.largest)), "hepjax_format": FORMAT}
    helper.set_model_props(made, {**facts, **about})
    checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


def read_onnx(path: str | os.PathLike[str]) -> tuple[Callable[[PyTree], np.ndarray], dict[str, str]]:
    """A tagger from an ONNX file, run by ONNX Runtime on the CPU.

    Args:
      path: of a file that `to_onnx` made.

    Returns:
      A function from what is read of N jets, as `to_onnx` describes it, to (N, C) float32 probabilities, and the facts.
      The function raises InputError where the arrays are others than the tagger reads.

    Raises:
      InputError: the extra is not installed; the file is missing, cut short, not hepjax's, or of another version.
    """
    need("onnx")
    need("onnxruntime")
    import onnxruntime  # type: ignore[import-untyped]
    from onnx import helper

    data = read_bytes(path)
    made = _parsed(path, data)
    facts = {each.key: each.value for each in made.metadata_props}
    check_format(path, facts.get("hepjax_format"))
    opset = {each.domain: each.version for each in made.opset_import}.get("", 0)
    if opset != OPSET or made.ir_version > IR_VERSION:
        raise InputError(
            f"{path}: expected ONNX opset {OPSET} and IR version {IR_VERSION}, found {opset} and {made.ir_version}; "
            "export the tagger again with this hepjax"
        )
    names = [each.name for each in made.graph.input]
    outputs = [each.name for each in made.graph.output]
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
        raise InputError(f"{path}: ONNX Runtime cannot load it ({_line(error)}); export the tagger again") from error
    wanted = []
    for each in made.graph.input:
        kind = each.type.tensor_type
        shape = tuple(size.dim_value for size in kind.shape.dim)[1:]
        wanted.append(Slot(each.name, shape, helper.tensor_dtype_to_np_dtype(kind.elem_type)))
    classes = made.graph.output[0].type.tensor_type.shape.dim[1].dim_value

    def run(arrays: list[np.ndarray]) -> np.ndarray:
        found: np.ndarray = session.run(outputs, dict(zip(names, arrays, strict=True)))[0]
        return found

    return in_blocks(run, wanted, classes, int(facts["jets_at_once"])), facts


def _parsed(path: str | os.PathLike[str], data: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        made = onnx.load_from_string(data)
    except DecodeError as error:
        raise InputError(f"{path}: no ONNX file, or cut short; export the tagger again") from error
    if not made.graph.node or not made.graph.output:
        raise InputError(f"{path}: no ONNX file, or cut short; export the tagger again")
    return made


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _info(name: str, shape: Sequence[int], dtype: Any) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [SYMBOL, *shape])

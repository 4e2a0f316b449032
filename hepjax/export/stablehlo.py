"""Export of taggers to StableHLO, the portable format of JAX, and import of these files."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hepjax.errors import InputError
from hepjax.export.inputs import (
    FORMAT,
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
    from collections.abc import Callable, Mapping

    from hepjax.types import PyTree

PLATFORMS = ("cpu", "cuda", "tpu")
"""The platforms on which an exported tagger runs."""


def to_stablehlo(predict: Callable[[PyTree], jax.Array], example: PyTree) -> bytes:
    """Converts a tagger to a serialized `jax.export.Exported` of StableHLO, for CPUs, NVIDIA GPUs and TPUs.

    Args:
      predict: pure function as in `to_onnx`.
      example: input of one jet as in `to_onnx`.

    Returns:
      The bytes of the file. Its function takes the arrays as separate arguments, with a free size of the first axis.

    Raises:
      InputError: the extra is not installed.

    >>> data = to_stablehlo(lambda x: jax.nn.softmax(x * 2), np.zeros((1, 3), np.float32))
    >>> jax.export.deserialize(bytearray(data)).in_avals
    (ShapedArray(float32[batch,3]),)
    """
    require_package("flatbuffers")
    exported = jax.export.export(jax.jit(flatten_inputs(predict, example)), platforms=PLATFORMS)(
        *symbolic_inputs(input_specs(example))
    )
    return bytes(exported.serialize())


def describe_stablehlo(
    predict: Callable[[PyTree], jax.Array], example: PyTree, data: bytes, metadata: Mapping[str, str]
) -> str:
    """Returns the JSON text of the metadata file, PATH.json, because StableHLO cannot store metadata.

    Args:
      predict: pure function as in `to_onnx`.
      example: input of one jet as in `to_onnx`.
      data: result of `to_stablehlo`.
      metadata: texts to store.

    Returns:
      The text, with the inputs and the SHA-256 of the data.

    >>> predict, example = jax.nn.softmax, np.zeros((1, 3), np.float32)
    >>> text = describe_stablehlo(predict, example, to_stablehlo(predict, example), {"classes": "g,q,t"})
    >>> json.loads(text)["inputs"]
    [{'name': 'features', 'shape': [3], 'dtype': 'float32'}]
    """
    specs = input_specs(example)
    zeros = (np.zeros((1, *spec.shape), spec.dtype) for spec in specs)
    closed = jax.make_jaxpr(flatten_inputs(predict, example))(*zeros)
    description = {
        "hepjax_format": FORMAT,
        "sha256": hashlib.sha256(data).hexdigest(),
        "jets_at_once": jets_at_once(_largest(closed.jaxpr)),
        "inputs": [{"name": spec.name, "shape": spec.shape, "dtype": spec.dtype.name} for spec in specs],
        "classes": closed.out_avals[0].shape[1],
        "facts": dict(metadata),
    }
    return json.dumps(description, indent=2) + "\n"


def read_stablehlo(path: str | os.PathLike[str]) -> tuple[Callable[[PyTree], np.ndarray], dict[str, str]]:
    """Reads a tagger from a StableHLO file and compiles it for the device of this machine.

    Args:
      path: path of the file; PATH.json must exist in the same folder.

    Returns:
      A function as `read_onnx` returns it, and the metadata. It compiles once for each power of two of jets.

    Raises:
      InputError: the extra is not installed; a file is missing, cut short, of another version, or for other devices.
    """
    require_package("flatbuffers")
    data, description = read_bytes(path), _read_description(path)
    if hashlib.sha256(data).hexdigest() != description["sha256"]:
        raise InputError(f"{path}: not the file that {path}.json describes: cut short or changed; export again")
    try:
        exported = jax.export.deserialize(bytearray(data))
    except Exception as error:  # a newer serialization, which jax reports in several ways
        raise InputError(f"{path}: this jax, {jax.__version__}, cannot read it ({error}); export again") from error
    if jax.default_backend() not in exported.platforms:
        raise InputError(f"{path}: made for {', '.join(exported.platforms)}, found {jax.default_backend()}")
    specs = [InputSpec(x["name"], tuple(x["shape"]), np.dtype(x["dtype"])) for x in description["inputs"]]
    compiled, most = jax.jit(exported.call), int(description["jets_at_once"])

    def run(arrays: list[np.ndarray]) -> np.ndarray:
        count = len(arrays[0])
        size = min(2 ** math.ceil(math.log2(count)), most)
        padded = [np.pad(x, [(0, size - count)] + [(0, 0)] * (x.ndim - 1)) for x in arrays]

        predictions: np.ndarray = np.asarray(compiled(*padded))[:count]
        return predictions

    return predict_in_blocks(run, specs, int(description["classes"]), most), dict(description["facts"])


def _read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    json_path = Path(f"{path}.json")
    try:
        description = json.loads(read_bytes(json_path))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{json_path}: no JSON, or cut short; export the tagger again") from error
    check_format(json_path, description.get("hepjax_format") if isinstance(description, dict) else None)
    missing = {"sha256", "jets_at_once", "inputs", "classes", "facts"} - set(description)
    if missing:
        raise InputError(f"{json_path}: lacks {', '.join(sorted(missing))}; export the tagger again")
    complete: dict[str, Any] = description
    return complete


def _largest(jaxpr: Any) -> int:
    """Returns the size in bytes of the largest array of a function, including the functions that it calls."""
    most = 0
    for equation in jaxpr.eqns:
        for var in equation.outvars:
            most = max(most, math.prod(var.aval.shape) * getattr(var.aval.dtype, "itemsize", 0))
        most = max([most, *map(_largest, _inner(equation))])
    return most


def _inner(equation: Any) -> list[Any]:
    """Returns the functions that an equation calls."""
    functions = [getattr(value, "jaxpr", value) for value in equation.params.values()]
    return [value for value in functions if hasattr(value, "eqns")]

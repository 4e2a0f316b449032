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
from hepjax.export.tagger_inputs import (
    FORMAT,
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

PLATFORMS = ("cpu", "cuda", "tpu")
"""The platforms on which an exported tagger runs."""
_CHECKSUM = "sha256_of_this"
"""The key of the checksum of the metadata file itself; those of version 0.1 have none."""


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
        "jets_at_once": jets_per_exported_call(_max_array_bytes(closed.jaxpr)),
        "inputs": [{"name": spec.name, "shape": spec.shape, "dtype": spec.dtype.name} for spec in specs],
        "classes": closed.out_avals[0].shape[1],
        "facts": dict(metadata),
    }
    return json.dumps({**description, _CHECKSUM: _checksum(description)}, indent=2) + "\n"


def read_stablehlo(path: str | os.PathLike[str]) -> Exported:
    """Reads a tagger from a StableHLO file and compiles it for the device of this machine.

    Args:
      path: path of the file; PATH.json must exist in the same folder.

    Returns:
      The tagger. It compiles once for each power of two of jets.

    Raises:
      InputError: the extra is not installed; a file is missing, cut short, damaged, of another version, or for other
        devices.
    """
    require_package("flatbuffers")
    data, description = read_exported_bytes(path), _read_stablehlo_metadata(path)
    if hashlib.sha256(data).hexdigest() != description["sha256"]:
        raise InputError(f"{path}: not the file that {path}.json describes: cut short or changed; export again")
    specs = _specs(path, description)
    columns, most = description["classes"], description["jets_at_once"]
    check_signature(f"{path}.json", specs, columns, most)
    try:
        exported = jax.export.deserialize(bytearray(data))
    except Exception as error:  # a newer serialization, which jax reports in several ways
        raise InputError(
            f"{path}: this jax, {jax.__version__}, cannot read it ({one_line(error)}); export again"
        ) from error
    if jax.default_backend() not in exported.platforms:
        platforms = ", ".join(map(one_line, exported.platforms))
        raise InputError(f"{path}: made for {platforms}, found {jax.default_backend()}")
    _check_described(path, exported, specs, columns)
    compiled = jax.jit(exported.call)

    def run_stablehlo(arrays: list[np.ndarray]) -> np.ndarray:
        count = len(arrays[0])
        size = min(2 ** math.ceil(math.log2(count)), most)
        padded = [np.pad(x, [(0, size - count)] + [(0, 0)] * (x.ndim - 1)) for x in arrays]

        predictions: np.ndarray = np.asarray(compiled(*padded))[:count]
        return predictions

    predict = predict_in_blocks(run_stablehlo, specs, columns, most)
    return Exported(predict, description["facts"], tuple(specs), columns, None)


def _specs(path: str | os.PathLike[str], description: Mapping[str, Any]) -> list[InputSpec]:
    """The inputs that a metadata file lists."""
    specs = []
    for each in description["inputs"] if isinstance(description["inputs"], list) else [{}]:
        fits = isinstance(each, dict) and {*each} == {"name", "shape", "dtype"}
        if not fits or each["dtype"] not in ("float32", "bool") or not isinstance(each["shape"], list):
            raise InputError(
                f"{path}.json: damaged, an input is {one_line(each)}, expected its name, shape and dtype; export again"
            )
        specs.append(InputSpec(str(each["name"]), tuple(each["shape"]), np.dtype(each["dtype"])))
    return specs


def _check_described(path: str | os.PathLike[str], exported: Any, specs: Sequence[InputSpec], columns: int) -> None:
    """Refuses a metadata file that says something else than the function itself."""
    inputs = [(tuple(aval.shape[1:]), np.dtype(aval.dtype)) for aval in exported.in_avals]
    outputs = [(tuple(aval.shape[1:]), np.dtype(aval.dtype)) for aval in exported.out_avals]
    said = [(spec.shape, spec.dtype) for spec in specs]
    free = all(aval.shape and not isinstance(aval.shape[0], int) for aval in (*exported.in_avals, *exported.out_avals))
    if inputs != said or outputs != [((columns,), np.dtype(np.float32))] or not free:
        here, there = (", ".join(f"{kind}{list(shape)}" for shape, kind in each) for each in (inputs, outputs))
        raise InputError(
            f"{path}: takes {one_line(here)} and gives {one_line(there)}, which is not what {path}.json says; export "
            "the tagger again"
        )


_FIELDS = {"hepjax_format", "sha256", "jets_at_once", "inputs", "classes", "facts"}


def _read_stablehlo_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    json_path = Path(f"{path}.json")
    try:
        description = json.loads(read_exported_bytes(json_path))
    except (RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{json_path}: no JSON, or cut short; export the tagger again") from error
    check_export_format(json_path, description.get("hepjax_format") if isinstance(description, dict) else None)
    if missing := _FIELDS - {*description}:
        raise InputError(f"{json_path}: lacks {', '.join(sorted(missing))}; export the tagger again")
    complete: dict[str, Any] = description
    if complete.pop(_CHECKSUM, checksum := _checksum(complete)) != checksum or {*complete} != _FIELDS:
        raise InputError(f"{json_path}: damaged or changed since the export; export the tagger again")
    facts = complete["facts"]
    if not isinstance(facts, dict) or not all(isinstance(text, str) for text in facts.values()):
        raise InputError(f"{json_path}: damaged, its facts are no texts; export the tagger again")
    return complete


def _checksum(description: Mapping[str, Any]) -> str:
    """The SHA-256 of a metadata file's content without its checksum."""
    content = {name: value for name, value in description.items() if name != _CHECKSUM}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _max_array_bytes(jaxpr: Any) -> int:
    """Returns the size in bytes of the largest array of a function, including the functions that it calls."""
    most = 0
    for equation in jaxpr.eqns:
        for var in equation.outvars:
            most = max(most, math.prod(var.aval.shape) * getattr(var.aval.dtype, "itemsize", 0))
        most = max([most, *map(_max_array_bytes, _called_functions(equation))])
    return most


def _called_functions(equation: Any) -> list[Any]:
    """Returns the functions that an equation calls."""
    functions = [getattr(value, "jaxpr", value) for value in equation.params.values()]
    return [value for value in functions if hasattr(value, "eqns")]

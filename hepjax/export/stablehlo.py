"""Taggers as StableHLO, JAX's own portable form, and back."""

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
    from collections.abc import Callable, Mapping

    from hepjax.types import PyTree

PLATFORMS = ("cpu", "cuda", "tpu")
"""Where an exported tagger runs."""


def to_stablehlo(answer: Callable[[PyTree], jax.Array], example: PyTree) -> bytes:
    """A tagger as a serialised `jax.export.Exported` of StableHLO, for CPUs, NVIDIA GPUs and TPUs.

    Args:
      answer: as `to_onnx` takes it.
      example: as `to_onnx` takes it.

    Returns:
      The bytes of the file. The function in it takes the arrays one after another, their first axis of any size.

    Raises:
      InputError: the extra is not installed.

    >>> made = to_stablehlo(lambda x: jax.nn.softmax(x * 2), np.zeros((1, 3), np.float32))
    >>> jax.export.deserialize(bytearray(made)).in_avals
    (ShapedArray(float32[batch,3]),)
    """
    need("flatbuffers")
    exported = jax.export.export(jax.jit(flat(answer, example)), platforms=PLATFORMS)(*specs(slots(example)))
    return bytes(exported.serialize())


def describe_stablehlo(
    answer: Callable[[PyTree], jax.Array], example: PyTree, data: bytes, facts: Mapping[str, str]
) -> str:
    """The JSON text that belongs beside the file, under its name and `.json`: StableHLO has no place for facts.

    Args:
      answer: as `to_onnx` takes it.
      example: as `to_onnx` takes it.
      data: what `to_stablehlo` gave.
      facts: texts to keep.

    Returns:
      The text, with the inputs and the SHA-256 of the data.

    >>> answer, example = jax.nn.softmax, np.zeros((1, 3), np.float32)
    >>> text = describe_stablehlo(answer, example, to_stablehlo(answer, example), {"classes": "g,q,t"})
    >>> json.loads(text)["inputs"]
    [{'name': 'features', 'shape': [3], 'dtype': 'float32'}]
    """
    inputs = slots(example)
    closed = jax.make_jaxpr(flat(answer, example))(*(np.zeros((1, *slot.shape), slot.dtype) for slot in inputs))
    about = {
        "hepjax_format": FORMAT,
        "sha256": hashlib.sha256(data).hexdigest(),
        "jets_at_once": jets_at_once(_largest(closed.jaxpr)),
        "inputs": [{"name": slot.name, "shape": slot.shape, "dtype": slot.dtype.name} for slot in inputs],
        "classes": closed.out_avals[0].shape[1],
        "facts": dict(facts),
    }
    return json.dumps(about, indent=2) + "\n"


def read_stablehlo(path: str | os.PathLike[str]) -> tuple[Callable[[PyTree], np.ndarray], dict[str, str]]:
    """A tagger from a StableHLO file, compiled for this machine's device.

    Args:
      path: of the file; PATH.json must lie beside it.

    Returns:
      A function as `read_onnx` gives it, and the facts. It compiles once for each power of two of jets.

    Raises:
      InputError: the extra is not installed; a file is missing, cut short, of another version, or for other devices.
    """
    need("flatbuffers")
    data, about = read_bytes(path), _facts_beside(path)
    if hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise InputError(f"{path}: not the file that {path}.json describes: cut short or changed; export again")
    try:
        exported = jax.export.deserialize(bytearray(data))
    except Exception as error:  # a newer serialisation, which jax reports in several ways
        raise InputError(f"{path}: this jax, {jax.__version__}, cannot read it ({error}); export again") from error
    if jax.default_backend() not in exported.platforms:
        raise InputError(f"{path}: made for {', '.join(exported.platforms)}, found {jax.default_backend()}")
    wanted = [Slot(x["name"], tuple(x["shape"]), np.dtype(x["dtype"])) for x in about["inputs"]]
    compiled, most = jax.jit(exported.call), int(about["jets_at_once"])

    def run(arrays: list[np.ndarray]) -> np.ndarray:
        count = len(arrays[0])
        size = min(2 ** math.ceil(math.log2(count)), most)
        filled = [np.pad(x, [(0, size - count)] + [(0, 0)] * (x.ndim - 1)) for x in arrays]
        found: np.ndarray = np.asarray(compiled(*filled))[:count]
        return found

    return in_blocks(run, wanted, int(about["classes"]), most), dict(about["facts"])


def _facts_beside(path: str | os.PathLike[str]) -> dict[str, Any]:
    beside = Path(f"{path}.json")
    try:
        about = json.loads(read_bytes(beside))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{beside}: no JSON, or cut short; export the tagger again") from error
    check_format(beside, about.get("hepjax_format") if isinstance(about, dict) else None)
    missing = {"sha256", "jets_at_once", "inputs", "classes", "facts"} - set(about)
    if missing:
        raise InputError(f"{beside}: lacks {', '.join(sorted(missing))}; export the tagger again")
    found: dict[str, Any] = about
    return found


def _largest(jaxpr: Any) -> int:
    """Bytes of the largest array of a function, those it calls included."""
    most = 0
    for equation in jaxpr.eqns:
        for var in equation.outvars:
            most = max(most, math.prod(var.aval.shape) * getattr(var.aval.dtype, "itemsize", 0))
        most = max([most, *map(_largest, _inner(equation))])
    return most


def _inner(equation: Any) -> list[Any]:
    """The functions that an equation calls."""
    found = [getattr(value, "jaxpr", value) for value in equation.params.values()]
    return [value for value in found if hasattr(value, "eqns")]

"""Export of trained taggers to ONNX and StableHLO, and import of these files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.export.files import read
from hepjax.export.onnx_files import IR_VERSION, OPSET, read_onnx, to_onnx
from hepjax.export.stablehlo import PLATFORMS, describe_stablehlo, read_stablehlo, to_stablehlo
from hepjax.export.tagger_inputs import Exported, InputSpec, input_specs, one_line
from hepjax.registry import submodule

__all__ = [
    "IR_VERSION",
    "OPSET",
    "PLATFORMS",
    "Exported",
    "InputSpec",
    "describe_stablehlo",
    "input_specs",
    "one_line",
    "read",
    "read_onnx",
    "read_stablehlo",
    "to_onnx",
    "to_stablehlo",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)

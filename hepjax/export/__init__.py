"""Export of trained taggers to ONNX and StableHLO, and import of these files."""

from hepjax.export.files import read
from hepjax.export.onnx_files import IR_VERSION, OPSET, read_onnx, to_onnx
from hepjax.export.stablehlo import PLATFORMS, describe_stablehlo, read_stablehlo, to_stablehlo
from hepjax.export.tagger_inputs import Exported, InputSpec, input_specs, one_line

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

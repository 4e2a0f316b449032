"""A trained tagger → ONNX and StableHLO, and back."""

from hepjax.export.files import read
from hepjax.export.onnx_files import IR_VERSION, OPSET, read_onnx, to_onnx
from hepjax.export.stablehlo import PLATFORMS, describe_stablehlo, read_stablehlo, to_stablehlo

__all__ = [
    "IR_VERSION",
    "OPSET",
    "PLATFORMS",
    "describe_stablehlo",
    "read",
    "read_onnx",
    "read_stablehlo",
    "to_onnx",
    "to_stablehlo",
]

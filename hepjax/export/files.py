"""Reading of exported taggers of either format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hepjax.export.onnx_files import read_onnx
from hepjax.export.stablehlo import read_stablehlo

if TYPE_CHECKING:
    from hepjax.export.tagger_inputs import Exported


def read(path: str | os.PathLike[str]) -> Exported:
    """Reads a tagger from an exported file: StableHLO if the suffix is .stablehlo or PATH.json exists, otherwise ONNX.

    Args:
      path: path of the file.

    Returns:
      The tagger.

    Raises:
      InputError: for the reasons of these functions.

    >>> read("no-such-file.onnx")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: no-such-file.onnx: no such file; hepjax export makes a file of a run folder
    """
    has_metadata_file = os.path.exists(f"{path}.json")  # noqa: PTH110 - no error for a bad link
    return read_stablehlo(path) if has_metadata_file or Path(path).suffix == ".stablehlo" else read_onnx(path)

"""An exported tagger of either format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hepjax.export.onnx_files import read_onnx
from hepjax.export.stablehlo import read_stablehlo

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import numpy as np

    from hepjax.types import PyTree


def read(path: str | os.PathLike[str]) -> tuple[Callable[[PyTree], np.ndarray], dict[str, str]]:
    """A tagger from an exported file: StableHLO where the name ends so, or PATH.json lies beside it; else ONNX.

    Args:
      path: of the file.

    Returns:
      What `read_onnx` or `read_stablehlo` gives.

    Raises:
      InputError: as these.

    >>> read("no-such-file.onnx")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: no-such-file.onnx: no such file; hepjax export makes one of a run folder
    """
    beside = Path(f"{path}.json").exists()
    return read_stablehlo(path) if beside or Path(path).suffix == ".stablehlo" else read_onnx(path)

"""Files of jets, what their columns mean, and how they are read and written."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hepjax.registry import submodule

if TYPE_CHECKING:
    from hepjax.data.datasets import register as register_dataset
    from hepjax.data.drafts import draft, write_draft
    from hepjax.data.lazy_jets import (
        chunk_starts,
        cut_flow,
        file_and_row,
        row_spans,
        rows_of_files,
        with_columns,
        with_images,
    )
    from hepjax.data.readers import list_files, read_header, read_jets
    from hepjax.data.summary import summarize

# Everything loads on first use: the command line's help needs the datasets' names, and no NumPy.
_HOMES = {
    "chunk_starts": ("hepjax.data.lazy_jets", "chunk_starts"),
    "cut_flow": ("hepjax.data.lazy_jets", "cut_flow"),
    "draft": ("hepjax.data.drafts", "draft"),
    "file_and_row": ("hepjax.data.lazy_jets", "file_and_row"),
    "list_files": ("hepjax.data.readers", "list_files"),
    "read_header": ("hepjax.data.readers", "read_header"),
    "read_jets": ("hepjax.data.readers", "read_jets"),
    "register_dataset": ("hepjax.data.datasets", "register"),
    "row_spans": ("hepjax.data.lazy_jets", "row_spans"),
    "rows_of_files": ("hepjax.data.lazy_jets", "rows_of_files"),
    "summarize": ("hepjax.data.summary", "summarize"),
    "write_draft": ("hepjax.data.drafts", "write_draft"),
    "with_columns": ("hepjax.data.lazy_jets", "with_columns"),
    "with_images": ("hepjax.data.lazy_jets", "with_images"),
}

__all__ = [
    "chunk_starts", "cut_flow", "draft", "file_and_row", "list_files", "read_header", "read_jets", "register_dataset",
    "row_spans", "rows_of_files", "summarize", "with_columns", "with_images", "write_draft",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(module), attribute)
    return submodule("hepjax.data", name)


def __dir__() -> list[str]:
    return __all__

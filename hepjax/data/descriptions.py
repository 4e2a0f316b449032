"""What columns mean, as it was given: a dataset, its name, or a file that describes it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, overload

from hepjax.data import datasets

if TYPE_CHECKING:
    from hepjax.types import Dataset

_READERS = {
    ".toml": ("hepjax.data.toml_descriptions", "read_toml"),
    ".yaml": ("hepjax.data.weaver", "read_yaml"),
    ".yml": ("hepjax.data.weaver", "read_yaml"),
}
"""The end of a file's name → the module and the function that read it."""


def is_description(name: str) -> bool:
    """Returns whether the name of a dataset is that of a file.

    >>> is_description("mine.toml"), is_description("jetclass")
    (True, False)
    """
    return Path(name).suffix.lower() in _READERS


@overload
def dataset_of(given: Dataset | str) -> Dataset: ...


@overload
def dataset_of(given: Dataset | str | None) -> Dataset | None: ...


def dataset_of(given: Dataset | str | None) -> Dataset | None:
    """Returns the dataset that was given as such, by a name, or by a file that describes it.

    Args:
      given: any of these; None where columns are to be recognized.

    Raises:
      InputError: there is no such dataset or file, or the file describes none.

    >>> dataset_of("hls4ml").name
    'hls4ml'
    """
    if not isinstance(given, str):
        return given
    if not is_description(given):
        return datasets.get(given)
    module, function = _READERS[Path(given).suffix.lower()]
    dataset: Dataset = getattr(importlib.import_module(module), function)(given)
    return dataset

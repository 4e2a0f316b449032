"""Pure-function models for deep learning on particle jets, in JAX and Flax."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hepjax.version import __version__

if TYPE_CHECKING:
    from hepjax.data.arrays import from_arrays, from_table
    from hepjax.data.readers import read_jets
    from hepjax.data.writing import write_jets
    from hepjax.errors import InputError
    from hepjax.runs.tagger import Tagger, load, train
    from hepjax.types import Jets

# Everything loads on first use: `hepjax --help` must not wait for jax.
_HOMES = {
    "InputError": "hepjax.errors",
    "Jets": "hepjax.types",
    "Tagger": "hepjax.runs.tagger",
    "from_arrays": "hepjax.data.arrays",
    "from_table": "hepjax.data.arrays",
    "load": "hepjax.runs.tagger",
    "read_jets": "hepjax.data.readers",
    "train": "hepjax.runs.tagger",
    "write_jets": "hepjax.data.writing",
}

_MODULES = {"options": "hepjax.runs.options"}
"""Short names of modules."""

__all__ = [
    "InputError",
    "Jets",
    "Tagger",
    "__version__",
    "choices",
    "cli",
    "data",
    "errors",
    "evaluation",
    "export",
    "from_arrays",
    "from_table",
    "inputs",
    "load",
    "models",
    "numerics",
    "options",
    "physics",
    "read_jets",
    "registry",
    "report",
    "runs",
    "runtime",
    "tasks",
    "train",
    "training",
    "types",
    "write_jets",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in __all__:
        return importlib.import_module(f"hepjax.{name}")
    raise AttributeError(f"module 'hepjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

"""Pure-function models for deep learning on particle jets, in JAX and Flax."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hepjax.errors import InputError
    from hepjax.readers import read_jets
    from hepjax.taggers import load
    from hepjax.types import Jets

__version__ = "0.1.0"

# Everything loads on first use: `hepjax --help` must not wait for jax.
_HOMES = {
    "InputError": "hepjax.errors",
    "Jets": "hepjax.types",
    "load": "hepjax.taggers",
    "read_jets": "hepjax.readers",
}

__all__ = [
    "InputError",
    "Jets",
    "anomalies",
    "batches",
    "choices",
    "classical",
    "cloud_generators",
    "detectors",
    "evaluation",
    "experiment",
    "explanation",
    "fetch",
    "generation",
    "generators",
    "independence",
    "kinematics",
    "load",
    "losses",
    "masking",
    "models",
    "observables",
    "parallel",
    "read_jets",
    "readers",
    "reinforcement",
    "report",
    "representations",
    "schema",
    "simulation",
    "structure",
    "taggers",
    "training",
    "transients",
    "types",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"hepjax.{name}")
    raise AttributeError(f"module 'hepjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

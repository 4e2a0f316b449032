"""The registry of models: `get("mlp")` is the class `MLP`; a user's own models join by `register`."""

from __future__ import annotations

from typing import Any

from hepjax.registry import Registry

MODELS: Registry[Any] = Registry(
    "model",
    package="hepjax.models",
    entry_points="hepjax.models",
    unlisted={"flax-observables": "flax_modules", "flax-particles": "flax_modules"},
)
"""Name → subclass of `hepjax.models.Model`; those that hold a Flax module of one's own are not listed."""

register = MODELS.register

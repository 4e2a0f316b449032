"""Tells the class of a jet, by probabilities."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule
from hepjax.tasks.classification.options import Insensitivity
from hepjax.tasks.classification.task import Classification
from hepjax.tasks.registry import register

__all__ = ["Classification", "Insensitivity"]

register("classification", Classification)

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)

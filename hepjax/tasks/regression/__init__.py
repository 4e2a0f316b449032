"""Predicts the values of one or several jet columns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule
from hepjax.tasks.registry import register
from hepjax.tasks.regression.task import Regression

__all__ = ["Regression"]

register("regression", Regression)

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)

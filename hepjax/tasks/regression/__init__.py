"""Regression: the values of one or several columns of jets."""

from hepjax.tasks.registry import register
from hepjax.tasks.regression.task import Regression

__all__ = ["Regression"]

register("regression", Regression)

"""Regression: the values of one or several columns of jets."""

from hepjax.tasks.regression.task import Regression
from hepjax.tasks.registry import register

__all__ = ["Regression"]

register("regression", Regression)

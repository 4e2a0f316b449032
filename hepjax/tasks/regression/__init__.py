"""Predicts the values of one or several jet columns."""

from hepjax.tasks.registry import register
from hepjax.tasks.regression.task import Regression

__all__ = ["Regression"]

register("regression", Regression)

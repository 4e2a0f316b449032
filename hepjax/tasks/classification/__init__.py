"""Tells the class of a jet, by probabilities."""

from hepjax.tasks.classification.options import Insensitivity
from hepjax.tasks.classification.task import Classification
from hepjax.tasks.registry import register

__all__ = ["Classification", "Insensitivity"]

register("classification", Classification)

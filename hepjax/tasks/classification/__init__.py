"""Classification: which class a jet is of."""

from hepjax.tasks.classification.options import Insensitivity
from hepjax.tasks.classification.task import Classification
from hepjax.tasks.registry import register

__all__ = ["Classification", "Insensitivity"]

register("classification", Classification)

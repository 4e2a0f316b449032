"""Logistic regression."""

from __future__ import annotations

from hepjax.models.linear import Linear
from hepjax.models.registry import register


@register("logistic")
class Logistic(Linear):
    """Logistic regression on jet observables.

    Its outputs are logits: of all classes, or one, the log odds of the second of two classes.
    """

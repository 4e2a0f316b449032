"""Flax modules, model input → logits. `init` and `apply` are pure."""

from hepjax.models import activations
from hepjax.models.apply import Apply, initialise, make_apply
from hepjax.models.linear import Linear, Logistic, polynomial_basis
from hepjax.models.mlp import MLP

__all__ = [
    "MLP",
    "Apply",
    "Linear",
    "Logistic",
    "activations",
    "initialise",
    "make_apply",
    "polynomial_basis",
]

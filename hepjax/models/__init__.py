"""Flax modules, model input → logits. `init` and `apply` are pure."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hepjax.models import pretrained
    from hepjax.models.apply import Apply, initialise, make_apply
    from hepjax.models.autoencoders import Autoencoder, ConvAutoencoder, VariationalAutoencoder
    from hepjax.models.clouds import CloudVelocity
    from hepjax.models.convnet import ConvNet, ConvNet1D
    from hepjax.models.complexity import Cost, cost
    from hepjax.models.deep_sets import DeepSets
    from hepjax.models.flows import CouplingFlow
    from hepjax.models.graphs import GraphNetwork
    from hepjax.models.interaction import InteractionNetwork
    from hepjax.models.layers import activations
    from hepjax.models.layers.empty_jets import uniform_where_empty
    from hepjax.models.linear import Linear, Logistic, polynomial_basis
    from hepjax.models.mlp import MLP
    from hepjax.models.recurrent import Recurrent

_HOMES = {
    "Apply": "hepjax.models.apply",
    "initialise": "hepjax.models.apply",
    "make_apply": "hepjax.models.apply",
    "Autoencoder": "hepjax.models.autoencoders",
    "ConvAutoencoder": "hepjax.models.autoencoders",
    "VariationalAutoencoder": "hepjax.models.autoencoders",
    "CloudVelocity": "hepjax.models.clouds",
    "ConvNet": "hepjax.models.convnet",
    "ConvNet1D": "hepjax.models.convnet",
    "Cost": "hepjax.models.complexity",
    "cost": "hepjax.models.complexity",
    "DeepSets": "hepjax.models.deep_sets",
    "CouplingFlow": "hepjax.models.flows",
    "GraphNetwork": "hepjax.models.graphs",
    "InteractionNetwork": "hepjax.models.interaction",
    "activations": "hepjax.models.layers",
    "uniform_where_empty": "hepjax.models.layers.empty_jets",
    "Linear": "hepjax.models.linear",
    "Logistic": "hepjax.models.linear",
    "polynomial_basis": "hepjax.models.linear",
    "MLP": "hepjax.models.mlp",
    "Recurrent": "hepjax.models.recurrent",
}

__all__ = [
    "MLP",
    "Apply",
    "Autoencoder",
    "CloudVelocity",
    "ConvAutoencoder",
    "ConvNet",
    "ConvNet1D",
    "Cost",
    "CouplingFlow",
    "DeepSets",
    "GraphNetwork",
    "InteractionNetwork",
    "Linear",
    "Logistic",
    "Recurrent",
    "VariationalAutoencoder",
    "activations",
    "cost",
    "initialise",
    "make_apply",
    "polynomial_basis",
    "pretrained",
    "uniform_where_empty",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"hepjax.models.{name}")
    raise AttributeError(f"module 'hepjax.models' has no attribute {name!r}")

"""Flax modules, model input → logits. `init` and `apply` are pure."""

from hepjax.models import activations, published
from hepjax.models.apply import Apply, initialise, make_apply
from hepjax.models.autoencoders import Autoencoder, ConvAutoencoder, VariationalAutoencoder
from hepjax.models.clouds import CloudVelocity
from hepjax.models.convnet import ConvNet, ConvNet1D
from hepjax.models.cost import Cost, cost
from hepjax.models.deep_sets import DeepSets
from hepjax.models.empty import uniform_where_empty
from hepjax.models.flows import CouplingFlow
from hepjax.models.graphs import GraphNetwork
from hepjax.models.interaction import InteractionNetwork
from hepjax.models.linear import Linear, Logistic, polynomial_basis
from hepjax.models.mlp import MLP
from hepjax.models.recurrent import Recurrent

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
    "published",
    "uniform_where_empty",
]

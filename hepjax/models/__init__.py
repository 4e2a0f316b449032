"""Flax modules, model input → outputs of the task. `init` and `apply` are pure.

One file a network, which registers itself by its name on the command line; `model.py` holds the base classes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hepjax.registry import submodule

if TYPE_CHECKING:
    from hepjax.models import pretrained
    from hepjax.models.apply import Apply, initialize, make_apply
    from hepjax.models.autoencoder import Autoencoder
    from hepjax.models.cloud_velocity import CloudVelocity
    from hepjax.models.complexity import Cost, check_size, cost, count_parameters
    from hepjax.models.conv_autoencoder import ConvAutoencoder
    from hepjax.models.convnet import ConvNet
    from hepjax.models.convnet1d import ConvNet1D
    from hepjax.models.coupling_flow import CouplingFlow
    from hepjax.models.deepsets import DeepSets
    from hepjax.models.fields import check_model, options_of
    from hepjax.models.flax_modules import from_flax
    from hepjax.models.graph_network import GraphNetwork
    from hepjax.models.gru import GRU
    from hepjax.models.image_autoencoder import ImageAutoencoder
    from hepjax.models.interaction_network import InteractionNetwork
    from hepjax.models.layers import activations
    from hepjax.models.layers.empty_jets import uniform_where_empty
    from hepjax.models.layers.norms import without_steps
    from hepjax.models.layers.polynomial import polynomial_basis
    from hepjax.models.lgatr_slim import LGATrSlim
    from hepjax.models.linear import Linear
    from hepjax.models.logistic import Logistic
    from hepjax.models.lorentz_net import LorentzNet
    from hepjax.models.lstm import LSTM
    from hepjax.models.mixer import Mixer
    from hepjax.models.mlp import MLP
    from hepjax.models.model import (
        FeatureModel,
        GraphModel,
        ImageModel,
        Model,
        ParticleModel,
        Reconstructing,
        SequenceModel,
    )
    from hepjax.models.particle_net import ParticleNet
    from hepjax.models.particle_transformer import ParticleTransformer
    from hepjax.models.registry import MODELS, register
    from hepjax.models.serialization import from_json, to_json
    from hepjax.models.variational_autoencoder import VariationalAutoencoder

# Everything loads on first use: names of models are needed where jax must not be waited for.
_HOMES = {
    "Apply": "apply",
    "Autoencoder": "autoencoder",
    "CloudVelocity": "cloud_velocity",
    "ConvAutoencoder": "conv_autoencoder",
    "ConvNet": "convnet",
    "ConvNet1D": "convnet1d",
    "Cost": "complexity",
    "CouplingFlow": "coupling_flow",
    "DeepSets": "deepsets",
    "FeatureModel": "model",
    "GRU": "gru",
    "GraphModel": "model",
    "GraphNetwork": "graph_network",
    "ImageAutoencoder": "image_autoencoder",
    "ImageModel": "model",
    "InteractionNetwork": "interaction_network",
    "LGATrSlim": "lgatr_slim",
    "LSTM": "lstm",
    "Linear": "linear",
    "Logistic": "logistic",
    "LorentzNet": "lorentz_net",
    "MLP": "mlp",
    "MODELS": "registry",
    "Mixer": "mixer",
    "Model": "model",
    "ParticleModel": "model",
    "ParticleNet": "particle_net",
    "ParticleTransformer": "particle_transformer",
    "Reconstructing": "model",
    "SequenceModel": "model",
    "VariationalAutoencoder": "variational_autoencoder",
    "activations": "layers",
    "check_model": "fields",
    "check_size": "complexity",
    "cost": "complexity",
    "count_parameters": "complexity",
    "from_flax": "flax_modules",
    "from_json": "serialization",
    "initialize": "apply",
    "make_apply": "apply",
    "options_of": "fields",
    "polynomial_basis": "layers.polynomial",
    "register": "registry",
    "to_json": "serialization",
    "uniform_where_empty": "layers.empty_jets",
    "without_steps": "layers.norms",
}

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "MODELS",
    "Apply",
    "Autoencoder",
    "CloudVelocity",
    "ConvAutoencoder",
    "ConvNet",
    "ConvNet1D",
    "Cost",
    "CouplingFlow",
    "DeepSets",
    "FeatureModel",
    "GraphModel",
    "GraphNetwork",
    "ImageAutoencoder",
    "ImageModel",
    "InteractionNetwork",
    "LGATrSlim",
    "Linear",
    "Logistic",
    "LorentzNet",
    "Mixer",
    "Model",
    "ParticleModel",
    "ParticleNet",
    "ParticleTransformer",
    "Reconstructing",
    "SequenceModel",
    "VariationalAutoencoder",
    "activations",
    "check_model",
    "check_size",
    "cost",
    "count_parameters",
    "from_flax",
    "from_json",
    "initialize",
    "make_apply",
    "options_of",
    "polynomial_basis",
    "pretrained",
    "register",
    "to_json",
    "uniform_where_empty",
    "without_steps",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"hepjax.models.{_HOMES[name]}"), name)
    return submodule("hepjax.models", name)

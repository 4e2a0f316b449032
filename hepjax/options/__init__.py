"""What a user may choose, as frozen dataclasses that import nothing heavy: the command line's help is made of them."""

from hepjax.options.experiment import Devices, Experiment, Insensitivity, Optimization, check
from hepjax.options.models import (
    GRU,
    LSTM,
    MLP,
    Convnet,
    Convnet1d,
    Deepsets,
    GraphNetwork,
    InteractionNetwork,
    Logistic,
    Model,
)

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "Convnet",
    "Convnet1d",
    "Deepsets",
    "Devices",
    "Experiment",
    "GraphNetwork",
    "Insensitivity",
    "InteractionNetwork",
    "Logistic",
    "Model",
    "Optimization",
    "check",
]

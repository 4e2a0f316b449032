"""Weights that others trained and published, loaded without executing anything from their files.

`keras` takes the files of dense and convolutional taggers, `read_pytorch` any state dict of PyTorch. hepjax ships no
weights.
"""

from hepjax.models.published.keras_files import read_keras
from hepjax.models.published.keras_layers import Layers, keras
from hepjax.models.published.pytorch import read_pytorch

__all__ = ["Layers", "keras", "read_keras", "read_pytorch"]

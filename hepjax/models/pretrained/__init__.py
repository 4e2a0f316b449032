"""Weights that others trained and published, loaded without executing anything from their files.

`jedinet` takes the released files of JEDI-net, `keras` the files of dense and convolutional taggers. hepjax ships no
weights.
"""

from hepjax.models.pretrained.jedi_net import from_arrays, jedinet
from hepjax.models.pretrained.keras_files import read_keras
from hepjax.models.pretrained.keras_layers import Layers, keras
from hepjax.models.pretrained.pytorch import read_pytorch

__all__ = ["Layers", "from_arrays", "jedinet", "keras", "read_keras", "read_pytorch"]

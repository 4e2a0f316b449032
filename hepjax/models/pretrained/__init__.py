"""Weights that others trained and published, loaded without executing anything from their files.

`jedinet` takes the released files of JEDI-net, `keras` the files of dense and convolutional taggers,
`load_particle_net` and `load_particle_transformer` those of weaver-core, which `weaver_file` writes, `load_lorentz_net`
those of LorentzNet. hepjax ships no weights.
"""

import os
from collections.abc import Callable
from typing import Any

from hepjax.models.pretrained.jedi_net import from_arrays, jedinet
from hepjax.models.pretrained.keras_files import read_keras
from hepjax.models.pretrained.keras_layers import Layers, keras
from hepjax.models.pretrained.lorentz_net import load_lorentz_net
from hepjax.models.pretrained.particle_net import load_particle_net
from hepjax.models.pretrained.particle_transformer import load_particle_transformer
from hepjax.models.pretrained.pytorch import read_pytorch
from hepjax.models.pretrained.weaver_files import WRITERS, weaver_file

READERS: dict[str, Callable[[str | os.PathLike[str]], tuple[Any, Any, Any]]] = {
    "lorentz-net": load_lorentz_net,
    "particle-net": load_particle_net,
    "particle-transformer": load_particle_transformer,
}
"""Name of a network → the function from a file of weights to module, parameters and running averages."""

__all__ = [
    "READERS",
    "WRITERS",
    "Layers",
    "from_arrays",
    "jedinet",
    "keras",
    "load_lorentz_net",
    "load_particle_net",
    "load_particle_transformer",
    "read_keras",
    "read_pytorch",
    "weaver_file",
]

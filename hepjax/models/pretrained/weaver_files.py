"""Networks of hepjax as files of weights that weaver-core's classes load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.models.pretrained import particle_net, particle_transformer
from hepjax.models.pretrained.pytorch_writing import to_pytorch
from hepjax.models.pretrained.state_dicts import fold_scaling

if TYPE_CHECKING:
    from hepjax.types import PyTree, Scaling

_PREFIX = "mod."
"""That of the authors' files: the network lies in a wrapper of that name."""
_FIRST = "BatchNorm_0"
WRITERS: dict[str, Any] = {"particle-net": particle_net, "particle-transformer": particle_transformer}
"""Name of a network → the module that knows its arrays under weaver-core's names."""


def weaver_file(
    name: str, model: Any, params: PyTree, model_state: PyTree, scaling: Scaling, temperature: float = 1.0
) -> bytes:
    """Makes a file of weights that weaver-core's class loads strictly, and that gives logits of inputs as they are.

    The scaling becomes part of the first batch normalization. What lies far outside is not left out any more.

    Args:
      name: of the network, one of `WRITERS`.
      model: the network.
      params: its parameters.
      model_state: its running averages, as `batch_stats`.
      scaling: of the F columns that the network sees; further ones are left out.
      temperature: that logits are divided by, in the head.

    Returns:
      The content of a file of `torch.save`: a state dict with names that begin with `mod.`.
    """
    averages = model_state["batch_stats"]
    count = len(np.asarray(averages[_FIRST]["mean"]))
    first, of_first = fold_scaling(params[_FIRST], averages[_FIRST], scaling.mean[:count], scaling.std[:count])
    head = {key: np.asarray(array) / temperature for key, array in params["head"].items()}
    state = {**model_state, "batch_stats": {**averages, _FIRST: of_first}}
    arrays = WRITERS[name].to_arrays(model, {**params, _FIRST: first, "head": head}, state)
    return to_pytorch({f"{_PREFIX}{key}": array for key, array in arrays.items()})

"""The recurrent network with gated units."""

from __future__ import annotations

from flax import linen as nn

from hepjax.models.recurrent import RecurrentModel
from hepjax.models.registry import register


@register("gru")
class GRU(RecurrentModel):
    """A recurrent network with gated units on the list of particles (arXiv:1406.1078, eq. 5 to 8).

    Its reset gate comes after the recurrent product, as cuDNN and PyTorch have it.
    """

    @nn.nowrap
    def cell(self, width: int) -> nn.RNNCellBase:
        """Returns the cell of a layer of this width."""
        return nn.GRUCell(width)

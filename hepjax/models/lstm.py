"""The recurrent network with long short-term memory."""

from __future__ import annotations

from flax import linen as nn

from hepjax.models.recurrent import RecurrentModel
from hepjax.models.registry import register


@register("lstm")
class LSTM(RecurrentModel):
    """A recurrent network with long short-term memory on the list of particles (Neural Computation 9, 1735, 1997)."""

    @nn.nowrap
    def cell(self, width: int) -> nn.RNNCellBase:
        """Returns the cell of a layer of this width."""
        return nn.OptimizedLSTMCell(width)

"""Recurrent networks over the list of particles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Activation, Cell
from hepjax.models.layers.empty_jets import uniform_where_empty
from hepjax.models.mlp import MLP

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Sequences

_CELLS: dict[Cell, Callable[[int], nn.RNNCellBase]] = {Cell.LSTM: nn.OptimizedLSTMCell, Cell.GRU: nn.GRUCell}


class Recurrent(nn.Module):
    """Layers of LSTM (Neural Computation 9, 1735, 1997) or GRU (arXiv:1406.1078, eq. 5 to 8) and a dense head.

    The network reads the particles one after another up to the last true one; padding takes no part.

    Attributes:
      cell: LSTM, or GRU with its reset gate after the recurrent product, as cuDNN and PyTorch have it.
      units: the width of each recurrent layer, per direction.
      bidirectional: whether each layer also reads from the last particle to the first; both states are joined.
      hidden: the widths of the dense layers after the last state.
      classes: C.
      activation: of the dense layers; a name, or any function of one array.
      dropout: the probability of dropping an output of a recurrent or hidden layer while training.
    """

    cell: Cell = Cell.GRU
    units: tuple[int, ...] = (64,)
    bidirectional: bool = False
    hidden: tuple[int, ...] = (64,)
    classes: int = 5
    activation: Activation | Callable[[Any], Any] = Activation.RELU
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Sequences, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Args: x, values (B, P, F) and mask (B, P), a jet's particles first; mask changes nothing here.

        Returns: (B, C) logits, 0 for a jet without particles. Training draws from the rng `dropout`.
        """
        lengths = jnp.sum(x.mask, axis=1)
        y = jnp.where(x.mask[..., None], x.values, 0)
        last = y[:, 0]
        for width in self.units:
            # Both directions keep the order of the particles: one ends at the last of them, the other at the first.
            forward = self._read(width, y, lengths, reverse=False)
            last = jnp.take_along_axis(forward, jnp.maximum(lengths - 1, 0)[:, None, None], axis=1)[:, 0]
            if self.bidirectional:
                backward = self._read(width, y, lengths, reverse=True)
                last = jnp.concatenate([last, backward[:, 0]], axis=-1)
                forward = jnp.concatenate([forward, backward], axis=-1)
            y = nn.Dropout(self.dropout, deterministic=not train)(forward)
        last = nn.Dropout(self.dropout, deterministic=not train)(last)
        head = MLP(self.hidden, self.classes, self.activation, self.dropout)
        return uniform_where_empty(head(last, mask, train), jnp.any(x.mask, axis=1))

    def _read(self, width: int, y: jax.Array, lengths: jax.Array, reverse: bool) -> Any:
        """One layer in one direction: (B, P, features) → (B, P, width) states."""
        cell = _CELLS[self.cell](width)
        # The cells start with float32 whatever they read.
        start = cell.initialize_carry(jax.random.key(0), y[:, 0].shape)
        start = jax.tree.map(lambda c: c.astype(jnp.result_type(c, y)), start)
        states: Any = nn.RNN(cell, reverse=reverse, keep_order=True)(y, initial_carry=start, seq_lengths=lengths)
        return states

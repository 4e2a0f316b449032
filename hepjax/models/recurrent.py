"""The network that LSTM and GRU share; each gives its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Activation
from hepjax.models.bounds import at_least, below, each_value, not_empty
from hepjax.models.layers.activations import ActivationLike
from hepjax.models.layers.empty_jets import uniform_where_empty
from hepjax.models.mlp import MLP
from hepjax.models.model import SequenceModel

if TYPE_CHECKING:
    from hepjax.types import Sequences


class RecurrentModel(SequenceModel):
    """Recurrent layers over the list of particles and a dense head.

    The network reads the particles one after another up to the last true one; padding takes no part.
    """

    units: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (64,)
    """Units of each recurrent layer, per direction."""
    bidirectional: bool = False
    """Read the particles in both directions, and join the states of both."""
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (64,)
    """Widths of the dense layers after the last state."""
    activation: ActivationLike = Activation.RELU
    """Activation of the dense layers."""
    dropout: Annotated[float, at_least(0), below(1)] = 0.0
    """Probability of dropping a unit between layers while training."""

    @nn.nowrap
    def cell(self, width: int) -> nn.RNNCellBase:
        """Returns the cell of a layer of this width; each network defines its own."""
        raise NotImplementedError

    @nn.nowrap
    def min_padding(self) -> int | None:
        """Returns 0: padding takes no part."""
        return 0

    @nn.compact
    def __call__(self, x: Sequences, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns (B, outputs), 0 for a jet without particles, of values (B, P, F) and their mask (B, P).

        A jet's particles come first; mask changes nothing here. Training draws from the rng `dropout`.
        """
        lengths = jnp.sum(x.mask, axis=1)
        y = jnp.where(x.mask[..., None], x.values, 0)
        last = y[:, 0]
        for width in self.units:
            # Both directions keep the order of the particles: one ends at the last of them, the other at the first.
            forward = self._read_one_direction(width, y, lengths, reverse=False)
            last = jnp.take_along_axis(forward, jnp.maximum(lengths - 1, 0)[:, None, None], axis=1)[:, 0]
            if self.bidirectional:
                backward = self._read_one_direction(width, y, lengths, reverse=True)
                last = jnp.concatenate([last, backward[:, 0]], axis=-1)
                forward = jnp.concatenate([forward, backward], axis=-1)
            y = nn.Dropout(self.dropout, deterministic=not train)(forward)
        last = nn.Dropout(self.dropout, deterministic=not train)(last)
        head = MLP(hidden=self.hidden, outputs=self.outputs, activation=self.activation, dropout=self.dropout)
        return uniform_where_empty(head(last, mask, train), jnp.any(x.mask, axis=1))

    def _read_one_direction(self, width: int, y: jax.Array, lengths: jax.Array, reverse: bool) -> Any:
        """Runs one layer in one direction: (B, P, features) → (B, P, width) states."""
        cell = self.cell(width)
        # The cells start with float32 whatever they read.
        start = cell.initialize_carry(jax.random.key(0), y[:, 0].shape)
        start = jax.tree.map(lambda c: c.astype(jnp.result_type(c, y)), start)
        states: Any = nn.RNN(cell, reverse=reverse, keep_order=True)(y, initial_carry=start, seq_lengths=lengths)
        return states

"""Deep sets: the simplest network that does not care for the order of the particles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Activation, Norm
from hepjax.models.layers.activations import Activate, units
from hepjax.models.layers.empty_jets import counted, uniform_where_empty
from hepjax.models.layers.norms import normalise
from hepjax.models.mlp import MLP
from hepjax.numerics import masked_sum

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Sequences


class DeepSets(nn.Module):
    """The particle flow network F(Σ Φ(particle)) of arXiv:1810.05165, eq. 1.3; deep sets are arXiv:1703.06114.

    The order of the particles does not matter and padding takes no part.

    Attributes:
      particle: the widths of Φ, each with an activation after it; the last is that of the latent space.
      hidden: the hidden widths of F.
      classes: C.
      activation: of both networks; a name, or any function of one array.
      dropout: the probability of dropping a hidden unit of either network while training.
      norm: before each activation; batch statistics of Φ count particles, those of F jets.
    """

    particle: tuple[int, ...] = (100, 100, 64)
    hidden: tuple[int, ...] = (100, 100)
    classes: int = 5
    activation: Activation | Callable[[Any], Any] = Activation.RELU
    dropout: float = 0.0
    norm: Norm = Norm.NONE

    @nn.compact
    def __call__(self, x: Sequences, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Args: x, values (B, P, F) and mask (B, P); mask, (B,) bool, False for rows that batch statistics leave out.

        Returns: (B, C) logits, 0 for a jet without particles. Training draws from the rng `dropout`.
        """
        there = jnp.any(x.mask, axis=1)
        examples = counted(there, mask)
        y = jnp.where(x.mask[..., None], x.values, 0)
        for width in self.particle:
            y = nn.Dense(units(self.activation, width))(y)
            y = normalise(y, self.norm, x.mask & examples[:, None], train)
            y = Activate(self.activation)(y)
            y = nn.Dropout(self.dropout, deterministic=not train)(y)
        summed = masked_sum(y, x.mask[..., None], axis=1)
        head = MLP(self.hidden, self.classes, self.activation, self.dropout, self.norm)
        return uniform_where_empty(head(summed, examples, train), there)

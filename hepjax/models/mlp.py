"""The multilayer perceptron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flax import linen as nn

from hepjax.choices import Activation, Norm
from hepjax.models.layers.activations import Activate, units
from hepjax.models.layers.norms import normalise

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax


class MLP(nn.Module):
    """Dense layers, each followed by normalisation, activation and dropout; logits at the end.

    Attributes:
      hidden: the widths of the hidden layers; (64, 32, 32) is the tagger of arXiv:1804.06913.
      classes: C.
      activation: a name, or any function of one array.
      dropout: the probability of dropping a hidden unit while training.
      norm: of the layer's outputs before the activation.
    """

    hidden: tuple[int, ...] = (64, 32, 32)
    classes: int = 5
    activation: Activation | Callable[[Any], Any] = Activation.RELU
    dropout: float = 0.0
    norm: Norm = Norm.NONE

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Args: x, (B, F) float; mask, (B,) bool, False for rows that batch statistics leave out.

        Returns: (B, C) logits. Training draws from the rng `dropout`.
        """
        for width in self.hidden:
            x = nn.Dense(units(self.activation, width))(x)
            x = normalise(x, self.norm, mask, train)
            x = Activate(self.activation)(x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.classes)(x)

"""The multilayer perceptron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from flax import linen as nn

from hepjax.choices import Activation, Norm
from hepjax.models.bounds import at_least, below, each_value
from hepjax.models.layers.activations import Activate, ActivationLike, units
from hepjax.models.layers.norms import normalize_layer
from hepjax.models.model import FeatureModel
from hepjax.models.registry import register

if TYPE_CHECKING:
    import jax


@register("mlp")
class MLP(FeatureModel):
    """A multilayer perceptron on jet observables (arXiv:1804.06913).

    Dense layers, each followed by normalization, activation and dropout, and a last one for the outputs. Its default is
    the tagger of the paper. It is also the last part of most other networks.
    """

    learning_rate: ClassVar[float] = 3e-3
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (64, 32, 32)
    """Widths of the hidden layers."""
    activation: ActivationLike = Activation.RELU
    """Activation after every hidden layer."""
    dropout: Annotated[float, at_least(0), below(1)] = 0.0
    """Probability of dropping a hidden unit while training."""
    norm: Norm = Norm.NONE
    """Normalization before each activation."""

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns (B, outputs) of x, (B, F) float.

        Batch statistics leave out rows where mask, (B,) bool, is False. Training draws from the rng `dropout`.
        """
        for width in self.hidden:
            x = nn.Dense(units(self.activation, width))(x)
            x = normalize_layer(x, self.norm, mask, train)
            x = Activate(activation=self.activation)(x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.outputs)(x)

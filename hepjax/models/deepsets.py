"""Deep sets: the simplest network that does not care for the order of the particles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Activation, Norm
from hepjax.models.bounds import at_least, below, each_value, not_empty
from hepjax.models.layers.activations import Activate, ActivationLike, units
from hepjax.models.layers.empty_jets import jets_of_batch_statistics, uniform_where_empty
from hepjax.models.layers.norms import normalize_layer
from hepjax.models.mlp import MLP
from hepjax.models.model import ParticleModel
from hepjax.models.registry import register
from hepjax.numerics import masked_sum

if TYPE_CHECKING:
    from hepjax.types import Sequences


@register("deepsets")
class DeepSets(ParticleModel):
    """Deep sets, the particle flow network (arXiv:1810.05165).

    F(Σ Φ(particle)), its eq. 1.3; deep sets are arXiv:1703.06114. The order of the particles does not matter and
    padding takes no part.
    """

    learning_rate: ClassVar[float] = 3e-3
    particle: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (100, 100, 64)
    """Widths of Φ, the layers that every particle passes by itself; the last is that of the latent space."""
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (100, 100)
    """Widths of F, the layers after the sum over particles."""
    activation: ActivationLike = Activation.RELU
    """Activation after every layer but the last."""
    dropout: Annotated[float, at_least(0), below(1)] = 0.0
    """Probability of dropping a unit after each layer while training."""
    norm: Norm = Norm.NONE
    """Normalization before each activation; batch statistics of Φ count particles, those of F jets."""

    @nn.nowrap
    def min_padding(self) -> int | None:
        """Returns 0: padding takes no part."""
        return 0

    @nn.compact
    def __call__(self, x: Sequences, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns (B, outputs), 0 for a jet without particles, of values (B, P, F) and their mask (B, P).

        Batch statistics leave out rows where mask, (B,) bool, is False. Training draws from the rng `dropout`.
        """
        filled = jnp.any(x.mask, axis=1)
        examples = jets_of_batch_statistics(filled, mask)
        y = jnp.where(x.mask[..., None], x.values, 0)
        for width in self.particle:
            y = nn.Dense(units(self.activation, width))(y)
            y = normalize_layer(y, self.norm, x.mask & examples[:, None], train)
            y = Activate(activation=self.activation)(y)
            y = nn.Dropout(self.dropout, deterministic=not train)(y)
        summed = masked_sum(y, x.mask[..., None], axis=1)
        head = MLP(
            hidden=self.hidden,
            outputs=self.outputs,
            activation=self.activation,
            dropout=self.dropout,
            norm=self.norm,
        )
        return uniform_where_empty(head(summed, examples, train), filled)

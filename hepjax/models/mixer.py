"""The MLP-Mixer: dense layers along features and along particles in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Norm
from hepjax.models.bounds import at_least, each_value
from hepjax.models.layers.empty_jets import jets_of_batch_statistics, uniform_where_empty
from hepjax.models.layers.norms import normalize_layer
from hepjax.models.model import SequenceModel
from hepjax.models.registry import register

if TYPE_CHECKING:
    from hepjax.types import Sequences


@register("mixer")
class Mixer(SequenceModel):
    """The MLP-Mixer on particles (arXiv:2503.03103, after arXiv:2105.01601), small enough for triggers.

    Layers on the features of each particle, a layer that mixes each feature among particles, whose output is added to
    what came in, layers on features again, and a weighted sum over particles. The order of particles matters, and their
    number P is fixed by the parameters; padding is seen as particles of zeros. All but the last are batch-normalized.
    """

    width: Annotated[int, at_least(1)] = 16
    """Width of the layers on the features of particles."""
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (16, 16, 16)
    """Widths of the layers after the sum over particles."""
    norm: Norm = Norm.BATCH
    """Normalization of each layer but the last, before its activation."""

    @nn.compact
    def __call__(self, x: Sequences, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns (B, outputs), 0 for a jet without particles, of values (B, P, F) and their mask (B, P).

        Batch statistics leave out rows where mask, (B,) bool, is False.
        """
        there = jnp.any(x.mask, axis=1)
        examples = jets_of_batch_statistics(there, mask)

        def layer(y: jax.Array, width: int) -> jax.Array:
            y = nn.Dense(width, use_bias=self.norm is not Norm.BATCH)(y)
            return normalize_layer(y, self.norm, examples, train)

        values = jnp.where(x.mask[..., None], x.values, 0)
        y = nn.relu(layer(nn.relu(layer(values, self.width)), values.shape[-1]))
        y = values + jnp.swapaxes(layer(jnp.swapaxes(y, 1, 2), values.shape[1]), 1, 2)
        for _ in range(2):
            y = nn.relu(layer(y, self.width))
        weights = self.param("sum", nn.initializers.lecun_normal(), (y.shape[1], 1))
        y = jnp.einsum("bpf,p->bf", y, weights[:, 0])
        for width in self.hidden:
            y = nn.relu(layer(y, width))
        return uniform_where_empty(nn.Dense(self.outputs)(y), there)

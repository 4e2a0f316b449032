"""ParticleNet: convolutions over each particle's nearest neighbors, which are found anew in every block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import FurtherInput, Norm
from hepjax.models.bounds import at_least, below, each_value, not_empty
from hepjax.models.layers.empty_jets import jets_of_batch_statistics, uniform_where_empty
from hepjax.models.layers.inspection import sow_for_inspection
from hepjax.models.layers.neighbors import nearest_others
from hepjax.models.layers.norms import normalize_layer
from hepjax.models.model import ParticleModel
from hepjax.models.registry import register
from hepjax.numerics import masked_sum

if TYPE_CHECKING:
    from hepjax.types import ParticleInputs

_LAYERS = 3
"""Layers of an edge convolution."""
_LARGEST_FUSION, _FUSION_STEP = 1024, 128


@register("particle-net")
class ParticleNet(ParticleModel):
    """ParticleNet (arXiv:1902.08570): edge convolutions (arXiv:1801.07829) over the nearest particles.

    The first block looks for neighbors in η and φ, the others among what the block before has learned. With 0.4
    million parameters; `--blocks 32 64 --neighbors 7 --hidden 128` is the paper's ParticleNet-Lite.
    """

    blocks: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (64, 128, 256)
    """Width of each edge convolution, of three layers."""
    neighbors: Annotated[int, at_least(1)] = 16
    """The nearest particles that each particle hears from; where a jet has fewer, zeros stand for those that lack."""
    fusion: bool = False
    """Let the head see the outputs of all blocks, joined by one layer, instead of the last block's."""
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (256,)
    """Widths of the layers after the mean over particles."""
    dropout: Annotated[float, at_least(0), below(1)] = 0.1
    """Probability of dropping a unit of these layers while training."""
    default_columns: ClassVar[tuple[str, ...]] = ("jetclass_kin",)

    @nn.nowrap
    def min_padding(self) -> int | None:
        """Returns 0: padding takes no part."""
        return 0

    @nn.nowrap
    def further_inputs(self) -> tuple[FurtherInput, ...]:
        """Returns where particles lie."""
        return (FurtherInput.POINTS,)

    @nn.compact
    def __call__(self, x: ParticleInputs, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns (B, outputs), 0 for a jet without particles, of values (B, P, F), their mask and points (B, P, 2).

        Batch statistics leave out rows where mask, (B,) bool, is False. Training draws from the rng `dropout`.
        """
        missing = max(self.neighbors + 1 - x.mask.shape[1], 0)
        x = jax.tree.map(lambda a: jnp.pad(a, [(0, 0), (0, missing), *[(0, 0)] * (a.ndim - 2)]), x)
        there = jnp.any(x.mask, axis=1)
        counted = x.mask & jets_of_batch_statistics(there, mask)[:, None]
        y = jnp.where(x.mask[..., None], x.values, 0)
        y, points, outputs = normalize_layer(y, Norm.BATCH, counted, train), x.points, []
        for i, width in enumerate(self.blocks):
            y = jnp.where(x.mask[..., None], y, 0)
            y = EdgeConvolution(width, self.neighbors, name=f"block_{i}")(y, points, x.mask, counted, train)
            points = y
            outputs.append(y)
        if self.fusion:
            width = min(max(sum(self.blocks) // _FUSION_STEP, 1) * _FUSION_STEP, _LARGEST_FUSION)
            y = nn.Dense(width, use_bias=False, name="fusion")(jnp.concatenate(outputs, axis=-1))
            y = nn.relu(normalize_layer(y, Norm.BATCH, counted, train))
        y = masked_sum(y, x.mask[..., None], axis=1) / jnp.maximum(jnp.sum(x.mask, axis=1), 1)[:, None]
        for width in self.hidden:
            y = nn.relu(nn.Dense(width)(y))
            y = nn.Dropout(self.dropout, deterministic=not train)(y)
        return uniform_where_empty(nn.Dense(self.outputs, name="head")(y), there)


class EdgeConvolution(nn.Module):
    """The mean over each particle's neighbors j of three layers on (x_i, x_j − x_i), and a way past them."""

    width: int
    neighbors: int

    @nn.compact
    def __call__(self, x: jax.Array, points: jax.Array, mask: jax.Array, counted: jax.Array, train: bool) -> jax.Array:
        """Returns (B, P, width) of x (B, P, C), 0 in the padding, and points (B, P, D) to find neighbors by.

        Batch statistics count the particles where counted, (B, P) bool, is True.
        """
        near, exist = nearest_others(points, mask, self.neighbors)
        y = self._first_layer(x, near, exist)
        for i in range(_LAYERS):
            y = nn.Dense(self.width, use_bias=False, name=f"layer_{i}")(y) if i else y
            y = nn.relu(normalize_layer(y, Norm.BATCH, jnp.broadcast_to(counted[..., None], near.shape), train))
        self.sow("intermediates", "neighbors", (near, exist))
        y = sow_for_inspection(self, "messages", y)
        if x.shape[-1] != self.width:
            x = nn.Dense(self.width, use_bias=False, name="shortcut")(x)
            x = normalize_layer(x, Norm.BATCH, counted, train)
        return jnp.where(mask[..., None], nn.relu(x + jnp.mean(y, axis=-2)), 0)

    def _first_layer(self, x: jax.Array, near: jax.Array, exist: jax.Array) -> jax.Array:
        """(B, P, k, width): linear, so that what a particle sends is computed once, not once for each receiver."""
        features = x.shape[-1]
        kernel = self.param("layer_0", nn.initializers.lecun_normal(), (2 * features, self.width))
        received, sent = x @ (kernel[:features] - kernel[features:]), x @ kernel[features:]
        jets = jnp.arange(len(x))[:, None, None]
        return received[:, :, None] + jnp.where(exist[..., None], sent[jets, near], 0)

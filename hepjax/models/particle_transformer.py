"""Particle Transformer: attention among particles, biased by features of their pairs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hepjax.choices import FurtherInput, Norm, TransformerBlock
from hepjax.models.bounds import at_least, below, each_value, not_empty
from hepjax.models.layers.empty_jets import jets_of_batch_statistics, uniform_where_empty
from hepjax.models.layers.inspection import sow_for_inspection
from hepjax.models.layers.norms import normalize_layer
from hepjax.models.model import ParticleModel
from hepjax.models.registry import register
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepjax.types import ParticleInputs

_EPSILON = 1e-5
"""What layer norms add to the variance, as in the authors' code."""
_WIDER = 4
"""A block's hidden layer is as many times as wide as its particles."""
_xavier = nn.initializers.xavier_uniform()


@register("particle-transformer")
class ParticleTransformer(ParticleModel):
    """Particle Transformer (arXiv:2202.03772): attention among particles, to which features of pairs are added.

    Class attention (arXiv:2103.17239) reads the particles out. With 2.1 million parameters. Without `pair_embed` it is
    a plain transformer.
    """

    embed: Annotated[tuple[int, ...], not_empty(), each_value(at_least(1))] = (128, 512, 128)
    """Widths of the layers that embed particles; the last is that of all blocks."""
    pair_embed: Annotated[tuple[int, ...], each_value(at_least(1))] = (64, 64, 64)
    """Widths of the layers that embed features of pairs; none leaves pairs out."""
    heads: Annotated[int, at_least(1)] = 8
    """Heads of the attention."""
    layers: Annotated[int, at_least(1)] = 8
    """Blocks of attention among particles."""
    class_layers: Annotated[int, at_least(1)] = 2
    """Blocks in which a class token attends to the particles."""
    block: TransformerBlock = TransformerBlock.NORMFORMER
    """Form of the blocks."""
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = ()
    """Widths of layers after the class token."""
    dropout: Annotated[float, at_least(0), below(1)] = 0.1
    """Probability of dropping a unit of the blocks among particles, and an attention weight, while training."""
    drop_path: Annotated[float, at_least(0), below(1)] = 0.0
    """Probability that a jet passes by a block's attention, or by its hidden layer, while training."""
    default_columns: ClassVar[tuple[str, ...]] = ("jetclass_kin",)

    @nn.nowrap
    def rules(self) -> Iterable[Rule]:
        """Returns the rule of --heads."""
        divides = self.embed[-1] % self.heads == 0
        yield Rule("--heads", self.heads, divides, f"a divisor of the last width of --embed, {self.embed[-1]}")

    @nn.nowrap
    def min_padding(self) -> int | None:
        """Returns 0: padding takes no part."""
        return 0

    @nn.nowrap
    def further_inputs(self) -> tuple[FurtherInput, ...]:
        """Returns features of pairs, if the attention sees them."""
        return (FurtherInput.PAIRS,) if self.pair_embed else ()

    @nn.compact
    def __call__(self, x: ParticleInputs, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns (B, outputs), 0 for a jet without particles, of values (B, P, F), their mask and pairs (B, T, 4).

        Batch statistics leave out rows where mask, (B,) bool, is False. Training draws from the rng `dropout`.
        """
        there = jnp.any(x.mask, axis=1)
        examples = jets_of_batch_statistics(there, mask)
        y = jnp.where(x.mask[..., None], x.values, 0)
        y = normalize_layer(y, Norm.BATCH, x.mask & examples[:, None], train)
        for width in self.embed:
            y = nn.gelu(nn.Dense(width, kernel_init=_xavier)(nn.LayerNorm(_EPSILON)(y)), approximate=False)
        y = jnp.where(x.mask[..., None], y, 0)
        seen = jnp.where(x.mask | ~there[:, None], 0.0, -jnp.inf)[:, None, None, :]
        bias = seen
        if self.pair_embed:
            widths, has_bias = (*self.pair_embed, self.heads), self.block is not TransformerBlock.RMS_SWIGLU
            pairs = PairEmbedding(widths, has_bias, name="pair_embedding")(x.pairs, x.mask, examples, train)
            bias = seen + pairs
        for i in range(self.layers):
            block = Block(self.heads, self.block, self.dropout, self.drop_path, i + 1, name=f"block_{i}")
            y = block(y, y, bias, train)
        token = self.param("class_token", nn.initializers.truncated_normal(0.02), (1, 1, y.shape[-1]))
        token = jnp.broadcast_to(token, (len(y), 1, y.shape[-1]))
        seen = jnp.pad(seen, ((0, 0), (0, 0), (0, 0), (1, 0)))
        for i in range(self.class_layers):
            block = Block(self.heads, self.block, 0.0, self.drop_path, name=f"class_block_{i}")
            token = block(token, jnp.concatenate([token, y], axis=1), seen, train)
        y = _norm(self.block, "norm")(token)[:, 0]
        for width in self.hidden:
            y = nn.relu(nn.Dense(width, use_bias=self.block is not TransformerBlock.RMS_SWIGLU, kernel_init=_xavier)(y))
            y = nn.Dropout(self.dropout, deterministic=not train)(y)
        return uniform_where_empty(nn.Dense(self.outputs, kernel_init=_xavier, name="head")(y), there)


class PairEmbedding(nn.Module):
    """Layers over the features of each pair, batch-normalized, to one bias for each head."""

    widths: tuple[int, ...]
    use_bias: bool

    @nn.compact
    def __call__(self, pairs: jax.Array, mask: jax.Array, examples: jax.Array, train: bool) -> jax.Array:
        """Returns (B, heads, P, P) of the features (B, T, 4) of pairs i, j ≤ i; those with padding have no meaning.

        Batch statistics count each pair of the particles of mask, (B, P) bool, once, in jets of examples, (B,) bool.
        """
        slots = mask.shape[1]
        later, earlier = np.tril_indices(slots)
        real = mask[:, later]  # a jet's particles come first
        y = normalize_layer(jnp.where(real[..., None], pairs, 0), Norm.BATCH, real & examples[:, None], train)
        for width in self.widths:
            y = nn.Dense(width, use_bias=self.use_bias, kernel_init=_xavier)(y)
            y = nn.gelu(normalize_layer(y, Norm.BATCH, real & examples[:, None], train), approximate=False)
        place = np.zeros((slots, slots), np.int32)
        place[later, earlier] = place[earlier, later] = np.arange(len(later))
        return jnp.moveaxis(y, -1, 1)[:, :, place]


class Block(nn.Module):
    """Attention, and a hidden layer, each added to what came in."""

    heads: int
    form: TransformerBlock
    dropout: float
    drop_path: float
    depth: int | None = None
    """The number of the block, from 1 on: deep ones begin with small weights; None takes weights as they are."""

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array, bias: jax.Array, train: bool) -> jax.Array:
        """Returns (B, Q, C) of x, (B, Q, C), which attends to context, (B, K, C), by scores plus bias.

        The bias broadcasts to (B, heads, Q, K) and is −∞ for padding. Where x is the context, its queries are
        normalized as well; a class token's are not, as published.
        """
        scaled, biased = self.form is TransformerBlock.NORMFORMER, self.form is not TransformerBlock.RMS_SWIGLU
        width, drop = x.shape[-1], nn.Dropout(self.dropout, deterministic=not train)
        small = _xavier if self.depth is None else _divided(math.sqrt(2 * self.depth))
        seen = _norm(self.form, "attention_norm")(context)
        y = self._attend(seen if x is context else x, seen, bias, biased, train)
        y = nn.Dense(width, use_bias=biased, kernel_init=small, name="attention_out")(y)
        if scaled:
            scale = self.param("head_scale", nn.initializers.ones, (self.heads,))
            y = _norm(self.form, "attention_out_norm")(y * jnp.repeat(scale, width // self.heads))
        x = x + self._sometimes(drop(y), train)
        y, wide = _norm(self.form, "hidden_norm")(x), _WIDER * width
        hidden = nn.Dense(wide, use_bias=biased, kernel_init=_xavier, name="hidden")(y)
        if scaled:
            hidden = _norm(self.form, "hidden_out_norm")(drop(nn.gelu(hidden, approximate=False)))
            x = x * self.param("residual_scale", nn.initializers.ones, (width,))
        else:
            gate = nn.Dense(wide, use_bias=biased, kernel_init=_xavier, name="gate")(y)
            hidden = drop(nn.silu(gate) * hidden)
        y = nn.Dense(width, use_bias=biased, kernel_init=small, name="hidden_out")(hidden)
        return x + self._sometimes(drop(y), train)

    def _attend(self, x: jax.Array, context: jax.Array, bias: jax.Array, biased: bool, train: bool) -> jax.Array:
        """(B, Q, C): softmax of scaled products of queries and keys (arXiv:1706.03762, eq. 1), head by head."""
        width, size = x.shape[-1], x.shape[-1] // self.heads
        kernels = self.param("attention_in", _xavier_of_parts, (width, 3, width))
        biases = self.param("attention_in_bias", nn.initializers.zeros, (3, width)) if biased else np.zeros((3, 1))
        queries, keys, values = (
            (what @ kernels[:, i] + biases[i]).reshape(*what.shape[:2], self.heads, size)
            for i, what in enumerate((x, context, context))
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", queries / math.sqrt(size), keys) + bias
        weights = jax.nn.softmax(scores, axis=-1)
        if x is context:
            weights = jnp.moveaxis(sow_for_inspection(self, "messages", jnp.moveaxis(weights, 1, -1)), -1, 1)
        weights = nn.Dropout(self.dropout, deterministic=not train)(weights)
        return jnp.einsum("bhqk,bkhd->bqhd", weights, values).reshape(x.shape)

    def _sometimes(self, x: jax.Array, train: bool) -> jax.Array:
        """Stochastic depth (arXiv:1603.09382): 0 for some jets."""
        kept: jax.Array = nn.Dropout(self.drop_path, broadcast_dims=(1, 2), deterministic=not train)(x)
        return kept


def _norm(form: TransformerBlock, name: str) -> nn.Module:
    if form is TransformerBlock.RMS_SWIGLU:
        return nn.RMSNorm(epsilon=float(np.finfo(np.float32).eps), name=name)
    return nn.LayerNorm(epsilon=_EPSILON, name=name)


def _divided(by: float) -> Any:
    return lambda *arguments: _xavier(*arguments) / by


def _xavier_of_parts(key: jax.Array, shape: tuple[int, int, int], dtype: Any = jnp.float32) -> jax.Array:
    """Each of the three (C, C) kernels by itself."""
    limit = math.sqrt(6 / (shape[0] + shape[2]))
    return jax.random.uniform(key, shape, dtype, -limit, limit)

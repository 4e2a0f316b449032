"""L-GATr-slim: a transformer of Lorentz vectors and scalars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hepjax.choices import FurtherInput
from hepjax.models.bounds import at_least, below
from hepjax.models.layers.empty_jets import uniform_where_empty
from hepjax.models.layers.minkowski import BEAMS, METRIC
from hepjax.models.model import ParticleModel
from hepjax.models.registry import register
from hepjax.numerics import safe_sqrt
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepjax.types import ParticleInputs

_UNIT = 20.0
"""Momenta are counted in this, GeV."""
_EPSILON = 0.01
"""What norms add to the mean square, as in the authors' code."""
_WIDER = 4
"""A block's hidden layer is as many times as wide as its particles."""
_SMALL = 0.1
"""The size of weights of the attention in the beginning."""
_SPURIONS = np.concatenate([BEAMS, [[0, 0, 0, 1]]], dtype=np.float32)
"""(3, 4): the beams and the direction of time."""


@register("lgatr-slim")
class LGATrSlim(ParticleModel):
    """L-GATr-slim (arXiv:2512.17011, after arXiv:2405.14806): attention among Lorentz vectors and scalars.

    Boosted and rotated jets get the same answer but for the spurions, vectors that are the same for all jets: the beams
    and the direction of time. A token that sees all particles is read out. With 2 million parameters. The authors boost
    tops to their rest frame first, which changes no answer but the rounding of products with spurions, for the worse.
    """

    columns: tuple[str, ...] = ()
    """Particle columns that are scalars, by name; by default none, for most of them change under boosts."""
    default_columns: ClassVar[tuple[str, ...] | None] = ()
    vectors: Annotated[int, at_least(1)] = 32
    """Vectors of each particle."""
    scalars: Annotated[int, at_least(1)] = 96
    """Scalars of each particle."""
    layers: Annotated[int, at_least(1)] = 12
    """Blocks of attention."""
    heads: Annotated[int, at_least(1)] = 8
    """Heads of the attention."""
    dropout: Annotated[float, at_least(0), below(1)] = 0.0
    """Probability of dropping a vector or scalar that a block adds while training."""
    spurions: bool = True
    """Let the beams and the direction of time take part; --no-spurions keeps all of Lorentz symmetry."""
    mass: Annotated[float, at_least(0)] = 0.005
    """Lighter particles get this mass, GeV."""

    @nn.nowrap
    def rules(self) -> Iterable[Rule]:
        """Returns the rules of --heads."""
        for name, width in (("--vectors", self.vectors), ("--scalars", self.scalars)):
            yield Rule("--heads", self.heads, width % self.heads == 0, f"a divisor of {name}, {width}")

    @nn.nowrap
    def min_padding(self) -> int | None:
        """Returns 0: padding takes no part."""
        return 0

    @nn.nowrap
    def further_inputs(self) -> tuple[FurtherInput, ...]:
        """Returns four-momenta."""
        return (FurtherInput.MOMENTA,)

    @nn.compact
    def __call__(self, x: ParticleInputs, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns (B, outputs), 0 for a jet without particles, of values (B, P, F), their mask and momenta (B, P, 4).

        The mask of rows, (B,) bool, changes nothing here. Training draws from the rng `dropout`.
        """
        del mask
        there = jnp.any(x.mask, axis=1)
        momenta, columns = (jnp.where(x.mask[..., None], given, 0) for given in (x.momenta, x.values))
        p4 = self._vectors_of_tokens(momenta, x.mask)
        others = p4.shape[1] - x.mask.shape[1]
        is_global = jnp.arange(p4.shape[1]) == 0
        s = jnp.pad(columns, ((0, 0), (others, 0), (0, 0)))
        s = jnp.concatenate([s, jnp.broadcast_to(is_global[:, None], (*s.shape[:2], 1)).astype(s.dtype)], axis=-1)
        v, s = EquivariantDense(self.vectors, self.scalars, name="embedding")(p4[..., None], s)
        seen = jnp.pad(x.mask, ((0, 0), (others, 0)), constant_values=True)
        bias = jnp.where(seen, 0.0, -jnp.inf)[:, None, None, :]
        for i in range(self.layers):
            v, s = LorentzTransformerBlock(self.heads, self.dropout, name=f"block_{i}")(v, s, bias, train)
        return uniform_where_empty(nn.Dense(self.outputs, name="head")(s[:, 0]), there)

    def _vectors_of_tokens(self, p4: jax.Array, mask: jax.Array) -> jax.Array:
        """(B, 1 + S + P, 4): of the global token, which is 0, of the spurions, and of particles (B, P, 4), GeV."""
        p = p4[..., :3]
        energy = jnp.maximum(p4[..., 3], safe_sqrt(jnp.sum(p**2, axis=-1) + self.mass**2))
        p4 = jnp.where(mask[..., None], jnp.concatenate([p, energy[..., None]], axis=-1) / _UNIT, 0)
        fixed = np.concatenate([np.zeros((1, 4)), _SPURIONS if self.spurions else np.zeros((0, 4))])
        return jnp.concatenate([jnp.broadcast_to(fixed.astype(p4.dtype), (len(p4), *fixed.shape)), p4], axis=1)


class EquivariantDense(nn.Module):
    """Vectors that are sums of vectors, and a dense layer of scalars."""

    vectors: int
    scalars: int
    size: float = 1.0
    """Weights begin between ± this and the root of the number of inputs, inverted."""

    @nn.compact
    def __call__(self, v: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns (..., 4, vectors) and (..., scalars) of vectors (..., 4, V) and scalars (..., S)."""
        start = nn.initializers.variance_scaling(self.size**2 / 3, "fan_in", "uniform")
        of_vectors = nn.Dense(self.vectors, use_bias=False, kernel_init=start, name="vectors")
        return of_vectors(v), nn.Dense(self.scalars, kernel_init=start, name="scalars")(s)


class LorentzTransformerBlock(nn.Module):
    """Attention whose scores are Minkowski products, and a hidden layer gated by such, each added to what came in."""

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, v: jax.Array, s: jax.Array, bias: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Returns (B, T, 4, V) and (B, T, S) of vectors and scalars of the same shapes.

        The bias broadcasts to (B, heads, T, T) and is −∞ for padding.
        """
        vectors, scalars = v.shape[-1], s.shape[-1]
        drop = (
            nn.Dropout(self.dropout, broadcast_dims=(2,), deterministic=not train),
            nn.Dropout(self.dropout, deterministic=not train),
        )
        queries = EquivariantDense(3 * vectors, 3 * scalars, _SMALL, name="attention_in")(*_normalized(v, s))
        mixed = _attend(*queries, bias, self.heads)
        added = EquivariantDense(vectors, scalars, _SMALL, name="attention_out")(*mixed)
        v, s = v + drop[0](added[0]), s + drop[1](added[1])
        wide = EquivariantDense(3 * _WIDER * vectors, 2 * _WIDER * scalars, name="hidden")(*_normalized(v, s))
        v_gates, s_gate = jnp.split(wide[0], 3, axis=-1), jnp.split(wide[1], 2, axis=-1)
        gated = drop[0](v_gates[0] * _gelu(_product(*v_gates[1:]))[..., None, :]), drop[1](s_gate[0] * _gelu(s_gate[1]))
        added = EquivariantDense(vectors, scalars, name="hidden_out")(*gated)
        return v + added[0], s + added[1]


def _attend(v: jax.Array, s: jax.Array, bias: jax.Array, heads: int) -> tuple[jax.Array, jax.Array]:
    """(B, T, 4, V) and (B, T, S): what each token attends to, of queries, keys and values, 3 V vectors and 3 S scalars.

    Each head's queries, keys and values are normalized, without which the products of vectors grow too large.
    """
    jets, tokens = s.shape[:2]
    v = jnp.moveaxis(v.reshape(jets, tokens, 4, 3, heads, -1), 2, -2)
    v, s = _normalized(v, s.reshape(jets, tokens, 3, heads, -1))
    parts = jnp.concatenate([v.reshape(*v.shape[:4], -1), s], axis=-1)
    queries = (v[:, :, 0] * METRIC[:, None].astype(v.dtype)).reshape(jets, tokens, heads, -1)
    queries = jnp.concatenate([queries, s[:, :, 0]], axis=-1) / math.sqrt(parts.shape[-1])
    scores = jnp.einsum("bqhd,bkhd->bhqk", queries, parts[:, :, 1]) + bias
    mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, axis=-1), parts[:, :, 2])
    size = 4 * v.shape[-1]
    of_vectors = jnp.moveaxis(mixed[..., :size].reshape(jets, tokens, heads, 4, -1), 3, 2)
    return of_vectors.reshape(jets, tokens, 4, -1), mixed[..., size:].reshape(jets, tokens, -1)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """(..., V), the Minkowski products of vectors (..., 4, V)."""
    return jnp.sum(a * b * METRIC[:, None].astype(a.dtype), axis=-2)


def _normalized(v: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Vectors and scalars over the root of the mean square of both, whatever the signs of those of vectors."""
    squares = jnp.concatenate([jnp.abs(_product(v, v)), s**2], axis=-1)
    factor = jax.lax.rsqrt(jnp.mean(squares, axis=-1, keepdims=True) + _EPSILON)
    return v * factor[..., None], s * factor


def _gelu(x: jax.Array) -> jax.Array:
    return nn.gelu(x, approximate=False)

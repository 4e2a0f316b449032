"""LorentzNet: particles exchange messages that depend on Minkowski products of their momenta."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hepjax.choices import FurtherInput, Norm
from hepjax.models.bounds import at_least, below, more_than
from hepjax.models.layers.empty_jets import jets_of_batch_statistics, uniform_where_empty
from hepjax.models.layers.minkowski import BEAMS, minkowski_product
from hepjax.models.layers.norms import BatchNormOfMoments, normalize_layer
from hepjax.models.layers.pairs import are_few, feature_product, map_receivers
from hepjax.models.model import ParticleModel
from hepjax.models.registry import register
from hepjax.numerics import masked_sum, safe_sqrt
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepjax.types import ParticleInputs

_LONGEST = 100.0
"""What one other particle adds to a component of a particle's coordinates is cut to this, GeV."""
_HEAVY_BEAMS = np.where(np.arange(4) == 3, np.sqrt(2, dtype=np.float32), BEAMS)
"""(2, 4): the beams as published, of mass 1."""


@register("lorentz-net")
class LorentzNet(ParticleModel):
    """LorentzNet (arXiv:2201.08187): messages of Minkowski products, so that boosted jets get the same answer.

    With 0.2 million parameters. The beams, which join the particles, leave rotations about their axis alone;
    `--no-beams` keeps boosts and all rotations. The masses of light particles are lost in the rounding of momenta to
    float32: what the network sees of them is then noise, as the published one does.
    """

    columns: tuple[str, ...] = ()
    """Particle columns that join masses, by name; by default none, for most of them change under boosts."""
    default_columns: ClassVar[tuple[str, ...] | None] = ()
    width: Annotated[int, at_least(1)] = 72
    """Width of all layers."""
    layers: Annotated[int, at_least(1)] = 6
    """Blocks of messages."""
    dropout: Annotated[float, at_least(0), below(1)] = 0.2
    """Probability of dropping a unit of the layer after the mean over particles while training."""
    beams: bool = True
    """Let two beams take part as if they were particles."""
    masses: bool = True
    """Show the masses of particles; without, columns alone, as the published network for quarks and gluons."""
    step: Annotated[float, more_than(0)] = 0.005
    """How far messages move a particle's coordinates in a block."""
    nodes: Annotated[int | None, at_least(1)] = None
    """Divide the sum over particles and beams by this; the default is their number. The published network divides by
    the slots of the jet with the most particles in a batch."""

    @nn.nowrap
    def rules(self) -> Iterable[Rule]:
        """Returns the rule that something is seen of each particle."""
        yield Rule("--no-masses", "none", self.masses or bool(self.columns), "--columns to learn from instead")

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

        Batch statistics leave out rows where mask, (B,) bool, is False. Training draws from the rng `dropout`.
        """
        there = jnp.any(x.mask, axis=1)
        examples = jets_of_batch_statistics(there, mask)
        p4, seen = (jnp.where(x.mask[..., None], given, 0) for given in (x.momenta, x.values))
        real, beams = x.mask, len(_HEAVY_BEAMS) if self.beams else 0
        if self.beams:
            pair = jnp.broadcast_to(_HEAVY_BEAMS.astype(p4.dtype), (len(p4), *_HEAVY_BEAMS.shape))
            p4 = jnp.concatenate([pair, p4], axis=1)
            real = jnp.concatenate([jnp.repeat(there[:, None], beams, axis=1), real], axis=1)
            seen = jnp.pad(seen, ((0, 0), (beams, 0), (0, 0)))
        p4 = jnp.moveaxis(p4, -1, 0)
        if self.masses:
            mass = _psi(safe_sqrt(jnp.abs(minkowski_product(p4, p4))))[..., None]
            is_beam = jnp.arange(mass.shape[1])[:, None] < beams
            kinds = jnp.concatenate([~is_beam, is_beam], axis=-1) if self.beams else ~is_beam
            seen = jnp.concatenate([mass * kinds, seen], axis=-1)
        h, counted = nn.Dense(self.width, name="embedding")(seen), real & examples[:, None]
        for i in range(self.layers):
            step = self.step if i < self.layers - 1 else None
            h, p4 = LorentzBlock(self.width, step, name=f"block_{i}")(h, p4, seen, real, counted, train)
        count = jnp.sum(real, axis=1) if self.nodes is None else jnp.full(len(real), self.nodes)
        y = masked_sum(h, real[..., None], axis=1) / jnp.maximum(count, 1).astype(h.dtype)[:, None]
        y = nn.relu(nn.Dense(self.width, name="hidden")(y))
        y = nn.Dropout(self.dropout, deterministic=not train)(y)
        return uniform_where_empty(nn.Dense(self.outputs, name="head")(y), there)


class LorentzBlock(nn.Module):
    """Messages among all particles of a jet, which change their features and coordinates."""

    width: int
    step: float | None
    """None leaves the coordinates as they are."""

    @nn.compact
    def __call__(
        self, h: jax.Array, x: jax.Array, seen: jax.Array, real: jax.Array, counted: jax.Array, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Returns features (B, N, W) and coordinates (4, B, N) of what were h and x.

        The scalars seen, (B, N, S), are those of all blocks; real, (B, N) bool, is False for padding. Batch statistics
        count the particles, and the pairs of particles, where counted, (B, N) bool, is True.
        """
        width, few = self.width, are_few(x.shape[1], x.shape[2])
        kernel = self.param("edge_in", nn.initializers.lecun_normal(), (2 * width + 2, width))
        received, sent = (jnp.einsum("bnf,fh->hbn", h, part) for part in (kernel[:width], kernel[width : 2 * width]))
        receivers = _Receivers(received, x, real, jnp.arange(x.shape[2]))
        senders = _Senders(sent, x, real, kernel[2 * width :])
        moments = _edge_moments(receivers, senders, counted, few) if train else None
        scale, shift = BatchNormOfMoments(width, name="edge_norm")(moments)
        receivers = receivers._replace(part=received * scale[:, None, None] + shift[:, None, None])
        senders = senders._replace(part=sent * scale[:, None, None], kernel=senders.kernel * scale)
        layers = {name: self._affine(name, width, outputs) for name, outputs in (("edge_out", width), ("gate", 1))}
        if self.step is not None:
            layers["pull_in"] = self._affine("pull_in", width, width)
            small = nn.initializers.variance_scaling(1e-6, "fan_avg", "uniform")
            layers["pull_out"] = self.param("pull_out", small, (width, 1)), jnp.zeros(1)
        found = map_receivers(lambda part: _messages(part, senders, layers), receivers, all_at_once=few)
        if self.step is not None:
            others = jnp.maximum(jnp.sum(real, axis=1, keepdims=True) - 1, 1).astype(x.dtype)
            x = x + self.step * found[1] / others
        y = jnp.concatenate([h, jnp.moveaxis(found[0], 0, -1), seen], axis=-1)
        y = nn.relu(normalize_layer(nn.Dense(width, name="node_in")(y), Norm.BATCH, counted, train))
        return h + nn.Dense(width, name="node_out")(y), x

    def _affine(self, name: str, inputs: int, outputs: int) -> tuple[jax.Array, jax.Array]:
        """Kernel and bias."""
        kernel = self.param(name, nn.initializers.lecun_normal(), (inputs, outputs))
        return kernel, self.param(f"{name}_bias", nn.initializers.zeros, (outputs,))


class _Receivers(NamedTuple):
    """Receiving particles, in R of N slots."""

    part: jax.Array
    """(W, B, R), their part of the first layer over pairs."""
    x: jax.Array
    """(4, B, R) coordinates."""
    real: jax.Array
    """(B, R) bool, False for padding."""
    slot: jax.Array
    """(R,) int."""


class _Senders(NamedTuple):
    """Sending particles, in N slots."""

    part: jax.Array
    """(W, B, N), their part of the first layer over pairs."""
    x: jax.Array
    """(4, B, N) coordinates."""
    real: jax.Array
    """(B, N) bool, False for padding."""
    kernel: jax.Array
    """(2, W), of the products with the receiver."""


def _first_layer(receivers: _Receivers, senders: _Senders) -> jax.Array:
    """(W, B, R, N): linear in features and products, so that features are multiplied once a particle."""
    at, of = receivers.x[..., None], senders.x[..., None, :]
    y = receivers.part[..., None] + senders.part[..., None, :]
    for kernel, one, other in ((senders.kernel[0], at - of, at - of), (senders.kernel[1], at, of)):
        y = y + kernel[:, None, None, None] * _psi(minkowski_product(one, other))
    return y


def _are_pairs(receivers: _Receivers, senders: _Senders) -> jax.Array:
    """(B, R, N) bool, False for padding and a particle with itself."""
    others = receivers.slot[:, None] != jnp.arange(senders.real.shape[1])
    return receivers.real[..., None] & senders.real[:, None] & others


def _edge_moments(
    receivers: _Receivers, senders: _Senders, counted: jax.Array, few: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The number of counted pairs, and the sums over them of what the first layer gives, and of its squares."""
    receivers, senders = receivers._replace(real=counted), senders._replace(real=counted)

    def sums(part: _Receivers) -> tuple[jax.Array, jax.Array]:
        y = jnp.where(_are_pairs(part, senders), _first_layer(part, senders), 0)
        return jnp.sum(y, axis=(1, 3)), jnp.sum(y**2, axis=(1, 3))

    total, squares = map_receivers(sums, receivers, all_at_once=few)
    number = jnp.sum(counted, axis=1)
    return jnp.sum(number * (number - 1)).astype(total.dtype), jnp.sum(total, axis=1), jnp.sum(squares, axis=1)


def _messages(
    receivers: _Receivers, senders: _Senders, layers: dict[str, tuple[jax.Array, jax.Array]]
) -> tuple[jax.Array, ...]:
    """The sum of messages to each receiver, (W, B, R), and what they add to its coordinates, (4, B, R), if they do."""

    def apply_layer(name: str, y: jax.Array) -> jax.Array:
        kernel, bias = layers[name]
        return feature_product(kernel, y) + bias[:, None]

    y = nn.relu(_first_layer(receivers, senders))
    edges, y = y.shape[1:], y.reshape(len(y), -1)
    y = nn.relu(apply_layer("edge_out", y))
    y = y * (nn.sigmoid(apply_layer("gate", y)) * _are_pairs(receivers, senders).reshape(-1))
    messages = y.reshape(-1, *edges) @ jnp.ones(edges[-1], y.dtype)
    if "pull_in" not in layers:
        return (messages,)
    pulls = apply_layer("pull_out", nn.relu(apply_layer("pull_in", y))).reshape(edges)
    away = receivers.x[..., None] - senders.x[..., None, :]
    pulls = jnp.where(_are_pairs(receivers, senders), jnp.clip(away * pulls, -_LONGEST, _LONGEST), 0)
    return messages, jnp.sum(pulls, axis=-1)


def _psi(x: jax.Array) -> jax.Array:
    """The logarithm of large numbers of both signs; small ones are as they were (arXiv:2201.08187)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))

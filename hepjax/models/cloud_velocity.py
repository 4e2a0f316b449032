"""A velocity for each particle of a cloud: the network of a flow that makes jets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from hepjax.choices import Activation
from hepjax.models.bounds import at_least, at_most, each_value
from hepjax.models.layers.activations import Activate, ActivationLike, units
from hepjax.models.model import Model
from hepjax.models.registry import register
from hepjax.numerics import masked_sum, weighted_mean

if TYPE_CHECKING:
    from hepjax.types import Conditioned

_USUAL = 32
"""Particles; sums over a cloud are divided by it, so that they are of order one."""


@register("cloud-velocity")
class CloudVelocity(Model):
    """A velocity for each particle, by layers of equivariant point clouds (EPiC, arXiv:2301.08128, 2310.00049).

    The cloud has a vector of its own. In each layer it hears the mean and the sum of all particles; then each particle
    hears the vector. So the cost grows with the number of particles, not of pairs. Particles in another order get their
    velocities in that order, and padding takes no part.
    """

    serves: ClassVar[tuple[str, ...]] = ("generation",)

    outputs: int = 3
    """F, the first columns of a particle, which move; others are only seen."""
    particles: Annotated[int, at_least(1)] = 30
    """Number of particles that a jet is made of, the hardest; the network itself takes any number."""
    totals: Annotated[tuple[int, ...], each_value(at_least(1))] = (64, 64, 64)
    """Widths of the perceptron beside it, which makes the mass and the pT of a jet's particles."""
    width: Annotated[int, at_least(1)] = 64
    """Width of each particle's hidden layers, and of the cloud's."""
    summary: Annotated[int, at_least(1)] = 16
    """Width of the cloud's vector between two layers."""
    layers: Annotated[int, at_least(1), at_most(1000)] = 5
    """Layers, in each of which particles and cloud hear of each other."""
    frequencies: Annotated[int, at_least(1), at_most(1000)] = 6
    """The time t is seen as cos(π k t) and sin(π k t), k from 1 to this."""
    activation: ActivationLike = Activation.LEAKY_RELU
    """Activation after every layer but the last."""

    @nn.compact
    def __call__(self, x: Conditioned, mask: jax.Array | None = None, train: bool = False) -> jax.Array:  # noqa: ARG002
        """Args: x, its values particles (B, P, ≥ F) with their mask (B, P), its condition (B, K), first the time t.

        Returns: (B, P, F) velocities dx/dt, 0 in the padding.
        """
        there = x.values.mask[..., None]
        inputs = jnp.where(there, x.values.values, 0)
        time, rest = x.condition[:, :1], x.condition[:, 1:]
        turns = jnp.pi * jnp.arange(1, self.frequencies + 1) * time
        told = jnp.concatenate([jnp.cos(turns), jnp.sin(turns), rest], axis=1)
        act = Activate(activation=self.activation)

        def dense(width: int, *parts: jax.Array) -> jax.Array:
            return nn.Dense(units(self.activation, width))(jnp.concatenate(parts, axis=-1))

        def heard(particles: jax.Array, cloud: jax.Array) -> jax.Array:
            """A layer of particles and of their cloud; the cloud's share is computed once."""
            own = nn.Dense(units(self.activation, self.width), use_bias=False)(particles)
            return own + dense(self.width, cloud, told)[:, None]

        h = act(heard(inputs, told[:, :0]))
        cloud = jnp.zeros((len(told), self.summary))
        for _ in range(self.layers):
            pooled = (weighted_mean(h, there, axis=1), masked_sum(h, there, axis=1) / _USUAL)
            y = act(dense(self.width, *pooled, cloud, told))
            cloud = act(dense(self.summary, y) + cloud)
            h = act(nn.Dense(units(self.activation, self.width))(act(heard(h, cloud))) + h)
        velocity: jax.Array = nn.Dense(self.outputs)(h)
        return jnp.where(there, velocity, 0)

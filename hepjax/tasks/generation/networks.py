"""Generators of observables as networks that a training loop can train as any other: jets in, −ln p out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.special import ndtri

from hepjax.models import CouplingFlow, Model, VariationalAutoencoder
from hepjax.numerics import weighted_mean
from hepjax.tasks.generation import device
from hepjax.tasks.generation.preparation import COORDINATES
from hepjax.types import Conditioned

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import PyTree

PREPARATION, AVERAGE, SQUARES = "preparation", "average", "squares"
"""The variables of a generator beside its parameters: the preparation of its inputs, the average of its parameters over
steps, and the mean squares of what an autoencoder leaves over."""

_DECAY = 0.995  # of the averages, in a step
_NARROWEST = 1e-6  # the smallest variance of a decoded feature
_UNIFORMS = 1 + 2 * COORDINATES


class ObservableGenerator(Model):
    """A flow or an autoencoder with the preparation of its inputs, and the average of its parameters over steps.

    Its input is `Conditioned`: (B, 12) coordinates, and (B, 1) class indices. It returns (B, 1) −ln p in nats, of the
    prepared numbers; of an autoencoder an upper bound on it. Training goes by its own parameters, everything else by
    their average, which scatters less.
    """

    network: Model
    """The flow or the autoencoder, with the class as its condition."""
    classes: int = 1
    """Number of classes."""

    @nn.compact
    def __call__(self, x: Conditioned, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Args: x, coordinates (B, 12) and class indices (B, 1); mask, (B,) bool, False for padding.

        Returns: (B, 1) −ln p; NaN of jets whose class, −1, is not among those that are learned.
        """
        arrays = self.variable(PREPARATION, "arrays", device.blank_preparation_arrays, self.classes).value
        labels = jnp.asarray(x.condition[:, 0], jnp.int32)
        condition = jax.nn.one_hot(labels, self.classes)
        if self.is_initializing():
            self.network(Conditioned(jnp.zeros((len(labels), COORDINATES)), condition))  # makes its parameters
        live = self.variables["params"]["network"]
        average = self.variable(AVERAGE, "params", lambda: jax.tree.map(jnp.copy, live))
        steps = self.variable(AVERAGE, "steps", lambda: jnp.zeros(()))
        squares = self.variable(SQUARES, "mean", lambda: jnp.ones(COORDINATES))
        if self.is_initializing():
            return jnp.zeros((len(labels), 1))
        latent = getattr(self.network, "latent", 0)
        coordinates: Any = x.values
        uniform = device.row_uniforms(coordinates, labels, _UNIFORMS + latent)
        z = jax.lax.stop_gradient(device.prepare_rows(arrays, coordinates, labels, uniform[:, :_UNIFORMS]))
        rate = jnp.maximum(1 - _DECAY, 10 / (steps.value + 10))
        apply = self._apply(live if train else average.value)
        inputs = Conditioned(z, condition)
        if isinstance(self.network, VariationalAutoencoder):
            noise = ndtri(uniform[:, _UNIFORMS:])
            if train:
                noise = jax.random.normal(self.make_rng("dropout"), noise.shape)
            loss, mean_squares = _bound_on_generator_nll(apply, inputs, noise, mask, None if train else squares.value)
            if train:
                squares.value += rate * (jax.lax.stop_gradient(mean_squares) - squares.value)
        else:
            loss = apply(inputs, train=train)
        if train:
            average.value = jax.tree.map(lambda a, p: a + rate * (jax.lax.stop_gradient(p) - a), average.value, live)
            steps.value += 1
        return jnp.where(labels < 0, jnp.nan, loss)[:, None]

    @nn.nowrap
    def _apply(self, params: PyTree) -> Callable[..., Any]:
        return partial(self.network.clone(parent=None, name=None).apply, {"params": params})


def has_generator_density(network: Model) -> bool:
    """Returns whether a generator gives −ln p itself, and not a bound on it.

    Args:
      network: of a run.
    """
    return isinstance(network, ObservableGenerator) and isinstance(network.network, CouplingFlow)


def generator_decoder(
    generator: ObservableGenerator, model_state: PyTree
) -> tuple[Callable[[Any, Any], jax.Array], int]:
    """Makes the way back of a trained generator.

    Args:
      generator: the network of a run.
      model_state: its variables.

    Returns:
      A function from (B, L) normal numbers and (B, C) classes, as 0 and 1, to (B, 12) numbers; and L.
    """
    from hepjax.tasks.generation.variational import noisy_decoder

    network = generator.network
    apply: Any = network.clone(parent=None, name=None).apply
    apply = partial(apply, {"params": model_state[AVERAGE]["params"]})
    if isinstance(network, CouplingFlow):
        return partial(apply, method="from_latent"), COORDINATES
    widths = jnp.sqrt(jnp.maximum(model_state[SQUARES]["mean"], _NARROWEST))
    latent: int = getattr(network, "latent")  # noqa: B009 — of an autoencoder
    return noisy_decoder(partial(apply, method="decode"), widths), latent + COORDINATES


def _bound_on_generator_nll(
    apply: Callable[..., Any],
    inputs: Conditioned,
    noise: jax.Array,
    mask: jax.Array | None,
    squares: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """Computes a bound on −ln p of each jet (arXiv:1312.6114, eq. 10), with the best width of each feature.

    Args:
      apply: of the autoencoder.
      inputs: numbers (B, 12), and classes.
      noise: (B, L) normal numbers, which codes are drawn by.
      mask: (B,) bool; padding does not count.
      squares: (12,) variances of what is decoded; None takes the best of the batch (arXiv:2006.13202, section 3).

    Returns:
      (B,) bounds, in nats, and (12,) mean squares of what is left over in the batch.
    """
    coded = apply(inputs)
    mean, log_variance = coded.mean, coded.log_variance
    decoded = apply(mean + jnp.exp(0.5 * log_variance) * noise, inputs.condition, method="decode")
    residuals = (decoded - inputs.values) ** 2
    counts = jnp.ones(len(residuals)) if mask is None else mask.astype(jnp.float32)
    mean_squares = weighted_mean(residuals, counts[:, None], axis=0)
    variance = jnp.maximum(mean_squares if squares is None else squares, _NARROWEST)
    decoding = 0.5 * jnp.sum(jnp.log(2 * jnp.pi * variance) + residuals / variance, axis=1)
    divergence = 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance, axis=1)
    return decoding + divergence, mean_squares

"""The generator of clouds as a network that is trained as any other: jets in, matching errors out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.special import ndtri

from hepjax.models import MLP, CloudVelocity, Model
from hepjax.tasks.generation.cloud_encoding import CLOUD_COLUMNS, encode_particles, encode_totals, make_view, mirror
from hepjax.tasks.generation.cloud_preparation import blank_arrays, to_scaling
from hepjax.tasks.generation.device import row_uniforms
from hepjax.tasks.generation.flow_matching import draw_noise, even_times, flat_view, matching_error
from hepjax.tasks.generation.networks import AVERAGE, PREPARATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.tasks.generation.cloud_encoding import CloudScaling
    from hepjax.types import Conditioned, PyTree

TOTALS = 2
"""The totals of a jet: the mass of its particles, and the share of its pT that they carry."""

_DECAY = 0.999  # of the average of parameters, in a step
_DRAWS = 4  # lines of each jet's totals in a step, whose network is small
_JUDGED = 8  # lines of each jet's totals in a validation


class CloudGenerator(Model):
    """Two flows, of the totals of jets and of particles with these totals, and the average of their parameters.

    Its input is that of `cloud_inputs`. It returns (B, 1) matching errors, of totals and particles together; both have
    parameters of their own, so that they are trained side by side. Training goes by its own parameters, everything else
    by their average over steps, which scatters less.
    """

    network: CloudVelocity
    """The velocity of particles."""
    totals: MLP
    """The velocity of totals."""
    classes: int = 1
    """Number of classes."""

    @nn.compact
    def __call__(self, x: Conditioned, mask: jax.Array | None = None, train: bool = False) -> jax.Array:  # noqa: ARG002
        """Args: x, particles (B, P, 3) with their mask, and (B, 4) class index, pT, mass and sum of pT shares.

        Returns: (B, 1) errors; NaN of jets whose class, −1, is not among those that are learned.
        """
        arrays = self.variable(PREPARATION, "arrays", blank_arrays, self.classes, x.values.mask.shape[1]).value
        scaling, labels = to_scaling(arrays), x.condition[:, 0]
        totals, particles = (f(x, scaling, self.classes) for f in (encode_totals, encode_particles))
        if self.is_initializing():  # makes their parameters
            times = jnp.zeros(len(labels))
            matching_error(lambda points: self.totals(flat_view(points)), totals, totals.values, times)
            matching_error(
                lambda points: self.network(make_view(scaling)(points)), particles, particles.values.values, times
            )
        live = {name: self.variables["params"][name] for name in ("network", "totals")}
        average = self.variable(AVERAGE, "params", lambda: jax.tree.map(jnp.copy, live))
        steps = self.variable(AVERAGE, "steps", lambda: jnp.zeros(()))
        if self.is_initializing():
            return jnp.zeros((len(labels), 1))
        params = live if train else average.value
        of_totals, of_particles = (partial(f, params) for f in velocities(self, scaling))
        if train:
            error = _training_error(of_totals, of_particles, totals, particles, self.make_rng("dropout"))
            rate = jnp.maximum(1 - _DECAY, 10 / (steps.value + 10))
            average.value = jax.tree.map(lambda a, p: a + rate * (jax.lax.stop_gradient(p) - a), average.value, live)
            steps.value += 1
        else:
            error = _validation_error(of_totals, of_particles, totals, particles, x.condition)
        return jnp.where(labels < 0, jnp.nan, error)[:, None]


def velocities(
    generator: CloudGenerator, scaling: CloudScaling
) -> tuple[Callable[[PyTree, Conditioned], jax.Array], Callable[[PyTree, Conditioned], jax.Array]]:
    """Makes the functions of both flows, of totals and of particles.

    Args:
      generator: the network.
      scaling: statistics of the training split.

    Returns:
      Two functions from the generator's parameters, and points with conditions, the time first, to velocities.
    """
    view = make_view(scaling)

    def of_totals(params: PyTree, points: Conditioned) -> jax.Array:
        velocity: jax.Array = alone(generator.totals).apply({"params": params["totals"]}, flat_view(points))
        return velocity

    def of_particles(params: PyTree, points: Conditioned) -> jax.Array:
        velocity: jax.Array = alone(generator.network).apply({"params": params["network"]}, view(points))
        return velocity

    def alone(network: Any) -> Any:
        return network.clone(parent=None, name=None)

    return of_totals, of_particles


def _training_error(of_totals: Any, of_particles: Any, totals: Conditioned, particles: Conditioned, key: Any) -> Any:
    """Computes (B,) errors at random times, of jets that are reflected at random."""
    count, keys = len(totals.condition), jax.random.split(key, 3)
    mirrored = particles._replace(values=mirror(keys[0], particles.values))
    noise_key, time_key = jax.random.split(keys[1])
    noise = draw_noise(noise_key, mirrored.values.values, mirrored.values.mask)
    error = matching_error(of_particles, mirrored, noise, even_times(time_key, count))
    noise_key, time_key = jax.random.split(keys[2])
    noise = jax.random.normal(noise_key, (count, _DRAWS, TOTALS))
    times = even_times(time_key, count * _DRAWS).reshape(_DRAWS, count).T  # spread over the times of each jet
    return error + _totals_error(of_totals, totals, noise, times)


def _validation_error(
    of_totals: Any, of_particles: Any, totals: Conditioned, particles: Conditioned, conditions: Any
) -> jax.Array:
    """Computes (B,) errors at times and with noise that depend on the jet alone."""
    count, slots, features = particles.values.values.shape
    uniform = row_uniforms(conditions[:, 1:], conditions[:, 0], 2 + _JUDGED * TOTALS + slots * features)
    times, rest = uniform[:, :2], ndtri(uniform[:, 2:])
    noise = jnp.where(particles.values.mask[..., None], rest[:, _JUDGED * TOTALS :].reshape(count, slots, features), 0)
    error = matching_error(of_particles, particles, noise, times[:, 0])
    several = (times[:, 1:] + jnp.arange(_JUDGED) / _JUDGED) % 1
    return error + _totals_error(of_totals, totals, rest[:, : _JUDGED * TOTALS].reshape(count, -1, TOTALS), several)


def _totals_error(of_totals: Any, totals: Conditioned, noise: jax.Array, times: jax.Array) -> jax.Array:
    """Computes (B,) errors, each the mean of K lines: noise (B, K, 2), times (B, K)."""
    count, draws = times.shape
    repeated = jax.tree.map(lambda x: jnp.repeat(x, draws, axis=0), totals)
    errors = matching_error(of_totals, repeated, noise.reshape(-1, TOTALS), times.reshape(-1))
    return errors.reshape(count, draws).mean(axis=1)


def make_network(model: CloudVelocity, classes: int) -> CloudGenerator:
    """Makes the network of a generator.

    Args:
      model: the options.
      classes: number of classes.
    """
    totals = MLP(hidden=model.totals, outputs=TOTALS)
    return CloudGenerator(network=model.clone(outputs=len(CLOUD_COLUMNS)), totals=totals, classes=classes)

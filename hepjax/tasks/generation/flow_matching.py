"""Flow matching: a network learns the velocity from noise to data, and an ODE then converts noise to new data.

Noise x₀ moves to an example x₁ on a straight line, xₜ = (1 − t) x₀ + t x₁, from t = 0 to 1. The inputs of the network
are xₜ and t, and it learns the mean of the velocities x₁ − x₀ of all lines through that point: arXiv:2210.02747,
section 4.1, example II, with σ_min = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from hepjax.numerics import weighted_mean
from hepjax.types import Conditioned, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import PyTree

    Network = Callable[[Conditioned], jax.Array]
    """A function from points and conditions, the time first, to velocities."""
    Velocity = Callable[[jax.Array, jax.Array], jax.Array]
    """A function from (x, t) to dx/dt; t is ()."""
    Step = Callable[[Velocity, jax.Array, jax.Array, jax.Array], jax.Array]
    """A function from (velocity, x, t, dt) to x at t + dt."""


def matching_error(network: Network, inputs: Conditioned, noise: jax.Array, times: jax.Array) -> jax.Array:
    """Compares the velocities that a network predicts with those of the lines from noise to data; pure.

    Args:
      network: function from `Conditioned`, the points xₜ and the conditions preceded by the times, (B, 1 + K), to
        velocities.
      inputs: the data, (B, D) or `Sequences` (B, P, F), and the conditions (B, K).
      noise: in the shape of the data, 0 in the padding.
      times: (B,) from 0 to 1.

    Returns:
      (B,) squared distances to the velocity, averaged over features and particles.
    """
    values = inputs.values
    data, particles = (values.values, values.mask) if isinstance(values, Sequences) else (values, None)
    moved, target = straight_line(noise, data, times)
    points = inputs._replace(values=moved if particles is None else Sequences(moved, particles))
    square = jnp.mean((network(at_time(points, times)) - target) ** 2, axis=-1)
    return square if particles is None else weighted_mean(square, particles, axis=1)


def even_times(key: jax.Array, count: int) -> jax.Array:
    """Draws times for the examples of a batch, evenly spaced from a random start.

    Args:
      key: () typed PRNG key.
      count: number of examples, B.

    Returns:
      (B,) from 0 to 1.

    >>> jnp.diff(jnp.sort(even_times(jax.random.key(0), 4))).round(3).tolist()
    [0.25, 0.25, 0.25]
    """
    return (jax.random.uniform(key) + jnp.arange(count) / count) % 1


def at_time(inputs: Conditioned, t: Any) -> Conditioned:
    """Prepends the times to the conditions, as networks expect them.

    Args:
      inputs: inputs with conditions (B, K).
      t: (B,) times.

    Returns:
      The inputs with conditions (B, 1 + K).

    >>> at_time(Conditioned(jnp.zeros((1, 2)), jnp.array([[7.0]])), jnp.array([0.5])).condition.tolist()
    [[0.5, 7.0]]
    """
    times = jnp.asarray(t, jnp.float32)[:, None]
    return inputs._replace(condition=jnp.concatenate([times, jnp.asarray(inputs.condition)], axis=1))


def straight_line(noise: jax.Array, data: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes the point at time t of the line from noise to data, and its velocity (arXiv:2210.02747, eq. 22, 23).

    Args:
      noise: (B, ...) noise.
      data: (B, ...) data.
      t: (B,) times from 0 to 1.

    Returns:
      (B, ...) points and (B, ...) velocities.

    >>> point, velocity = straight_line(jnp.array([[1.0]]), jnp.array([[5.0]]), jnp.array([0.25]))
    >>> point.item(), velocity.item()
    (2.0, 4.0)
    """
    t = t.reshape(-1, *(1,) * (data.ndim - 1))
    return (1 - t) * noise + t * data, data - noise


def draw_noise(key: jax.Array, like: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Draws standard normal numbers, 0 in the padding; those of a particle do not depend on the number of slots.

    Args:
      key: () typed PRNG key.
      like: (B, P, F) or (B, D) array with the requested shape.
      mask: (B, P) bool, False for padding; None without padding.

    Returns:
      The noise, in the shape of `like`.

    >>> draw_noise(jax.random.key(0), jnp.zeros((1, 2, 1)), jnp.array([[True, False]]))[0, 1].item()
    0.0
    """
    if mask is None:
        return jax.random.normal(key, like.shape)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(like.shape[1]))
    noise = jax.vmap(lambda slot_key: jax.random.normal(slot_key, (like.shape[0], like.shape[2])), out_axes=1)(keys)
    return jnp.where(mask[..., None], noise, 0)


def solve_flow(
    network: Callable[[PyTree, Conditioned], jax.Array],
    params: PyTree,
    inputs: Conditioned,
    key: jax.Array,
    *,
    times: Any,
    step: Step | None = None,
) -> jax.Array:
    """Converts noise to data; pure, to be compiled.

    Args:
      network: function from parameters and the inputs of `matching_error`'s network to velocities.
      params: parameters of the network.
      inputs: values that give the requested shape, (B, D) or `Sequences` (B, P, F) with a mask, whose numbers are not
        used; and conditions (B, K) without the time.
      key: () typed PRNG key of the noise.
      times: times of `integrate`, from 0 to 1.
      step: step of `integrate`.

    Returns:
      (B, D) or (B, P, F) generated values.
    """
    values, count = inputs.values, len(inputs.condition)
    data, mask = (values.values, values.mask) if isinstance(values, Sequences) else (values, None)

    def velocity(x: jax.Array, t: jax.Array) -> jax.Array:
        points = inputs._replace(values=x if mask is None else Sequences(x, mask))
        return network(params, at_time(points, jnp.full(count, t)))

    return integrate(velocity, draw_noise(key, data, mask), times, step)


def flat_view(inputs: Conditioned) -> jax.Array:
    """Concatenates points, conditions and time to the input of a perceptron.

    Args:
      inputs: points (B, D), and conditions (B, 1 + K) preceded by the time.

    Returns:
      (B, D + K + 3) features, which include the time t, cos(π t) and sin(π t).

    >>> flat_view(Conditioned(jnp.zeros((1, 2)), jnp.array([[0.5]]))).round(2).tolist()
    [[0.0, 0.0, 0.5, -0.0, 1.0]]
    """
    turn = jnp.pi * inputs.condition[:, :1]
    return jnp.concatenate([inputs.values, inputs.condition, jnp.cos(turn), jnp.sin(turn)], axis=1)


def integrate(velocity: Velocity, start: jax.Array, times: Any, step: Step | None = None) -> jax.Array:
    """Solves dx/dt = velocity(x, t) with fixed steps; pure, to be compiled.

    Args:
      velocity: function from (x, t) to dx/dt.
      start: x at the first time.
      times: (S + 1,) times in rising order, such as `jnp.linspace(0, 1, S + 1)`.
      step: one step of the solver; None means `midpoint`.

    Returns:
      x at the last time.

    >>> round(float(integrate(lambda x, t: x, jnp.ones(()), jnp.linspace(0, 1, 51))), 3)  # e
    2.718
    """
    times = jnp.asarray(times)
    advance = midpoint if step is None else step

    def body(x: jax.Array, interval: jax.Array) -> tuple[jax.Array, None]:
        return advance(velocity, x, interval[0], interval[1]), None

    return jax.lax.scan(body, start, jnp.stack([times[:-1], jnp.diff(times)], axis=1))[0]


def euler(velocity: Velocity, x: jax.Array, t: jax.Array, dt: jax.Array) -> jax.Array:
    """Takes one step of first order with one velocity.

    >>> euler(lambda x, t: 2 * t, 0.0, 1.0, 0.5)
    1.0
    """
    return x + dt * velocity(x, t)


def midpoint(velocity: Velocity, x: jax.Array, t: jax.Array, dt: jax.Array) -> jax.Array:
    """Takes one step of second order with the velocity after half a step.

    >>> midpoint(lambda x, t: 2 * t, 0.0, 1.0, 0.5)
    1.25
    """
    return x + dt * velocity(x + dt / 2 * velocity(x, t), t + dt / 2)


def heun(velocity: Velocity, x: jax.Array, t: jax.Array, dt: jax.Array) -> jax.Array:
    """Takes one step of second order with the mean of the velocities at both ends.

    >>> heun(lambda x, t: 2 * t, 0.0, 1.0, 0.5)
    1.25
    """
    first = velocity(x, t)
    return x + dt / 2 * (first + velocity(x + dt * first, t + dt))

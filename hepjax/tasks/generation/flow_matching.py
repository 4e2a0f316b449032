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

    Apply = Callable[..., tuple[Any, PyTree]]
    Velocity = Callable[[jax.Array, jax.Array], jax.Array]
    """A function from (x, t) to dx/dt; t is ()."""
    Step = Callable[[Velocity, jax.Array, jax.Array, jax.Array], jax.Array]
    """A function from (velocity, x, t, dt) to x at t + dt."""

AVERAGE = "average"
"""The name of the averaged parameters among the other variables of the model."""
STEPS = "averaged_steps"
"""The name of the number of averaged steps among the other variables of the model."""

_GOLDEN = 0.6180339887498949


def make_matching(network: Apply, augment: Callable[[jax.Array, Any], Any] | None = None) -> Apply:
    """Makes the function to train: it compares the velocities that a network predicts with those of the lines.

    In training the times of a batch are evenly spaced from a random start, and the noise is random. In evaluation both
    are equal in each call, so that the losses of epochs are comparable.

    Args:
      network: function from (params, model_state, inputs, mask, key) to (velocities, model_state). Its inputs are
        `Conditioned`: the points xₜ, and the conditions preceded by the times, (B, 1 + K).
      augment: function from (key, values) to values, used in training only, such as a random reflection; None means no
        augmentation.

    Returns:
      A function from (params, model_state, inputs, mask, key) to ((B,) squared distances to the velocity, averaged over
      features and particles; model_state). Its inputs are `Conditioned`: the data, (B, D) or `Sequences` (B, P, F), and
      the conditions (B, K).
    """

    def apply(
        params: PyTree, model_state: PyTree, inputs: Conditioned, mask: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        values, count = inputs.values, len(inputs.condition)
        places = jnp.arange(count)
        if key is None:
            network_key, noise_key, t = None, jax.random.key(0), (_GOLDEN * places + 0.5) % 1
        else:
            network_key, augment_key, noise_key, time_key = jax.random.split(key, 4)
            values = values if augment is None else augment(augment_key, values)
            t = (jax.random.uniform(time_key) + places / count) % 1
        data, particles = (values.values, values.mask) if isinstance(values, Sequences) else (values, None)
        noise = draw_noise(noise_key, data, particles)
        moved, target = straight_line(noise, data, t)
        points = inputs._replace(values=moved if particles is None else Sequences(moved, particles))
        velocity, model_state = network(params, model_state, at_time(points, t), mask, network_key)
        square = jnp.mean((velocity - target) ** 2, axis=-1)
        return (square if particles is None else weighted_mean(square, particles, axis=1)), model_state

    return apply


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


def with_view(network: Apply, view: Callable[[Conditioned], Any]) -> Apply:
    """Returns a network that receives a transformed version of its inputs.

    Args:
      network: function from (params, model_state, inputs, mask, key) to (outputs, model_state).
      view: function from the original to the transformed inputs.

    Returns:
      The function of the original inputs.
    """

    def apply(params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None) -> Any:
        return network(params, model_state, view(inputs), mask, key)

    return apply


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
    network: Apply, params: PyTree, inputs: Conditioned, key: jax.Array, *, times: Any, step: Step | None = None
) -> jax.Array:
    """Converts noise to data; pure, to be compiled.

    Args:
      network: network as in `make_matching`, without other variables.
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
        change: jax.Array = network(params, {}, at_time(points, jnp.full(count, t)), jnp.ones(count, bool), None)[0]
        return change

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


def with_parameter_average(apply: Apply, decay: float = 0.999) -> Apply:
    """Returns a function that evaluates with parameters averaged over training steps, which scatter less.

    The average is one of the other variables of the model: each training step moves it by a fraction 1 − decay, and
    after n steps by at least 10 / (n + 10).

    Args:
      apply: function from (params, model_state, inputs, mask, key) to (outputs, model_state).
      decay: decay of the average per step; it covers about 1 / (1 − decay) steps.

    Returns:
      A function with the same arguments, which uses the average if there is no key. Its model_state is that of
      `start_average`.
    """

    def run(
        params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None
    ) -> tuple[Any, PyTree]:
        inner_state = {name: x for name, x in model_state.items() if name not in {AVERAGE, STEPS}}
        average, steps = model_state[AVERAGE], model_state[STEPS]
        if key is None:
            return apply(average, inner_state, inputs, mask, None)[0], model_state
        outputs, inner_state = apply(params, inner_state, inputs, mask, key)
        rate = jnp.maximum(1 - decay, 10 / (steps + 10))
        average = jax.tree.map(lambda a, p: a + rate * (jax.lax.stop_gradient(p) - a), average, params)
        return outputs, {**inner_state, AVERAGE: average, STEPS: steps + 1}

    return run


def start_average(params: PyTree, model_state: PyTree) -> PyTree:
    """Initializes the other variables of a model for `with_parameter_average`.

    Args:
      params: initial parameters.
      model_state: other variables of the model.

    Returns:
      A dictionary with the other variables, the average and the number of steps.

    >>> sorted(start_average({"w": jnp.ones(2)}, {}))
    ['average', 'averaged_steps']
    """
    return {**model_state, AVERAGE: jax.tree.map(jnp.copy, params), STEPS: jnp.zeros(())}

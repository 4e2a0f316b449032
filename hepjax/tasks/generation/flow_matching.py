"""Flow matching: a network learns the velocity that carries noise to data, and an ODE then makes new data of noise.

A noise x₀ moves to an example x₁ on a straight line, xₜ = (1 − t) x₀ + t x₁, from t = 0 to 1. The network sees xₜ and
t, and learns the mean of the velocities x₁ − x₀ of all lines that pass there: arXiv:2210.02747, section 4.1, example
II, with σ_min = 0.
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
    """(x, t) → dx/dt; t is ()."""
    Step = Callable[[Velocity, jax.Array, jax.Array, jax.Array], jax.Array]
    """(velocity, x, t, dt) → x at t + dt."""

AVERAGE = "average"
"""The name of the averaged parameters among the model's other variables."""
STEPS = "averaged_steps"

_GOLDEN = 0.6180339887498949


def make_matching(network: Apply, augment: Callable[[jax.Array, Any], Any] | None = None) -> Apply:
    """The function that training takes: a network sees points of the lines, and answers with their velocities.

    In training the times of a batch lie evenly, from a random start, and the noise is random. In evaluation both are
    the same at each call, so that the loss can be compared between epochs.

    Args:
      network: (params, model_state, inputs, mask, key) → (velocities, model_state). Its inputs are `Conditioned`: the
        points xₜ, and the conditions with the times in front, (B, 1 + K).
      augment: (key, values) → values, in training only, such as a random mirror; None leaves them as they are.

    Returns:
      (params, model_state, inputs, mask, key) → ((B,) squared distance to the velocity, averaged over features and
      particles; model_state). Its inputs are `Conditioned`: the data, (B, D) or `Sequences` (B, P, F), and the
      conditions (B, K).
    """

    def apply(
        params: PyTree, model_state: PyTree, inputs: Conditioned, mask: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        values, count = inputs.values, len(inputs.condition)
        places = jnp.arange(count)
        if key is None:
            own, noises, t = None, jax.random.key(0), (_GOLDEN * places + 0.5) % 1
        else:
            own, turned, noises, times = jax.random.split(key, 4)
            values = values if augment is None else augment(turned, values)
            t = (jax.random.uniform(times) + places / count) % 1
        data, there = (values.values, values.mask) if isinstance(values, Sequences) else (values, None)
        noise = draw_noise(noises, data, there)
        moved, target = straight_line(noise, data, t)
        points = inputs._replace(values=moved if there is None else Sequences(moved, there))
        velocity, model_state = network(params, model_state, at_time(points, t), mask, own)
        square = jnp.mean((velocity - target) ** 2, axis=-1)
        return (square if there is None else weighted_mean(square, there, axis=1)), model_state

    return apply


def at_time(inputs: Conditioned, t: Any) -> Conditioned:
    """Puts the times in front of the conditions, where networks look for them.

    Args:
      inputs: conditions (B, K).
      t: (B,).

    Returns:
      The same with conditions (B, 1 + K).

    >>> at_time(Conditioned(jnp.zeros((1, 2)), jnp.array([[7.0]])), jnp.array([0.5])).condition.tolist()
    [[0.5, 7.0]]
    """
    times = jnp.asarray(t, jnp.float32)[:, None]
    return inputs._replace(condition=jnp.concatenate([times, jnp.asarray(inputs.condition)], axis=1))


def seen_by(network: Apply, view: Callable[[Conditioned], Any]) -> Apply:
    """A network that is shown something made of its inputs.

    Args:
      network: (params, model_state, inputs, mask, key) → (outputs, model_state).
      view: its inputs as they come → as it sees them.

    Returns:
      The function of inputs as they come.
    """

    def apply(params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None) -> Any:
        return network(params, model_state, view(inputs), mask, key)

    return apply


def straight_line(noise: jax.Array, data: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where the line from noise to data is at time t, and its velocity (arXiv:2210.02747, eq. 22 and 23, σ_min = 0).

    Args:
      noise: (B, ...).
      data: (B, ...).
      t: (B,) from 0 to 1.

    Returns:
      (B, ...) points and (B, ...) velocities.

    >>> point, velocity = straight_line(jnp.array([[1.0]]), jnp.array([[5.0]]), jnp.array([0.25]))
    >>> point.item(), velocity.item()
    (2.0, 4.0)
    """
    t = t.reshape(-1, *(1,) * (data.ndim - 1))
    return (1 - t) * noise + t * data, data - noise


def draw_noise(key: jax.Array, like: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Standard normal numbers, 0 in the padding; a particle's do not depend on how many slots there are.

    Args:
      key: () typed PRNG key.
      like: (B, P, F) or (B, D); what shape is wanted.
      mask: (B, P) bool, False for padding; None where there is none.

    Returns:
      The shape of `like`.

    >>> draw_noise(jax.random.key(0), jnp.zeros((1, 2, 1)), jnp.array([[True, False]]))[0, 1].item()
    0.0
    """
    if mask is None:
        return jax.random.normal(key, like.shape)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(like.shape[1]))
    noise = jax.vmap(lambda one: jax.random.normal(one, (like.shape[0], like.shape[2])), out_axes=1)(keys)
    return jnp.where(mask[..., None], noise, 0)


def solve_flow(
    network: Apply, params: PyTree, asked: Conditioned, key: jax.Array, *, times: Any, step: Step | None = None
) -> jax.Array:
    """Makes data of noise; pure, to be compiled.

    Args:
      network: as `make_matching` takes it, without other variables.
      params: its parameters.
      asked: values of the shape wanted, (B, D) or `Sequences` (B, P, F) with the mask wanted, whose numbers do not
        count; and conditions (B, K), without the time.
      key: () typed PRNG key of the noise.
      times: of `integrate`, from 0 to 1.
      step: of `integrate`.

    Returns:
      (B, D) or (B, P, F).
    """
    values, count = asked.values, len(asked.condition)
    data, there = (values.values, values.mask) if isinstance(values, Sequences) else (values, None)

    def velocity(x: jax.Array, t: jax.Array) -> jax.Array:
        points = asked._replace(values=x if there is None else Sequences(x, there))
        answer: jax.Array = network(params, {}, at_time(points, jnp.full(count, t)), jnp.ones(count, bool), None)[0]
        return answer

    return integrate(velocity, draw_noise(key, data, there), times, step)


def flat_view(inputs: Conditioned) -> jax.Array:
    """What a perceptron sees of points, conditions and time.

    Args:
      inputs: points (B, D), and conditions (B, 1 + K) with the time in front.

    Returns:
      (B, D + K + 3): with the time, its cos(π t) and sin(π t).

    >>> flat_view(Conditioned(jnp.zeros((1, 2)), jnp.array([[0.5]]))).round(2).tolist()
    [[0.0, 0.0, 0.5, -0.0, 1.0]]
    """
    turn = jnp.pi * inputs.condition[:, :1]
    return jnp.concatenate([inputs.values, inputs.condition, jnp.cos(turn), jnp.sin(turn)], axis=1)


def integrate(velocity: Velocity, start: jax.Array, times: Any, step: Step | None = None) -> jax.Array:
    """Solves dx/dt = velocity(x, t) in fixed steps; pure, to be compiled.

    Args:
      velocity: (x, t) → dx/dt.
      start: x at the first time.
      times: (S + 1,) in rising order, such as `jnp.linspace(0, 1, S + 1)`.
      step: one step of the solver; None is `midpoint`.

    Returns:
      x at the last time.

    >>> round(float(integrate(lambda x, t: x, jnp.ones(()), jnp.linspace(0, 1, 51))), 3)  # e
    2.718
    """
    times = jnp.asarray(times)
    advance = midpoint if step is None else step

    def body(x: jax.Array, turn: jax.Array) -> tuple[jax.Array, None]:
        return advance(velocity, x, turn[0], turn[1]), None

    return jax.lax.scan(body, start, jnp.stack([times[:-1], jnp.diff(times)], axis=1))[0]


def euler(velocity: Velocity, x: jax.Array, t: jax.Array, dt: jax.Array) -> jax.Array:
    """One step of first order: one velocity.

    >>> euler(lambda x, t: 2 * t, 0.0, 1.0, 0.5)
    1.0
    """
    return x + dt * velocity(x, t)


def midpoint(velocity: Velocity, x: jax.Array, t: jax.Array, dt: jax.Array) -> jax.Array:
    """One step of second order: the velocity half a step on.

    >>> midpoint(lambda x, t: 2 * t, 0.0, 1.0, 0.5)
    1.25
    """
    return x + dt * velocity(x + dt / 2 * velocity(x, t), t + dt / 2)


def heun(velocity: Velocity, x: jax.Array, t: jax.Array, dt: jax.Array) -> jax.Array:
    """One step of second order: the mean of the velocities at both ends.

    >>> heun(lambda x, t: 2 * t, 0.0, 1.0, 0.5)
    1.25
    """
    first = velocity(x, t)
    return x + dt / 2 * (first + velocity(x + dt * first, t + dt))


def averaged(apply: Apply, decay: float = 0.999) -> Apply:
    """Evaluates with the average of the parameters over the last steps, which scatters less than the last ones.

    The average is one of the model's other variables: each training step moves it by 1 − decay of the way, the first
    ones by more; after n steps by 10 / (n + 10) at least.

    Args:
      apply: (params, model_state, inputs, mask, key) → (outputs, model_state).
      decay: of the average a step; it spans about 1 / (1 − decay) steps.

    Returns:
      The same function; without a key it answers with the average. Its model_state is that of `start_average`.
    """

    def run(
        params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None
    ) -> tuple[Any, PyTree]:
        own = {name: x for name, x in model_state.items() if name not in {AVERAGE, STEPS}}
        average, steps = model_state[AVERAGE], model_state[STEPS]
        if key is None:
            return apply(average, own, inputs, mask, None)[0], model_state
        outputs, own = apply(params, own, inputs, mask, key)
        moved = jnp.maximum(1 - decay, 10 / (steps + 10))
        average = jax.tree.map(lambda a, p: a + moved * (jax.lax.stop_gradient(p) - a), average, params)
        return outputs, {**own, AVERAGE: average, STEPS: steps + 1}

    return run


def start_average(params: PyTree, model_state: PyTree) -> PyTree:
    """The other variables of a model that `averaged` evaluates.

    Args:
      params: the first parameters.
      model_state: the model's own other variables.

    Returns:
      Both as one dict.

    >>> sorted(start_average({"w": jnp.ones(2)}, {}))
    ['average', 'averaged_steps']
    """
    return {**model_state, AVERAGE: jax.tree.map(jnp.copy, params), STEPS: jnp.zeros(())}

"""Deep Q-learning with replay, a target network and ε-greedy exploration of many environments at once."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.grooming.replay import Replay, add, empty, sample_transitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.tasks.grooming.environment import Environment
    from hepjax.types import PyTree


class Settings(NamedTuple):
    """Settings of Q-learning (arXiv:1312.5602; Nature 518, 529)."""

    environments: int = 64
    """Number of parallel environments; each takes a step before a step of the optimizer."""
    batch: int = 256
    """Number of transitions in a step of the optimizer."""
    capacity: int = 100_000
    """Number of transitions in the replay buffer."""
    warmup: int = 20
    """Number of steps before the first step of the optimizer."""
    discount: float = 0.99
    """The discount factor of rewards per step."""
    target_rate: float = 0.01
    """The fraction by which the target network moves toward the network in each step."""
    first_epsilon: float = 1.0
    """The initial share of random actions."""
    last_epsilon: float = 0.05
    """The share of random actions after `exploration` steps; it falls linearly until then."""
    exploration: int = 2000
    """Number of steps over which the share of random actions falls."""
    double: bool = True
    """True for double Q-learning: the network selects the action, the target network values it (arXiv:1509.06461)."""


class Transition(NamedTuple):
    """A step of an environment, as training data."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    following: jax.Array
    """The observation after the step."""
    done: jax.Array


class Agent(NamedTuple):
    """The complete state of a training, from which it can continue."""

    params: PyTree
    target: PyTree
    """The parameters of the target network."""
    opt_state: PyTree
    replay: Replay
    states: Any
    """States of the E environments."""
    observations: jax.Array
    """(E, F) float observations."""
    returns: jax.Array
    """(E,) sums of the rewards of each unfinished walk."""
    step: jax.Array
    """() int32 number of completed steps."""
    key: jax.Array
    """() typed PRNG key; step s uses `fold_in(key, s)`."""
    good: jax.Array
    """() bool, False once a loss, gradient or parameter was not finite; the parameters then stay the last good ones."""


class AgentMetrics(NamedTuple):
    """Metrics of one step."""

    loss: jax.Array
    """() loss of the batch; 0 before the first step of the optimizer."""
    finished: jax.Array
    """() int32 number of finished walks."""
    returned: jax.Array
    """() sum of the rewards of the finished walks."""
    good: jax.Array
    """() bool, as in `Agent`, after the step."""


class AgentProgress(NamedTuple):
    """Summary of a number of steps."""

    step: int
    loss: float
    """The mean loss."""
    walks: int
    """The number of finished walks."""
    mean_return: float
    """The mean sum of rewards of these walks, not discounted; NaN if no walk finished."""


class Learner(NamedTuple):
    """Q-learning as pure functions."""

    start: Callable[[PyTree, jax.Array], Agent]
    """A function from (parameters, key) to the agent before its first step."""
    step: Callable[[Agent], tuple[Agent, AgentMetrics]]
    """A function that takes one step of all environments and one step of the optimizer."""


class AgentDivergedError(InputError):
    """The error for a NaN or infinite loss, gradient or parameter; `agent` has the last good parameters."""

    def __init__(self, message: str, agent: Agent) -> None:
        """Stores the message for the user and the agent with the last good parameters."""
        super().__init__(message)
        self.agent = agent


def epsilon(settings: Settings, step: jax.Array) -> jax.Array:
    """Computes the share of random actions.

    >>> [round(float(epsilon(Settings(exploration=100), jnp.array(n))), 3) for n in (0, 50, 100, 200)]
    [1.0, 0.525, 0.05, 0.05]
    """
    done = jnp.minimum(step / settings.exploration, 1)
    return settings.first_epsilon + done * (settings.last_epsilon - settings.first_epsilon)


def td_loss(
    value: Callable[[PyTree, jax.Array], jax.Array],
    params: PyTree,
    target: PyTree,
    batch: Transition,
    settings: Settings,
) -> jax.Array:
    """Computes the mean Huber loss of Q(s, a) - (r + γ Q_target(s', a')), a' the best action; Q_target is 0 at the end.

    Args:
      value: function from parameters and (B, F) observations to (B, A) action values.
      params: parameters to train.
      target: parameters of the target network.
      batch: B transitions.
      settings: discount factor, and the switch for double Q-learning.

    Returns:
      () mean loss.
    """
    q = jnp.take_along_axis(value(params, batch.observation), batch.action[:, None], axis=1)[:, 0]
    later = value(target, batch.following)
    chosen = jnp.argmax(value(params, batch.following) if settings.double else later, axis=1)
    best = jnp.take_along_axis(later, chosen[:, None], axis=1)[:, 0]
    expected = batch.reward + settings.discount * jnp.where(batch.done, 0, best)
    error = jnp.abs(q - jax.lax.stop_gradient(expected))
    return jnp.mean(jnp.where(error < 1, error**2 / 2, error - 0.5))


def make_learner(
    environment: Environment,
    value: Callable[[PyTree, jax.Array], jax.Array],
    optimizer: Any,
    settings: Settings = Settings(),  # noqa: B008 — an immutable tuple
) -> Learner:
    """Makes the functions that train a Q-network.

    Args:
      environment: environment of the agent.
      value: function from parameters and (B, F) observations to (B, A) action values, A the number of actions.
      optimizer: optimizer, such as from `training.make_optimizer`.
      settings: settings of the training.

    Returns:
      The functions of the training.

    Raises:
      InputError: the replay buffer is too small for one step of all environments.
    """
    if settings.capacity < settings.environments:
        raise InputError(
            f"capacity: expected room for {settings.environments} environments, found {settings.capacity}; give more"
        )
    resets, steps = jax.vmap(environment.reset), jax.vmap(environment.step)

    def start(params: PyTree, key: jax.Array) -> Agent:
        key, first = jax.random.split(key)
        states, observations = resets(jax.random.split(first, settings.environments))
        zero = jnp.zeros((), observations.dtype)
        example = Transition(observations[0], jnp.zeros((), jnp.int32), zero, observations[0], jnp.zeros((), bool))
        return Agent(
            params, params, optimizer.init(params), empty(example, settings.capacity), states, observations,
            jnp.zeros(settings.environments, zero.dtype), jnp.zeros((), jnp.int32), key, jnp.ones((), bool),
        )  # fmt: skip

    def step(agent: Agent) -> tuple[Agent, AgentMetrics]:
        keys = jax.random.split(jax.random.fold_in(agent.key, agent.step), 4)
        greedy = jnp.argmax(value(agent.params, agent.observations), axis=1)
        at_random = jax.random.uniform(keys[0], greedy.shape) < epsilon(settings, agent.step)
        any_action = jax.random.randint(keys[1], greedy.shape, 0, environment.actions)
        action = jnp.where(at_random, any_action, greedy).astype(jnp.int32)
        after = steps(agent.states, action)
        replay = add(agent.replay, Transition(agent.observations, action, after.reward, after.observation, after.done))
        returns = agent.returns + after.reward
        fresh = resets(jax.random.split(keys[2], settings.environments))
        states, observations = _select_environment_rows(after.done, fresh, (after.state, after.observation))

        batch = sample_transitions(replay, keys[3], settings.batch)
        loss, gradients = jax.value_and_grad(lambda params: td_loss(value, params, agent.target, batch, settings))(
            agent.params
        )
        updates, opt_state = optimizer.update(gradients, agent.opt_state, agent.params, value=loss)
        params = jax.tree.map(jnp.add, agent.params, updates)
        target = jax.tree.map(lambda a, b: a + settings.target_rate * (b - a), agent.target, params)
        learns = agent.step >= settings.warmup
        good = agent.good & (~learns | _is_agent_finite((loss, gradients, params)))
        old = (agent.params, agent.target, agent.opt_state)
        new = jax.tree.map(lambda a, b: jnp.where(good & learns, a, b), (params, target, opt_state), old)
        metrics = AgentMetrics(
            jnp.where(learns, loss, 0), after.done.sum(), jnp.where(after.done, returns, 0).sum(), good
        )
        returns = jnp.where(after.done, 0, returns)
        return Agent(
            new[0], new[1], new[2], replay, states, observations, returns, agent.step + 1, agent.key, good
        ), metrics

    return Learner(jax.jit(start), step)


def train_agent(
    learner: Learner,
    agent: Agent,
    steps: int,
    *,
    piece: int = 1000,
    on_piece: Callable[[AgentProgress], None] = lambda progress: None,  # noqa: ARG005
) -> Agent:
    """Trains an agent up to a number of steps, with one program for each piece of steps.

    Args:
      learner: from `make_learner`.
      agent: agent from `learner.start`, or saved after some steps.
      steps: total number of steps, including completed ones.
      piece: number of steps of a program; the last piece may be shorter.
      on_piece: called after each piece, to save or report progress.

    Returns:
      The trained agent. It does not depend on the division of the steps into pieces.

    Raises:
      AgentDivergedError: a loss, gradient or parameter is not finite.
      InputError: the piece is empty.
    """
    if piece < 1:
        raise InputError(f"piece: expected at least 1 step, found {piece}")
    done = int(agent.step)
    while done < steps:
        agent, metrics = _run_training_piece(learner.step, agent, jnp.arange(min(piece, steps - done)))
        metrics = jax.device_get(metrics)
        if not metrics.good.all():
            first = int(np.argmin(metrics.good))
            raise AgentDivergedError(
                f"training diverged at step {done + first + 1}: the loss ({metrics.loss[first]:g}), a gradient or a "
                "parameter is not finite; lower the learning rate, or look for extreme rewards",
                agent,
            )
        done, walks = done + len(metrics.loss), int(metrics.finished.sum())
        mean = float(metrics.returned.sum()) / walks if walks else math.nan
        on_piece(AgentProgress(done, float(metrics.loss.mean()), walks, mean))
    return agent


@partial(jax.jit, static_argnums=0)
def _run_training_piece(
    step: Callable[[Agent], tuple[Agent, AgentMetrics]], agent: Agent, counter: jax.Array
) -> tuple[Agent, AgentMetrics]:
    return jax.lax.scan(lambda agent, _: step(agent), agent, counter)


def _select_environment_rows(chosen: jax.Array, yes: PyTree, no: PyTree) -> Any:
    """Selects each row of all arrays from `yes` or from `no`."""
    return jax.tree.map(lambda a, b: jnp.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), a, b), yes, no)


def _is_agent_finite(x: PyTree) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(x)]).all()

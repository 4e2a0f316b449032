"""A deep Q-network: replay, a target network, ε-greedy exploration of many environments at once, in compiled pieces."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.grooming.replay import Replay, add, empty, sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.tasks.grooming.environment import Environment
    from hepjax.types import PyTree


class Settings(NamedTuple):
    """How a Q-network learns (arXiv:1312.5602; Nature 518, 529)."""

    environments: int = 64
    """Walked at once; each takes a step before a step of the optimizer."""
    batch: int = 256
    """Transitions that a step of the optimizer learns from."""
    capacity: int = 100_000
    """Transitions remembered."""
    warmup: int = 20
    """Steps before the first of the optimizer."""
    discount: float = 0.99
    """What a reward is worth a step later."""
    target_rate: float = 0.01
    """By which the target network moves towards the network in each step."""
    first_epsilon: float = 1.0
    last_epsilon: float = 0.05
    """The share of actions taken at random, at first and after `exploration` steps; it falls linearly."""
    exploration: int = 2000
    double: bool = True
    """Whether the network chooses the action that the target network values (arXiv:1509.06461)."""


class Transition(NamedTuple):
    """One step, to be learnt from."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    following: jax.Array
    """The observation that followed."""
    done: jax.Array


class Agent(NamedTuple):
    """A training after some steps: all that is needed to go on."""

    params: PyTree
    target: PyTree
    """The parameters of the target network."""
    opt_state: PyTree
    replay: Replay
    states: Any
    """Of E environments."""
    observations: jax.Array
    """(E, F) float."""
    returns: jax.Array
    """(E,) the rewards of each unfinished walk, added up."""
    step: jax.Array
    """() int32, steps done."""
    key: jax.Array
    """() typed PRNG key; step s draws from `fold_in(key, s)`."""
    good: jax.Array
    """() bool, False once a loss, gradient or parameter was not finite; the parameters are then the last good ones."""


class Told(NamedTuple):
    """What a step tells of itself."""

    loss: jax.Array
    """() the batch's loss; 0 before the first step of the optimizer."""
    finished: jax.Array
    """() int32, the walks that ended."""
    returned: jax.Array
    """() the sum of their rewards."""
    good: jax.Array
    """() bool, as in `Agent`, after the step."""


class Progress(NamedTuple):
    """Some steps in a few numbers."""

    step: int
    loss: float
    """The mean."""
    walks: int
    """That ended."""
    mean_return: float
    """Their mean sum of rewards, not discounted; NaN where none ended."""


class Learner(NamedTuple):
    """A training as pure functions."""

    start: Callable[[PyTree, jax.Array], Agent]
    """(parameters, key) → the agent before its first step."""
    step: Callable[[Agent], tuple[Agent, Told]]
    """One step of all environments, and one of the optimizer."""


class DivergedError(InputError):
    """A loss, a gradient or a parameter became NaN or infinite; `agent` has the last good parameters."""

    def __init__(self, message: str, agent: Agent) -> None:
        """Args: message, for the user; agent, with the last good parameters."""
        super().__init__(message)
        self.agent = agent


def epsilon(settings: Settings, step: jax.Array) -> jax.Array:
    """The share of actions taken at random.

    >>> [round(float(epsilon(Settings(exploration=100), jnp.array(n))), 3) for n in (0, 50, 100, 200)]
    [1.0, 0.525, 0.05, 0.05]
    """
    done = jnp.minimum(step / settings.exploration, 1)
    return settings.first_epsilon + done * (settings.last_epsilon - settings.first_epsilon)


def td_loss(
    value: Callable[[PyTree, jax.Array], jax.Array],
    params: PyTree,
    target: PyTree,
    some: Transition,
    settings: Settings,
) -> jax.Array:
    """The mean Huber loss of Q(s, a) - (r + γ Q_target(s', a')), a' the best action; 0 after the end.

    Args:
      value: (parameters, (B, F) observations) → (B, A) values.
      params: to be learnt.
      target: of the target network.
      some: B transitions.
      settings: discount, and whether `params` choose a'.

    Returns:
      () the loss.
    """
    q = jnp.take_along_axis(value(params, some.observation), some.action[:, None], axis=1)[:, 0]
    later = value(target, some.following)
    chosen = jnp.argmax(value(params, some.following) if settings.double else later, axis=1)
    best = jnp.take_along_axis(later, chosen[:, None], axis=1)[:, 0]
    wanted = some.reward + settings.discount * jnp.where(some.done, 0, best)
    error = jnp.abs(q - jax.lax.stop_gradient(wanted))
    return jnp.mean(jnp.where(error < 1, error**2 / 2, error - 0.5))


def make_learner(
    environment: Environment,
    value: Callable[[PyTree, jax.Array], jax.Array],
    optimizer: Any,
    settings: Settings = Settings(),  # noqa: B008 — an immutable tuple
) -> Learner:
    """The training of a Q-network.

    Args:
      environment: what it acts in.
      value: (parameters, (B, F) observations) → (B, A) values, A the number of actions.
      optimizer: such as `training.make_optimizer` gives.
      settings: how it learns.

    Returns:
      The functions.

    Raises:
      InputError: there is not room for one step of all environments.
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
        one = Transition(observations[0], jnp.zeros((), jnp.int32), zero, observations[0], jnp.zeros((), bool))
        return Agent(
            params, params, optimizer.init(params), empty(one, settings.capacity), states, observations,
            jnp.zeros(settings.environments, zero.dtype), jnp.zeros((), jnp.int32), key, jnp.ones((), bool),
        )  # fmt: skip

    def step(agent: Agent) -> tuple[Agent, Told]:
        keys = jax.random.split(jax.random.fold_in(agent.key, agent.step), 4)
        greedy = jnp.argmax(value(agent.params, agent.observations), axis=1)
        at_random = jax.random.uniform(keys[0], greedy.shape) < epsilon(settings, agent.step)
        any_action = jax.random.randint(keys[1], greedy.shape, 0, environment.actions)
        action = jnp.where(at_random, any_action, greedy).astype(jnp.int32)
        after = steps(agent.states, action)
        replay = add(agent.replay, Transition(agent.observations, action, after.reward, after.observation, after.done))
        returns = agent.returns + after.reward
        fresh = resets(jax.random.split(keys[2], settings.environments))
        states, observations = _where(after.done, fresh, (after.state, after.observation))

        batch = sample(replay, keys[3], settings.batch)
        loss, gradients = jax.value_and_grad(lambda params: td_loss(value, params, agent.target, batch, settings))(
            agent.params
        )
        updates, opt_state = optimizer.update(gradients, agent.opt_state, agent.params, value=loss)
        params = jax.tree.map(jnp.add, agent.params, updates)
        target = jax.tree.map(lambda a, b: a + settings.target_rate * (b - a), agent.target, params)
        learns = agent.step >= settings.warmup
        good = agent.good & (~learns | _finite((loss, gradients, params)))
        old = (agent.params, agent.target, agent.opt_state)
        new = jax.tree.map(lambda a, b: jnp.where(good & learns, a, b), (params, target, opt_state), old)
        told = Told(jnp.where(learns, loss, 0), after.done.sum(), jnp.where(after.done, returns, 0).sum(), good)
        returns = jnp.where(after.done, 0, returns)
        return Agent(
            new[0], new[1], new[2], replay, states, observations, returns, agent.step + 1, agent.key, good
        ), told

    return Learner(jax.jit(start), step)


def learn(
    learner: Learner,
    agent: Agent,
    steps: int,
    *,
    piece: int = 1000,
    on_piece: Callable[[Progress], None] = lambda progress: None,  # noqa: ARG005
) -> Agent:
    """Takes steps until so many are done, a piece of them as one program.

    Args:
      learner: from `make_learner`.
      agent: from `learner.start`, or saved after some steps.
      steps: the total, those already done included.
      piece: how many steps a program takes; a last piece may be shorter.
      on_piece: called after each piece, to save and to show.

    Returns:
      The agent afterwards. How the steps are divided into pieces does not change it.

    Raises:
      DivergedError: a loss, gradient or parameter is not finite.
      InputError: the piece is empty.
    """
    if piece < 1:
        raise InputError(f"piece: expected at least 1 step, found {piece}")
    done = int(agent.step)
    while done < steps:
        agent, told = _run(learner.step, agent, jnp.arange(min(piece, steps - done)))
        told = jax.device_get(told)
        if not told.good.all():
            first = int(np.argmin(told.good))
            raise DivergedError(
                f"training diverged at step {done + first + 1}: the loss ({told.loss[first]:g}), a gradient or a "
                "parameter is not finite; lower the learning rate, or look for extreme rewards",
                agent,
            )
        done, walks = done + len(told.loss), int(told.finished.sum())
        mean = float(told.returned.sum()) / walks if walks else math.nan
        on_piece(Progress(done, float(told.loss.mean()), walks, mean))
    return agent


@partial(jax.jit, static_argnums=0)
def _run(step: Callable[[Agent], tuple[Agent, Told]], agent: Agent, turns: jax.Array) -> tuple[Agent, Told]:
    return jax.lax.scan(lambda agent, _: step(agent), agent, turns)


def _where(chosen: jax.Array, yes: PyTree, no: PyTree) -> Any:
    """Row by row."""
    return jax.tree.map(lambda a, b: jnp.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), a, b), yes, no)


def _finite(x: PyTree) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(x)]).all()

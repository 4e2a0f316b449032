from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError, training
from hepjax.choices import Optimizer
from hepjax.tasks.grooming import (
    AgentDivergedError,
    Environment,
    Settings,
    Step,
    Transition,
    grooming,
    make_learner,
    make_reward,
    td_loss,
    train_agent,
)

LENGTH, DISCOUNT = 5, 0.8
SMALL = Settings(
    environments=8,
    batch=32,
    capacity=500,
    warmup=5,
    discount=DISCOUNT,
    target_rate=0.1,
    last_epsilon=0.5,
    exploration=1000,
)
LAST_GOOD = 1500
"""Updates after which the learning rate is no number any more."""


def table(params, x):
    """One value for each place and action."""
    return x @ params


def chain():
    """Five places in a row: left costs 0.1, right past the end gives 1 and ends the walk."""

    def reset(key):
        place = jax.random.randint(key, (), 0, LENGTH)
        return place, jax.nn.one_hot(place, LENGTH)

    def step(place, action):
        after = jnp.maximum(place + jnp.where(action > 0, 1, -1), 0)
        done = after >= LENGTH
        reward = jnp.where(done, 1.0, jnp.where(action > 0, 0.0, -0.1))
        return Step(after, jax.nn.one_hot(after, LENGTH), reward, done)

    return Environment(reset, step, LENGTH, 2)


def exact():
    """Values of the chain by iteration to the fixed point."""
    q = np.zeros((LENGTH + 1, 2))
    for _ in range(200):
        best = q.max(axis=1)
        best[LENGTH] = 0
        for place in range(LENGTH):
            q[place, 0] = -0.1 + DISCOUNT * best[max(place - 1, 0)]
            q[place, 1] = float(place == LENGTH - 1) + DISCOUNT * best[place + 1]
    return q[:LENGTH]


@pytest.fixture(scope="module")
def learner():
    rate = training.make_optimizer(Optimizer.ADAM, lambda step: jnp.where(step < LAST_GOOD, 0.05, jnp.nan))
    return make_learner(chain(), table, rate, SMALL)


@pytest.fixture(scope="module")
def start(learner):
    return learner.start(jnp.zeros((LENGTH, 2)), jax.random.key(0))


@pytest.fixture(scope="module")
def trained(learner, start):
    """The agent after 1,200 steps, and what was told of it."""
    messages = []
    return train_agent(learner, start, 1200, piece=40, on_piece=messages.append), messages


def test_the_values_of_a_chain_are_exact(trained):
    agent, messages = trained
    np.testing.assert_allclose(agent.params, exact(), atol=5e-3)
    assert [one.step for one in messages] == list(range(40, 1201, 40))
    assert sum(one.walks for one in messages) > 1000
    assert messages[0].mean_return < messages[-1].mean_return < 1  # it learns to go right at once


def test_an_agent_that_goes_on_is_the_agent_that_never_stopped(learner, start, tmp_path):
    messages = []
    whole = train_agent(learner, start, 40, piece=40)
    first = train_agent(learner, start, 5, piece=5, on_piece=messages.append)
    assert messages[0].loss == 0
    assert not np.any(first.params)  # nothing is learned before the warmup is over
    training.save(tmp_path / "agent.msgpack", first)
    restored = training.restore(tmp_path / "agent.msgpack", start)
    on = train_agent(learner, restored, 40, piece=5, on_piece=messages.append)
    assert messages[1].loss > 0
    whole, on = (agent._replace(key=jax.random.key_data(agent.key)) for agent in (whole, on))
    jax.tree.map(np.testing.assert_array_equal, whole, on)
    assert int(on.step) == 40
    assert int(on.replay.filled) == 40 * SMALL.environments
    assert np.abs(np.asarray(on.params)).max() > 0.01


def test_what_is_not_finite_stops_with_the_last_good_state(learner, trained):
    last = LAST_GOOD + SMALL.warmup
    words = (
        rf"^training diverged at step {last + 1}: the loss \(\d.*\), a gradient or a parameter is not finite; lower the"
    )
    with pytest.raises(AgentDivergedError, match=words) as caught:
        train_agent(learner, trained[0], 2000, piece=40)
    agent = caught.value.agent
    assert isinstance(caught.value, InputError)
    assert not bool(agent.good)
    assert int(agent.step) > last + 1  # the piece went on with what was good
    good = train_agent(learner, trained[0], last, piece=5)
    for field in ("params", "target", "opt_state"):
        jax.tree.map(np.testing.assert_array_equal, getattr(agent, field), getattr(good, field))
    assert np.isfinite(agent.params).all()


@pytest.mark.parametrize("double", [True, False])
def test_the_loss_is_that_of_a_slow_loop(rng, double):
    q, target = rng.normal(size=(2, LENGTH, 3)) * 2
    places, after, actions = rng.integers(0, LENGTH, (2, 40)), None, rng.integers(0, 3, 40)
    places, after = places
    rewards, done = rng.normal(size=40), rng.random(40) < 0.3
    losses = []
    for i in range(40):
        best = np.argmax(q[after[i]]) if double else np.argmax(target[after[i]])
        error = abs(q[places[i], actions[i]] - rewards[i] - DISCOUNT * (1 - done[i]) * target[after[i], best])
        losses.append(error**2 / 2 if error < 1 else error - 0.5)
    eye = np.eye(LENGTH, dtype=np.float32)
    part = Transition(eye[places], actions, rewards.astype(np.float32), eye[after], done)
    part = jax.tree.map(jnp.asarray, part)
    result = td_loss(
        table, jnp.asarray(q, jnp.float32), jnp.asarray(target, jnp.float32), part, SMALL._replace(double=double)
    )
    assert float(result) == pytest.approx(np.mean(losses), rel=1e-5)
    assert max(losses) > 0.5 > min(losses)


def test_the_target_has_no_gradient():
    eye = jnp.eye(LENGTH)
    part = Transition(eye[:1], jnp.array([0]), jnp.array([0.3]), eye[1:2], jnp.array([False]))
    slope = jax.jit(jax.grad(lambda q: td_loss(table, q, q, part, SMALL)))(jnp.ones((LENGTH, 2)))
    assert np.count_nonzero(slope) == 1
    assert slope[0, 0] != 0


def test_a_piece_has_a_step(learner, start):
    with pytest.raises(InputError, match="piece: expected at least 1 step, found 0"):
        train_agent(learner, start, 10, piece=0)


def test_environments_must_fit_into_the_memory(jets):
    with pytest.raises(InputError, match="room for 64 environments, found 10"):
        make_learner(grooming(jets[2], make_reward()), table, None, Settings(capacity=10))

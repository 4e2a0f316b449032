"""Ranger, against slow loops in float64 that follow the papers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import training
from hepjax.choices import Optimizer
from hepjax.training import ranger

STEPS, RATE = 20, 0.05


@pytest.fixture
def problem(rng):
    """The curvatures of a bowl, and noise of its gradients."""
    return np.geomspace(0.1, 10, 6).reshape(2, 3), rng.normal(size=(STEPS, 2, 3)), rng.normal(size=(2, 3))


def follow(problem, *, look, decay=0.0):
    """Algorithm 2 of arXiv:1908.03265 inside algorithm 1 of arXiv:1907.08610."""
    curvature, noise, w = problem
    w, slow, m, v = w.copy(), w.copy(), np.zeros((2, 3)), np.zeros((2, 3))
    b1, b2 = 0.95, 0.999
    longest, path = 2 / (1 - b2) - 1, []
    for t in range(1, STEPS + 1):
        g = curvature * w + noise[t - 1]
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        length = longest - 2 * t * b2**t / (1 - b2**t)
        step = m / (1 - b1**t)
        if length >= 5:  # the authors' code; the paper has 4, and no ε
            r = np.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            step = step * r * np.sqrt(1 - b2**t) / (np.sqrt(v) + 1e-5)
        w = w - RATE * (step + decay * w)
        if look and t % 6 == 0:
            slow = slow + 0.5 * (w - slow)
            w = slow.copy()
        path.append(w)
    return np.array(path)


def run(problem, optimizer):
    curvature, noise, w = (jnp.asarray(x, jnp.float32) for x in problem)

    def step(carry, noise):
        w, state = carry
        updates, state = optimizer.update(curvature * w + noise, state, w, value=1.0)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    return jax.jit(lambda: jax.lax.scan(step, (w, optimizer.init(w)), noise)[1])()


@pytest.mark.parametrize("decay", [None, 0.3])
def test_follows_the_papers(problem, decay):
    optimizer = training.make_optimizer(
        Optimizer.RANGER, optax.constant_schedule(RATE), weight_decay=decay, peak=1.0, plateau_patience=99
    )
    expected = follow(problem, look=True, decay=decay or 0.0)
    np.testing.assert_allclose(run(problem, optimizer), expected, rtol=2e-4, atol=2e-5)
    assert np.abs(expected - follow(problem, look=False, decay=decay or 0.0)).max() > 0.01


def test_rectified_adam_alone(problem):
    optimizer = optax.with_extra_args_support(ranger.rectified_adam(RATE))
    np.testing.assert_allclose(run(problem, optimizer), follow(problem, look=False), rtol=2e-4, atol=2e-5)


def test_each_of_several_trainings_has_its_own_rate_and_slow_weights(problem):
    optimizer = training.make_optimizer("ranger", optax.constant_schedule(1.0), peak=RATE)
    w = jnp.stack([jnp.ones((2, 3)), jnp.zeros((2, 3))])
    state = training.start(w, {}, optimizer, jax.random.split(jax.random.key(0), 2), members=2).state
    opt_state = training.with_rates(state.opt_state, jnp.array([RATE, 0.0]))
    for _ in range(6):
        updates, opt_state = jax.vmap(lambda s, w: optimizer.update(jnp.ones((2, 3)), s, w, value=1.0))(opt_state, w)
        w = w + updates
    # Five steps of momentum with gradients that are all the same, and one of Adam; half of the way.
    assert 1 - 3 * RATE < w[0, 0, 0] < 1 - 2.4 * RATE
    np.testing.assert_array_equal(w[1], 0)

"""Flow matching where all is known: from one normal distribution to another, a loss and a flow in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.tasks import generation
from hepjax.types import Conditioned, Sequences

MEAN, WIDTH = 1.5, 0.4


def exact(x, t):
    """The mean velocity at x and t of all lines from N(0, 1) to N(MEAN, WIDTH²)."""
    variance = (1 - t) ** 2 + (WIDTH * t) ** 2
    return MEAN + (WIDTH**2 * t - (1 - t)) / variance * (x - MEAN * t)


def network(params, model_state, inputs, mask, key):
    x = inputs.values.values if isinstance(inputs.values, Sequences) else inputs.values
    t = inputs.condition[:, 0].reshape(-1, *(1,) * (x.ndim - 1))
    return exact(x, t) + params, model_state


def sample(count, rng):
    return Conditioned(rng.normal(MEAN, WIDTH, (count, 1)).astype(np.float32), np.zeros((count, 1), np.float32))


@pytest.mark.parametrize("step, order", [(generation.euler, 1), (generation.midpoint, 2), (generation.heun, 2)])
def test_solver_has_its_order(step, order):
    """Of dx/dt = 2 t x, which is exp(t²)."""
    solve = jax.jit(lambda times: generation.integrate(lambda x, t: 2 * t * x, jnp.ones(()), times, step))
    errors = [abs(float(solve(np.linspace(0, 1, n + 1))) - np.e) for n in (8, 16)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


def test_the_flow_takes_one_normal_distribution_to_the_other():
    """The exact velocity moves x₀ to MEAN + WIDTH x₀."""
    start = np.linspace(-2, 2, 9)
    result = generation.integrate(exact, start, np.linspace(0, 1, 41))
    np.testing.assert_allclose(result, MEAN + WIDTH * start, atol=2e-3)


def test_uneven_times_are_kept():
    times = np.array([0.0, 0.5, 0.6, 2.0])
    result = generation.integrate(lambda x, t: 3 * t**2, jnp.zeros(()), times)
    middle, dt = (times[1:] + times[:-1]) / 2, np.diff(times)
    assert float(result) == pytest.approx((3 * middle**2 * dt).sum(), rel=1e-6)


def test_loss_of_the_exact_velocity_is_the_scatter_of_the_lines(rng):
    """Var(x₁ − x₀ | xₜ) = s² / ((1 − t)² + s² t²), whose mean over t is s π / 2."""
    inputs, n = sample(40_000, rng), 40_000
    apply = jax.jit(generation.make_matching(network))
    for key in (None, jax.random.key(1)):
        loss = float(apply(0.0, {}, inputs, np.ones(n, bool), key)[0].mean())
        assert loss == pytest.approx(WIDTH * np.pi / 2, rel=0.03)
        off = float(apply(0.3, {}, inputs, np.ones(n, bool), key)[0].mean())
        assert off - loss == pytest.approx(0.09, abs=0.01)  # whose minimum the exact velocity is


def test_evaluation_is_the_same_each_time_and_training_is_not(rng):
    inputs, mask = sample(32, rng), np.ones(32, bool)
    observed = []

    def spy(params, model_state, inputs, mask, key):
        observed.append(np.asarray(inputs.condition[:, 0]))
        return network(params, model_state, inputs, mask, key)

    apply = generation.make_matching(spy)
    calls = [apply(0.0, {}, inputs, mask, k)[0] for k in (None, None, jax.random.key(1), jax.random.key(2))]
    np.testing.assert_array_equal(calls[0], calls[1])
    assert not np.array_equal(calls[2], calls[3])
    for (
        times
    ) in observed:  # each 32nd of the time has its jet, or two have one, where a rule of irrational steps has it
        assert times.min() >= 0
        assert times.max() < 1
        np.testing.assert_allclose(np.sort(times), (np.arange(32) + 0.5) / 32, atol=1.5 / 32)


def test_augmentation_is_for_training_only(rng):
    inputs, mask = sample(8, rng), np.ones(8, bool)
    apply, plain = generation.make_matching(network, lambda key, x: x + 100), generation.make_matching(network)
    np.testing.assert_array_equal(apply(0.0, {}, inputs, mask, None)[0], plain(0.0, {}, inputs, mask, None)[0])
    assert apply(0.0, {}, inputs, mask, jax.random.key(0))[0].min() > 100


def test_padding_and_more_of_it_change_nothing(rng):
    present = np.arange(4) < np.array([4, 1, 2])[:, None]
    values = np.where(present[..., None], rng.normal(size=(3, 4, 2)), np.nan).astype(np.float32)
    condition, mask = np.zeros((3, 1), np.float32), np.ones(3, bool)
    wider = Sequences(np.pad(values, ((0, 0), (0, 3), (0, 0))), np.pad(present, ((0, 0), (0, 3))))
    apply = jax.jit(generation.make_matching(network))
    for key in (None, jax.random.key(4)):
        few = apply(0.0, {}, Conditioned(Sequences(values, present), condition), mask, key)[0]
        many = apply(0.0, {}, Conditioned(wider, condition), mask, key)[0]
        assert np.isfinite(few).all()
        np.testing.assert_allclose(few, many, rtol=1e-6)


def test_lines_begin_and_end_where_they_should(rng):
    noise, data = rng.normal(size=(2, 3, 4, 2))
    for t, expected in ((0.0, noise), (1.0, data)):
        point, velocity = generation.straight_line(noise, data, np.full(3, t))
        np.testing.assert_allclose(point, expected)
        np.testing.assert_allclose(velocity, data - noise)


def test_average_follows_the_parameters():
    def model(params, model_state, inputs, mask, key):
        return params["w"] * inputs, {**model_state, "seen": model_state["seen"] + (key is not None)}

    apply = generation.with_parameter_average(model, decay=0.9)
    state, expected = generation.start_average({"w": jnp.array(1.0)}, {"seen": 0}), 1.0
    for step in range(300):
        w = 1.0 + step
        outputs, state = apply({"w": jnp.array(w)}, state, 2.0, None, jax.random.key(0))
        assert float(outputs) == 2 * w  # training sees the parameters themselves
        expected += max(0.1, 10 / (step + 10)) * (w - expected)
    outputs, after = apply({"w": jnp.array(np.nan)}, state, 2.0, None, None)
    assert float(outputs) == pytest.approx(2 * expected, rel=1e-5)
    assert after is state
    assert state["seen"] == 300
    assert expected == pytest.approx(300 - 9, abs=0.1)  # a mean over the last ten steps or so

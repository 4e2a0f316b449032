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


def network(inputs, offset=0.0):
    x = inputs.values.values if isinstance(inputs.values, Sequences) else inputs.values
    t = inputs.condition[:, 0].reshape(-1, *(1,) * (x.ndim - 1))
    return exact(x, t) + offset


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


def test_error_of_the_exact_velocity_is_the_scatter_of_the_lines(rng):
    """Var(x₁ − x₀ | xₜ) = s² / ((1 − t)² + s² t²), whose mean over t is s π / 2."""
    inputs, n = sample(40_000, rng), 40_000
    noise, times = jax.random.normal(jax.random.key(1), (n, 1)), generation.even_times(jax.random.key(2), n)
    error = float(generation.matching_error(network, inputs, noise, times).mean())
    assert error == pytest.approx(WIDTH * np.pi / 2, rel=0.03)
    off = float(generation.matching_error(lambda x: network(x, 0.3), inputs, noise, times).mean())
    assert off - error == pytest.approx(0.09, abs=0.01)  # whose minimum the exact velocity is


def test_padding_and_more_of_it_change_nothing(rng):
    present = np.arange(4) < np.array([4, 1, 2])[:, None]
    values = np.where(present[..., None], rng.normal(size=(3, 4, 2)), np.nan).astype(np.float32)
    condition, times = np.zeros((3, 1), np.float32), jnp.array([0.1, 0.5, 0.9])
    wider = Sequences(np.pad(values, ((0, 0), (0, 3), (0, 0))), np.pad(present, ((0, 0), (0, 3))))
    noise = generation.draw_noise(jax.random.key(4), values, present)
    more = generation.draw_noise(jax.random.key(4), wider.values, wider.mask)
    np.testing.assert_array_equal(more[:, :4], noise)
    few = generation.matching_error(network, Conditioned(Sequences(values, present), condition), noise, times)
    many = generation.matching_error(network, Conditioned(wider, condition), more, times)
    assert np.isfinite(few).all()
    np.testing.assert_allclose(few, many, rtol=1e-6)


def test_lines_begin_and_end_where_they_should(rng):
    noise, data = rng.normal(size=(2, 3, 4, 2))
    for t, expected in ((0.0, noise), (1.0, data)):
        point, velocity = generation.straight_line(noise, data, np.full(3, t))
        np.testing.assert_allclose(point, expected)
        np.testing.assert_allclose(velocity, data - noise)

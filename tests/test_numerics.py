"""Masked means against NumPy, and guarded functions at the places that they guard."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hepjax import numerics


@given(x=arrays(np.float64, 8, elements=st.floats(-10, 10)), mask=arrays(bool, 8))
def test_masked_means(x, mask):
    spoilt = np.where(mask, x, np.nan)
    np.testing.assert_allclose(numerics.masked_sum(spoilt, mask), x[mask].sum(), atol=1e-9)
    expected = x[mask].mean() if mask.any() else 0.0
    np.testing.assert_allclose(numerics.weighted_mean(spoilt, mask), expected, atol=1e-9)


@pytest.mark.parametrize("function", [numerics.safe_log, numerics.safe_sqrt, lambda x: numerics.safe_divide(x, x)])
def test_guarded_functions_have_finite_gradients(function):
    gradient = jax.vmap(jax.grad(function))(jnp.array([0.0, -1.0, 1e-15, 2.0]))
    assert jnp.isfinite(gradient).all()
    assert gradient[0] == 0


def test_guarded_functions_are_the_plain_ones_elsewhere(rng):
    x = rng.exponential(size=50)
    np.testing.assert_array_equal(numerics.safe_log(x), np.log(x))
    np.testing.assert_array_equal(numerics.safe_sqrt(x), np.sqrt(x))
    np.testing.assert_array_equal(numerics.safe_divide(x[::-1], x), x[::-1] / x)


@given(
    x=arrays(np.float64, (3, 4), elements=st.floats(-10, 10)), w=arrays(np.float64, (3, 4), elements=st.floats(0, 5))
)
def test_weighted_mean_along_an_axis(x, w):
    w = w + 0.1
    np.testing.assert_allclose(numerics.weighted_mean(x, w, axis=1), np.average(x, weights=w, axis=1), atol=1e-9)


def test_a_compiled_sum_of_squares_rounds_as_in_numpy(rng):
    x, y = rng.normal(size=(2, 100_000)).astype(np.float32)
    found = jax.jit(lambda x, y: numerics.unfused_product(x**2) + numerics.unfused_product(y**2))(x, y)
    np.testing.assert_array_equal(found, x**2 + y**2)
    np.testing.assert_array_equal(numerics.unfused_product(x**2) + numerics.unfused_product(y**2), x**2 + y**2)


def test_its_gradient_is_that_of_the_product():
    slope = jax.grad(lambda x: numerics.unfused_product(x * 3.0))(np.float32(2))
    assert slope == 3

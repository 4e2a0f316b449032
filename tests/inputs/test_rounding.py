"""Sums of products round alike, compiled or not."""

from __future__ import annotations

import jax
import numpy as np

from hepjax.inputs.rounding import unfused_product


def test_a_compiled_sum_of_squares_rounds_as_in_numpy(rng):
    x, y = rng.normal(size=(2, 100_000)).astype(np.float32)
    found = jax.jit(lambda x, y: unfused_product(x**2) + unfused_product(y**2))(x, y)
    np.testing.assert_array_equal(found, x**2 + y**2)
    np.testing.assert_array_equal(unfused_product(x**2) + unfused_product(y**2), x**2 + y**2)


def test_its_gradient_is_that_of_the_product():
    slope = jax.grad(lambda x: unfused_product(x * 3.0))(np.float32(2))
    assert slope == 3

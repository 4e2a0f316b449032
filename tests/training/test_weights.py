"""Weight decay and penalties act on weights proper alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import training
from hepjax.training.losses import make_penalty
from hepjax.training.weights import mask_of_weights

PARAMS = {
    "Dense_0": {"kernel": jnp.ones((2, 1)), "bias": jnp.ones(3)},
    "block": {"attention_in": jnp.ones((4, 3, 4)), "attention_in_bias": jnp.ones((3, 4)), "scale": jnp.ones(2)},
    "bias_1": jnp.ones((2, 2)),
    "class_token": jnp.ones((1, 1, 4)),
}
WEIGHTS = {
    "Dense_0": {"kernel": True, "bias": False},
    "block": {"attention_in": True, "attention_in_bias": False, "scale": False},
    "bias_1": False,
    "class_token": False,
}


def test_what_is_a_weight():
    assert mask_of_weights(PARAMS) == WEIGHTS


@pytest.mark.parametrize("name", ["adamw", "lion", "ranger"])
def test_the_rest_does_not_decay(name):
    optimizer = training.make_optimizer(name, optax.constant_schedule(0.1), weight_decay=0.5)
    nothing = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = optimizer.update(nothing, optimizer.init(PARAMS), PARAMS, value=1.0)
    expected = jax.tree.map(lambda x, decays: np.full(x.shape, -0.05 if decays else 0), PARAMS, WEIGHTS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), updates, expected)


def test_nor_is_it_penalized():
    assert float(make_penalty({1: 0.5})(PARAMS)) == 0.5 * (2 + 48)

"""A body's learning rate is a factor of that of the head, whatever the optimizer."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import training
from hepjax.training import schedules

PARAMS = {"body": {"kernel": jnp.full((2, 2), 0.5), "bias": jnp.ones(2)}, "head": {"kernel": jnp.full((2, 1), -1.0)}}
PATHS = frozenset({("body", "kernel"), ("body", "bias")})
GRADIENTS = jax.tree.map(lambda x: 0.3 * x + 0.1, PARAMS)


def train(kind, rate, body=None, steps=3, **options):
    optimizer = training.make_optimizer(kind, lambda step: 1.0 / (1 + step), peak=rate, body=body, **options)
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(steps):
        updates, state = optimizer.update(GRADIENTS, state, params, value=1.0)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "fromage"])
def test_each_part_is_trained_as_if_alone(kind):
    """The oracle: all parameters with the one rate, and with the other; parameters do not know of each other here."""
    options = {"weight_decay": 0.1} if kind == "adamw" else {}
    found, _ = train(kind, 0.1, training.Body(PATHS, 0.02), **options)
    slow, fast = (train(kind, rate, **options)[0] for rate in (0.002, 0.1))
    chex.assert_trees_all_close(found["body"], slow["body"], rtol=1e-6)
    chex.assert_trees_all_close(found["head"], fast["head"], rtol=1e-6)
    assert not np.allclose(slow["body"]["kernel"], fast["body"]["kernel"])


def test_a_frozen_body_stays_bit_by_bit():
    found, _ = train("adamw", 0.1, training.Body(PATHS, 0.0), weight_decay=0.5)
    chex.assert_trees_all_equal(found["body"], PARAMS["body"])
    assert not np.allclose(found["head"]["kernel"], PARAMS["head"]["kernel"])


def test_the_rate_stays_one_number_of_the_state():
    _, state = train("adam", 0.1, training.Body(PATHS, 0.02), steps=1)
    state = training.with_rates(state, jnp.asarray(0.4))
    whole = training.start(PARAMS, {}, optax.sgd(0.1), jax.random.key(0)).state._replace(opt_state=state)
    np.testing.assert_allclose(schedules.learning_rates(lambda step: 1.0, whole), 0.4)

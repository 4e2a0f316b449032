"""A loop over receivers gives what all at once give, and the same gradient."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from hepjax.models.layers.pairs import map_receivers


def test_the_loop_over_receivers(rng):
    senders, receivers = jnp.asarray(rng.normal(size=(3, 5))), {"x": jnp.asarray(rng.normal(size=(3, 4)))}

    def total(senders, receivers, all_at_once):
        def sums(part):
            return jnp.tanh(part["x"][..., None] * senders[:, None]).sum(-1), part["x"][:2] ** 2

        sums_of, squares = map_receivers(sums, receivers, all_at_once=all_at_once, unroll=3)
        assert sums_of.shape == (3, 4)
        assert squares.shape == (2, 4)
        return (sums_of * jnp.arange(4)).sum() + squares.sum()

    one, other = (jax.value_and_grad(total, (0, 1))(senders, receivers, whole) for whole in (True, False))
    chex.assert_trees_all_close(one, other, rtol=1e-4, atol=1e-5)

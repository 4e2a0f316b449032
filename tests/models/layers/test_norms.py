"""Normalization: running averages without bias, and padding that never counts."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax import models
from hepjax.choices import Norm
from hepjax.models.layers import norms
from hepjax.types import Sequences

STATE = ["batch_stats", "batch_steps"]
NORM = norms.BatchNorm()
KEY = jax.random.key(0)


def start(columns=3):
    return NORM.init(KEY, jnp.zeros((1, columns)), True)


@jax.jit
def step(variables, x, mask):
    _, state = NORM.apply(variables, x, False, mask=mask, mutable=STATE)
    return {**variables, **state}


def batches(count, rng, size=8):
    return rng.normal(size=(count, size, 3)).astype(np.float32) * 3 + 5


@pytest.mark.parametrize("count", [1, 2, 7, 200])
def test_running_averages_weigh_batches_and_nothing_else(count, rng):
    seen, variables = batches(count, rng), start()
    for x in seen:
        variables = step(variables, x, np.ones((8, 1), bool))
    weights = norms._MOMENTUM ** np.arange(count)[::-1]
    expected = [np.average(of(seen.astype(np.float64), axis=1), axis=0, weights=weights) for of in (np.mean, np.var)]
    np.testing.assert_allclose(variables["batch_stats"]["mean"], expected[0], rtol=1e-5)
    np.testing.assert_allclose(variables["batch_stats"]["var"], expected[1], rtol=1e-4)
    assert variables["batch_steps"]["steps"] == count


@given(st.lists(st.booleans(), min_size=6, max_size=6), st.floats(-1e6, 1e6))
def test_masked_rows_never_count(kept, junk):
    x = batches(1, np.random.default_rng(1), size=6)[0]
    mask = np.array(kept)[:, None]
    found = step(step(start(), x + 1, np.ones((6, 1), bool)), np.where(mask, x, np.float32(junk)), mask)
    assert np.isfinite(jax.tree.leaves(found)[0]).all()
    before = step(start(), x + 1, np.ones((6, 1), bool))
    if sum(kept) < 2:  # of which there is no variance
        jax.tree.map(np.testing.assert_array_equal, found, before)
    else:
        expected = step(before, x[kept], np.ones((sum(kept), 1), bool))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


def test_predictions_need_no_count_of_steps(rng):
    variables = step(start(), batches(1, rng)[0], np.ones((8, 1), bool))
    saved = models.without_steps(variables)
    assert saved.keys() == {"params", "batch_stats"}
    x = batches(1, rng)[0]
    expected = (x - saved["batch_stats"]["mean"]) / np.sqrt(saved["batch_stats"]["var"] + 1e-5)
    np.testing.assert_allclose(NORM.apply(saved, x, True), expected, rtol=1e-4, atol=1e-5)


def test_members_count_their_own_steps(rng):
    seen = batches(2, rng)
    members = jax.tree.map(lambda x: jnp.stack([x, x]), start())
    masks = np.stack([np.ones((8, 1), bool), np.zeros((8, 1), bool)])
    found = jax.vmap(step)(members, seen, masks)
    assert found["batch_steps"]["steps"].tolist() == [1, 0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-5), found, step(start(), seen[0], masks[0]))


@pytest.mark.parametrize("longer", [6, 9])
def test_padding_changes_neither_answers_nor_statistics(longer, rng):
    """Neither slots behind a jet's particles, nor rows that fill a batch, nor jets without particles."""
    model = models.DeepSets(particle=(4,), hidden=(3,), norm=Norm.BATCH, outputs=2)
    lengths = np.array([5, 2, 3, 1])
    values = rng.normal(size=(4, 5, 2)).astype(np.float32)

    def padded(slots, rows, junk):
        mask = np.zeros((rows, slots), bool)
        mask[:4, :5] = np.arange(5) < lengths[:, None]
        filled = np.full((rows, slots, 2), junk, np.float32)
        filled[:4, :5] = values
        return Sequences(np.where(mask[..., None], filled, junk), mask), np.arange(rows) < 4

    apply = models.make_apply(model)
    x, examples = padded(5, 4, 0)
    params, state = models.initialize(model, KEY, x)
    expected, expected_state = apply(params, state, x, examples, KEY)
    for rows, junk in ((4, 0), (7, 1e5)):
        x, examples = padded(longer, rows, junk)
        found, found_state = apply(params, state, x, examples, KEY)
        np.testing.assert_allclose(found[:4], expected, rtol=1e-4, atol=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found_state, expected_state)


def test_moments_normalize_as_the_values_do(rng):
    """In training, where fewer than two rows have no variance, and with running averages."""
    other, x = norms.BatchNormOfMoments(3), rng.normal(2, 3, size=(8, 3)).astype(np.float32)
    variables, ours = start(), other.init(KEY, None)
    assert jax.tree.structure(variables) == jax.tree.structure(ours)
    params = {"scale": rng.normal(size=3), "bias": rng.normal(size=3)}
    variables, ours = {**variables, "params": params}, {**ours, "params": params}
    for count in (8, 5, 1, 0):
        kept = np.arange(8)[:, None] < count
        y, state = NORM.apply(variables, x, False, mask=kept, mutable=STATE)
        moments = np.float32(count), x[:count].sum(0), (x[:count] ** 2).sum(0)
        (scale, shift), changed = other.apply(ours, moments, mutable=STATE)
        if count > 1:
            np.testing.assert_allclose(scale * x + shift, y, rtol=1e-4, atol=1e-4)
        chex.assert_trees_all_close(changed, state, rtol=1e-4)
        variables, ours = {**variables, **state}, {**ours, **changed}
    scale, shift = other.apply(ours, None)
    np.testing.assert_allclose(scale * x + shift, NORM.apply(variables, x, True), rtol=1e-4, atol=1e-4)

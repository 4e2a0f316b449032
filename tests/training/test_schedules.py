"""Schedules that count epochs, against the schedulers of the published trainings by hand."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import training
from hepjax.choices import Schedule

PEAK, PER_EPOCH = 0.1, 5


def rates(kind, epochs, warmup=0):
    schedule = training.make_schedule(
        kind, PEAK, steps=epochs * PER_EPOCH, warmup_steps=warmup * PER_EPOCH, steps_per_epoch=PER_EPOCH
    )
    return np.asarray(jax.jit(jax.vmap(schedule))(jnp.arange(epochs * PER_EPOCH)))


@pytest.mark.parametrize("epochs, decaying", [(20, 6), (1, 1), (7, 2), (3, 1)])
def test_flat_then_decay(epochs, decaying):
    """A factor 0.01^(1/n) at the begin of each of the last n epochs."""
    expected, rate = [], PEAK
    for epoch in range(epochs):
        if epoch >= epochs - decaying:
            rate *= 0.01 ** (1 / decaying)
        expected += [rate] * PER_EPOCH
    found = rates(Schedule.FLAT_THEN_DECAY, epochs)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[-1] == pytest.approx(PEAK / 100)


def test_flat_then_decay_counts_the_warm_up():
    np.testing.assert_allclose(rates("flat-then-decay", 10, 2)[10:], rates("flat-then-decay", 10)[10:], rtol=1e-6)
    np.testing.assert_allclose(rates("flat-then-decay", 10, 2)[:10], PEAK * np.arange(10) / 10, rtol=1e-5)


@pytest.mark.parametrize(
    "epochs, warmup, periods", [(35, 5, (4, 8, 18)), (12, 0, (4, 8)), (3, 1, (2,)), (11, 0, (11,))]
)
def test_cosine_restarts(epochs, warmup, periods):
    """Periods of 4, 8 and 16 epochs after the warm-up; none begins that cannot end."""
    expected = [PEAK * i / (warmup * PER_EPOCH) for i in range(warmup * PER_EPOCH)]
    for period in periods:
        steps = period * PER_EPOCH
        expected += [PEAK * (1 + math.cos(math.pi * i / steps)) / 2 for i in range(steps)]
    np.testing.assert_allclose(rates(Schedule.COSINE_RESTARTS, epochs, warmup), expected, rtol=1e-4, atol=1e-7)

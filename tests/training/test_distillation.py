"""The loss of a teacher, against a loop in float64, and at the ends of its options."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.training import losses
from hepjax.training.distillation import soften, softened_cross_entropy, with_teacher

LOGITS = np.random.default_rng(0).normal(0, 3, (6, 4)).astype(np.float32)
TAUGHT = np.random.default_rng(1).dirichlet(np.full(4, 0.3), 6).astype(np.float32)
LABELS, WEIGHTS = np.arange(6) % 4, np.array([1, 2, 0.5, 0, 1, 1], np.float32)


def slow(logits, taught, weights, temperature):
    total = 0.0
    for z, p, w in zip(logits.astype(float), taught.astype(float), weights.astype(float), strict=True):
        q = [x ** (1 / temperature) for x in p]
        s = np.exp(z / temperature) / np.exp(z / temperature).sum()
        total += w * -sum(x / sum(q) * np.log(y) for x, y in zip(q, s, strict=True))
    return temperature**2 * total / weights.sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_that_of_a_loop(temperature):
    found = softened_cross_entropy(LOGITS, TAUGHT, WEIGHTS, temperature)
    assert float(found) == pytest.approx(slow(LOGITS, TAUGHT, WEIGHTS, temperature), rel=1e-5)


def test_a_sure_teacher_is_a_label():
    found = softened_cross_entropy(LOGITS, np.eye(4, dtype=np.float32)[LABELS], WEIGHTS, 1.0)
    assert float(found) == pytest.approx(float(losses.categorical_cross_entropy(LOGITS, LABELS, WEIGHTS)), rel=1e-6)


def test_it_is_least_where_the_student_says_what_the_teacher_says():
    gradient = jax.grad(softened_cross_entropy)(jnp.log(TAUGHT), TAUGHT, WEIGHTS, 3.0)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_padding_and_what_underflowed_do_not_matter():
    taught, logits = TAUGHT.copy(), LOGITS.copy()
    taught[3], logits[3] = np.nan, np.nan
    loss, gradient = jax.value_and_grad(softened_cross_entropy)(logits, taught, WEIGHTS, 2.0)
    assert float(loss) == pytest.approx(slow(LOGITS, TAUGHT, WEIGHTS, 2.0), rel=1e-5)
    np.testing.assert_array_equal(gradient[3], 0)
    assert np.isfinite(soften(np.array([[1.0, 0.0]], np.float32), 0.1)).all()


def test_shares_mix_the_losses_and_leave_further_arguments_to_the_other_one():
    def loss(logits, labels, weights, nuisance):
        return losses.categorical_cross_entropy(logits, labels, weights) + nuisance[0]

    arguments = (LOGITS, LABELS, WEIGHTS, np.full(6, 7.0), TAUGHT)
    ends = [float(with_teacher(loss, 2.0, share)(*arguments)) for share in (0.0, 1.0, 0.25)]
    assert ends[0] == pytest.approx(float(loss(*arguments[:4])))
    assert ends[1] == pytest.approx(slow(LOGITS, TAUGHT, WEIGHTS, 2.0), rel=1e-5)
    assert ends[2] == pytest.approx(0.75 * ends[0] + 0.25 * ends[1], rel=1e-6)

import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.tasks.generation import noisy_decoder, variational_loss
from hepjax.types import Reconstruction


def test_the_loss_is_the_bound_summed_by_hand():
    rng = np.random.default_rng(0)
    x, values, mean, log_variance = rng.normal(size=(4, 30, 3))
    w = rng.choice([0.0, 1.0, 2.0], 30)
    expected = 0.0
    for f in range(3):  # -ln of a normal density of the best width, averaged
        width = np.average((x[:, f] - values[:, f]) ** 2, weights=w)
        each = 0.5 * np.log(2 * np.pi * width) + (x[:, f] - values[:, f]) ** 2 / (2 * width)
        expected += np.average(each, weights=w)
    for f in range(3):  # KL divergence of normal distributions, by quadrature
        for i in range(30):
            z = np.linspace(-40, 40, 20_001)
            q = np.exp(-((z - mean[i, f]) ** 2) / (2 * np.exp(log_variance[i, f])))
            q /= q.sum()
            log_q = -((z - mean[i, f]) ** 2) / (2 * np.exp(log_variance[i, f])) - 0.5 * log_variance[i, f]
            expected += w[i] / w.sum() * np.sum(q * (log_q + z**2 / 2))
    result = variational_loss(Reconstruction(*map(jnp.asarray, (values, mean, log_variance))), x, jnp.asarray(w))
    assert float(result) == pytest.approx(expected, rel=1e-4)


def test_padding_does_not_count_even_where_it_is_nan():
    x = np.random.default_rng(1).normal(size=(4, 2)).astype(np.float32)
    part = Reconstruction(*(jnp.asarray(x) * k for k in (0.5, 0.2, 0.1)))
    padded = Reconstruction(*(jnp.concatenate([a, jnp.full((1, 2), jnp.nan)]) for a in part))
    targets = np.concatenate([x, np.zeros((1, 2), np.float32)])
    assert float(variational_loss(padded, targets, np.array([1, 1, 1, 1, 0], np.float32))) == pytest.approx(
        float(variational_loss(part, x, np.ones(4, np.float32))), rel=1e-6
    )


def test_what_is_decoded_has_its_noise():
    make = noisy_decoder(lambda z, c: jnp.stack([z[:, 0], c[:, 0]], axis=1), [0.5, 2.0])
    z = np.random.default_rng(2).normal(size=(50_000, 3)).astype(np.float32)
    made = np.asarray(make(z, np.full((50_000, 1), 7, np.float32)))
    np.testing.assert_allclose(made.std(axis=0), [1.25**0.5, 2], rtol=0.02)
    assert made[:, 1].mean() == pytest.approx(7, abs=0.05)

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hepjax import InputError
from hepjax.tasks.generation import check_flow, normal_nll, sample_flow

X, C = np.ones((3, 2), np.float32), np.zeros((3, 1), np.float32)


def halved(x, c):
    return x / 2, jnp.full(len(x), -2 * jnp.log(2.0))


def test_a_flow_that_does_not_lead_back_is_refused():
    assert check_flow(halved, lambda z, c: 2 * z + 0.005, X, C) == pytest.approx(0.005, abs=1e-6)
    with pytest.raises(
        InputError, match=r"not invertible: 3 of 3 jets come back changed by more than 0\.01, one by 0\.5"
    ):
        check_flow(halved, lambda z, c: 2 * z + 0.5, X, C)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_flow_that_explodes_is_refused(value):
    with pytest.raises(InputError, match="exploded: 3 of 3 jets have no finite likelihood"):
        check_flow(lambda x, c: (x, jnp.full(len(x), value)), lambda z, c: z, X, C)
    with pytest.raises(InputError, match="not invertible: 3 of 3"):
        check_flow(halved, lambda z, c: value * z, X, C)


def test_the_baselines_likelihood_is_scipys():
    x = np.random.default_rng(0).normal(size=(20, 4))
    expected = -stats.multivariate_normal(np.zeros(4)).logpdf(x)
    np.testing.assert_allclose(normal_nll(x), expected, rtol=1e-12)


def test_samples_are_new_normal_numbers_block_after_block():
    condition = np.arange(25, dtype=np.float32)[:, None]
    made = sample_flow(lambda z, c: jnp.concatenate([z, c], axis=1), condition, latent=2, seed=1, block=10)
    np.testing.assert_array_equal(made[:, 2:], condition)
    assert len(np.unique(made[:, 0])) == 25
    many = sample_flow(lambda z, c: z, np.zeros((20_000, 1), np.float32), latent=3, seed=2, block=8000)
    np.testing.assert_allclose(np.cov(many.T), np.eye(3), atol=0.04)
    np.testing.assert_array_equal(many, sample_flow(lambda z, c: z, np.zeros((20_000, 1), np.float32), 3, 2, 8000))
    with pytest.raises(InputError, match="a row for each jet to make, found none"):
        sample_flow(lambda z, c: z, np.zeros((0, 1), np.float32), latent=3, seed=2)

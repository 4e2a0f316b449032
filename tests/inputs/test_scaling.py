"""Scaling that single absurd values do not change."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax import read_jets
from hepjax.inputs import apply_scaling, fit_scaling, moments, scaling_of
from hepjax.inputs.scaling import FAR, extremes, is_far, moments_of_all_processes, replace_far

TABLE = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32) * np.float32([1, 1e3, 1e-3])


def plain_scaling(x):
    return x.mean(axis=0, dtype=np.float64).astype(np.float32), x.std(axis=0, dtype=np.float64).astype(np.float32)


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("absurd", [1e11, -1e11, 1e30, 3e38, 2e7])
@pytest.mark.parametrize("rows", [3000, 1001, 40])
def test_one_absurd_value_does_not_count(absurd, rows):
    x = TABLE[:rows].copy()
    x[17] = absurd
    rest = np.delete(x, 17, axis=0)
    scaling = fit_scaling(x)
    np.testing.assert_allclose(scaling.mean, rest.mean(0, dtype=np.float64), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(scaling.std, rest.std(0, dtype=np.float64), rtol=1e-6)
    assert is_far(scaling, x)[17].all()
    assert is_far(scaling, x).sum() == 3
    scaled = apply_scaling(scaling, x)
    assert (scaled[17] == 0).all()
    assert np.abs(scaled).max() < 5


@given(
    cuts=st.lists(st.integers(1, 999), max_size=6, unique=True),
    places=st.sets(st.integers(0, 999), min_size=1, max_size=2),
    size=st.sampled_from([1e9, -1e11, 1e30]),
)
def test_parts_may_be_cut_anywhere(cuts, places, size):
    x = TABLE[:1000].copy()
    x[list(places), 1] = size
    expected = fit_scaling(np.delete(x, list(places), axis=0))
    parts = [moments(part) for part in np.split(x, sorted(cuts))]
    for found in (scaling_of(parts), scaling_of(moments_of_all_processes(parts))):
        np.testing.assert_allclose(found.mean[1], expected.mean[1], rtol=1e-5)
        np.testing.assert_allclose(found.std[1], expected.std[1], rtol=1e-5)
        np.testing.assert_allclose(found.std[[0, 2]], fit_scaling(x[:, [0, 2]]).std, rtol=1e-6)


def lognormal(rng):
    return np.exp(3 * rng.normal(size=20_000))


def rare_flag(rng):
    return np.where(np.arange(20_000) == 7, 1.0, 0.0)


def rare_energy(rng):
    return np.where(rng.random(20_000) < 2e-4, 50_000.0, 0.0)  # MeV


def squares(rng):
    return rng.exponential(size=20_000) ** 4


def constant(rng):
    return np.full(20_000, 173.2)


def far_from_zero(rng):
    return 1e6 + rng.normal(size=20_000)


@pytest.mark.parametrize("make", [lognormal, rare_flag, rare_energy, squares, constant, far_from_zero])
def test_clean_columns_are_scaled_as_ever(make, rng):
    x = make(rng).astype(np.float32)[:, None]
    scaling = fit_scaling(x)
    mean, std = plain_scaling(x)
    assert_same(scaling, (mean, np.where(std <= 1e-7 * np.abs(mean), np.float32(1), std)))
    assert not is_far(scaling, x).any()
    np.testing.assert_array_equal(replace_far(scaling, x), x)


def test_real_jets_are_scaled_as_ever():
    jets = read_jets()[:2000]
    particles = np.asarray(jets.constituents)[np.asarray(jets.mask)]
    for x in (particles, np.asarray(jets.observables)):
        scaling = fit_scaling(x)
        mean, std = plain_scaling(x)
        assert_same(scaling, (mean, np.where(std == 0, np.float32(1), std)))
        assert np.abs((x - mean) / scaling.std).max() < FAR / 50


def test_few_values_are_all_taken():
    assert_same(fit_scaling(np.array([[1.0], [3.0], [1e11]])), plain_scaling(np.array([[1.0], [3.0], [1e11]])))


def test_an_absurd_value_in_a_constant_column_does_not_count():
    x = np.full((500, 1), 2.0, np.float32)
    x[3] = 1e11
    assert_same(fit_scaling(x), ([2.0], [1.0]))


def test_padding_is_never_far():
    x = np.zeros((50, 4, 1), np.float32)
    mask = np.arange(4) < np.arange(50)[:, None] % 4 + 1
    x[mask] = 1e9 + np.arange(mask.sum())[:, None] * 64
    scaling = fit_scaling(x, mask)
    assert (np.asarray(apply_scaling(scaling, jnp.asarray(x), jnp.asarray(mask)))[~mask] == 0).all()
    assert not is_far(scaling, x)[mask].any()


def test_devices_compute_what_the_host_does():
    x = TABLE[:100].copy()
    x[3] = [1e11, -1e30, 3e38]
    scaling = fit_scaling(x)
    found = jax.jit(apply_scaling)(scaling, x)
    np.testing.assert_allclose(found, apply_scaling(scaling, x), rtol=1e-6, atol=1e-7)
    grads = jax.grad(lambda x: apply_scaling(scaling, x).sum())(jnp.asarray(x))
    assert np.isfinite(grads).all()


def test_what_is_no_number_stays_so():
    scaling = fit_scaling(TABLE)
    assert np.isnan(apply_scaling(scaling, np.float32([[np.nan, 0, 0]]))[0, 0])


@given(st.integers(1, 200), st.integers(1, 5))
def test_extremes_are_numpys(rows, columns):
    x = np.random.default_rng(rows).normal(size=(rows, columns))
    assert_same(extremes(x), (x.min(0), x.max(0)))

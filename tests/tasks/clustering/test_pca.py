"""Principal components against scikit-learn's, in float64, and what must hold of any."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from sklearn.decomposition import PCA

from hepjax import InputError, read_jets
from hepjax.inputs import tabular
from hepjax.tasks.clustering import apply_pca, fit_pca, invert_pca, pca


def mixed(n, features, seed=0):
    """Columns that are mixed, then scaled from 1e-4 to 1e4, and far from 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)) @ (rng.normal(size=(features, features)) + 2 * np.eye(features))
    scales = np.logspace(-4, 4, features)
    return (x * scales + 100 * scales * rng.normal(size=features)).astype(np.float32)


def assert_like(fitted, x, count, atol=1e-4):
    oracle = PCA(count, svd_solver="full").fit(np.asarray(x, np.float64))
    np.testing.assert_allclose(fitted.variance, oracle.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(fitted.ratio, oracle.explained_variance_ratio_, rtol=1e-4)
    np.testing.assert_allclose(fitted.components, oracle.components_, atol=atol)
    assert (np.abs(fitted.mean - oracle.mean_) < 1e-6 * (x.std(axis=0) + np.abs(oracle.mean_))).all()
    return oracle


@pytest.mark.parametrize("n, features, count", [(300, 16, 16), (40, 7, 5), (12, 40, 11)])
def test_on_badly_scaled_columns_it_is_that_of_scikit_learn_in_float64(n, features, count):
    x = mixed(n, features)
    result = fit_pca(x, count)
    oracle = assert_like(result, x, count)
    z = apply_pca(result, x)
    expected = oracle.transform(x.astype(np.float64))
    np.testing.assert_allclose(z / expected.std(axis=0), expected / expected.std(axis=0), atol=0.05)
    np.testing.assert_allclose(result.components @ result.components.T, np.eye(count), atol=1e-5)


def test_the_test_can_fail_for_decompositions_in_single_precision():
    x = mixed(300, 16)
    single = PCA(16, svd_solver="full").fit(x).explained_variance_
    double = PCA(16, svd_solver="full").fit(x.astype(np.float64)).explained_variance_
    assert np.abs(single / double - 1).max() > 0.1


def test_observables_of_jets():
    """In GeV and in powers of ten; the last component is empty, for one observable is the sum of others."""
    x = tabular(read_jets()[:300])
    assert_like(fit_pca(x, 15), x, 15)
    assert float(fit_pca(x, 16).variance[-1]) < 1e-9 * float(fit_pca(x, 16).variance[0])


def test_many_columns_go_to_lapack(monkeypatch):
    x = np.random.default_rng(0).normal(size=(41, 7)).astype(np.float32) * np.logspace(0, 2, 7, dtype=np.float32)
    monkeypatch.setattr(pca, "_ROTATED", 6)
    calls, svd = [], pca.jnp.linalg.svd
    monkeypatch.setattr(pca.jnp.linalg, "svd", lambda m: calls.append(m.shape) or svd(m))
    assert_like(fit_pca(x, 7), x, 7)
    assert calls == [(7, 7)]


@pytest.mark.parametrize("n, features", [(40, 7), (12, 40)])
def test_all_components_give_the_jets_back(n, features):
    x = np.random.default_rng(1).normal(size=(n, features)) + 5
    axes = fit_pca(x, min(n, features))
    np.testing.assert_allclose(invert_pca(axes, apply_pca(axes, x)), x, atol=1e-5)


def test_few_components_leave_out_what_the_rest_holds():
    x = np.random.default_rng(1).normal(size=(40, 7))
    part, every = fit_pca(x, 3), fit_pca(x, 7)
    lost = ((np.asarray(invert_pca(part, apply_pca(part, x))) - x) ** 2).sum()
    assert lost == pytest.approx(39 * float(every.variance[3:].sum()), rel=1e-4)
    np.testing.assert_allclose(np.cov(apply_pca(every, x), rowvar=False), np.diag(every.variance), atol=1e-5)
    assert float(every.ratio.sum()) == pytest.approx(1, abs=1e-6)


def test_signs_do_not_depend_on_the_jets_signs_or_order():
    x = np.random.default_rng(1).normal(size=(40, 7)).astype(np.float32)
    axes = fit_pca(x, 7)
    largest = np.abs(axes.components).argmax(axis=1)
    assert (np.asarray(axes.components)[np.arange(7), largest] > 0).all()
    for other in (-x, x[::-1].copy()):
        np.testing.assert_allclose(fit_pca(other, 7).components, axes.components, atol=1e-4)


def test_constant_columns_and_equal_jets():
    x = np.random.default_rng(1).normal(size=(40, 7)).astype(np.float32)
    x[:, [1, 4]] = 80.4
    axes = fit_pca(x, 7)
    assert np.abs(axes.components[:5, [1, 4]]).max() == 0
    assert axes.variance[5:].tolist() == [0, 0]
    np.testing.assert_allclose(axes.components @ axes.components.T, np.eye(7), atol=1e-5)
    nothing = fit_pca(np.full((40, 7), 3.0), 7)
    assert nothing.variance.tolist() == nothing.ratio.tolist() == [0] * 7


def test_what_the_host_holds_in_float64_is_centred_there():
    x = np.random.default_rng(1).normal(size=(40, 7))
    far, near = fit_pca(x + 1e6, 7), fit_pca(x, 7)
    np.testing.assert_allclose(far.variance, near.variance, rtol=1e-4)
    np.testing.assert_allclose(far.components, near.components, atol=1e-4)


def test_under_jit_it_is_the_same():
    x = np.random.default_rng(1).normal(size=(40, 7)).astype(np.float32)
    compiled = jax.jit(lambda x: (axes := fit_pca(x, 3), apply_pca(axes, x)))
    axes, z = compiled(x)
    np.testing.assert_allclose(axes.components, fit_pca(x, 3).components, atol=1e-5)
    np.testing.assert_allclose(z, apply_pca(axes, x), atol=1e-5)


GOOD = np.arange(12.0).reshape(4, 3) ** 2


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: fit_pca(GOOD, 4), "components: expected 1 to 3, for there are 3 features, found 4; ask for fewer"),
        (lambda: fit_pca(GOOD.T, 4), "components: expected 1 to 3, for there are 3 jets, found 4; ask for fewer"),
        (lambda: fit_pca(GOOD, 0), "components: expected 1 to 3, .* found 0"),
        (lambda: fit_pca(GOOD[:1], 1), "x: expected two jets or more, found 1"),
        (lambda: fit_pca(GOOD * np.nan, 1), "x: expected finite numbers, found 12 NaN or infinite, first in row 0"),
        (lambda: fit_pca(GOOD[0], 1), r"x: expected shape \(N, F\), a row for each jet, found \(3,\)"),
        (lambda: apply_pca(fit_pca(GOOD, 2), GOOD[:, :2]), "x: expected 3 columns, found 2; give the same features"),
        (lambda: invert_pca(fit_pca(GOOD, 2), GOOD), "z: expected 2 columns, found 3"),
        (lambda: jax.jit(lambda x: fit_pca(x, 4))(GOOD), "components: expected 1 to 3"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()

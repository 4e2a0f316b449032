"""Losses against scikit-learn, SciPy and plain NumPy."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import special, stats
from sklearn.metrics import log_loss, mean_pinball_loss, mean_squared_error

from hepjax.training import losses
from hepjax.types import Reconstruction

B, C = 40, 5


@pytest.fixture
def weights(rng):
    return rng.exponential(size=B)


def test_categorical_is_scikit_learns(rng, weights):
    logits, labels = rng.normal(size=(B, C)) * 3, rng.integers(C, size=B)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for w in (None, weights):
        oracle = log_loss(labels, p, sample_weight=w, labels=range(C))
        np.testing.assert_allclose(losses.categorical_cross_entropy(jnp.array(logits), labels, w), oracle, rtol=1e-5)


def test_binary_is_scikit_learns_and_the_two_class_case(rng, weights):
    logits, labels = rng.normal(size=B) * 3, rng.integers(2, size=B)
    found = losses.binary_cross_entropy(jnp.array(logits), jnp.array(labels), weights)
    np.testing.assert_allclose(found, log_loss(labels, 1 / (1 + np.exp(-logits)), sample_weight=weights), rtol=1e-5)
    both = jnp.stack([jnp.zeros(B), jnp.array(logits)], axis=1)
    np.testing.assert_allclose(found, losses.categorical_cross_entropy(both, labels, weights), rtol=1e-5)


def test_mean_squared_error_is_scikit_learns(rng, weights):
    a, b = rng.normal(size=(2, B, 3))
    oracle = mean_squared_error(b, a, sample_weight=weights)
    np.testing.assert_allclose(losses.mean_squared_error(jnp.array(a), jnp.array(b), weights), oracle, rtol=1e-5)


def test_gaussian_nll_is_scipys(rng):
    mean, log_variance, y = rng.normal(size=(3, B, 2))
    oracle = -stats.norm.logpdf(y, mean, np.exp(log_variance / 2)).mean()
    found = losses.gaussian_nll(jnp.array(np.concatenate([mean, log_variance], 1)), jnp.array(y))
    np.testing.assert_allclose(found, oracle, rtol=1e-5)


def test_gaussian_nll_is_least_when_the_width_is_right(rng):
    y = jnp.array(rng.normal(scale=3.0, size=(5000, 1)))

    def loss(s):
        return losses.gaussian_nll(jnp.concatenate([jnp.zeros_like(y), jnp.full_like(y, s)], 1), y)

    s = 0.0
    for _ in range(60):
        s -= jax.grad(loss)(s)
    np.testing.assert_allclose(np.exp(s / 2), float(jnp.sqrt(jnp.mean(y**2))), rtol=1e-4)


def test_huber_is_scipys(rng, weights):
    a, b = 3 * rng.normal(size=(2, B, 1))
    oracle = np.average(special.huber(1.5, a - b)[:, 0], weights=weights)
    np.testing.assert_allclose(losses.huber_loss(jnp.array(a), jnp.array(b), weights, delta=1.5), oracle, rtol=1e-5)


def test_quantile_loss_is_scikit_learns(rng, weights):
    outputs, y = rng.normal(size=(B, 3)), rng.normal(size=(B, 1))
    levels = (0.16, 0.5, 0.84)
    oracle = np.mean(
        [mean_pinball_loss(y, outputs[:, i], sample_weight=weights, alpha=level) for i, level in enumerate(levels)]
    )
    found = losses.quantile_loss(jnp.array(outputs), jnp.array(y), weights, levels=levels)
    np.testing.assert_allclose(found, oracle, rtol=1e-5)


@pytest.mark.parametrize("levels", [(), (0.0,), (0.5, 1.0)])
def test_levels_lie_between_0_and_1(levels):
    with pytest.raises(ValueError, match="between 0 and 1"):
        losses.quantile_loss(jnp.zeros((1, len(levels))), jnp.zeros((1, 1)), levels=levels)
    with pytest.raises(ValueError, match="delta above 0"):
        losses.huber_loss(jnp.zeros((1, 1)), jnp.zeros((1, 1)), delta=0)


CASES = {
    "binary": (losses.binary_cross_entropy, lambda r: r.normal(size=B), lambda r: r.integers(2, size=B)),
    "categorical": (losses.categorical_cross_entropy, lambda r: r.normal(size=(B, C)), lambda r: r.integers(C, size=B)),
    "squared": (losses.mean_squared_error, lambda r: r.normal(size=(B, 2)), lambda r: r.normal(size=(B, 2))),
    "huber": (losses.huber_loss, lambda r: 3 * r.normal(size=(B, 2)), lambda r: r.normal(size=(B, 2))),
    "quantiles": (
        partial(losses.quantile_loss, levels=(0.2, 0.8)),
        lambda r: r.normal(size=(B, 4)),
        lambda r: r.normal(size=(B, 2)),
    ),
    "gaussian": (losses.gaussian_nll, lambda r: r.normal(size=(B, 4)), lambda r: r.normal(size=(B, 2))),
}


@pytest.fixture(params=CASES)
def case(request, rng):
    loss, outputs, targets = CASES[request.param]
    x, y = outputs(rng), targets(rng)
    return jax.jit(loss), x.astype(np.float32), y.astype(np.int32 if y.dtype.kind == "i" else np.float32)


class TestContract:
    """Every loss."""

    def test_weight_two_is_the_example_twice(self, case):
        loss, outputs, targets = case
        twice = [np.concatenate([x, x[:7]]) for x in (outputs, targets)]
        weights = np.where(np.arange(B) < 7, 2, 1).astype(np.float32)
        np.testing.assert_allclose(loss(outputs, targets, weights), loss(*twice), rtol=1e-5)

    def test_masked_and_weightless_examples_count_nowhere(self, case):
        loss, outputs, targets = case
        kept = loss(outputs[:30], targets[:30])
        mask, spoilt = np.arange(B) < 30, outputs.copy()
        spoilt[30:] = np.nan
        for call in (
            lambda x: loss(x, targets, mask=mask),
            lambda x: loss(x, targets, mask.astype(np.float32)),
            lambda x: loss(x, targets, np.ones(B, np.float32), mask=mask),
        ):
            value_and_grad = jax.jit(jax.value_and_grad(call))
            np.testing.assert_allclose(value_and_grad(spoilt)[0], kept, rtol=1e-5)
            for given in (outputs, spoilt):
                grad = np.asarray(value_and_grad(given)[1])
                assert np.isfinite(grad).all()
                assert (grad[30:] == 0).all()

    def test_targets_of_masked_examples_count_nowhere(self, case):
        loss, outputs, targets = case
        spoilt = targets.copy()
        spoilt[30:] = np.nan if targets.ndim == 2 else 0
        value, grad = jax.jit(jax.value_and_grad(lambda x: loss(x, spoilt, mask=np.arange(B) < 30)))(outputs)
        np.testing.assert_allclose(value, loss(outputs[:30], targets[:30]), rtol=1e-5)
        assert np.isfinite(grad).all()

    def test_shapes_that_do_not_fit_are_refused(self, case):
        loss, outputs, targets = case
        for given in (targets[:-1], targets[..., None], targets[:1]):
            with pytest.raises(ValueError, match="do not fit"):
                loss(outputs, given)
        with pytest.raises(ValueError, match="weights: expected shape"):
            loss(outputs, targets, np.ones((B, 1)))
        with pytest.raises(ValueError, match="mask: expected shape"):
            loss(outputs, targets, mask=np.ones((B, 1), bool))

    def test_no_example_is_zero_not_nan(self, case):
        loss, outputs, targets = case
        value, grad = jax.jit(jax.value_and_grad(lambda x: loss(x, targets, np.zeros(B, np.float32))))(outputs)
        assert value == 0
        assert (grad == 0).all()

    def test_gradient(self, case):
        loss, outputs, targets = case
        with jax.enable_x64(True):
            x = jnp.asarray(outputs, jnp.float64)
            check_grads(lambda x: loss(x, targets), (x,), order=1, modes=["rev"])

    def test_extreme_outputs(self, case):
        loss, outputs, targets = case
        value, grad = jax.jit(jax.value_and_grad(lambda x: loss(x, targets)))(outputs * 20)
        assert np.isfinite(value)
        assert np.isfinite(grad).all()


def test_class_weights(rng):
    logits, labels = jnp.array(rng.normal(size=(B, C))), jnp.array(rng.integers(C, size=B))
    weights = jnp.array([1.0, 2.0, 0.0, 0.5, 3.0])
    found = losses.categorical_cross_entropy(logits, labels, class_weights=weights)
    np.testing.assert_allclose(found, losses.categorical_cross_entropy(logits, labels, weights[labels]), rtol=1e-6)


def test_smoothed_labels(rng):
    """The cross-entropy with a label of which a share is divided among all classes."""
    logits, labels, weights = rng.normal(size=(B, C)), rng.integers(C, size=B), rng.uniform(size=B)
    found = losses.categorical_cross_entropy(jnp.asarray(logits), jnp.asarray(labels), weights, smoothing=0.2)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    each = -np.sum((0.8 * np.eye(C)[labels] + 0.2 / C) * log_p, axis=1)
    np.testing.assert_allclose(found, np.average(each, weights=weights), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, bool, np.int64])
def test_class_weights_of_binary_labels_of_any_type(rng, dtype):
    logits, labels, weights = jnp.array(rng.normal(size=B)), rng.integers(2, size=B), np.array([1.0, 3.0])
    found = losses.binary_cross_entropy(logits, labels.astype(dtype), class_weights=weights)
    np.testing.assert_allclose(found, losses.binary_cross_entropy(logits, labels, weights[labels]), rtol=1e-6)


def test_class_weights_of_another_number_of_classes_are_refused(rng):
    with pytest.raises(ValueError, match=r"class_weights: expected shape \(5,\), found \(4,\)"):
        losses.categorical_cross_entropy(jnp.zeros((B, C)), jnp.zeros(B, int), class_weights=jnp.ones(4))


def test_a_column_of_targets_is_not_paired_with_every_output():
    with pytest.raises(ValueError, match=r"gaussian_nll: outputs of shape \(4, 2\) do not fit targets of shape \(4,\)"):
        losses.gaussian_nll(jnp.zeros((4, 2)), jnp.zeros(4))


def test_balanced_class_weights_make_classes_equal(rng):
    labels = jnp.array([0] * 10 + [1] * 30 + [3] * 2)
    weights = losses.balanced_class_weights(labels, 5)
    totals = np.bincount(labels, weights=weights[labels], minlength=5)
    np.testing.assert_allclose(totals[[0, 1, 3]], 42 / 5, rtol=1e-6)
    assert weights[2] == weights[4] == 0


class TestPenalty:
    params = {"Dense_0": {"kernel": jnp.array([[1.0, -2.0], [0.0, 3.0]]), "bias": jnp.array([50.0, 60.0])}}  # noqa: RUF012

    @pytest.mark.parametrize("p, expected", [(1, 6.0), (2, 14.0), (3, 36.0), (0.5, 1 + 2**0.5 + 3**0.5)])
    def test_values_and_exempt_biases(self, p, expected):
        np.testing.assert_allclose(losses.make_penalty({p: 0.1})(self.params), 0.1 * expected, rtol=1e-6)

    def test_combine(self):
        np.testing.assert_allclose(losses.make_penalty({1: 0.5, 2: 0.25})(self.params), 3.0 + 3.5, rtol=1e-6)
        assert losses.make_penalty({})(self.params) == 0

    @pytest.mark.parametrize("p", [0.5, 1, 1.5, 2])
    def test_gradients_are_finite_at_zero(self, p):
        grads = jax.grad(losses.make_penalty({p: 1.0}))(self.params)["Dense_0"]
        assert np.isfinite(grads["kernel"]).all()
        assert (grads["bias"] == 0).all()
        np.testing.assert_allclose(grads["kernel"][0], [p, -p * 2 ** (p - 1)], rtol=1e-6)

    @pytest.mark.parametrize("strengths", [{0: 1.0}, {-1: 1.0}, {1: -0.1}])
    def test_refused(self, strengths):
        with pytest.raises(ValueError, match="penalty"):
            losses.make_penalty(strengths)


def reconstruction(rng, latent=3):
    return Reconstruction(*(rng.normal(size=(B, *shape)) for shape in ((4, 2), (latent,), (latent,))))


def test_kl_divergence_is_that_of_normal_distributions(rng):
    """Against SciPy's densities, averaged over draws; each code is one example."""
    outputs = reconstruction(rng, latent=1)
    mean, width = np.asarray(outputs.mean), np.exp(np.asarray(outputs.log_variance) / 2)
    z = mean + width * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    oracle = (stats.norm.logpdf(z, mean, width) - stats.norm.logpdf(z)).mean(axis=1)
    np.testing.assert_allclose(losses.kl_divergence(outputs), oracle, rtol=2e-3, atol=2e-3)
    assert (np.asarray(losses.kl_divergence(reconstruction(rng, latent=0))) == 0).all()


def test_reconstruction_error_is_scikit_learns(rng, weights):
    outputs, x = reconstruction(rng), rng.normal(size=(B, 4, 2))
    oracle = mean_squared_error(x.reshape(B, -1), outputs.values.reshape(B, -1), sample_weight=weights)
    np.testing.assert_allclose(losses.reconstruction_error(outputs, x, weights), oracle, rtol=1e-5)
    each = losses.autoencoder_distance(outputs, x)
    np.testing.assert_allclose(np.average(each, weights=weights) / 8, oracle, rtol=1e-5)


def test_negative_elbo_adds_a_gaussian_likelihood_and_the_divergence(rng, weights):
    outputs, x = reconstruction(rng), rng.normal(size=(B, 4, 2))
    likelihood = stats.norm.logpdf(x, outputs.values, np.sqrt(0.3)).sum((1, 2)) - 8 * stats.norm.logpdf(
        0, 0, np.sqrt(0.3)
    )
    oracle = np.average(2 * np.asarray(losses.kl_divergence(outputs)) - likelihood, weights=weights)
    np.testing.assert_allclose(losses.negative_elbo(outputs, x, weights, beta=2.0, variance=0.3), oracle, rtol=1e-5)


def test_what_does_not_count_changes_neither_the_elbo_nor_its_gradients(rng):
    x, w = rng.normal(size=(B, 4, 2)), np.arange(B) % 3 > 0
    outputs = reconstruction(rng)
    wild = jax.tree.map(lambda a: np.where(w.reshape(B, *[1] * (a.ndim - 1)), a, np.nan), outputs)
    value, grads = jax.jit(jax.value_and_grad(losses.negative_elbo))(wild, jnp.array(x), w.astype(float))
    np.testing.assert_allclose(value, losses.negative_elbo(jax.tree.map(lambda a: a[w], outputs), x[w]), rtol=1e-5)
    for grad in grads:
        assert (np.asarray(grad)[~w] == 0).all()
        assert (np.asarray(grad)[w] != 0).any()


@pytest.mark.parametrize("wrong", [{"beta": -1.0}, {"variance": 0.0}, {"variance": np.nan}])
def test_negative_elbo_refuses_what_is_no_bound(rng, wrong):
    with pytest.raises(ValueError, match="expected beta of 0 or more and variance above 0"):
        losses.negative_elbo(reconstruction(rng), np.zeros((B, 4, 2)), **wrong)


def test_reconstructions_must_have_the_shape_of_the_inputs(rng):
    for loss in (losses.autoencoder_distance, losses.reconstruction_error, losses.negative_elbo):
        with pytest.raises(ValueError, match="do not fit targets of shape"):
            loss(reconstruction(rng), np.zeros((B, 4, 1)))


def test_the_mean_of_what_a_network_answers_has_no_gradient_where_nothing_counts():
    answers, weights = jnp.array([1.0, 4.0, jnp.nan, jnp.inf]), jnp.array([2.0, 1.0, 0.0, 0.0])
    assert losses.mean_network_loss(answers, None, weights) == 2
    np.testing.assert_allclose(jax.grad(losses.mean_network_loss)(answers, None, weights), [2 / 3, 1 / 3, 0, 0])
    assert losses.mean_network_loss(answers, None, jnp.ones(4)) != 2


class TestNegativeWeights:
    """Jets of negative weight take away what others have given."""

    @staticmethod
    def gradient(logits, labels, weights):
        return jax.value_and_grad(losses.categorical_cross_entropy)(logits, labels, weights)

    def test_opposite_weights_of_one_jet_cancel(self, rng):
        logits, labels = jnp.asarray(rng.normal(size=(4, 3))), jnp.array([0, 1, 2, 2])
        loss, of_each = self.gradient(logits, labels, jnp.ones(4))
        doubled, with_pair = self.gradient(
            jnp.concatenate([logits, logits[:1], logits[:1]]),
            jnp.concatenate([labels, labels[:1], labels[:1]]),
            jnp.array([1.0, 1, 1, 1, 1, -1]),
        )
        # The pair adds its size, 2, to the 4 that the sum is divided by, and nothing else.
        assert float(doubled) == pytest.approx(float(loss) * 4 / 6, rel=1e-6)
        np.testing.assert_allclose(with_pair[1:4], of_each[1:4] * 4 / 6, rtol=1e-6)
        np.testing.assert_array_equal(with_pair[4], -with_pair[5])

    def test_are_a_weighted_sum_over_sizes(self, rng):
        logits, labels = jnp.asarray(rng.normal(size=(B, 3))), jnp.asarray(rng.integers(0, 3, B))
        weights = rng.integers(-2, 4, B)
        each = -np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[np.arange(B), labels]
        repeated = np.repeat(np.sign(weights) * each, np.abs(weights))
        found = losses.categorical_cross_entropy(logits, labels, jnp.asarray(weights, jnp.float32))
        assert float(found) == pytest.approx(float(repeated.mean()), rel=1e-5)

    @pytest.mark.parametrize("weights", [[1.0, -1.0], [1.0, -1.0 - 1e-6], [-1.0, -1.0], [0.0, 0.0]])
    def test_batches_of_little_weight_do_not_explode(self, weights):
        loss, gradient = self.gradient(jnp.array([[0.0, 3.0], [1.0, 0.0]]), jnp.array([0, 1]), jnp.array(weights))
        assert abs(float(loss)) <= 3.1
        assert float(jnp.abs(gradient).max()) <= 1

    def test_nan_of_weight_0_has_no_effect_among_them(self):
        logits = jnp.array([[0.0, 3.0], [jnp.nan, 0.0]])
        loss, gradient = self.gradient(logits, jnp.array([0, 1]), jnp.array([-1.0, 0.0]))
        assert float(loss) < 0
        assert not gradient[1].any()

"""What every model promises; one contract for all of them."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.preprocessing import PolynomialFeatures

from hepjax import models
from hepjax.models import activations
from hepjax.types import Activation, Norm

F, B, C = 6, 10, 5

MODELS = {
    "linear": models.Linear(outputs=C),
    "polynomial": models.Linear(outputs=C, degree=3),
    "logistic": models.Logistic(classes=C),
    "mlp": models.MLP(hidden=(8, 7)),
    "mlp without hidden layers": models.MLP(hidden=()),
    "mlp with dropout": models.MLP(hidden=(8, 7), dropout=0.5),
    "mlp with batch norm": models.MLP(hidden=(8, 7), norm=Norm.BATCH),
    "mlp with layer norm": models.MLP(hidden=(8, 7), norm=Norm.LAYER),
    "mlp with a learned slope": models.MLP(hidden=(8, 7), activation=Activation.PRELU),
    "mlp with maxout": models.MLP(hidden=(8, 7), activation=Activation.MAXOUT),
    "mlp with a function": models.MLP(hidden=(8, 7), activation=jnp.sin),
}


@pytest.fixture(params=MODELS, ids=str)
def model(request):
    return MODELS[request.param]


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.normal(size=(B, F)), jnp.float32)


def start(model, x, seed=0):
    return models.initialise(model, jax.random.key(seed), x)


def make_apply(model):
    return jax.jit(models.make_apply(model))


class TestContract:
    def test_logits(self, model, x):
        params, state = start(model, x)
        logits, after = make_apply(model)(params, state, x, jnp.ones(B, bool), None)
        chex.assert_shape(logits, (B, C))
        chex.assert_type(logits, jnp.float32)
        chex.assert_tree_all_finite(logits)
        chex.assert_trees_all_equal(after, state)

    def test_pure(self, model, x):
        params, state = start(model, x)
        apply, mask = make_apply(model), jnp.ones(B, bool)
        for key in (None, jax.random.key(3)):
            chex.assert_trees_all_equal(apply(params, state, x, mask, key), apply(params, state, x, mask, key))
        chex.assert_trees_all_equal(start(model, x), start(model, x))

    def test_jets_do_not_see_each_other(self, model, x):
        params, state = start(model, x)
        apply = make_apply(model)
        whole = apply(params, state, x, jnp.ones(B, bool), None)[0]
        alone = jnp.concatenate([apply(params, state, row[None], jnp.ones(1, bool), None)[0] for row in x])
        chex.assert_trees_all_close(whole, alone, atol=1e-5)

    def test_padding_rows_change_nothing(self, model, x):
        """In training too: batch statistics leave padding out."""
        if getattr(model, "dropout", 0):
            pytest.skip("dropout draws depend on the batch's shape")
        params, state = start(model, x)
        apply, key = make_apply(model), jax.random.key(0)
        short, state_short = apply(params, state, x[:6], jnp.ones(6, bool), key)
        padded = jnp.concatenate([x[:6], 100 * jnp.ones((4, F))])
        long, state_long = apply(params, state, padded, jnp.arange(B) < 6, key)
        chex.assert_trees_all_close((short, state_short), (long[:6], state_long), rtol=1e-4, atol=1e-5)

    def test_compiled_once_and_the_same(self, model, x):
        params, state = start(model, x)
        apply = make_apply(model)
        plain = apply(params, state, x, jnp.ones(B, bool), None)[0]
        chex.clear_trace_counter()
        compiled = jax.jit(chex.assert_max_traces(models.make_apply(model), n=1))
        for _ in range(3):
            chex.assert_trees_all_close(compiled(params, state, x, jnp.ones(B, bool), None)[0], plain, atol=1e-5)

    def test_gradients_are_finite_differences(self, model, x):
        with jax.enable_x64(True):
            wide = jnp.asarray(x, jnp.float64)
            params, state = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), start(model, x))
            apply, v = make_apply(model), np.random.default_rng(1)
            direction = jax.tree.map(lambda a: jnp.asarray(v.normal(size=a.shape)), params)

            def f(t):
                moved = jax.tree.map(lambda a, d: a + t * d, params, direction)
                return jnp.sum(jnp.sin(apply(moved, state, wide, jnp.ones(B, bool), None)[0]))

            f, h = jax.jit(f), 1e-6
            slope = (f(h) - f(-h)) / (2 * h)
            np.testing.assert_allclose(jax.grad(f)(0.0), slope, rtol=2e-4, atol=1e-6)


def test_dropout_draws_from_the_key(x):
    model = MODELS["mlp with dropout"]
    params, state = start(model, x)
    apply, mask = make_apply(model), jnp.ones(B, bool)
    one, other = (apply(params, state, x, mask, jax.random.key(i))[0] for i in range(2))
    assert not jnp.allclose(one, other)


def test_batch_norm_keeps_running_averages(x):
    model = MODELS["mlp with batch norm"]
    params, state = start(model, x)
    _, after = make_apply(model)(params, state, x, jnp.ones(B, bool), jax.random.key(0))
    assert not np.allclose(jax.tree.leaves(after)[0], jax.tree.leaves(state)[0])


def test_mlp_by_hand(x):
    params, state = start(MODELS["mlp"], x)
    h = np.asarray(x)
    for i in range(3):
        layer = params[f"Dense_{i}"]
        h = h @ layer["kernel"] + layer["bias"]
        h = np.maximum(h, 0) if i < 2 else h
    chex.assert_trees_all_close(make_apply(MODELS["mlp"])(params, state, x, None, None)[0], h, atol=1e-5)


def test_published_size():
    """The dense tagger of arXiv:1908.05318, table 4: 14,725 parameters."""
    params, _ = start(models.MLP(hidden=(80, 80, 80), activation=Activation.ELU, dropout=0.1), jnp.zeros((1, 16)))
    assert sum(p.size for p in jax.tree.leaves(params)) == 14_725


def test_binary_logistic_gives_log_odds(x):
    model = models.Logistic(classes=2)
    params, state = start(model, x)
    chex.assert_shape(make_apply(model)(params, state, x, None, None)[0], (B,))


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_polynomial_basis_is_scikit_learns(x, degree):
    oracle = PolynomialFeatures(degree, include_bias=False).fit_transform(np.asarray(x, np.float64))
    np.testing.assert_allclose(models.polynomial_basis(x, degree), oracle, rtol=1e-4, atol=1e-5)


def test_polynomial_degree_below_one_is_refused(x):
    with pytest.raises(ValueError, match="degree"):
        models.polynomial_basis(x, 0)


FORMULAS = {
    Activation.IDENTITY: lambda x: x,
    Activation.BINARY_STEP: lambda x: (x >= 0) * 1.0,
    Activation.SIGMOID: lambda x: 1 / (1 + np.exp(-x)),
    Activation.TANH: np.tanh,
    Activation.ARCTAN: np.arctan,
    Activation.RELU: lambda x: np.maximum(x, 0),
    Activation.LEAKY_RELU: lambda x: np.where(x > 0, x, 0.01 * x),
    Activation.PRELU: lambda x: np.where(x > 0, x, 0.25 * x),
    Activation.ELU: lambda x: np.where(x > 0, x, np.expm1(x)),
    Activation.SELU: lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    Activation.GELU: lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    Activation.SOFTPLUS: lambda x: np.log1p(np.exp(x)),
    Activation.MAXOUT: lambda x: x.reshape(*x.shape[:-1], -1, 2).max(-1),
}


@pytest.mark.parametrize("activation", Activation)
def test_activation_formulas(activation):
    x = np.linspace(-3, 3, 14, dtype=np.float32).reshape(2, 7, 1).repeat(2, axis=2) * np.array([1, -0.5], np.float32)
    module = activations.Activate(activation)
    found = module.apply(module.init(jax.random.key(0), x), x)
    np.testing.assert_allclose(found, FORMULAS[activation](x), rtol=1e-5, atol=1e-6)


def test_maxout_needs_whole_groups():
    with pytest.raises(ValueError, match="multiple"):
        activations.maxout(jnp.zeros(5), 2)

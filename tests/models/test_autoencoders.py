"""Autoencoders: their equations in float64, draws of codes, conditions, convolutions against Flax's own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hepjax import InputError, models
from hepjax.choices import Activation
from hepjax.models import conv_autoencoder
from hepjax.types import Conditioned

F, K, L = 6, 2, 3


def drawn(model, x):
    """Parameters that are not 0."""
    rng = np.random.default_rng(4)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x))
    return jax.tree.map(lambda a: jnp.asarray(0.4 * rng.normal(size=a.shape), a.dtype), shapes)


def perceptron(layers, x, act=np.tanh):
    x = np.asarray(x, np.float64)
    for i in range(len(layers)):
        x = x @ np.asarray(layers[f"Dense_{i}"]["kernel"], np.float64) + np.asarray(layers[f"Dense_{i}"]["bias"])
        x = act(x) if i + 1 < len(layers) else x
    return x


@pytest.fixture(scope="module")
def jets():
    rng = np.random.default_rng(5)
    return Conditioned(rng.normal(size=(7, F)).astype(np.float32), np.eye(K, dtype=np.float32)[[0, 1, 1, 0, 0, 1, 0]])


@pytest.fixture(scope="module")
def conditioned(jets):
    model = models.VariationalAutoencoder(outputs=F, hidden=(5, 4), latent=L)
    return model, drawn(model, jets)


def test_autoencoder_is_two_perceptrons(jets):
    model = models.Autoencoder(outputs=F, hidden=(5, 4), latent=L)
    variables = drawn(model, jets.values)
    found = model.apply(variables, jets.values)
    code = perceptron(variables["params"]["encoder"], jets.values)
    np.testing.assert_allclose(found.mean, code, atol=1e-5)
    np.testing.assert_allclose(found.values, perceptron(variables["params"]["decoder"], code), atol=1e-5)
    assert found.log_variance.shape == (7, 0)


def test_variational_autoencoder_decodes_the_mean_when_asked(jets, conditioned):
    model, variables = conditioned
    found = model.apply(variables, jets)
    raw = perceptron(variables["params"]["encoder"], np.concatenate(jets, axis=1))
    np.testing.assert_allclose(found.mean, raw[:, :L], atol=1e-5)
    np.testing.assert_allclose(found.log_variance, 10 * np.tanh(raw[:, L:] / 10), atol=1e-5)
    told = np.concatenate([found.mean, jets.condition], axis=1)
    np.testing.assert_allclose(found.values, perceptron(variables["params"]["decoder"], told), atol=1e-5)
    again = model.apply(variables, found.mean, jets.condition, method="decode")
    np.testing.assert_array_equal(found.values, again)


def test_variational_autoencoder_draws_codes_while_training(conditioned):
    """The decoder is made the identity on the code, so that its answers are the draws."""
    model = models.VariationalAutoencoder(outputs=L, hidden=(), latent=L)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, L)), jnp.float32)
    variables = drawn(model, x)
    variables["params"]["decoder"]["Dense_0"] = {"kernel": jnp.eye(L), "bias": jnp.zeros(L)}
    many = jnp.repeat(x, 20_000, axis=0)
    found = model.apply(variables, many, train=True, rngs={"dropout": jax.random.key(2)})
    np.testing.assert_allclose(found.values.mean(0), found.mean[0], atol=0.03)
    np.testing.assert_allclose(found.values.var(0), np.exp(found.log_variance[0]), rtol=0.05)
    correlation = np.corrcoef(np.asarray(found.values).T) - np.eye(L)
    assert np.abs(correlation).max() < 0.03


def test_the_condition_is_heard_by_both(jets, conditioned):
    model, variables = conditioned
    other = jets._replace(condition=1 - jets.condition)
    a, b = model.apply(variables, jets), model.apply(variables, other)
    assert (np.abs(a.mean - b.mean).max(axis=1) > 1e-3).all()
    z = jnp.zeros((7, L))
    decoded = [model.apply(variables, z, some.condition, method="decode") for some in (jets, other)]
    assert (np.abs(decoded[0] - decoded[1]).max(axis=1) > 1e-3).all()


def test_log_variances_stay_finite_however_wild_the_input(jets):
    model = models.VariationalAutoencoder(outputs=F, hidden=(), latent=L)
    wild = 1e6 * jets.values
    found = model.apply(drawn(model, wild), wild)
    assert np.abs(found.log_variance).max() <= 10


@pytest.mark.parametrize("stride, channels", [(2, 3), (4, 1)])
def test_blocks_of_pixels_become_channels_and_pixels_again(rng, stride, channels):
    x = rng.normal(size=(2, 8, 12, channels)).astype(np.float32)
    gathered = conv_autoencoder._gather_pixels_to_channels(x, stride)
    for i, j in ((0, 0), (1, 2)):
        block = x[:, stride * i : stride * (i + 1), stride * j : stride * (j + 1)]
        np.testing.assert_array_equal(gathered[:, i, j], block.reshape(2, -1))
    np.testing.assert_array_equal(conv_autoencoder._spread_channels_to_pixels(gathered, stride), x)


def test_looking_around_is_flaxs_convolution(rng):
    x, kernel = rng.normal(size=(2, 5, 4, 3)).astype(np.float32), rng.normal(size=(3, 3, 3, 2)).astype(np.float32)
    oracle = nn.Conv(2, (3, 3), use_bias=False).apply({"params": {"kernel": kernel}}, x)
    np.testing.assert_allclose(conv_autoencoder._stack_neighbor_pixels(x) @ kernel.reshape(-1, 2), oracle, atol=1e-5)


def test_conv_autoencoder_gives_images_back_through_a_code(rng):
    x = rng.normal(size=(3, 8, 12, 2)).astype(np.float32)
    model = models.ConvAutoencoder(filters=(3, 5), strides=(2, 2), latent=4, activation=Activation.TANH)
    variables = drawn(model, x)
    found = jax.jit(lambda x: model.apply(variables, x))(x)
    assert (found.values.shape, found.mean.shape, found.log_variance.shape) == (x.shape, (3, 4), (3, 0))
    p = variables["params"]

    def layer(i, y):
        return y @ p[f"Dense_{i}"]["kernel"] + p[f"Dense_{i}"]["bias"]

    y = x
    for i in range(2):
        y = np.tanh(
            layer(i, conv_autoencoder._stack_neighbor_pixels(conv_autoencoder._gather_pixels_to_channels(y, 2)))
        )
    code = layer(2, y.reshape(3, -1))
    y = np.tanh(layer(3, code)).reshape(y.shape)
    y = conv_autoencoder._spread_channels_to_pixels(np.tanh(layer(4, conv_autoencoder._stack_neighbor_pixels(y))), 2)
    y = conv_autoencoder._spread_channels_to_pixels(layer(5, conv_autoencoder._stack_neighbor_pixels(y)), 2)
    assert set(p) == {f"Dense_{i}" for i in range(6)}
    np.testing.assert_allclose(found.mean, code, atol=1e-5)
    np.testing.assert_allclose(found.values, y, atol=1e-5)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"pixels": 10}, "--strides: expected a product that divides the 10 --pixels"),
        ({"filters": (4,)}, "--strides: expected one for each of the 1 --filters"),
    ],
)
def test_strides_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        models.check_model(models.ConvAutoencoder(**changes))


@pytest.mark.parametrize("variational", [False, True])
def test_image_autoencoder_is_that_of_its_pixels(rng, variational):
    x = rng.normal(size=(3, 4, 5, 1)).astype(np.float32)
    model = models.ImageAutoencoder(hidden=(6,), latent=2, variational=variational)
    variables = drawn(model, x)
    found = model.apply(variables, x)
    kind = models.VariationalAutoencoder if variational else models.Autoencoder
    flat = kind(hidden=(6,), latent=2, outputs=20).apply({"params": variables["params"]["network"]}, x.reshape(3, 20))
    np.testing.assert_array_equal(found.values.reshape(3, 20), flat.values)
    np.testing.assert_array_equal(found.mean, flat.mean)
    assert model.is_variational() is variational
    assert found.log_variance.shape == ((3, 2) if variational else (3, 0))

"""Convolutional networks against loops in float64 and against Flax's own layers."""

from __future__ import annotations

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hepjax import InputError, models
from hepjax.choices import Activation, Norm
from hepjax.models.layers import activations, convolutions
from hepjax.types import Sequences


def convolved(x, kernel, bias):
    """Padding "SAME", written as loops: (B, ..., channels) → (B, ..., filters)."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    sizes, k = x.shape[1:-1], kernel.shape[0]
    found = np.zeros((*x.shape[:-1], kernel.shape[-1])) + np.asarray(bias, np.float64)
    for place in itertools.product(*map(range, sizes)):
        for shift in itertools.product(range(k), repeat=len(sizes)):
            source = tuple(a + b - (k - 1) // 2 for a, b in zip(place, shift, strict=True))
            if all(0 <= a < size for a, size in zip(source, sizes, strict=True)):
                found[(slice(None), *place)] += x[(slice(None), *source)] @ kernel[shift]
    return found


def pooled(x, pool):
    sizes = [size // pool for size in x.shape[1:-1]]
    found = np.zeros((len(x), *sizes, x.shape[-1]))
    for place in itertools.product(*map(range, sizes)):
        window = tuple(slice(a * pool, (a + 1) * pool) for a in place)
        found[(slice(None), *place)] = x[(slice(None), *window)].max(axis=tuple(range(1, x.ndim - 1)))
    return found


def by_hand(params, x, layers, pool):
    for i in range(layers):
        x = pooled(np.tanh(convolved(x, **params[f"Conv_{i}"])), pool)
    x = x.reshape(len(x), -1)
    dense = params["MLP_0"]
    hidden = np.tanh(x @ dense["Dense_0"]["kernel"] + dense["Dense_0"]["bias"])
    return hidden @ dense["Dense_1"]["kernel"] + dense["Dense_1"]["bias"]


def drawn(model, inputs, rng):
    """Parameters and state of the right shapes; without compiling the start, and with biases that are not 0."""
    shapes = jax.eval_shape(lambda: models.initialize(model, jax.random.key(0), inputs))
    return jax.tree.map(lambda a: jnp.asarray(0.5 + 0.4 * rng.normal(size=a.shape), a.dtype), shapes)


class FromFlax(nn.Module):
    """The same convolutions, out of Flax's layers."""

    filters: tuple[int, ...]
    kernels: tuple[int, ...]
    pool: int

    @nn.compact
    def __call__(self, x):
        axes = x.ndim - 2
        for width, kernel in zip(self.filters, self.kernels, strict=True):
            x = jnp.tanh(nn.Conv(width, (kernel,) * axes)(x))
            x = nn.max_pool(x, (self.pool,) * axes, (self.pool,) * axes)
        x = x.reshape(len(x), -1)
        return models.MLP(hidden=(6,), activation=Activation.TANH, outputs=5)(x)


SHAPES = [((3, 2), (3, 2), 2, (9, 7)), ((3,), (5,), 3, (7, 8)), ((2, 3), (1, 4), 1, (4, 3))]


@pytest.mark.parametrize("filters, kernels, pool, size", SHAPES)
@pytest.mark.parametrize("axes", [1, 2])
def test_loops_and_flax_say_the_same(filters, kernels, pool, size, axes, rng):
    x = jnp.asarray(rng.normal(size=(2, *size[:axes], 2)), jnp.float32)
    kind = models.ConvNet if axes == 2 else models.ConvNet1D
    model = kind(filters=filters, kernels=kernels, pool=pool, hidden=(6,), activation=Activation.TANH, outputs=5)
    inputs = x if axes == 2 else Sequences(x, jnp.ones(x.shape[:2], bool))
    params, _ = drawn(model, inputs, rng)
    flax = FromFlax(filters, kernels, pool)

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def answer(params):
        logits = model.apply({"params": params}, inputs), flax.apply({"params": params}, x)
        return sum(jnp.sum(jnp.sin(each) * sign) for each, sign in zip(logits, (1, -1), strict=True)), logits

    (_, (found, from_flax)), difference = answer(params)
    np.testing.assert_allclose(found, by_hand(params, x, len(filters), pool), atol=1e-5)
    np.testing.assert_allclose(found, from_flax, atol=1e-5)
    jax.tree.map(lambda a: np.testing.assert_allclose(a, 0, atol=3e-5), difference)


def test_the_start_is_that_of_flax():
    x = jnp.ones((1, 8, 8, 2))
    params, _ = models.initialize(
        models.ConvNet(filters=(3,), kernels=(3,), pool=2, hidden=(6,), outputs=5), jax.random.key(0), x
    )
    flax = jax.jit(FromFlax((3,), (3,), 2).init)(jax.random.key(0), x)["params"]
    jax.tree.map(np.testing.assert_array_equal, params, flax)


def test_published_size():
    """The convolutional tagger of arXiv:1908.05318, table 4: 205,525 parameters."""
    model = models.ConvNet(
        filters=(10,),
        kernels=(3,),
        pool=5,
        hidden=(50, 50, 50),
        activation=Activation.ELU,
        dropout=0.1,
        norm=Norm.BATCH,
        outputs=5,
    )
    # The published head has no batch norm.
    params, _ = jax.eval_shape(lambda: models.initialize(model, jax.random.key(0), jnp.zeros((1, 100, 100, 1))))
    head = params["MLP_0"]
    extra = sum(leaf.size for name, layer in head.items() if "Norm" in name for leaf in jax.tree.leaves(layer))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) - extra == 205_525


def statistics(model, inputs, mask, rng):
    """The mean and variance in the running averages after one step; and the parameters."""
    params, state = drawn(model, inputs, rng)
    state["batch_steps"] = jax.tree.map(jnp.zeros_like, state["batch_steps"])
    _, after = jax.jit(models.make_apply(model))(params, state, inputs, mask, jax.random.key(0))
    return [after["batch_stats"]["BatchNorm_0"][key] for key in ("mean", "var")], params


def test_batch_statistics_count_pixels_of_true_examples(rng):
    x = jnp.asarray(rng.normal(size=(5, 7, 6, 1)), jnp.float32).at[2].set(0)
    (mean, var), params = statistics(
        models.ConvNet(filters=(3,), kernels=(3,), pool=2, hidden=(4,), norm=Norm.BATCH, outputs=5),
        x,
        np.arange(5) < 4,
        rng,
    )
    answers = convolved(x[jnp.array([0, 1, 3])], **params["Conv_0"])[:, :6].reshape(-1, 3)
    np.testing.assert_allclose(mean, answers.mean(0), atol=1e-4)
    np.testing.assert_allclose(var, answers.var(0), atol=1e-3)


def test_batch_statistics_count_particles(rng):
    mask = np.arange(7) < np.array([2, 7, 5, 0, 6])[:, None]
    x = jnp.asarray(np.where(mask[..., None], rng.normal(size=(5, 7, 2)), 0), jnp.float32)
    model = models.ConvNet1D(filters=(3,), kernels=(3,), pool=2, hidden=(4,), norm=Norm.BATCH, outputs=5)
    (mean, var), params = statistics(model, Sequences(x, jnp.asarray(mask)), np.arange(5) < 4, rng)
    answers = convolved(x, **params["Conv_0"])[:4, :6][mask[:4, :6]]
    np.testing.assert_allclose(mean, answers.mean(0), atol=1e-4)
    np.testing.assert_allclose(var, answers.var(0), atol=1e-3)


def test_the_largest_keeps_its_gradient(rng):
    """Also where the compiler fuses a multiplication and an addition in one use of a place, and not in the other."""
    x = rng.normal(size=(20, 8, 8, 2))
    model = models.ConvNet(filters=(4,), kernels=(3,), pool=2, hidden=(), norm=Norm.BATCH, outputs=5)
    params, state = jax.tree.map(np.float64, drawn(model, x, rng))
    plain = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

    def total(params):
        return jnp.sum(jnp.sin(model.apply({"params": params, **state}, x)))

    with jax.enable_x64(True):
        lowered = jax.jit(jax.grad(total)).lower(params)
        slopes = [lowered.compile(options)(params) for options in (plain, {})]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), *slopes)


@pytest.mark.parametrize(
    "model, inputs",
    [
        (models.ConvNet(outputs=5), jnp.ones((1, 40, 7, 1))),
        (models.ConvNet(pool=41, outputs=5), jnp.ones((1, 40, 40, 1))),
        (models.ConvNet1D(outputs=5), Sequences(jnp.ones((1, 3, 2)), jnp.ones((1, 3), bool))),
    ],
)
def test_pooling_that_leaves_nothing_is_refused(model, inputs):
    with pytest.raises(InputError, match=r"pool: a window of \d+ does not fit into the .* left before convolution \d"):
        jax.eval_shape(model.init, jax.random.key(0), inputs)


def test_one_kernel_for_each_convolution():
    with pytest.raises(InputError, match="kernels: expected one for each"):
        jax.eval_shape(
            models.ConvNet(filters=(3, 3), kernels=(3,), outputs=5).init, jax.random.key(0), jnp.ones((1, 8, 8, 1))
        )


@pytest.mark.parametrize("activation", sorted(convolutions._RISING, key=str), ids=lambda a: a.value)
def test_the_largest_first_says_the_same(activation, rng):
    """A function of one array is not known to rise: it sees all answers, and only then comes the largest."""
    x = jnp.asarray(rng.normal(size=(2, 7, 6, 2)), jnp.float32)
    first, last = (
        models.ConvNet(filters=(4,), kernels=(3,), pool=2, hidden=(), activation=each, outputs=5)
        for each in (activation, activations.FUNCTIONS[activation])
    )
    params, _ = drawn(first, x, rng)

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def difference(params, x):
        logits = [model.apply({"params": params}, x) for model in (first, last)]
        return jnp.sum(jnp.sin(logits[0])) - jnp.sum(jnp.sin(logits[1])), logits

    (_, (one, other)), slopes = difference(params, x)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    jax.tree.map(lambda a: np.testing.assert_allclose(a, 0, atol=3e-5), slopes)


@pytest.mark.parametrize("size", [48, 33], ids=["in parts", "an odd batch"])
def test_examples_a_few_at_a_time(size, rng, monkeypatch):
    """As all at once: answers, gradients by parameters and by the image, and on several devices."""
    x = jnp.asarray(rng.normal(size=(size, 8, 7, 1)), jnp.float32)
    model = models.ConvNet(filters=(3, 2), kernels=(3, 2), pool=2, hidden=(), outputs=5)
    params, _ = drawn(model, x, rng)

    def total(params, x):  # of answers near 1, for the sine of a large one is its rounding
        return jnp.sum(jnp.sin(model.apply({"params": params}, x) / 16))

    def slopes(x):
        return jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(params, x)

    whole = slopes(x)
    monkeypatch.setattr(convolutions, "_AT_ONCE", 2**10)
    assert convolutions._batch_part_count(x, params["Conv_0"]["kernel"], 2) == {48: 6, 33: 3}[size]
    jax.clear_caches()
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), slopes(x), whole)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[: 4 if size == 48 else 1]), ("data",))
    spread = jax.device_put(x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data")))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), slopes(spread), whole)
    several = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), params)
    found = jax.jit(jax.vmap(jax.grad(total), in_axes=(0, None)))(several, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-5, atol=1e-5), found, whole[1][0])

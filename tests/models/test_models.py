"""What every model promises; one contract for all of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.preprocessing import PolynomialFeatures

from hepjax import models
from hepjax.choices import Activation, Norm, Readout, TransformerBlock
from hepjax.inputs import all_pair_features, build_graph
from hepjax.models.layers import activations
from hepjax.types import ParticleInputs, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable

    from flax import linen as nn

F, B, C = 6, 10, 5
P = 9


class Case(NamedTuple):
    """A model, and what it promises."""

    model: nn.Module
    look: Callable[[Sequences], Any]
    """Jets → the model's input, one row a jet."""
    ignores_padding: bool = False
    """More empty slots change nothing."""
    ignores_order: bool = False
    """The order of the particles does not matter."""


def table(jets):
    return jets.values[:, 0]


def image(jets):
    """(B, P, F, 1): 0 everywhere for a jet without particles."""
    return jnp.where(jets.mask[..., None], jets.values, 0)[..., None]


def particles(jets):
    return jets


def with_points(jets):
    """The first two columns are places."""
    return ParticleInputs(jets.values, jets.mask, points=jets.values[..., :2])


def with_pairs(jets):
    """The first four columns are momenta, of light particles."""
    p3 = jnp.where(jets.mask[..., None], jets.values[..., :3], 0)
    p4 = jnp.concatenate([p3, jnp.sqrt(jnp.sum(p3**2, -1, keepdims=True) + 0.1)], -1)
    return ParticleInputs(jets.values, jets.mask, pairs=all_pair_features(p4 * jets.mask[..., None]))


def graph(jets):
    """All pairs."""
    return build_graph(jets.values, jets.mask)


def near(jets):
    """Each particle and its three nearest."""
    return build_graph(jets.values, jets.mask, points=jets.values[..., :2], neighbors=3)


def momenta(jets):
    """The first columns are momenta, in GeV, of particles of mass 1; all are scalars."""
    p = jnp.where(jets.mask[..., None], jets.values, 0)[..., :3]
    energy = jnp.sqrt(1 + jnp.sum(p**2, axis=-1, keepdims=True))
    return ParticleInputs(jets.values, jets.mask, momenta=jnp.concatenate([p, energy], axis=-1))


MODELS = {
    "linear": Case(models.Linear(outputs=C), table),
    "polynomial": Case(models.Linear(outputs=C, degree=3), table),
    "logistic": Case(models.Logistic(outputs=C), table),
    "mlp": Case(models.MLP(hidden=(8, 7), outputs=5), table),
    "mlp without hidden layers": Case(models.MLP(hidden=(), outputs=5), table),
    "mlp with dropout": Case(models.MLP(hidden=(8, 7), dropout=0.5, outputs=5), table),
    "mlp with batch norm": Case(models.MLP(hidden=(8, 7), norm=Norm.BATCH, outputs=5), table),
    "mlp with layer norm": Case(models.MLP(hidden=(8, 7), norm=Norm.LAYER, outputs=5), table),
    "mlp with a learned slope": Case(models.MLP(hidden=(8, 7), activation=Activation.PRELU, outputs=5), table),
    "mlp with maxout": Case(models.MLP(hidden=(8, 7), activation=Activation.MAXOUT, outputs=5), table),
    "mlp with a function": Case(models.MLP(hidden=(8, 7), activation=jnp.sin, outputs=5), table),
    "convnet": Case(
        models.ConvNet(filters=(4, 3), kernels=(3, 2), hidden=(6,), activation=Activation.MAXOUT, outputs=5), image
    ),
    "convnet with batch norm": Case(
        models.ConvNet(filters=(4,), kernels=(3,), pool=3, hidden=(6,), norm=Norm.BATCH, outputs=5), image
    ),
    "convnet1d": Case(
        models.ConvNet1D(filters=(4, 3), kernels=(3, 2), hidden=(6,), activation=Activation.ELU, outputs=5), particles
    ),
    "convnet1d with batch norm": Case(
        models.ConvNet1D(filters=(4, 3), kernels=(3, 2), hidden=(6,), norm=Norm.BATCH, outputs=5), particles
    ),
    "lstm": Case(models.LSTM(units=(4,), hidden=(6,), outputs=5), particles, ignores_padding=True),
    "gru in both directions": Case(
        models.GRU(units=(4, 3), bidirectional=True, hidden=(), outputs=5), particles, ignores_padding=True
    ),
    "deep sets": Case(
        models.DeepSets(particle=(7, 4), hidden=(6,), outputs=5), particles, ignores_padding=True, ignores_order=True
    ),
    "deep sets with batch norm": Case(
        models.DeepSets(particle=(7, 4), hidden=(6,), norm=Norm.BATCH, outputs=5),
        particles,
        ignores_padding=True,
        ignores_order=True,
    ),
    "interaction network": Case(
        models.InteractionNetwork(edge=(7, 4), node=(6, 3), hidden=(5,), outputs=5),
        particles,
        ignores_padding=True,
        ignores_order=True,
    ),
    "interaction network of outputs one after another": Case(
        models.InteractionNetwork(edge=(7, 4), node=(6, 3), hidden=(5,), readout=Readout.FLATTEN, outputs=5), particles
    ),
    "ParticleNet": Case(
        models.ParticleNet(blocks=(6, 6), neighbors=3, hidden=(5,), dropout=0.0, outputs=5),
        with_points,
        ignores_padding=True,
        ignores_order=True,
    ),
    "ParticleNet with fusion": Case(
        models.ParticleNet(blocks=(4, 6), neighbors=P + 2, fusion=True, hidden=(), dropout=0.0, outputs=5),
        with_points,
        ignores_padding=True,
        ignores_order=True,
    ),
    **{
        f"Particle Transformer, {form.value}": Case(
            models.ParticleTransformer(
                embed=(6, 8), pair_embed=(5,), heads=2, layers=1, class_layers=1, block=form, dropout=0.0, outputs=5
            ),
            with_pairs,
            ignores_padding=True,
            ignores_order=True,
        )
        for form in TransformerBlock
    },
    "plain transformer": Case(
        models.ParticleTransformer(
            embed=(8,), pair_embed=(), heads=2, layers=1, class_layers=1, hidden=(4,), dropout=0.0, outputs=5
        ),
        particles,
        ignores_padding=True,
        ignores_order=True,
    ),
    "lorentz net": Case(
        models.LorentzNet(width=4, layers=2, dropout=0.0, outputs=5), momenta, ignores_padding=True, ignores_order=True
    ),
    "l-gatr-slim": Case(
        models.LGATrSlim(vectors=2, scalars=4, layers=1, heads=2, outputs=5),
        momenta,
        ignores_padding=True,
        ignores_order=True,
    ),
    "mixer": Case(models.Mixer(width=4, hidden=(6,), outputs=5), particles),
    "graph network": Case(
        models.GraphNetwork(
            rounds=2, edge=(5,), node=(4,), jet=(5,), hidden=(6,), activation=Activation.ELU, outputs=5
        ),
        graph,
        ignores_padding=True,
        ignores_order=True,
    ),
    "graph network with attention": Case(
        models.GraphNetwork(
            rounds=1, edge=(5,), node=(4,), jet=(5,), hidden=(), attention=True, activation=Activation.ELU, outputs=5
        ),
        near,
        ignores_padding=True,
        ignores_order=True,
    ),
}


def which(promise):
    """The names of the models for which the promise holds."""
    return [name for name, case in MODELS.items() if promise(case)]


@pytest.fixture(params=MODELS, ids=str)
def name(request):
    return request.param


@pytest.fixture
def jets(rng):
    """B jets of 1 to P particles."""
    mask = np.arange(P) < np.append(rng.integers(1, P, size=B - 1), P)[:, None]
    values = np.where(mask[..., None], rng.normal(size=(B, P, F)), 0)
    return Sequences(jnp.asarray(values, jnp.float32), jnp.asarray(mask))


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.normal(size=(B, F)), jnp.float32)


def change(jets, rows, value, mask):
    """Other values and another mask in some rows."""
    return Sequences(jets.values.at[rows].set(value), jets.mask.at[rows].set(mask))


def start(model, x, seed=0):
    return models.initialize(model, jax.random.key(seed), x)


def make_apply(model):
    return jax.jit(models.make_apply(model))


def make_answer(case):
    """(params, state, jets, mask, key) → (logits, state)."""
    apply = models.make_apply(case.model)

    def answer(params, state, jets, mask, key):
        logits, state = apply(params, state, case.look(jets), mask, key)
        return logits[: len(mask)], state  # a batch of graphs may end with one that is padding

    return answer


class Ready(NamedTuple):
    """A model with parameters, compiled once for all tests."""

    answer: Callable[..., Any]
    """(params, state, jets, mask, key) → (logits, state)."""
    slope: Callable[..., Any]
    """(params, state, jets, key) → gradients by (params, values)."""
    params: Any
    state: Any


@functools.cache
def ready(name):
    """Parameters and state are not the start: biases of 0 and running averages of 0 and 1 would hide mistakes."""
    case, random = MODELS[name], np.random.default_rng(7)
    answer = make_answer(case)

    def total(params, values, state, jets, key):
        jets = Sequences(values, jets.mask)
        return jnp.sum(jnp.sin(answer(params, state, jets, jnp.ones(len(values), bool), key)[0]))

    def slope(params, state, jets, key):
        return jax.grad(total, argnums=(0, 1))(params, jets.values, state, jets, key)

    example = Sequences(jnp.zeros((B, P, F)), jnp.ones((B, P), bool))
    shapes = jax.eval_shape(lambda: start(case.model, case.look(example)))
    draw = lambda shift, a: jnp.asarray(shift + 0.4 * random.uniform(-1, 1, size=a.shape), a.dtype)  # noqa: E731
    params, state = (
        jax.tree.map(functools.partial(draw, 0), shapes[0]),
        jax.tree.map(functools.partial(draw, 0.5), shapes[1]),
    )
    return Ready(jax.jit(answer), jax.jit(slope), params, state)


ALL = np.ones(B, bool)
KEYS = {"inference": None, "training": jax.random.key(0)}


class TestContract:
    def test_logits(self, name, jets):
        answer, _, params, state = ready(name)
        logits, after = answer(params, state, jets, ALL, None)
        chex.assert_shape(logits, (B, C))
        chex.assert_type(logits, jnp.float32)
        chex.assert_tree_all_finite(logits)
        chex.assert_trees_all_equal(after, state)

    def test_pure(self, name, jets):
        answer, _, params, state = ready(name)
        for key in KEYS.values():
            chex.assert_trees_all_equal(*(answer(params, state, jets, ALL, key) for _ in range(2)))

    def test_the_start_depends_on_the_key_alone(self, name, jets):
        case = MODELS[name]
        seen = jax.jit(case.look)(jets)
        one, other = (start(case.model, seen) for _ in range(2))
        chex.assert_trees_all_equal(one, other)
        single = jax.eval_shape(lambda: start(case.model, case.look(jax.tree.map(lambda a: a[:1], jets))))
        chex.assert_trees_all_equal_shapes_and_dtypes(one, single)

    def test_jets_do_not_see_each_other(self, name, jets):
        answer, _, params, state = ready(name)
        whole = answer(params, state, jets, ALL, None)[0]
        for i in range(B):
            among_others = change(jets, np.arange(B) != i, 100, True)
            chex.assert_trees_all_close(answer(params, state, among_others, ALL, None)[0][i], whole[i], atol=1e-5)

    def test_padding_rows_change_nothing(self, name, jets):
        """In training too: batch statistics leave padding out."""
        if getattr(MODELS[name].model, "dropout", 0):
            pytest.skip("dropout draws depend on the batch's shape")
        answer, _, params, state = ready(name)
        key, six = KEYS["training"], jax.tree.map(lambda a: a[:6], jets)
        short, state_short = answer(params, state, six, ALL[:6], key)
        long, state_long = answer(params, state, change(jets, slice(6, B), 100, True), np.arange(B) < 6, key)
        chex.assert_trees_all_close((short, state_short), (long[:6], state_long), rtol=1e-4, atol=1e-5)

    def test_compiled_once_and_the_same(self, name, jets):
        answer, _, params, state = ready(name)
        plain = answer(params, state, jets, ALL, None)[0]
        chex.clear_trace_counter()
        compiled = jax.jit(chex.assert_max_traces(make_answer(MODELS[name]), n=1))
        for _ in range(3):
            chex.assert_trees_all_close(compiled(params, state, jets, ALL, None)[0], plain, atol=1e-5)

    def test_gradients_are_finite_differences(self, name, jets):
        answer, v = make_answer(MODELS[name]), np.random.default_rng(1)
        with jax.enable_x64(True):
            jets = Sequences(np.asarray(jets.values, np.float64), jets.mask)
            params, state = jax.tree.map(lambda a: np.asarray(a, np.float64), ready(name)[2:])
            direction = jax.tree.map(lambda a: v.normal(size=a.shape), params)

            def f(t):
                moved = jax.tree.map(lambda a, d: a + t * d, params, direction)
                return jnp.sum(jnp.sin(answer(moved, state, jets, ALL, None)[0]))

            f, h = jax.jit(jax.value_and_grad(f)), 1e-6
            slope = (f(h)[0] - f(-h)[0]) / (2 * h)
            np.testing.assert_allclose(f(0.0)[1], slope, rtol=2e-4, atol=1e-6)


class TestParticles:
    """What models of particles and of images promise besides."""

    @pytest.fixture(params=which(lambda case: case.look is not table))
    def name(self, request):
        return request.param

    @pytest.fixture(params=KEYS)
    def key(self, request, name):
        if KEYS[request.param] is not None and not ready(name).state:
            pytest.skip("without batch statistics, training is inference")
        return KEYS[request.param]

    @pytest.mark.parametrize("empty", [slice(2, 4), slice(None)], ids=["some", "all"])
    def test_a_jet_without_particles(self, name, key, jets, empty):
        answer, slope, params, state = ready(name)
        jets = change(jets, empty, 0, False)
        logits, after = answer(params, state, jets, ALL, key)
        assert np.all((np.asarray(logits) == 0) == ~np.asarray(jets.mask.any(1))[:, None])
        chex.assert_tree_all_finite((after, slope(params, state, jets, key)))

    def test_a_jet_without_particles_does_not_enter_batch_statistics(self, name, jets):
        answer, _, params, state = ready(name)
        empty = change(jets, slice(6, B), 0, False)
        _, without = answer(params, state, empty, ALL, KEYS["training"])
        _, masked = answer(params, state, jets, np.arange(B) < 6, KEYS["training"])
        chex.assert_trees_all_close(without, masked, rtol=1e-4, atol=1e-5)

    def test_what_lies_in_the_padding_does_not_matter(self, name, key, jets):
        answer, slope, params, state = ready(name)
        spoilt = Sequences(jnp.where(jets.mask[..., None], jets.values, jnp.nan), jets.mask)
        clean, found = (answer(params, state, j, ALL, key) for j in (jets, spoilt))
        chex.assert_trees_all_close(found, clean, atol=1e-6)
        clean, found = (slope(params, state, j, key) for j in (jets, spoilt))
        chex.assert_trees_all_close(found, clean, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("name", which(lambda case: case.ignores_padding))
    def test_more_slots_change_nothing(self, name, key, jets):
        answer, _, params, state = ready(name)
        more = Sequences(*(jnp.pad(a, [(0, 0), (0, 21)] + [(0, 0)] * (a.ndim - 2)) for a in jets))
        short, long = (answer(params, state, j, ALL, key) for j in (jets, more))
        chex.assert_trees_all_close(short, long, atol=1e-6 if key is None else 1e-5)

    @pytest.mark.parametrize("name", which(lambda case: case.ignores_order))
    def test_the_order_does_not_matter(self, name, jets):
        answer, _, params, state = ready(name)
        order = np.random.default_rng(2).permuted(np.tile(np.arange(P), (B, 1)), axis=1)
        shuffled = Sequences(*(a[np.arange(B)[:, None], order] for a in jets))
        one, other = (answer(params, state, j, ALL, None)[0] for j in (jets, shuffled))
        chex.assert_trees_all_close(one, other, atol=1e-5)

    def test_particles_matter_and_padding_does_not(self, name, jets):
        _, slope, params, state = ready(name)
        seen = jnp.any(slope(params, state, jets, None)[1] != 0, axis=-1)
        assert not jnp.any(seen & ~jets.mask)
        # A pooling window may look past one.
        assert jnp.mean(seen[jets.mask]) > 0.6


def test_dropout_draws_from_the_key(x):
    model = MODELS["mlp with dropout"].model
    params, state = start(model, x)
    apply, mask = make_apply(model), jnp.ones(B, bool)
    one, other = (apply(params, state, x, mask, jax.random.key(i))[0] for i in range(2))
    assert not jnp.allclose(one, other)


def test_batch_norm_keeps_running_averages(x):
    model = MODELS["mlp with batch norm"].model
    params, state = start(model, x)
    _, after = make_apply(model)(params, state, x, jnp.ones(B, bool), jax.random.key(0))
    assert not np.allclose(jax.tree.leaves(after)[0], jax.tree.leaves(state)[0])


def test_mlp_by_hand(x):
    params, state = start(MODELS["mlp"].model, x)
    h = np.asarray(x)
    for i in range(3):
        layer = params[f"Dense_{i}"]
        h = h @ layer["kernel"] + layer["bias"]
        h = np.maximum(h, 0) if i < 2 else h
    chex.assert_trees_all_close(make_apply(MODELS["mlp"].model)(params, state, x, None, None)[0], h, atol=1e-5)


def test_published_size():
    """The dense tagger of arXiv:1908.05318, table 4: 14,725 parameters."""
    params, _ = start(
        models.MLP(hidden=(80, 80, 80), activation=Activation.ELU, dropout=0.1, outputs=5), jnp.zeros((1, 16))
    )
    assert sum(p.size for p in jax.tree.leaves(params)) == 14_725


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
    module = activations.Activate(activation=activation)
    found = module.apply(module.init(jax.random.key(0), x), x)
    np.testing.assert_allclose(found, FORMULAS[activation](x), rtol=1e-5, atol=1e-6)


def test_maxout_needs_whole_groups():
    with pytest.raises(ValueError, match="multiple"):
        activations.maxout(jnp.zeros(5), 2)

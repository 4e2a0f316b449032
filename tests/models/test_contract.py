"""What every registered model promises: a new one is tested by being in its folder."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import models, read_jets
from hepjax.data.datasets.hls4ml import HLS4ML
from hepjax.inputs import pipelines
from hepjax.models.fields import options_in
from hepjax.types import Sequences

C = 3
COUNTS = (0, 1, 2, 5, 30)
"""Particles of the jets."""
NAMES = tuple(name for name in models.MODELS.names() if not models.MODELS.get(name).serves)
OF_PARTICLES = [name for name in NAMES if not issubclass(models.MODELS.get(name), models.FeatureModel)]


def small(kind, **changes):
    """A model of this class with few and narrow layers."""
    few: dict[str, Any] = {"pixels": 12, "pixel_size": 0.06, "neighbors": 3, "width": 3, "vectors": 2, "scalars": 3}
    few |= dict.fromkeys(("heads", "layers", "class_layers"), 1)
    for option in options_in(kind):
        if isinstance(option.default, tuple) and all(isinstance(width, int) for width in option.default):
            few[option.name] = tuple(min(width, 3) for width in option.default)
    known = {option.name for option in options_in(kind) if option.default is not None}
    return kind(**{name: value for name, value in few.items() if name in known} | changes)


class Ready(NamedTuple):
    """A model with random parameters, compiled once for all tests."""

    answer: Any
    """(inputs) → (B, C)."""
    slopes: Any
    """(inputs) → gradients with respect to parameters and inputs."""
    inputs: Any
    """Of as many jets as `COUNTS`."""
    traces: list[int]


@functools.cache
def ready(name):
    pipeline = pipelines.make_pipeline(small(models.MODELS.get(name)), C, HLS4ML)
    inputs = jax.tree.map(np.array, pipeline.load(read_jets()[: len(COUNTS)], slice(None)))
    if isinstance(inputs, Sequences):
        mask = inputs.mask & (np.arange(inputs.mask.shape[1]) < np.array(COUNTS)[:, None])
        inputs = Sequences(np.where(mask[..., None], inputs.values, 0), mask)
    network, traces = pipelines.make_apply(pipeline, pipelines.blank_scaling(pipeline)), []
    shapes = jax.eval_shape(lambda: pipelines.initialize_from_example(pipeline, jax.random.key(0)))
    rng = np.random.default_rng(0)
    params, state = jax.tree.map(lambda a: rng.uniform(-0.5, 0.5, a.shape).astype(a.dtype), shapes)
    state = jax.tree.map(lambda a: np.abs(a) + np.float32(0.5), state)  # of variances

    def answer(params, inputs):
        traces.append(1)
        return network(params, state, inputs, jnp.ones(len(jax.tree.leaves(inputs)[0]), bool), None)[0]

    def total(params, values, inputs):
        given = inputs._replace(values=values) if isinstance(inputs, Sequences) else values
        return jnp.sin(answer(params, given)).sum()

    def slopes(inputs):
        values = inputs.values if isinstance(inputs, Sequences) else inputs
        return jax.grad(total, argnums=(0, 1))(params, values, inputs)

    compiled = jax.jit(answer)
    return Ready(lambda inputs: compiled(params, inputs), jax.jit(slopes), inputs, traces)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_outputs_are_as_many_as_the_task_asks_for(name):
    case = ready(name)
    outputs = case.answer(case.inputs)
    chex.assert_shape(outputs, (len(COUNTS), C))
    chex.assert_type(outputs, jnp.float32)
    chex.assert_tree_all_finite(outputs)
    alone = pipelines.make_pipeline(small(models.MODELS.get(name)), 1, HLS4ML)
    apply = pipelines.make_apply(alone, pipelines.blank_scaling(alone))
    first = jax.eval_shape(lambda: pipelines.initialize_from_example(alone, jax.random.key(0)))
    shape = jax.eval_shape(apply, *first, case.inputs, np.ones(len(COUNTS), bool), None)[0]
    chex.assert_shape(shape, (len(COUNTS), 1))


def test_compiled_once(name):
    case = ready(name)
    plain = case.answer(case.inputs)
    before = len(case.traces)
    chex.assert_trees_all_equal(case.answer(case.inputs), plain)
    assert len(case.traces) == before


def test_gradients_are_finite(name):
    """Of jets of no, one and two particles too."""
    case = ready(name)
    chex.assert_tree_all_finite(case.slopes(case.inputs))


def test_jets_do_not_see_each_other(name):
    case = ready(name)
    turned = jax.tree.map(lambda x: x[::-1].copy(), case.inputs)
    np.testing.assert_allclose(case.answer(turned)[::-1], case.answer(case.inputs), atol=1e-5)


@pytest.mark.parametrize("name", OF_PARTICLES)
def test_a_jet_without_particles_gives_nothing(name):
    case = ready(name)
    outputs = np.asarray(case.answer(case.inputs))
    assert (outputs[0] == 0).all()
    assert (outputs[-1] != 0).all()


@pytest.mark.parametrize("name", OF_PARTICLES)
def test_what_lies_in_the_padding_does_not_matter(name):
    case = ready(name)
    filled = case.inputs._replace(values=np.where(case.inputs.mask[..., None], case.inputs.values, 99))
    np.testing.assert_allclose(case.answer(filled), case.answer(case.inputs), atol=1e-6)
    assert not np.asarray(case.slopes(case.inputs)[1])[~case.inputs.mask].any()


@pytest.mark.parametrize("name", OF_PARTICLES)
def test_a_shorter_list_changes_nothing_where_the_model_says_so(name):
    model = models.MODELS.get(name)()
    spare = model.min_padding() if isinstance(model, models.ParticleModel) else None
    if spare is None:
        pytest.skip("it sees all slots always")
    case, fits = ready(name), np.array(COUNTS) + spare <= 6
    few = jax.tree.map(lambda x: x[fits], case.inputs)
    cut = Sequences(few.values[:, :6], few.mask[:, :6])
    np.testing.assert_allclose(case.answer(cut), case.answer(few), atol=1e-5)


def test_json(name):
    kind = models.MODELS.get(name)
    for model in (kind(), small(kind), small(kind, outputs=C).clone(outputs=1)):
        tree = models.to_json(model)
        assert tree["name"] == name == models.MODELS.name_of(model)
        assert models.from_json(tree) == model
        assert "outputs" not in tree


def test_options_explain_themselves(name):
    kind = models.MODELS.get(name)
    models.check_model(kind())
    assert models.MODELS.summary(name) == kind.__doc__.splitlines()[0]
    assert models.MODELS.summary(name).endswith(".")
    for option in options_in(kind):
        assert option.help.endswith("."), option.name
        assert option.default is not dataclasses.MISSING

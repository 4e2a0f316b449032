"""Choices are taken by their names too, wherever Python asks for one, and refused in one line."""

from __future__ import annotations

import enum

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hepjax import InputError, choices, inputs, models, read_jets, runtime, training
from hepjax.choices import Activation, Optimizer, Precision, Schedule, choose
from hepjax.data.dataset import column
from hepjax.inputs import pipelines
from hepjax.models.fields import options_in
from hepjax.models.layers.activations import Activate, units
from hepjax.models.registry import MODELS
from hepjax.physics.simulation import PUBLIC
from hepjax.physics.simulation.conditions import check_conditions
from hepjax.physics.substructure.clustering import Algorithm, cluster
from hepjax.runs.options import Devices, Experiment, Optimization
from hepjax.tasks.anomaly import Anomaly
from hepjax.tasks.classification.options import Insensitivity
from hepjax.tasks.regression import Regression

KINDS = [kind for kind in vars(choices).values() if isinstance(kind, type) and issubclass(kind, enum.Enum)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_choice_has_a_name(kind):
    for member in kind:
        assert choose(kind, member.value, "x") is member
    with pytest.raises(InputError, match=rf"^x: expected .* or a {kind.__name__} of hepjax, found 'none of these'$"):
        choose(kind, "none of these", "x")


def test_optimizers_and_schedules():
    for kind in ("adam", Optimizer.ADAM):
        optimizer = training.make_optimizer(kind, training.make_schedule("cosine", 0.1, steps=10))
        updates, _ = optimizer.update(jnp.ones(1), optimizer.init(jnp.ones(1)), jnp.ones(1), value=1.0)
        np.testing.assert_allclose(updates, -0.1, rtol=1e-4)
    assert float(training.make_schedule("cosine", 0.1, steps=10)(10)) == pytest.approx(0)
    with pytest.raises(InputError, match=r"kind: expected adabelief, .* found 'adma'"):
        training.make_optimizer("adma", optax.constant_schedule(0.1))
    with pytest.raises(InputError, match=r"kind: expected constant, cosine, cosine-restarts, .* or plateau"):
        training.make_schedule("cos", 0.1, steps=10)


@pytest.mark.parametrize("name", MODELS.names())
def test_options_of_models(name):
    kind = MODELS.get(name)
    chosen = {option.name: option.type for option in options_in(kind) if isinstance(option.default, tuple(KINDS))}
    for option, of in chosen.items():
        for member in of:
            assert getattr(kind(**{option: member.value}), option) is member
        with pytest.raises(InputError, match=f"{option}: expected .* found 'x'"):
            kind(**{option: "x"})


def test_a_named_normalization_normalizes():
    x = jnp.arange(6.0).reshape(3, 2)
    assert "BatchNorm_0" in models.MLP(hidden=(2,), norm="batch").init(jax.random.key(0), x)["params"]
    assert models.InteractionNetwork(form="dense").form is choices.PairForm.DENSE
    assert models.MLP(activation=jnp.sin).activation is jnp.sin


def test_layers():
    np.testing.assert_array_equal(Activate("relu").apply({}, jnp.array([-1.0, 2.0])), [0, 2])
    assert units("maxout", 8) == units(Activation.MAXOUT, 8)
    with pytest.raises(InputError, match=r"activation: expected identity, .* found 'rleu'"):
        Activate("rleu")


def test_options_of_trainings_and_tasks():
    assert Optimization(name="sgd", schedule="one-cycle") == Optimization(Optimizer.SGD, schedule=Schedule.ONE_CYCLE)
    assert Devices(strategy="pmap").strategy is choices.Strategy.PMAP
    assert Experiment(precision="bfloat16").precision is Precision.BFLOAT16
    assert Insensitivity(by="adversary").by is choices.Decorrelation.ADVERSARY
    assert Regression(target=("m",), loss="huber").loss is choices.RegressionLoss.HUBER
    assert Anomaly(loss="negative-elbo").loss is choices.AnomalyLoss.NEGATIVE_ELBO
    for wrong in (
        lambda: Optimization(name="x"),
        lambda: Regression(target=("m",), loss="x"),
        lambda: Devices(strategy=3),
    ):
        with pytest.raises(InputError, match=r"expected .* found"):
            wrong()


def test_functions():
    jets = read_jets()
    assert inputs.image_columns("energy") == ("eta_rel", "phi_rel", "pt", "energy")
    assert column(jets.dataset, "jet_mass") == "j_mass"
    assert runtime.make_devices(1, "pmap").strategy is choices.Strategy.PMAP
    pipeline = pipelines.make_pipeline(models.MLP(), 5, jets.dataset)
    for wrong in (
        lambda: inputs.images(jets, channels="two", rows=slice(1)),
        lambda: column(jets.dataset, "jet_weight"),
        lambda: runtime.make_devices(1, "all"),
        lambda: pipelines.make_apply(pipeline, None, "float16"),
        lambda: cluster(jnp.ones((2, 4)), jnp.ones(2, bool), "anti-kt"),
        lambda: check_conditions(PUBLIC._replace(keep="matched")),
    ):
        with pytest.raises(InputError, match=r"expected .* found"):
            wrong()
    algorithm = Algorithm.ANTI_KT
    p4 = jnp.array([[9.0, 0.0, 0.0, 9.0], [8.0, 1.0, 0.0, 9.0]])
    np.testing.assert_array_equal(*(cluster(p4, jnp.ones(2, bool), a).kept for a in (algorithm, "ANTI_KT")))
    assert inputs.images(jets, channels="all", rows=slice(1)).shape == (1, 100, 100, 1)

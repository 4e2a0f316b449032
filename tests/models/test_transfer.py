"""Which parameters are a network's head, and which of a trained network fit into another one."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hepjax.data.datasets import hls4ml
from hepjax.inputs import pipelines
from hepjax.models import MODELS, transfer
from hepjax.models.layers.norms import BatchNorm

CLASSIFIERS = [name for name in MODELS.names() if not MODELS.get(name).serves]


def shapes_of(name, outputs):
    pipeline = pipelines.make_pipeline(MODELS.get(name)(), outputs, hls4ml.HLS4ML)
    return jax.eval_shape(lambda: pipelines.initialize_from_example(pipeline, jax.random.key(0)))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_network_has_a_head_of_one_layer(name):
    """Its kernel and its bias, which both end with the outputs."""
    params, _ = shapes_of(name, 5)
    head = transfer.paths_of_head(params, shapes_of(name, 6)[0])
    flat = transfer._flat(params)
    assert {path[-1] for path in head} == {"kernel", "bias"}
    assert len({path[:-1] for path in head}) == 1
    assert {flat[path].shape[-1] for path in head} == {5}
    assert all(5 not in leaf.shape[-1:] for path, leaf in flat.items() if path not in head)


def test_an_autoencoder_has_no_head():
    assert transfer.paths_of_head(shapes_of("autoencoder", 1)[0], shapes_of("autoencoder", 2)[0]) == frozenset()


class Net(nn.Module):
    width: int = 3
    outputs: int = 2

    @nn.compact
    def __call__(self, x, train=False):
        x = BatchNorm(use_running_average=not train, name="norm")(x)
        x = BatchNorm(use_running_average=not train, name="later")(nn.Dense(self.width, name="body")(x))
        return nn.Dense(self.outputs, name="head")(x)


def variables(net, columns=4):
    found = dict(net.init(jax.random.key(net.outputs), jnp.ones((2, columns)), train=True))
    return found.pop("params"), found


def test_what_fits_is_taken_and_the_rest_is_drawn():
    (old, averages), (new, state) = variables(Net()), variables(Net(outputs=5))
    averages = jax.tree.map(lambda x: x + 7, averages)
    plan = transfer.plan_transfer((old, averages), (new, state), ())
    assert {*plan.misfits} == {"head/bias (5,), not (2,)", "head/kernel (3, 5), not (3, 2)"}
    assert {*plan.drawn} == {("head", "bias"), ("head", "kernel")}
    params, started = transfer.apply_transfer(plan, new, state)
    chex.assert_trees_all_equal(
        {k: params[k] for k in ("body", "norm", "later")}, {k: old[k] for k in old if k != "head"}
    )
    chex.assert_trees_all_equal(params["head"], new["head"])
    chex.assert_trees_all_equal(started["batch_stats"], averages["batch_stats"])


def test_a_head_is_drawn_anew_though_it_fits():
    (old, averages), (new, state) = variables(Net()), variables(Net().clone())
    new = jax.tree.map(lambda x: x + 1, new)
    head = transfer.paths_of_head(new, variables(Net(outputs=3))[0])
    plan = transfer.plan_transfer((old, averages), (new, state), head)
    assert plan.misfits == ()
    chex.assert_trees_all_equal(transfer.apply_transfer(plan, new, state)[0]["head"], new["head"])


def test_another_width_leaves_the_averages_of_its_layers_alone():
    (old, averages), (new, state) = variables(Net()), variables(Net(width=6))
    plan = transfer.plan_transfer((old, averages), (new, state), ())
    assert {*plan.params} == {("norm", "scale"), ("norm", "bias")}  # the head's bias would fit, its kernel does not
    started = transfer.apply_transfer(plan, new, state)[1]
    steps = {name: float(layer["steps"]) for name, layer in started["batch_steps"].items()}
    assert steps["norm"] > 100
    assert steps["later"] == 0


def test_averages_go_on_from_where_they_were():
    """One batch more changes them by its share, not wholly as the first one does."""
    (old, averages), (new, state) = variables(Net()), variables(Net())
    plan = transfer.plan_transfer((old, averages), (new, state), ())
    params, started = transfer.apply_transfer(plan, new, state)
    x = 10.0 + jnp.arange(8.0)[:, None] * jnp.ones(4)
    _, after = Net().apply({"params": params, **started}, x, train=True, mutable=list(started))
    np.testing.assert_allclose(after["batch_stats"]["norm"]["mean"], 0.05 * 13.5, rtol=1e-3)


def test_what_lacks_is_named():
    old, new = ({name: {"bias": np.zeros(2)} for name in names} for names in ("ab", "ac"))
    plan = transfer.plan_transfer((old, {}), (new, {}), ())
    assert plan.misfits == ("c/bias (2,), which it lacks", "no b/bias (2,)")
    assert plan.drawn == (("c", "bias"),)

"""The PyTorch twins of the networks: the same architecture, and trained the same way."""

from __future__ import annotations

import importlib
from pathlib import Path

import jax
import numpy as np
import pytest

from hepjax import models
from hepjax.choices import Activation
from hepjax.data.datasets import hls4ml
from hepjax.inputs import apply_scaling, pipelines
from hepjax.types import Sequences

torch = pytest.importorskip("torch", reason="the twins need torch")

SMALL = {
    "mlp": models.MLP(hidden=(8, 6)),
    "convnet": models.ConvNet(filters=(2, 3), kernels=(3, 5), hidden=(4,), pixels=13, pixel_size=0.2),
    "convnet1d": models.ConvNet1D(filters=(4, 3), kernels=(3, 5), hidden=(4,), particles=11),
    "lstm": models.LSTM(units=(5, 4), hidden=(4,), particles=8),
    "gru": models.GRU(units=(5, 4), hidden=(4,), particles=8),
    "deepsets": models.DeepSets(particle=(6, 4), hidden=(5,), particles=8),
    "interaction-network": models.InteractionNetwork(edge=(6, 4), node=(5, 3), hidden=(6,), particles=8),
    "graph-network": models.GraphNetwork(edge=(6, 5), node=(4, 7), jet=(5, 4), hidden=(4,), particles=8),
}


@pytest.fixture(scope="module")
def benchmark():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of many, each would wait for the others at every small step
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        yield importlib.import_module("torch_twins")
    torch.set_num_threads(threads)


def inputs_of(model, pipeline, rng, jets=6):
    """What is read of some jets, the last without a particle, as both are given it."""
    if isinstance(model, models.MLP):
        read = rng.normal(size=(jets, pipeline.scaled)).astype(np.float32)
    else:
        slots = model.particles
        lengths = np.array([slots, 1, *rng.integers(1, slots, jets - 3), 0])
        mask = np.arange(slots) < lengths[:, None]
        values = rng.uniform(0.1, 1, size=(jets, slots, pipeline.example.values.shape[-1])).astype(np.float32)
        read = Sequences(values * mask[..., None], mask)
    scaling = pipelines.blank_scaling(pipeline)
    if isinstance(model, models.GraphNetwork):
        return read, read._replace(values=apply_scaling(scaling, read.values, read.mask))
    return read, jax.device_get(pipeline.transform(scaling, read))


def test_every_network_of_the_command_line_has_a_twin(benchmark):
    classifiers = {name for name in models.MODELS.names() if not models.MODELS.get(name).serves}
    assert classifiers - {"linear", "logistic"} == {*benchmark.KINDS}
    assert all(models.MODELS.name_of(kind) == name for name, kind in benchmark.KINDS.items())
    assert set(SMALL) == set(benchmark.KINDS)


@pytest.mark.parametrize("name", SMALL)
def test_twins_have_the_same_logits_and_parameters(name, benchmark, rng):
    model = SMALL[name]
    pipeline = pipelines.make_pipeline(model, 5, hls4ml.HLS4ML)
    params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    params = jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape).astype(np.float32), params)  # biases, too
    read, seen = inputs_of(model, pipeline, rng)
    apply = jax.jit(pipelines.make_apply(pipeline, pipelines.blank_scaling(pipeline)))
    ours, _ = apply(params, state, read, np.ones(6, bool), None)
    features = jax.tree.leaves(seen)[0].shape[-1]
    twin = benchmark.copy_parameters(params, benchmark.make_twin(model, features, 5))
    with torch.no_grad():
        theirs = twin(jax.tree.map(lambda x: torch.tensor(np.asarray(x)), seen)).numpy()
    assert np.ptp(theirs[:-1], axis=0).min() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=2e-5)
    held = {"lstm": 4, "gru": 2}.get(name, 0) * sum(getattr(model, "units", ()))
    assert sum(x.size for x in jax.tree.leaves(params)) == sum(x.numel() for x in twin.parameters()) - held


def test_twins_take_the_same_steps(benchmark, capsys):
    """The losses of all epochs agree: parameters, batches, optimizer and what is held at zero are the same."""
    chosen = benchmark.Comparison(networks=("gru",), jets=300, epochs=3, particles=5, resamples=2)
    (result,) = benchmark.main(chosen)
    for field in ("train_loss", "val_loss"):
        ours, theirs = ([getattr(epoch, field) for epoch in side] for side in (result.ours, result.theirs))
        np.testing.assert_allclose(ours, theirs, rtol=2e-5)
    assert result.auc[0] == pytest.approx(result.auc[1], abs=2e-3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["gru"]


def test_own_first_parameters_are_others(benchmark):
    chosen = benchmark.Comparison(networks=("mlp",), jets=300, epochs=1, resamples=2, own_init=True)
    (result,) = benchmark.main(chosen)
    assert abs(result.ours[0].train_loss - result.theirs[0].train_loss) > 1e-3


def test_another_architecture_is_refused(benchmark, monkeypatch):
    monkeypatch.setitem(benchmark.make_twin.__globals__["ACTIVATIONS"], Activation.RELU, torch.nn.Tanh)
    with pytest.raises(ValueError, match="before training the logits are"):
        benchmark.main(benchmark.Comparison(networks=("mlp",), jets=200, epochs=1))

"""The PyTorch twins of the networks: the same architecture, and trained the same way."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path

import jax
import numpy as np
import pytest

from hepjax import models
from hepjax.choices import Activation
from hepjax.data.dataset import P4
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.inputs import pipelines
from hepjax.models.layers import norms
from hepjax.types import Batch, Sequences

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
    "mixer": models.Mixer(width=6, hidden=(5, 4), particles=8),
    "particle-net": models.ParticleNet(blocks=(6, 8), neighbors=3, hidden=(5,), particles=8, dropout=0.0),
    "particle-transformer": models.ParticleTransformer(
        embed=(6, 8), pair_embed=(5,), heads=2, layers=2, class_layers=1, hidden=(4,), particles=8, dropout=0.0
    ),
    "lorentz-net": models.LorentzNet(width=6, layers=2, particles=8, dropout=0.0),
    "lgatr-slim": models.LGATrSlim(vectors=4, scalars=8, layers=2, heads=2, particles=8),
}
NORMALIZED = {"mixer": False, "particle-net": True, "particle-transformer": True, "lorentz-net": False}
"""Those with averages of batch statistics → whether the twin's count padding."""


@pytest.fixture(scope="module")
def benchmark():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of many, each would wait for the others at every small step
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        yield importlib.import_module("torch_twins")
    torch.set_num_threads(threads)


def inputs_of(benchmark, model, pipeline, rng, lengths):
    """What is read of jets of such lengths, as both are given it."""
    jets = len(lengths)
    if isinstance(model, models.MLP):
        read = rng.normal(size=(jets, pipeline.scaled)).astype(np.float32)
    else:
        mask = np.arange(model.particles) < np.array(lengths)[:, None]
        values = rng.uniform(0.1, 1, size=(*mask.shape, pipeline.example.values.shape[-1])).astype(np.float32)
        momenta = [hls4ml.ROLES[role] for role in P4]
        if {*momenta} <= {*pipeline.columns}:  # of heavy particles, so that rounding does not decide what they are
            *p, energy = (pipeline.columns.index(column) for column in momenta)
            values[..., energy] = np.sqrt(1 + (values[..., p] ** 2).sum(-1))
        read = Sequences(values * mask[..., None], mask)
    batch = Batch(read, np.zeros(jets, np.int32), np.ones(jets, np.float32))
    return read, benchmark.for_torch(model, pipeline, pipelines.blank_scaling(pipeline), batch).inputs


def network_and_twin(name, benchmark, rng):
    """Both with the same parameters and running averages, of which none is what it begins with."""
    peers = benchmark.field_twins.PEERS
    if name in peers:
        pytest.importorskip(peers[name][0], reason=f"the twin of {name} needs it")
    pipeline = pipelines.make_pipeline(SMALL[name], 5, hls4ml.HLS4ML)
    params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    params = jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape).astype(np.float32), params)
    state = jax.tree.map(lambda x: x + rng.uniform(0.1, 1, size=x.shape).astype(np.float32), state)
    apply = jax.jit(pipelines.make_apply(pipeline, pipelines.blank_scaling(pipeline)))
    features = len(getattr(pipeline.network, "columns", pipeline.columns)) if name != "convnet" else 1
    twin = benchmark.copy_parameters(params, benchmark.make_twin(SMALL[name], features, 5), state)
    return pipeline, apply, params, state, twin


def logits_of(twin, seen):
    return twin(jax.tree.map(lambda x: torch.tensor(np.asarray(x)), seen)).detach().numpy()


def test_every_network_of_the_command_line_has_a_twin(benchmark):
    classifiers = {name for name in models.MODELS.names() if not models.MODELS.get(name).serves}
    assert classifiers - {"linear", "logistic"} == {*benchmark.KINDS}
    assert all(models.MODELS.name_of(kind) == name for name, kind in benchmark.KINDS.items())
    assert set(SMALL) == set(benchmark.KINDS)


@pytest.mark.filterwarnings("ignore:torch.is_autocast_cpu_enabled:DeprecationWarning")  # lgatr calls it
@pytest.mark.parametrize("name", SMALL)
def test_twins_have_the_same_logits_and_parameters(name, benchmark, rng):
    model = SMALL[name]
    pipeline, apply, params, state, twin = network_and_twin(name, benchmark, rng)
    slots = getattr(model, "particles", 2)
    read, seen = inputs_of(benchmark, model, pipeline, rng, [slots, 1, *rng.integers(1, slots, 3), 0])
    ours, _ = apply(params, state, read, np.ones(6, bool), None)
    theirs = logits_of(twin.eval(), seen)
    assert np.ptp(theirs[:-1], axis=0).min() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=2e-5)
    held = {"lstm": 4, "gru": 2}.get(name, 0) * sum(getattr(model, "units", ()))
    assert sum(x.size for x in jax.tree.leaves(params)) == sum(x.numel() for x in twin.parameters()) - held


@pytest.mark.parametrize("name", NORMALIZED)
def test_statistics_of_batches_are_alike(name, benchmark, rng):
    """Over two batches, which weigh differently in the averages; there is no padding where the twin counts it."""
    model, jets = SMALL[name], 5
    pipeline, apply, params, state, twin = network_and_twin(name, benchmark, rng)
    state["batch_steps"] = jax.tree.map(np.zeros_like, state["batch_steps"])
    twin.train()
    for _ in range(2):
        lengths = [8] * jets if NORMALIZED[name] else [8, 3, *rng.integers(2, 8, jets - 2)]
        read, seen = inputs_of(benchmark, model, pipeline, rng, lengths)
        ours, state = apply(params, state, read, np.ones(jets, bool), jax.random.key(0))
        np.testing.assert_allclose(ours, logits_of(twin, seen), atol=2e-4, rtol=2e-4)
    other = benchmark.copy_parameters(params, copy.deepcopy(twin), state)
    averages = [name for name, _ in twin.named_buffers() if "running" in name]
    assert averages
    for average in averages:
        np.testing.assert_allclose(twin.get_buffer(average), other.get_buffer(average), atol=2e-5, rtol=5e-4)


def test_averages_have_the_momentum_of_hepjax(benchmark):
    assert benchmark.field_twins.MOMENTUM == norms._MOMENTUM


@pytest.mark.parametrize("name", ["gru", "mixer"])
def test_twins_take_the_same_steps(name, benchmark, capsys):
    """The losses of all epochs agree: parameters, averages, batches, optimizer and what is held at 0 are the same."""
    chosen = benchmark.Comparison(networks=(name,), jets=300, epochs=3, particles=5, resamples=2)
    (result,) = benchmark.main(chosen)
    for field in ("train_loss", "val_loss"):
        ours, theirs = ([getattr(epoch, field) for epoch in side] for side in (result.ours, result.theirs))
        np.testing.assert_allclose(ours, theirs, rtol=2e-5)
    assert result.auc[0] == pytest.approx(result.auc[1], abs=2e-3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:]] == [name]


def test_own_first_parameters_are_others(benchmark):
    chosen = benchmark.Comparison(networks=("mlp",), jets=300, epochs=1, resamples=2, own_init=True)
    (result,) = benchmark.main(chosen)
    assert abs(result.ours[0].train_loss - result.theirs[0].train_loss) > 1e-3


def test_another_architecture_is_refused(benchmark, monkeypatch):
    monkeypatch.setitem(benchmark.make_twin.__globals__["ACTIVATIONS"], Activation.RELU, torch.nn.Tanh)
    with pytest.raises(ValueError, match="before training the logits are"):
        benchmark.main(benchmark.Comparison(networks=("mlp",), jets=200, epochs=1))


def test_twins_that_are_not_installed_are_refused_at_once(benchmark, monkeypatch):
    monkeypatch.setitem(benchmark.field_twins.PEERS, "particle-net", ("no_such_module", "some-package==1"))
    with pytest.raises(InputError, match="particle-net: its twin is not installed; pip install some-package==1, or"):
        benchmark.main(benchmark.Comparison(networks=("mlp", "particle-net")))

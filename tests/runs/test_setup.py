"""What a training is made of: shapes that follow from the cost of a jet, and answers in the order of the rows."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from hepjax import load, models, read_jets, runtime, training
from hepjax.choices import Precision
from hepjax.data.datasets import hls4ml
from hepjax.inputs import batching, load_subsets, open_files, pipelines
from hepjax.runs import batch_feeds, options, scoring, setup
from hepjax.training import losses
from hepjax.types import TrainState

pytestmark = pytest.mark.usefixtures("brief")

LISTED = models.DeepSets(particle=(4,), hidden=(), particles=30)


@pytest.mark.parametrize("flop, block, steps", [(10, 8192, 1024), (10**7, 1024, 52), (10**12, 1, 1)])
def test_dearer_jets_come_in_smaller_numbers(flop, block, steps):
    cost = models.Cost(parameters=1, flop_per_jet=flop)
    assert batch_feeds.choose_evaluation_size(cost) == block
    assert batch_feeds.choose_window_steps(cost, 128) == steps


def test_lengths_must_be_worth_their_compilation():
    pipeline, lengths = pipelines.make_pipeline(LISTED, 5, hls4ml.HLS4ML), np.repeat([5, 30], 500)
    dear, cheap = (models.Cost(1, flop) for flop in (10**9, 10))
    assert len(batch_feeds.choose_run_buckets(pipeline, lengths, 6, 10, dear)) > 1
    assert batch_feeds.choose_run_buckets(pipeline, lengths, 6, 10, cheap).lengths == (30,)
    assert batch_feeds.choose_run_buckets(pipeline, lengths, 1, 10, dear).lengths == (30,)


@pytest.mark.parametrize("model", [models.MLP(), models.ConvNet1D(), models.ConvNet()])
def test_models_that_see_every_slot_have_one_shape(model):
    pipeline = pipelines.make_pipeline(model, 5, hls4ml.HLS4ML)
    buckets = batch_feeds.choose_run_buckets(pipeline, np.ones(9, int), 6, 1, models.Cost(1, 10**12))
    assert buckets == batching.Buckets() or model == models.ConvNet()


@pytest.mark.parametrize(
    "model",
    [LISTED, models.InteractionNetwork(edge=(4,), node=(4,), hidden=(), masked=False), models.GRU(units=(4,))],
)
def test_sorted_by_length_the_answer_is_the_same_in_the_same_order(model, monkeypatch):
    pipeline = pipelines.make_pipeline(model, 5, hls4ml.HLS4ML)
    inputs = pipeline.load(read_jets(), slice(300))
    mask = inputs.mask & (np.arange(30) < np.random.default_rng(0).integers(1, 31, 300)[:, None])
    inputs = inputs._replace(values=inputs.values * mask[..., None], mask=mask)
    params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    apply = pipelines.make_apply(pipeline, pipelines.blank_scaling(pipeline))
    step = training.make_eval_step(apply, losses.categorical_cross_entropy)
    whole = TrainState(params, state, (), np.zeros((), np.int32), jax.random.key(0))
    lengths_seen = set()

    def watched(state, batch):
        lengths_seen.add(batch.inputs.values.shape[1])
        return step(state, batch)

    cost = models.Cost(1, 10)
    expected = scoring.make_scorer(pipeline, watched, whole, cost)(inputs)
    assert lengths_seen == {30}
    monkeypatch.setattr(scoring, "COMPILATION_FLOP", 1)
    found = scoring.make_scorer(pipeline, watched, whole, cost)(inputs)
    assert len(lengths_seen) > 2
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_a_tagger_compiles_few_shapes():
    pipeline, seen = pipelines.make_pipeline(models.Logistic(), 5, hls4ml.HLS4ML), set()
    params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    step = training.make_eval_step(
        pipelines.make_apply(pipeline, pipelines.blank_scaling(pipeline)), losses.categorical_cross_entropy
    )

    def watched(state, batch):
        seen.add(len(batch.targets))
        return step(state, batch)

    whole = TrainState(params, state, (), np.zeros((), np.int32), jax.random.key(0))
    score = scoring.make_scorer(pipeline, watched, whole, models.Cost(85, 165))
    for count in (1, 3, 5, 6, 7, 8, 100, 120):
        assert score(np.zeros((count, 16), np.float32)).shape == (count, 5)
    assert seen == {1, 4, 8, 128}


def test_batches_of_several_devices(many_devices):
    """A training on four of eight devices sees whole batches."""
    chosen = options.Experiment(models.Logistic(), epochs=1, batch_size=100, devices=options.Devices(4))
    pipeline = pipelines.make_pipeline(chosen.model, 5, hls4ml.HLS4ML)
    jets = load_subsets.load_subsets(open_files.open_split_files(()), pipeline, chosen.task.read, seed=0, memory=4.0)
    made = setup.make_training_setup(chosen, pipeline, jets)
    assert made.devices.everywhere == 4
    state = runtime.place_state(made.devices, made.start.state)
    (logits,) = made.predict(state, "test")
    scaled = (jets.test.data.inputs - jets.scaling.mean) / jets.scaling.std
    dense = made.start.state.params["Dense_0"]
    np.testing.assert_allclose(logits, scaled @ dense["kernel"] + dense["bias"], rtol=1e-4, atol=1e-4)


def test_sixteen_bits_compute_nearly_the_same_and_are_used():
    pipeline = pipelines.make_pipeline(models.MLP(), 5, hls4ml.HLS4ML)
    params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    inputs = pipeline.load(read_jets(), slice(200))
    scaling = pipelines.blank_scaling(pipeline)
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    full, half = (
        jax.jit(pipelines.make_apply(pipeline, scaling, precision))(params, state, inputs, np.ones(200, bool), None)[0]
        for precision in Precision
    )
    assert full.dtype == half.dtype == np.float32
    apart = np.abs(np.asarray(full) - np.asarray(half))
    assert 1e-5 < apart.max() < 0.1
    assert set(np.unique(np.asarray(half).view(np.uint32) & 0xFFFF)) == {0}  # bfloat16 numbers in float32


def test_sixteen_bits_train_with_float32_parameters(tmp_path):
    from hepjax.runs import train

    chosen = options.Experiment(models.MLP(hidden=(8,)), out=tmp_path / "run", epochs=3, precision=Precision.BFLOAT16)
    _, metrics = train.run(chosen)
    assert metrics["accuracy"] > 0.3
    tagger = load(tmp_path / "run")
    assert tagger.predict(tagger.pipeline.load(read_jets(), slice(9))).dtype == np.float32
    shapes = jax.eval_shape(lambda: pipelines.initialize_from_example(tagger.pipeline, jax.random.key(0)))
    template = (*shapes, pipelines.blank_scaling(tagger.pipeline))
    saved = training.restore(tmp_path / "run" / "checkpoints" / "best.msgpack", template)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(saved)} == {"float32"}

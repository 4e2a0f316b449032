"""Small taggers of every kind, to be exported once each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import hepjax
from hepjax import inputs as representations
from hepjax import models
from hepjax.choices import Activation, Channels, Norm, PairForm, PixelValue, Readout
from hepjax.data.datasets import hls4ml
from hepjax.inputs import pipelines
from hepjax.types import Sequences

SMALL = {"hidden": (8,)}
IMAGE = {"filters": (4, 4), "kernels": (3, 3), "hidden": (8,), "pixels": 16, "pixel_size": 0.05}
GRAPH = {"rounds": 1, "edge": (8,), "node": (8,), "jet": (8,), "hidden": (8,), "particles": 16}
PAIRS = {"edge": (8, 4), "node": (8, 4), "hidden": (8,), "particles": 16}
MODELS = {
    "logistic": models.Logistic(),
    "logistic-curved": models.Logistic(degree=2, features=hepjax.data.datasets.hls4ml.STANDARD_FEATURES[:5]),
    **{f"mlp-{activation.value}": models.MLP(hidden=(8, 4), activation=activation) for activation in Activation},
    "mlp-batch-norm": models.MLP(hidden=(8, 4), norm=Norm.BATCH),
    "mlp-layer-norm": models.MLP(hidden=(16, 16), norm=Norm.LAYER),
    "convnet": models.ConvNet(**IMAGE),
    "convnet-turned": models.ConvNet(**IMAGE, value=PixelValue.ENERGY, rotate=True, flip=True, particles=20),
    "convnet-two-channels": models.ConvNet(**IMAGE, channels=Channels.CHARGED_NEUTRAL),
    "convnet-of-files": models.ConvNet(**IMAGE, images=("jetImage",)),
    "convnet-batch-norm": models.ConvNet(**IMAGE, norm=Norm.BATCH, activation=Activation.GELU, pool=1),
    "convnet1d": models.ConvNet1D(filters=(8,), kernels=(3,), hidden=(8,)),
    "convnet1d-ordered": models.ConvNet1D(
        filters=(8,), kernels=(4,), hidden=(8,), pool=1, norm=Norm.BATCH, order_by="j1_e"
    ),
    "lstm": models.LSTM(units=(8, 4), hidden=(8,)),
    "gru": models.GRU(units=(8,), hidden=(8,)),
    "gru-both-ways": models.GRU(units=(8,), hidden=(8,), bidirectional=True),
    "deepsets": models.DeepSets(particle=(8, 8), hidden=(8,)),
    "deepsets-batch-norm": models.DeepSets(particle=(8,), hidden=(8,), norm=Norm.BATCH, activation=Activation.ELU),
    "graph-all": models.GraphNetwork(**GRAPH),
    "graph-neighbours": models.GraphNetwork(**GRAPH | {"rounds": 2}, neighbors=4, attention=True),
    "graph-radius": models.GraphNetwork(**GRAPH, radius=0.2, edge_features=True, by=("j1_eta", "j1_phi")),
    "graph-large": models.GraphNetwork(**GRAPH | {"particles": 30}, neighbors=3),
    "pairs": models.InteractionNetwork(**PAIRS),
    "pairs-padding-counts": models.InteractionNetwork(**PAIRS, masked=False, activation=Activation.SELU),
    "pairs-flat": models.InteractionNetwork(**PAIRS, readout=Readout.FLATTEN),
    "pairs-flat-padding-counts": models.InteractionNetwork(**PAIRS, readout=Readout.FLATTEN, masked=False),
    "pairs-by-receiver": models.InteractionNetwork(**PAIRS, form=PairForm.RECEIVERS),
    "lorentz-net": models.LorentzNet(width=8, layers=2, particles=8),
    "lorentz-net-without-beams": models.LorentzNet(width=8, layers=2, particles=8, beams=False, columns=("j1_ptrel",)),
    "lgatr-slim": models.LGATrSlim(
        layers=1, vectors=4, scalars=8, heads=2, particles=16, columns=("j1_ptrel", "j1_deltaR")
    ),
    "mixer": models.Mixer(width=8, hidden=(8,), particles=16),
    "pairs-by-edge": models.InteractionNetwork(**PAIRS, form=PairForm.SEGMENTS, activation=Activation.MAXOUT),
}
"""Every kind of model, and every option that changes what is computed."""
FEWEST = (0, 1, 2, 3)
"""Particles of the first jets."""


def inputs_of(model: models.Model, pipeline: pipelines.InputPipeline, count: int = 1000):
    """What is read of the first jets of the sample; a few have few particles or none."""
    if getattr(model, "images", ()):
        images = np.random.default_rng(0).exponential(1, (count, model.pixels, model.pixels, 1)).astype(np.float32)
        images[0] = 0
        return images
    jets = hepjax.read_jets()[:count]
    if getattr(model, "channels", None) is Channels.CHARGED_NEUTRAL:  # the sample's momenta are too rounded for masses
        energy = hepjax.data.datasets.hls4ml.PARTICLE_COLUMNS.index("j1_e")
        p = jets.constituents[..., :3].astype(np.float64)
        mass = np.where(np.arange(p.shape[1]) % 2, 0.14, 0) * jets.mask
        jets.constituents[..., energy] = np.sqrt((p**2).sum(-1) + mass**2)
    result = jax.tree.map(np.array, pipeline.load(jets, slice(None)))
    if isinstance(result, Sequences):
        for row, number in enumerate(FEWEST):
            result.mask[row, number:] = False
            result.values[row, number:] = 0
    return result


def draw(shapes, rng):
    """Random variables, drawn by NumPy: compiling the initialization would take longer than all else."""

    def one(path, leaf):
        if path[-1].key == "var":
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        width = 1 / np.sqrt(np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.1
        return np.asarray(width * rng.normal(size=leaf.shape) + (path[-1].key == "scale"), np.float32)

    return jax.tree_util.tree_map_with_path(one, shapes)


def make_tagger(model: models.Model, seed: int = 0):
    """The pure function of an untrained tagger, its inputs, and its answers in JAX, which differ from jet to jet."""
    pipeline = pipelines.make_pipeline(model, 5, hls4ml.HLS4ML)
    inputs = inputs_of(model, pipeline)
    scaling = representations.scaling_of([pipeline.statistics(inputs)])
    if pipeline.scaled:  # an absurd value counts as the mean, wherever the model runs
        values = inputs.values if isinstance(inputs, Sequences) else inputs
        values[len(FEWEST)].reshape(-1)[0] = 1e11
    shapes = jax.eval_shape(lambda key: pipelines.initialize_from_example(pipeline, key), jax.random.key(0))
    params, state = draw(shapes, np.random.default_rng(seed))
    apply = pipelines.make_apply(pipeline, scaling)

    def logits(inputs):
        mask = jnp.ones(jax.tree.leaves(inputs)[0].shape[0], bool)
        return apply(params, state, inputs, mask, None)[0]

    # Sums over particles may be so large that all answers were 0 or 1: none is wider than those of a trained tagger.
    result = np.asarray(jax.jit(logits)(inputs))
    middle, width = result[len(FEWEST) :].mean(axis=0), max(result[len(FEWEST) :].std(axis=0).max(), 1)
    expected = np.asarray(jax.nn.softmax((result - middle) / width))
    return lambda inputs: jax.nn.softmax((logits(inputs) - middle) / width), inputs, expected


def first(inputs, count):
    return jax.tree.map(lambda x: x[:count], inputs)

"""Every model of the command line: from jets to logits, through its own representation."""

from __future__ import annotations

import dataclasses

import chex
import jax
import numpy as np
import pytest

from hepjax import InputError, models, read_jets
from hepjax import inputs as representations
from hepjax.choices import Channels, Readout
from hepjax.data.datasets.hls4ml import HLS4ML
from hepjax.inputs import pipelines
from hepjax.numerics import wrap_azimuth
from hepjax.types import Dataset, Scaling

SMALL = {
    "convnet": models.ConvNet(filters=(2, 3), kernels=(3, 3), hidden=(4,), pixels=12, pixel_size=0.06),
    "convnet1d": models.ConvNet1D(filters=(4,), kernels=(3,), hidden=(4,), particles=10),
    "deepsets": models.DeepSets(particle=(6, 4), hidden=(4,), particles=12),
    "graph-network": models.GraphNetwork(edge=(4,), node=(4,), jet=(4,), hidden=(4,), particles=8),
    "gru": models.GRU(units=(5,), hidden=(4,), particles=8),
    "interaction-network": models.InteractionNetwork(edge=(6, 4), node=(6, 4), hidden=(6,), particles=8),
    "lgatr-slim": models.LGATrSlim(vectors=2, scalars=4, layers=1, heads=2, particles=8),
    "logistic": models.Logistic(),
    "lorentz-net": models.LorentzNet(width=4, layers=1, particles=8),
    "lstm": models.LSTM(units=(4, 3), bidirectional=True, hidden=(), particles=8),
    "mixer": models.Mixer(width=4, hidden=(4,), particles=8),
    "mlp": models.MLP(hidden=(8,)),
    "particle-net": models.ParticleNet(blocks=(4, 6), neighbors=3, hidden=(4,), particles=8),
    "particle-transformer": models.ParticleTransformer(
        embed=(4, 8), pair_embed=(4,), heads=2, layers=1, class_layers=1, particles=8
    ),
}
"""One of each, small."""
MORE = {
    "graph of near ones": dataclasses.replace(SMALL["graph-network"], neighbors=3, edge_features=True),
    "graph within a radius": dataclasses.replace(SMALL["graph-network"], radius=0.1, columns=("j1_ptrel",)),
    "graph with attention": dataclasses.replace(SMALL["graph-network"], attention=True, neighbors=2),
    "turned images": dataclasses.replace(SMALL["convnet"], rotate=True, flip=True),
    "published interaction network": dataclasses.replace(
        SMALL["interaction-network"], readout=Readout.FLATTEN, masked=False
    ),
    "by energy": dataclasses.replace(SMALL["gru"], order_by="j1_e"),
}
MODELS = SMALL | MORE


@pytest.fixture(scope="module")
def jets():
    return read_jets()[:20]


def scaling(pipeline, inputs):
    return representations.scaling_of([pipeline.statistics(inputs)])


def logits_of(model, jets, rows=slice(None)):
    pipeline = pipelines.make_pipeline(model, 5, HLS4ML)
    inputs = pipeline.load(jets, rows)
    apply = jax.jit(pipelines.make_apply(pipeline, scaling(pipeline, inputs)))
    params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    count = len(jax.tree.leaves(inputs)[0])
    return apply(params, state, inputs, np.ones(count, bool), None)[0]


def test_parameters_are_those_of_the_key():
    pipeline = pipelines.make_pipeline(models.MLP(hidden=(4,)), 5, HLS4ML)
    example = pipeline.transform(pipelines.blank_scaling(pipeline), pipeline.example)
    first, second = (pipelines.initialize_from_example(pipeline, jax.random.key(seed)) for seed in (1, 2))
    chex.assert_trees_all_equal(first, models.initialize(pipeline.network, jax.random.key(1), example))
    assert not np.array_equal(first[0]["Dense_0"]["kernel"], second[0]["Dense_0"]["kernel"])


def test_there_is_one_for_each_model_of_the_command_line():
    assert {models.MODELS.name_of(model) for model in SMALL.values()} == set(SMALL)
    assert {*SMALL, "linear"} == {name for name in models.MODELS.names() if not models.MODELS.get(name).serves}


@pytest.mark.parametrize("name", MODELS)
def test_from_jets_to_logits(name, jets):
    logits = logits_of(MODELS[name], jets)
    chex.assert_shape(logits, (20, 5))
    chex.assert_tree_all_finite(logits)
    assert np.ptp(logits, axis=0).max() > 1e-4  # the jets are told apart


@pytest.mark.parametrize("name", MODELS)
def test_the_example_is_what_is_read_of_one_jet(name, jets):
    pipeline = pipelines.make_pipeline(MODELS[name], 5, HLS4ML)
    chex.assert_trees_all_equal_shapes_and_dtypes(pipeline.example, pipeline.load(jets, slice(1)))
    blank = pipelines.blank_scaling(pipeline)
    chex.assert_trees_all_equal_shapes_and_dtypes(blank, scaling(pipeline, pipeline.load(jets, slice(None))))


@pytest.mark.parametrize("name", MODELS)
def test_every_option_of_the_network_reaches_it(name):
    model = MODELS[name]
    network = pipelines.make_pipeline(model, 5, HLS4ML).network
    filled = {field: value for field, value in models.options_of(model).items() if value != ()}
    assert filled.items() <= models.options_of(network).items()
    assert network.outputs == 5


def test_particle_columns_are_scaled_by_what_is_no_padding(jets):
    model = models.DeepSets(columns=("j1_ptrel", "j1_etarel"), particles=30)
    pipeline = pipelines.make_pipeline(model, 5, HLS4ML)
    inputs = pipeline.load(jets, slice(None))
    scaled = pipeline.transform(scaling(pipeline, inputs), inputs)
    np.testing.assert_allclose(scaled.values[inputs.mask].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.values[inputs.mask].std(axis=0), 1, atol=1e-5)
    assert not scaled.values[~inputs.mask].any()


def test_nearest_is_measured_before_scaling(jets):
    model = dataclasses.replace(SMALL["graph-network"], neighbors=2, columns=("j1_ptrel", "j1_etarel", "j1_phirel"))
    pipeline = pipelines.make_pipeline(model, 5, HLS4ML)
    inputs = pipeline.load(jets, slice(None))
    distorted = Scaling(np.zeros(3, np.float32), np.array([1, 1e-3, 1e3], np.float32))
    plain = pipeline.transform(pipelines.blank_scaling(pipeline), inputs)
    np.testing.assert_array_equal(pipeline.transform(distorted, inputs).senders, plain.senders)


def test_absolute_azimuths_are_near_across_their_step(jets):
    """As in the graphs of the host; some of these jets lie at ±π when they are turned there."""
    model = dataclasses.replace(SMALL["graph-network"], neighbors=2, by=("j1_eta", "j1_phi"), columns=("j1_pt",))
    phi = jets.particle_names.index("j1_phi")
    turned = jets.constituents.copy()
    turned[..., phi] = wrap_azimuth(turned[..., phi] - turned[:, :1, phi] + np.pi) * jets.mask
    jets = dataclasses.replace(jets, constituents=turned)
    pipeline = pipelines.make_pipeline(model, 5, HLS4ML)
    inputs = pipeline.load(jets, slice(None))
    found = pipeline.transform(scaling(pipeline, inputs), inputs)
    expected = representations.graphs(jets, model.columns, particles=8, neighbors=2, by=model.by)
    np.testing.assert_array_equal(found.senders[: len(expected.senders)], expected.senders)
    relative = dataclasses.replace(model, by=("j1_etarel", "j1_phirel"))
    inputs = pipelines.make_pipeline(relative, 5, HLS4ML).load(jets, slice(None))
    near = pipelines.make_pipeline(relative, 5, HLS4ML).transform(scaling(pipeline, inputs), inputs)
    # The sample is rounded to 12 bits, which exchanges neighbors that are equally near.
    assert np.mean(np.asarray(near.senders) == np.asarray(found.senders)) > 0.95


def test_images_are_log_gev(jets):
    model = SMALL["convnet"]
    pipeline = pipelines.make_pipeline(model, 5, HLS4ML)
    inputs = pipeline.load(jets, slice(None))
    drawn = representations.images(jets, particles=30, pixels=12, size=0.06)
    found = pipeline.transform(scaling(pipeline, inputs), inputs)
    np.testing.assert_allclose(found, np.log1p(drawn), rtol=1e-5)


class TestImagesOfFiles:
    def test_are_read(self, jet_file, rng):
        images = rng.exponential(size=(25, 12, 12)).astype(np.float32)
        path = jet_file(jetImage=images, jetImageECAL=2 * images)
        model = dataclasses.replace(SMALL["convnet"], images=("jetImage", "jetImageECAL"))
        pipeline = pipelines.make_pipeline(model, 5, HLS4ML)
        jets = read_jets(path, images=pipeline.images)
        inputs = pipeline.load(jets, slice(3, 9))
        np.testing.assert_array_equal(inputs, np.stack([images, 2 * images], axis=-1)[3:9])
        chex.assert_tree_all_finite(logits_of(model, jets))

    def test_of_another_size_are_refused(self, jet_file):
        path = jet_file(jetImage=np.ones((25, 10, 10), np.float32))
        model = dataclasses.replace(SMALL["convnet"], images=("jetImage",))
        with pytest.raises(InputError, match="--pixels: expected those of jetImage in the files, 10 by 10, found 12"):
            pipelines.make_pipeline(model, 5, HLS4ML).load(read_jets(path, images=("jetImage",)), slice(None))

    def test_below_zero_are_refused(self, jet_file):
        path = jet_file(jetImage=np.full((25, 12, 12), -0.5, np.float32))
        model = dataclasses.replace(SMALL["convnet"], images=("jetImage",))
        with pytest.raises(InputError, match=r"--images: expected pT of 0 or more in jetImage, found -0\.5"):
            pipelines.make_pipeline(model, 5, HLS4ML).load(read_jets(path, images=("jetImage",)), slice(None))


def test_charges_of_rounded_particles_are_refused(jets):
    """The embedded sample does not know masses."""
    with pytest.raises(InputError, match="rounded"):
        logits_of(dataclasses.replace(SMALL["convnet"], channels=Channels.CHARGED_NEUTRAL), jets)


@pytest.mark.parametrize("name", ["lgatr-slim", "lorentz-net", "particle-net", "particle-transformer"])
def test_jets_without_momenta_are_refused_where_these_are_looked_at(name):
    what = "places" if name == "particle-net" else "four-momenta"
    with pytest.raises(InputError, match=f"looks at {what} of particles, which .* toy lack"):
        pipelines.make_pipeline(SMALL[name], 2, Dataset("toy", particle_columns=("a", "b"), particle_features=("a",)))

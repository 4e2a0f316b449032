"""Models on jets of other columns: what they see by default, and what they refuse."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from hepjax import InputError, models, read_jets
from hepjax.choices import Channels, Role
from hepjax.data.datasets import hls4ml
from hepjax.inputs import graphs, pipelines, scaling_of, sequences, tabular
from hepjax.types import Dataset

PARTICLES = ("pt", "pt_rel", "j1_e", "energy_rel", "eta_rel", "phi_rel", "delta_r")


@pytest.fixture
def jets(other_file):
    return read_jets(other_file())


class TestResolve:
    def test_leaves_to_the_dataset_what_the_model_leaves_open(self, jets):
        assert pipelines.resolve_model_columns(models.MLP(), jets.dataset).features == ("j_pt", "j_mass")
        assert pipelines.resolve_model_columns(models.DeepSets(), jets.dataset).columns == PARTICLES
        assert pipelines.resolve_model_columns(models.GraphNetwork(), jets.dataset).by == ("eta_rel", "phi_rel")
        assert pipelines.resolve_model_columns(models.GraphNetwork(), hls4ml.HLS4ML).by == ("j1_etarel", "j1_phirel")

    def test_changes_nothing_that_is_named(self, jets):
        for model in (models.MLP(features=("j_mass",)), models.GRU(columns=("j1_e",)), models.ConvNet()):
            assert pipelines.resolve_model_columns(model, jets.dataset) == model

    def test_again_is_the_same(self, jets):
        model = pipelines.resolve_model_columns(models.GraphNetwork(), jets.dataset)
        assert pipelines.resolve_model_columns(model, Dataset("other")) == model

    def test_jets_without_columns_of_jets(self, other_file):
        dataset = read_jets(other_file(observables=())).dataset
        with pytest.raises(
            InputError, match=r"--features: .* hls4ml have no jet columns .* train a model of particles"
        ):
            pipelines.resolve_model_columns(models.MLP(), dataset)


@pytest.mark.parametrize(
    "model",
    [
        models.Logistic(),
        models.MLP(hidden=(4,)),
        models.ConvNet(filters=(2,), kernels=(3,), hidden=(4,), pixels=8, pixel_size=0.1, particles=12),
        models.ConvNet(
            filters=(2,), kernels=(3,), hidden=(4,), pixels=8, pixel_size=0.1, channels=Channels.CHARGED_NEUTRAL,
            particles=12,
        ),
        models.ConvNet1D(filters=(2,), kernels=(3,), hidden=(4,), particles=12),
        models.GRU(units=(3,), hidden=(4,), particles=12, order_by="delta_r"),
        models.DeepSets(particle=(4,), hidden=(4,), particles=12),
        models.InteractionNetwork(edge=(4,), node=(4,), hidden=(4,), particles=12),
        models.GraphNetwork(
            edge=(4,), node=(4,), jet=(4,), hidden=(4,), particles=12, neighbors=2, edge_features=True
        ),
    ],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_from_jets_to_logits(model, jets):
    pipeline = pipelines.make_pipeline(model, 2, jets.dataset)
    inputs = pipeline.load(jets, slice(None))
    scaling = scaling_of([pipeline.statistics(inputs)])
    params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    logits = pipelines.make_apply(pipeline, scaling)(params, state, inputs, np.ones(60, bool), None)[0]
    assert logits.shape == (60, 2)
    assert np.isfinite(logits).all()
    assert np.ptp(logits, axis=0).max() > 1e-4


def test_columns_of_no_meaning(other_file):
    """Lists of them can be learned from; images and angles cannot be made of them."""
    jets = read_jets(other_file(columns=("a", "b", "c", "d")))
    pipeline = pipelines.make_pipeline(models.DeepSets(particles=12), 2, jets.dataset)
    assert pipeline.load(jets, slice(3)).values.shape == (3, 12, 4)
    for model, words in (
        (models.ConvNet(particles=12), "columns: the jets have no eta_rel; there are a, b, c, d"),
        (models.GraphNetwork(particles=12, neighbors=2), "the jets have no eta_rel"),
        (models.GraphNetwork(particles=12, edge_features=True), "the jets have no px"),
    ):
        with pytest.raises(InputError, match=words):
            pipelines.make_pipeline(model, 2, jets.dataset).load(jets, slice(3))
    with pytest.raises(InputError, match="channels: the dataset hls4ml has no column of energies or masses"):
        pipelines.make_pipeline(models.ConvNet(channels=Channels.CHARGED_NEUTRAL), 2, jets.dataset)


def test_columns_by_their_roles(jets):
    found = sequences(jets, ["energy", "j1_e", "pt"]).values
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    constituents = np.asarray(jets.constituents, np.float64)
    np.testing.assert_allclose(found[..., 2], np.hypot(constituents[..., 0], constituents[..., 1]), rtol=1e-5)
    np.testing.assert_array_equal(tabular(jets, ["jet_mass"]), tabular(jets, ["j_mass"]))
    assert tabular(jets).shape == (60, 2)
    graph = graphs(jets, ["pt"], by=["eta", "phi"], neighbors=2, rows=slice(3))
    assert graph.nodes.shape[1] == 1


def test_the_order_may_be_that_of_a_column_that_is_derived(jets):
    found = sequences(jets, ["delta_r", "mass"], order_by="delta_r", particles=3)
    assert (np.diff(found.values[..., 0], axis=1)[found.mask[:, 1:]] <= 0).all()
    other = sequences(jets, ["delta_r"], order_by="eta")
    assert sorted(other.values[0, :, 0]) == sorted(sequences(jets, ["delta_r"]).values[0, :, 0])


def test_an_own_column_of_that_name_is_taken_as_it_is(other_file):
    jets = read_jets(other_file(particle_extra=("pt",)))
    place = jets.particle_names.index("pt")
    found = sequences(jets, ["pt"]).values[..., 0]
    np.testing.assert_array_equal(found, np.where(jets.mask, jets.constituents[..., place], 0))
    assert Role.PT not in jets.dataset.roles  # the public dataset, whose names most columns have, knows no pt
    assert dataclasses.asdict(jets.dataset)["name"] == "hls4ml"

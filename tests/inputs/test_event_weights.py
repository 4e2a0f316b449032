"""Weights that give classes equal spectra in training, and what weights leave of jets."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest

from hepjax import InputError, models
from hepjax.data.datasets import hls4ml
from hepjax.inputs import event_weights, load_subsets, open_files, pipelines
from hepjax.tasks.classification import Classification
from hepjax.types import Reweighting

PIPELINE = pipelines.make_pipeline(models.DeepSets(particles=20, columns=("j1_pt", "j1_etarel")), 5, hls4ml.HLS4ML)
BINS = {"j_pt": (-1.0, 0.0, 1.0), "j_mass": (-3.0, 0.0, 3.0)}
COUNT = 400


def load(path, memory=4.0):
    opened = open_files.open_split_files([path])
    return load_subsets.load_subsets(opened, PIPELINE, Classification().read, seed=0, memory=memory)


def reweighted(splits, reweighting, **options):
    groups = {name: getattr(splits, name).targets for name in splits.split._fields}
    return event_weights.reweighted(splits, reweighting, groups, hls4ml.CLASSES, **options)


def spectra(path, subset, weights):
    """(C, 2, 2) sums of weights, by NumPy."""
    with h5py.File(path) as file:
        table = file[hls4ml.JETS][:]
    x, y = (table[subset.rows, hls4ml.JET_COLUMNS.index(name)] for name in BINS)
    return np.array(
        [
            np.histogram2d(x[chosen], y[chosen], [*BINS.values()], weights=weights[chosen])[0]
            for chosen in (subset.targets == c for c in range(5))
        ]
    )


@pytest.fixture
def weighted(jet_file, rng):
    """Jets of weights of both signs."""
    return jet_file(count=COUNT, weights=rng.exponential(size=COUNT) * rng.choice([1, 1, 1, 1, -0.2], COUNT))


@pytest.mark.parametrize("memory", [4.0, 1e-5])
@pytest.mark.parametrize("to", ["flat", "mean", "t"])
def test_training_jets_have_equal_spectra(weighted, memory, to):
    before = load(weighted, memory)
    after, figures = reweighted(before, Reweighting(BINS, to))
    found = spectra(weighted, after.train, after.train.weights)
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), rtol=1e-5)
    if to == "flat":
        np.testing.assert_allclose(found[0], found[0, 0, 0], rtol=1e-5)
    if to == "t":
        own = spectra(weighted, before.train, before.train.weights)[hls4ml.CLASSES.index("t")]
        np.testing.assert_allclose(found[0] / found[0].sum(), own / own.sum(), rtol=1e-5)
    assert after.train.weights.mean() == pytest.approx(1, rel=1e-5)
    assert figures["outside"] == pytest.approx((after.train.weights == 0).mean())
    assert 0 < figures["effective_training"] < after.counts[0]
    for name in ("train", "val"):
        subset = getattr(after, name)
        np.testing.assert_array_equal(subset.known_weights, getattr(before, name).weights)
        for places, batch in subset.blocks([0]):
            np.testing.assert_array_equal(batch.weights, subset.weights[places])
    assert after.test is before.test


def test_validation_jets_get_the_factors_of_training_jets(weighted):
    before = load(weighted)
    after, _ = reweighted(before, Reweighting(BINS))
    factors = [spectra(weighted, part, part.weights) for part in (after.train, after.val)]
    factors = [x / spectra(weighted, part, part.weights) for x, part in zip(factors, before[:2], strict=True)]
    known = np.isfinite(factors[1])
    np.testing.assert_allclose(factors[1][known], factors[0][known], rtol=1e-4)


def test_classes_are_balanced_without_columns(weighted):
    after, _ = reweighted(load(weighted), Reweighting({}))
    sums = np.bincount(after.train.targets, after.train.weights.astype(np.float64))
    np.testing.assert_allclose(sums, sums[0], rtol=1e-5)


def test_folds_have_one_set_of_weights_for_all_jets(weighted):
    after, _ = reweighted(load(weighted), Reweighting(BINS), tested_too=True)
    found = sum(spectra(weighted, part, part.weights) for part in after[:3])
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), rtol=1e-5)


def test_given_factors_are_taken(weighted):
    factors = {"q": (1.0, 0.0, 0.0, 0.0), "t": (0.0, 0.0, 0.0, 2.0)}
    after, _ = reweighted(load(weighted), Reweighting(BINS, factors=factors))
    found = spectra(weighted, after.train, after.train.weights != 0)
    assert [tuple(each) for each in np.argwhere(found)] == [(1, 0, 0), (4, 1, 1)]


@pytest.mark.parametrize(
    "reweighting, message",
    [
        (Reweighting({"mass": (0.0, 1.0)}), "--reweight: expected jet columns of the files, found mass; hepjax info"),
        (Reweighting({"j_pt": (1e5, 2e5)}), "--reweight: no bin has training jets of every class; give other bins"),
        (Reweighting(BINS, "qcd"), "--reweight-to: expected flat or mean or g or q or w or z or t, found qcd"),
    ],
)
def test_what_cannot_be(weighted, reweighting, message):
    with pytest.raises(InputError) as error:
        reweighted(load(weighted), reweighting)
    assert message in str(error.value)


def test_nan_in_a_column(weighted):
    with h5py.File(weighted, "r+") as file:
        file[hls4ml.JETS][:200, hls4ml.JET_COLUMNS.index("j_pt")] = np.nan
    with pytest.raises(InputError, match=r"jets has 200 NaN or infinite values, .* column j_pt; remove those jets"):
        reweighted(load(weighted), Reweighting(BINS))


def test_a_class_without_jets_in_a_bin_is_named(jet_file, caplog):
    path = jet_file(count=COUNT)
    with h5py.File(path, "r+") as file:
        table = file[hls4ml.JETS]
        values = table[:]
        column = hls4ml.JET_COLUMNS.index("j_pt")
        values[:, column] = np.where(values[:, hls4ml.JET_COLUMNS.index("j_t")] == 1, -0.5, values[:, column])
        table[...] = values
    after, figures = reweighted(load(path), Reweighting({"j_pt": (-1.0, 0.0, 1.0)}))
    assert "--reweight: t has no weight in the bin j_pt 0 to 1: no training jet counts there" in caplog.text
    assert figures["unmatched"] > 0
    assert set(np.flatnonzero(after.train.weights)) < set(range(after.counts[0]))


def test_figures_of_weights(jet_file, caplog):
    weights = np.where(np.arange(100) < 20, -1.0, 1.0)
    with caplog.at_level(logging.WARNING):
        figures = event_weights.weight_figures(load(jet_file(count=100, weights=weights)))
    assert figures == pytest.approx({"jets": 100, "negative": 0.2, "effective": 36})
    assert "20.0% of 100 jets have negative weights: all together are worth 36 jets of weight 1" in caplog.text
    assert event_weights.weight_figures(load(jet_file("plain.h5", count=100))) == {}

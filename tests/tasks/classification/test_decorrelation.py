"""What the answers of an experiment shall not tell, from options to trained taggers."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

import hepjax
from hepjax import InputError, models
from hepjax.choices import Decorrelation
from hepjax.data.datasets import hls4ml
from hepjax.inputs import load_subsets, open_files, pipelines
from hepjax.runs import predictions, records, train
from hepjax.runs.options import Experiment
from hepjax.tasks.classification import Classification, Insensitivity
from hepjax.tasks.classification.options import asks_for_decorrelation
from hepjax.training.decorrelation import ADVERSARY, distance_correlation

MODEL = models.MLP(features=("j_mass", "j_multiplicity", "j_tau1_b1"), hidden=(8,))
PIPELINE = pipelines.make_pipeline(MODEL, 5, hls4ml.HLS4ML)
LISTED = pipelines.make_pipeline(models.DeepSets(particles=20, columns=("j1_pt", "j1_etarel")), 5, hls4ml.HLS4ML)


def load(path, insensitive, pipeline=PIPELINE, memory=4.0):
    opened = open_files.open_split_files((path,))
    task = Classification(insensitive=insensitive).resolve(opened.data.dataset)
    return task.prepare(load_subsets.load_subsets(opened, pipeline, task.read, seed=0, memory=memory), pipeline, 0)


def test_an_observable_becomes_its_rank_among_background_jets(jet_file):
    path = jet_file(count=400)
    found = load(path, Insensitivity(to="j_mass"))
    mass = found.train.data.inputs[:, 0]
    background = found.train.targets < 2
    ranks = np.sort(found.train.data.nuisance[background])
    np.testing.assert_allclose(ranks, np.arange(len(ranks)) / len(ranks), atol=1e-6)
    for part in found[:3]:
        assert part.data.nuisance.dtype == np.float32
        expected = [(mass[background] < m).mean() for m in part.data.inputs[:, 0]]
        np.testing.assert_allclose(part.data.nuisance, expected, atol=1e-6)
    plain = load(path, Insensitivity())
    assert plain.train.data.nuisance is None
    np.testing.assert_array_equal(plain.train.data.inputs, found.train.data.inputs)
    assert plain.fingerprint == found.fingerprint


@pytest.mark.parametrize("pipeline", [PIPELINE, LISTED], ids=["features", "particles"])
def test_energies_are_scaled_by_the_ranks_but_for_test_jets(jet_file, pipeline):
    path = jet_file(count=100)
    plain, shifted = (load(path, Insensitivity(energy_scale=x), pipeline) for x in (0.0, 0.1))
    in_gev = np.isin(pipeline.columns, ("j_mass", "j_tau1_b1", "j1_pt"))
    for name in ("train", "val"):
        a, b = (jax.tree.leaves(getattr(jets, name).data.inputs)[0] for jets in (plain, shifted))
        rank = getattr(shifted, name).data.nuisance
        assert 0 <= rank.min() < 0.2
        assert 0.8 < rank.max() < 1
        factor = (0.9 + 0.2 * rank).reshape(-1, *[1] * (a.ndim - 1))
        np.testing.assert_allclose(b, np.where(in_gev, a * factor, a), rtol=1e-5)
    np.testing.assert_array_equal(*(jax.tree.leaves(jets.test.data.inputs)[0] for jets in (plain, shifted)))
    again = load(path, Insensitivity(energy_scale=0.1), pipeline)
    np.testing.assert_array_equal(again.train.data.nuisance, shifted.train.data.nuisance)


def test_a_stream_tells_the_same_as_memory(jet_file):
    path = jet_file(count=200)
    for insensitive in (Insensitivity(to="j_mass"), Insensitivity(energy_scale=0.1)):
        held, streamed = (load(path, insensitive, memory=memory) for memory in (1.0, 1e-9))
        assert streamed.train.data is None
        for places, batch in streamed.train.blocks([3]):
            np.testing.assert_array_equal(batch.nuisance, held.train.data.nuisance[places])
            np.testing.assert_array_equal(batch.inputs, held.train.data.inputs[places])


@pytest.mark.parametrize(
    "insensitive,words",
    [
        (Insensitivity(to="j_masss"), "--insensitive.to: .* found j_masss"),
        (Insensitivity(to="j_mass", energy_scale=0.1), "--insensitive.energy-scale: .* found 0.1"),
        (Insensitivity(energy_scale=1.0), "--insensitive.energy-scale: .* below 1, found 1.0"),
        (Insensitivity(to="j_mass", strength=-1.0), "--insensitive.strength: .* found -1.0"),
        (
            Insensitivity(to="j_mass", background=("g", "x")),
            "background: expected different ones of g, q, w, z, t, found x",
        ),
        (Insensitivity(to="j_mass", signal=("w", "w")), "--insensitive.signal: .* found .*'w'"),
        (Insensitivity(to="j_mass", background=("g",), signal=("g",)), "a class that is not the signal"),
        (Insensitivity(to="j_mass", signal=("g", "x")), "--insensitive.signal: .* found x"),
        (Insensitivity(to="j_mass", background=("g", "g")), "--insensitive.background: expected different classes"),
    ],
)
def test_what_makes_no_sense_is_refused(insensitive, words, tmp_path):
    with pytest.raises(InputError, match=words):
        train.run(Experiment(MODEL, task=Classification(insensitive=insensitive), epochs=1, out=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_shifted_energies_are_no_fold_to_test_on(tmp_path):
    shifted = Experiment(
        MODEL, task=Classification(insensitive=Insensitivity(energy_scale=0.1)), folds=3, out=tmp_path / "new"
    )
    with pytest.raises(InputError, match="--folds: expected none where energies are shifted, found 3"):
        train.run(shifted)


def test_a_background_without_jets_is_refused(jet_file):
    jets = np.zeros((100, len(hls4ml.JET_COLUMNS)), np.float32)
    jets[:, -6:] = np.eye(6)[2 + np.arange(100) % 2]
    path = jet_file(count=100, **{hls4ml.JETS: jets})
    with pytest.raises(InputError, match="no jet to train on is of class g or q"):
        load(path, Insensitivity(to="j_mass"))


def dependence(folder):
    """How much the answer to a background jet, W against background, tells of its mass."""
    found = predictions.read_predictions(folder / "test.h5")
    p, background = np.asarray(found.values), np.asarray(found.targets) < 2
    answers = (p[:, 2] / (p[:, 0] + p[:, 1] + p[:, 2]))[background]
    return distance_correlation(answers, np.log(found.observables["j_mass"][background]), answers)


def test_both_ways_keep_the_mass_to_themselves(tmp_path):
    shared = {"model": models.MLP(features=("j_mass", *hls4ml.STANDARD_FEATURES)), "epochs": 30, "batch_size": 512}
    mass = {"to": "j_mass", "signal": ("w",)}
    chosen = {
        "plain": Insensitivity(),
        "correlation": Insensitivity(**mass, strength=10.0),
        "adversary": Insensitivity(**mass, strength=3.0, by=Decorrelation.ADVERSARY),
    }
    found = {}
    for name, insensitive in chosen.items():
        train.run(
            Experiment(**shared, task=Classification(insensitive=insensitive), patience=None, out=tmp_path / name)
        )
        found[name] = dependence(tmp_path / name)
    assert found["correlation"] < 0.4 * found["plain"]
    assert found["adversary"] < 0.4 * found["plain"]
    # The adversary stays behind: what is left is a tagger like any other, with the same answers to the same jets.
    tagger, test = hepjax.load(tmp_path / "adversary"), predictions.read_predictions(tmp_path / "adversary" / "test.h5")
    assert ADVERSARY not in tagger.networks[0].params
    np.testing.assert_allclose(tagger(hepjax.read_jets()[np.asarray(test.rows)[:50]]), test.values[:50], atol=1e-5)


def test_a_contest_goes_on_and_is_not_judged_by_losses_that_differ(jet_file, tmp_path):
    chosen = Classification(insensitive=Insensitivity(to="j_mass", by=Decorrelation.ADVERSARY))
    first = Experiment(MODEL, task=chosen, data=(jet_file(count=200),), epochs=1, out=tmp_path / "new")
    train.run(first)
    _, metrics = train.run(dataclasses.replace(first, epochs=4, resume=True))
    assert [row.epoch for row in records.read_history(tmp_path / "new" / "history.csv")] == [1, 2, 3, 4]
    assert "adversary" in metrics["verdict"]["words"]


def test_folds_are_insensitive_each(jet_file, tmp_path):
    chosen = Classification(insensitive=Insensitivity(to="j_mass", by=Decorrelation.ADVERSARY))
    asked = Experiment(MODEL, task=chosen, data=(jet_file(count=100),), folds=3, epochs=1, out=tmp_path / "new")
    folder, metrics = train.run(asked)
    assert len(metrics["members"]) == 3
    assert len(hepjax.load(folder).networks) == 3


def test_nothing_is_asked_for_by_default():
    assert not asks_for_decorrelation(Experiment().task.insensitive)

"""Reading, splitting and refusing the jets of an experiment."""

from __future__ import annotations

import dataclasses
import logging

import chex
import h5py
import jax
import numpy as np
import pytest

from hepjax import InputError, models, read_jets
from hepjax.data import stores
from hepjax.data.datasets import hls4ml
from hepjax.inputs import load_subsets, open_files, pipelines
from hepjax.tasks.classification import Classification

PIPELINE = pipelines.make_pipeline(models.DeepSets(particles=20, columns=("j1_pt", "j1_etarel")), 5, hls4ml.HLS4ML)


TASK = Classification()


def load(*data, test=(), memory=4.0):
    return load_subsets.load_subsets(
        open_files.open_split_files(data, test=test), PIPELINE, TASK.read, seed=0, memory=memory
    )


@pytest.fixture
def hollow(jet_file):
    """100 jets of which three have no particle."""
    path = jet_file("hollow.h5", count=100)
    with h5py.File(path, "r+") as file:
        file[hls4ml.CONSTITUENTS][[4, 5, 60]] = 0
    return path


def test_parts_are_disjoint_and_whole(jet_file, tmp_path):
    found = load(jet_file(count=100))
    assert found.counts == (60, 20, 20)
    assert sorted(np.concatenate(found.split)) == list(range(100))
    whole = PIPELINE.load(open_files.open_jets((tmp_path / "jets.h5",)), slice(None))
    for part, rows in zip(found[:3], found.split, strict=True):
        np.testing.assert_array_equal(part.rows, np.sort(rows))
        chex.assert_trees_all_equal(part.data.inputs, jax.tree.map(lambda x, part=part: x[part.rows], whole))
        np.testing.assert_array_equal(part.lengths, part.data.inputs.mask.sum(axis=1))
        np.testing.assert_array_equal(part.targets, part.data.targets)


def test_own_files_are_taken_whole(jet_file):
    found = load(jet_file(count=100), test=(jet_file("test.h5", count=40, seed=1),))
    assert found.counts == (80, 20, 40)


def test_files_of_several_lengths(jet_file):
    assert load(jet_file(count=50), jet_file("long.h5", slots=40, count=50)).train.data.inputs.mask.shape[1] == 20


def test_too_few_particles_are_filled_up_where_padding_is_passed_over(jet_file):
    found = load(jet_file(slots=12, count=100))
    assert found.train.data.inputs.values.shape[1:] == (20, 2)
    assert not found.train.data.inputs.mask[:, 12:].any()


def test_too_few_particles_name_both_numbers_where_it_is_not(jet_file):
    pipeline = pipelines.make_pipeline(models.ConvNet1D(particles=20), 5, hls4ml.HLS4ML)
    with pytest.raises(InputError, match=r"(?s)20.*12|12.*20"):
        pipeline.load(open_files.open_jets((jet_file(slots=12, count=10),)), slice(None))


def test_jets_without_particles_are_counted(hollow, jet_file, caplog):
    with caplog.at_level(logging.WARNING, "hepjax"):
        load(jet_file(count=100))
        assert not caplog.records
        load(hollow)
    assert "3 of 100 jets have no particle" in caplog.text


def test_jets_without_particles_are_counted_in_blocks(hollow, monkeypatch, caplog):
    monkeypatch.setattr(load_subsets, "_AT_ONCE", 30 * 20 * 16 * 4)
    jets = read_jets(hollow, particles=20)
    with caplog.at_level(logging.WARNING, "hepjax"):
        blocks = list(load_subsets.subset_blocks(jets, PIPELINE, TASK.read))
    assert [len(labels) for _, labels in blocks] == [35, 28, 28, 9]  # chunks of 7
    assert caplog.text.count("3 of 100 jets have no particle") == 1


def test_fingerprint_sees_every_number_and_its_place(jet_file):
    before = load(jet_file(count=100)).fingerprint
    assert before == load(jet_file("copy.h5", count=100)).fingerprint
    assert before == load(jet_file("small.h5", count=100), memory=1e-5).fingerprint
    with h5py.File(jet_file("other.h5", count=100), "r+") as file:
        particles = file[hls4ml.CONSTITUENTS]
        particles[3, 0, hls4ml.PARTICLE_COLUMNS.index("j1_etarel")] += 1
        path = file.filename
    assert load(path).fingerprint != before
    with h5py.File(jet_file("turned.h5", count=100), "r+") as file:
        for name in (hls4ml.CONSTITUENTS, hls4ml.JETS):
            file[name][:2] = file[name][:2][::-1]
        path = file.filename
    assert load(path).fingerprint != before


class TestStream:
    """Jets that are not kept in memory."""

    @pytest.fixture
    def found(self, jet_file):
        return load(jet_file(count=100), jet_file("more.h5", count=90, seed=1)), load(
            jet_file("a.h5", count=100), jet_file("b.h5", count=90, seed=1), memory=3e-5
        )

    def test_is_told_of_as_what_is_kept(self, found):
        kept, streamed = found
        assert streamed.train.data is None
        assert kept.counts == streamed.counts
        for name in ("train", "val", "test"):
            a, b = getattr(kept, name), getattr(streamed, name)
            chex.assert_trees_all_equal(tuple(a[:4]), tuple(b[:4]))
        chex.assert_trees_all_close(kept.scaling, streamed.scaling, rtol=1e-5)

    def test_every_jet_comes_once_with_its_label(self, found):
        kept, streamed = found
        blocks = list(streamed.train.blocks([0, 1]))
        assert len(blocks) > 5
        places = np.concatenate([places for places, _ in blocks])
        assert sorted(places) == list(range(kept.counts[0]))
        for where, block in blocks:
            expected = jax.tree.map(lambda x, where=where: x[where], kept.train.data)
            chex.assert_trees_all_equal(block, expected)

    def test_no_row_is_read_twice_in_the_first_pass(self, jet_file, monkeypatch):
        seen, read = [], stores.Store.read
        monkeypatch.setattr(
            stores.Store,
            "read",
            lambda self, fields, rows: seen.append((tuple(fields), rows)) or read(self, fields, rows),
        )
        load(jet_file("a.h5", count=100), jet_file("b.h5", count=90, seed=1), memory=3e-5)
        for field in ("constituents", "labels"):
            rows = [np.arange(190)[some] for fields, some in seen if field in fields]
            assert len(rows) > 20
            assert np.concatenate(rows).tolist() == list(range(190))

    def test_order_follows_from_the_seed_and_mixes_rows_and_chunks(self, found):
        def order(seed):
            return np.concatenate([places for places, _ in found[1].train.blocks(seed)])

        np.testing.assert_array_equal(order([0, 1]), order([0, 1]))
        assert not np.array_equal(order([0, 1]), order([0, 2]))
        first = [places.mean() for places, _ in found[1].train.blocks([0, 1])]
        assert (np.diff(first) < 0).any()  # not in the order of the files
        assert any((np.diff(places) < 0).any() for places, _ in found[1].train.blocks([0, 1]))


def test_unlabeled_jets_are_refused(jet_file):
    names = np.array(hls4ml.OBSERVABLE_COLUMNS, "S")
    path = jet_file(jets=np.ones((25, len(names)), np.float32), jetFeatureNames=names)
    with pytest.raises(InputError, match=r"jets\.h5: has no targets, so nothing can be learned"):
        load(path)


class TestWeights:
    """Event weights of the jets."""

    @pytest.fixture
    def weighted(self, jet_file):
        """100 jets, whose dataset takes their η² as weights."""
        path = jet_file(count=100)
        column = hls4ml.JET_COLUMNS.index("j_eta")
        with h5py.File(path, "r+") as file:
            file[hls4ml.JETS][:, column] **= 2
            weights = file[hls4ml.JETS][:, column]
        columns = tuple(name for name in hls4ml.OBSERVABLE_COLUMNS if name != "j_eta")
        roles = {role: name for role, name in hls4ml.HLS4ML.roles.items() if name != "j_eta"}
        dataset = dataclasses.replace(hls4ml.HLS4ML, jet_columns=columns, roles=roles, weights="j_eta")
        return path, weights, dataset

    @pytest.mark.parametrize("memory", [4.0, 1e-5])
    def test_have_a_mean_of_1_in_training(self, weighted, memory):
        path, weights, dataset = weighted
        jets = load_subsets.load_subsets(
            open_files.open_split_files([path], dataset=dataset), PIPELINE, TASK.read, seed=0, memory=memory
        )
        mean = weights[jets.train.rows].mean(dtype=np.float64)
        for subset in jets[:3]:
            np.testing.assert_allclose(subset.weights, weights[subset.rows] / mean, rtol=1e-5)
            np.testing.assert_array_equal(subset.known_weights, subset.weights)
            for places, batch in subset.blocks([0]):
                np.testing.assert_array_equal(batch.weights, subset.weights[places])

    def test_a_dataset_of_a_file_of_jets_counts(self, jet_file, rng):
        weights = rng.exponential(size=100)
        jets = load(jet_file("jets.h5", count=100, weights=weights))
        for subset in jets[:3]:
            np.testing.assert_allclose(
                subset.weights, weights[subset.rows] / weights[jets.train.rows].mean(), rtol=1e-5
            )

    def test_are_in_the_fingerprint(self, weighted):
        path, _, dataset = weighted
        jets = load_subsets.load_subsets(
            open_files.open_split_files([path], dataset=dataset), PIPELINE, TASK.read, seed=0, memory=4.0
        )
        plain = load(path)
        assert plain.train.known_weights is None
        np.testing.assert_array_equal(plain.train.weights, np.ones(60, np.float32))
        assert plain.fingerprint != jets.fingerprint

    @pytest.mark.parametrize("memory", [4.0, 1e-5])
    def test_below_0_are_kept(self, jet_file, rng, memory):
        weights = rng.exponential(size=100) * rng.choice([1, 1, -1], size=100)
        jets = load(jet_file("jets.h5", count=100, weights=weights), memory=memory)
        mean = weights[jets.train.rows].mean()
        np.testing.assert_allclose(jets.val.weights, weights[jets.val.rows] / mean, rtol=1e-4)
        np.testing.assert_array_equal(jets.val.event_weights, jets.val.weights)

    @pytest.mark.parametrize("memory", [4.0, 1e-5])
    def test_that_are_not_finite_are_refused(self, jet_file, memory):
        path = jet_file("jets.h5", count=100, weights=np.where(np.arange(100) == 3, np.inf, 1.0))
        with pytest.raises(InputError, match=r"jets\.h5: .*(infinite|finite event weights, found inf in row 3;)"):
            load(path, memory=memory)


class TestLeftOut:
    """Jets that are not learned from are counted in the log."""

    def test_by_a_selection(self, jet_file, caplog):
        opened = open_files.open_split_files([jet_file("jets.h5", count=100)])
        with caplog.at_level(logging.INFO):
            splits = load_subsets.load_subsets(
                opened, PIPELINE, TASK.read, seed=0, memory=4.0, select=lambda targets, _: np.arange(len(targets) - 7)
            )
        assert splits.counts == (53, 13, 20)
        assert "jets to learn from: train 53 of 60, val 13 of 20; others are left out" in caplog.text

    def test_after_reading(self, jet_file, caplog):
        splits = load(jet_file("jets.h5", count=100))
        with caplog.at_level(logging.INFO):
            load_subsets.select_learned_jets(splits, lambda subset: subset.rows >= 0)
            assert not caplog.text
            load_subsets.select_learned_jets(splits, lambda subset: subset.rows != splits.test.rows[0])
        assert "jets to learn from: test 19 of 20; others are left out" in caplog.text

"""Hashes of jets: what they depend on, and how many jets they find to be equal."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays

from hepjax.inputs import jet_hashes
from hepjax.types import Conditioned, Sequences

ALL = jet_hashes.sampling_limit(1)


def hashes_of(inputs):
    return jet_hashes.join_halves(jet_hashes.hash_jets(inputs))


def trained_on(inputs, limit=ALL):
    sample = jet_hashes.sample_jets(inputs, 0, limit)
    return jet_hashes.make_trained_jets(sample.halves, limit)


def found(train, test, limit=ALL):
    """The overlap of two arrays of jets."""
    trained = trained_on(train, limit)
    return jet_hashes.overlap(trained, len(test), *jet_hashes.count_equal_jets(trained, hashes_of(test)))


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


class TestHashes:
    @settings(max_examples=50)
    @given(
        arrays.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 5)), elements=st.floats(width=32)),
        st.data(),
    )
    def test_are_equal_where_the_numbers_are_whatever_the_order_and_the_blocks(self, x, data):
        hashes = hashes_of(x)
        rows = [tuple(row + np.float32(0)) for row in x]
        same = np.array([[repr(a) == repr(b) for b in rows] for a in rows])
        np.testing.assert_array_equal(hashes[:, None] == hashes, same)
        order = np.array(data.draw(st.permutations(range(len(x)))))
        np.testing.assert_array_equal(hashes_of(x[order]), hashes[order])
        cut = data.draw(st.integers(0, len(x)))
        blocks = [jet_hashes.sample_jets(x[:cut], 0, ALL), jet_hashes.sample_jets(x[cut:], cut, ALL)]
        whole = jet_hashes.sample_jets(x, 0, ALL)
        for joined, expected in zip(jet_hashes.join_blocks(blocks), whole, strict=True):
            np.testing.assert_array_equal(joined, expected)

    def test_minus_0_is_0(self):
        x = np.array([[0.0, 1.0, -0.0], [-0.0, 1.0, 0.0]], np.float32)
        assert len({*hashes_of(x).tolist()}) == 1

    @pytest.mark.parametrize("kind", [np.float64, np.int32])
    def test_do_not_depend_on_the_type_of_the_numbers(self, kind):
        x = np.arange(12).reshape(4, 3)
        np.testing.assert_array_equal(hashes_of(x.astype(kind)), hashes_of(x.astype(np.float32)))

    def test_a_number_in_another_column_is_another_jet(self):
        assert len({*hashes_of(np.eye(5, dtype=np.float32)).tolist()}) == 5

    def test_padding_counts_nothing(self, rng):
        values, mask = normal(rng, 20, 5, 3), np.arange(5) < rng.integers(1, 6, 20)[:, None]
        values *= mask[..., None]
        wider = Sequences(np.pad(values, ((0, 0), (0, 9), (0, 0))), np.pad(mask, ((0, 0), (0, 9))))
        np.testing.assert_array_equal(hashes_of(Sequences(values, mask)), hashes_of(wider))

    def test_labels_of_a_generator_count_nothing(self, rng):
        x = normal(rng, 6, 4)
        np.testing.assert_array_equal(hashes_of(Conditioned(x, np.arange(6)[:, None])), hashes_of(x))

    def test_all_numbers_of_images_and_tables_count(self, rng):
        x = normal(rng, 1, 12, 11, 2)
        copies = np.repeat(x, x.size + 1, axis=0)
        copies.reshape(len(copies), -1)[np.arange(x.size), np.arange(x.size)] += 1
        assert len(np.unique(hashes_of(copies))) == x.size + 1

    def test_round_numbers_are_spread_evenly(self):
        """Their last bits are 0, which sums of products alone would hand on."""
        x = np.stack(np.meshgrid(*[np.arange(40.0)] * 3), axis=-1).reshape(-1, 3).astype(np.float32)
        hashes = hashes_of(x)[1:]
        assert len(np.unique(hashes)) == len(hashes)
        for bit in range(64):
            assert abs(((hashes >> np.uint64(bit)) & np.uint64(1)).mean() - 0.5) < 5 * 0.5 / np.sqrt(len(hashes))

    def test_no_jets(self):
        assert hashes_of(np.zeros((0, 4), np.float32)).shape == (0,)
        assert found(np.ones((0, 4), np.float32), np.ones((3, 4), np.float32)) == (0, 3)


class TestTakeJets:
    @given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
    def test_are_those_whose_hashes_are_known(self, known, places):
        known, places = (np.array(sorted(some), int) for some in (known, places))
        hashes = jet_hashes.JetHashes(known, np.stack([known, known], axis=1).astype(np.uint64))
        taken = jet_hashes.take_jets(hashes, places)
        np.testing.assert_array_equal(places[taken.places], np.intersect1d(known, places))
        np.testing.assert_array_equal(taken.halves[:, 0], np.intersect1d(known, places))


class TestOverlap:
    @pytest.mark.parametrize("equal", [0, 1, 17, 100])
    def test_is_exact_in_small_samples(self, rng, equal):
        train, test = normal(rng, 300, 4), normal(rng, 100, 4)
        test[rng.permutation(100)[:equal]] = train[:equal]
        assert found(train, test) == (equal, 100)

    def test_of_a_sample_is_right_within_its_error(self, rng, monkeypatch):
        monkeypatch.setattr(jet_hashes, "SAMPLE", 1000)
        train, test = normal(rng, 20_000, 3), normal(rng, 10_000, 3)
        test[:3000] = train[:3000]
        limit = jet_hashes.sampling_limit(len(train))
        assert len(trained_on(train, limit).hashes) == pytest.approx(1000, abs=5 * np.sqrt(1000))
        assert found(train, test, limit).share == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / 500))
        assert found(train, train, limit) == (20_000, 20_000)
        assert found(train, normal(rng, 10_000, 3), limit).jets == 0

    def test_jets_without_a_number_are_not_compared(self, rng):
        train, test = normal(rng, 50, 4), normal(rng, 20, 4)
        train[:30], test[:15] = 0, 0
        assert found(train, test) == (0, 20)

    @pytest.mark.parametrize("times", [2, 3, 10])
    @pytest.mark.parametrize("limit", [ALL, np.uint64(2**62)], ids=["all", "sample"])
    def test_copies_in_both_parts_are_found(self, rng, times, limit):
        """Though rows repeat in the training part too."""
        jets = np.tile(normal(rng, 3000, 6), (times, 1))
        jets = jets[rng.permutation(len(jets))]
        cut = len(jets) * 3 // 4
        expected = np.isin(jets[cut:, 0], jets[:cut, 0]).mean()
        assert found(jets[:cut], jets[cut:], limit).share == pytest.approx(expected, abs=0 if limit == ALL else 0.12)

    def test_rows_drawn_again_are_found(self, rng):
        """Such as those of a rare class that was filled up."""
        jets = normal(rng, 200, 6)[rng.integers(200, size=2000)]
        assert found(jets[:1500], jets[1500:]).share > 0.9

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize(
        "draw",
        [
            lambda rng, n: rng.integers(1, 100, (n, 1)),
            lambda rng, n: rng.poisson(30, (n, 1)),
            lambda rng, n: rng.geometric(0.001, (n, 1)),
            lambda rng, n: rng.integers(1, 50, (n, 2)),
            lambda rng, n: rng.integers(0, 8, (n, 5)),
            lambda rng, n: np.repeat(rng.integers(1, 6, (n, 1)), 4, axis=1) * [1.1, 2.2, 3.3, 4.4],
            lambda rng, n: np.ones((n, 3)),
            lambda rng, n: rng.normal(size=(n, 1)).round(3),
        ],
        ids=["integers", "counts", "tail", "two columns", "five columns", "few kinds", "one kind", "rounded"],
    )
    def test_coarse_numbers_are_no_copies(self, draw, seed):
        rng = np.random.default_rng(seed)
        jets = draw(rng, 4000).astype(np.float32)
        assert found(jets[:3000], jets[3000:]).jets == 0

    def test_coarse_numbers_that_were_trained_on_are_found(self, rng):
        jets = rng.integers(1, 200, (3000, 2)).astype(np.float32)
        assert found(jets[:2000], jets[1500:2500]).share == pytest.approx(0.5, abs=0.05)


def test_a_checksum_adds_up_over_blocks(rng):
    x, y = normal(rng, 30, 4), np.arange(30)
    parts = [jet_hashes.checksum_of_rows(i, [x[i : i + 7], y[i : i + 7]]) for i in range(0, 30, 7)]
    assert sum(parts) == jet_hashes.checksum_of_rows(0, [x, y])
    assert jet_hashes.checksum_of_rows(3, [np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(4)]) == 79996922896

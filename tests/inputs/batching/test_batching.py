"""Splits and streams of batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax import InputError
from hepjax.inputs import batching
from hepjax.types import Batch


def numbered(count):
    return Batch(
        np.arange(count, dtype=np.float32)[:, None], np.arange(count, dtype=np.int32), np.ones(count, np.float32)
    )


class TestSplit:
    @given(count=st.integers(10, 3000), seed=st.integers(0, 99))
    def test_parts_are_disjoint_and_whole(self, count, seed):
        parts = batching.split(count, seed=seed)
        assert sorted(np.concatenate(parts)) == list(range(count))
        assert abs(len(parts.train) - 0.6 * count) <= 1
        assert abs(len(parts.val) - 0.2 * count) <= 1

    def test_seeded(self):
        a, b, c = (batching.split(100, seed=seed).train for seed in (1, 1, 2))
        assert (a == b).all()
        assert not (a == c).all()

    def test_is_random(self):
        assert abs(batching.split(10_000, seed=0).train.mean() - 5000) < 150

    @pytest.mark.parametrize("fractions", [(0.8, 0.0, 0.2), (0.8, 0.2, 0.0), (1.0, 0.0, 0.0)])
    def test_parts_left_out(self, fractions):
        parts = batching.split(50, seed=0, fractions=fractions)
        assert [len(part) for part in parts] == [round(f * 50) for f in fractions]

    def test_empty_part_is_refused(self):
        with pytest.raises(InputError, match="val part"):
            batching.split(3, seed=0)

    def test_a_negative_seed_is_refused(self):
        with pytest.raises(InputError, match="seed of 0 or more, found -1"):
            batching.split(100, seed=-1)

    @pytest.mark.parametrize(
        "fractions",
        [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (np.nan, 0.5, 0.5), (0.5, 0.5, np.nan), (0.5, 0.5), (np.inf, 0, 0)],
    )
    def test_bad_fractions_are_refused(self, fractions):
        with pytest.raises(InputError, match="add up to 1"):
            batching.split(100, seed=0, fractions=fractions)

    def test_missing_class_is_refused(self):
        with pytest.raises(InputError, match=r"part has no jet of class 1"):
            batching.split(100, seed=0, labels=np.array([1] + [0] * 99))

    @pytest.mark.parametrize("count, words", [(1, "1 jet;"), (1200, "1,200 jets;")])
    def test_the_number_is_that_of_jets(self, count, words):
        with pytest.raises(InputError, match=rf"the val part has no jet of class t among {words}"):
            batching.check_classes(np.zeros(count, int), [0, 1], "val", ("g", "t"))


@given(count=st.integers(1, 100), batch_size=st.integers(1, 30))
def test_eval_batches_keep_the_order(count, batch_size):
    found = list(batching.eval_batches(numbered(count), batch_size=batch_size))
    targets, weights = (np.concatenate([getattr(b, f) for b in found]) for f in ("targets", "weights"))
    np.testing.assert_array_equal(targets[:count], np.arange(count))
    assert weights[:count].all()
    assert not weights[count:].any()
    assert {b.weights.shape for b in found} == {(batch_size,)}

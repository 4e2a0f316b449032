"""Splits and streams of batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax import InputError, runtime
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


class TestBatches:
    @given(count=st.integers(1, 60), size=st.integers(1, 70), epoch=st.integers(1, 9))
    def test_each_example_once_in_batches_of_one_shape(self, count, size, epoch):
        found = list(batching.batches(numbered(count), batch_size=size, seed=3, epoch=epoch))
        assert {batch.inputs.shape for batch in found} == {(size, 1)}
        targets = np.concatenate([batch.targets[batch.weights > 0] for batch in found])
        assert sorted(targets) == list(range(count))
        assert len(found) == -(-count // size)

    def test_order_depends_on_seed_and_epoch_alone(self):
        first, again, epoch, seed = (
            next(batching.batches(numbered(50), batch_size=50, **options)).targets.tolist()
            for options in ({}, {"seed": 0, "epoch": 1}, {"epoch": 2}, {"seed": 1})
        )
        assert first == again
        assert len({tuple(order) for order in (first, epoch, seed, range(50))}) == 4

    @pytest.mark.parametrize("strategy", ["jit", "pmap"])
    def test_devices_get_shares_of_the_same_batches(self, many_devices, strategy):
        devices = runtime.make_devices(4, strategy)
        plain = batching.batches(numbered(50), batch_size=16)
        for whole, shares in zip(plain, batching.batches(numbered(50), batch_size=16, devices=devices), strict=True):
            if strategy == "pmap":
                assert shares.inputs.shape == (4, 4, 1)
            else:
                assert len(shares.inputs.sharding.device_set) == 4
            np.testing.assert_array_equal(np.asarray(shares.targets).reshape(-1), whole.targets)

    @pytest.mark.parametrize(
        "data, options, message",
        [
            (numbered(0), {"batch_size": 2}, "expected arrays of one number of rows, at least 1, found 0"),
            (numbered(3)._replace(targets=np.zeros(2)), {"batch_size": 2}, "found 2, 3; give inputs"),
            (numbered(3), {"batch_size": 0}, "expected a batch_size of 1 or more, found 0"),
        ],
    )
    def test_mistakes(self, data, options, message):
        with pytest.raises(InputError, match=message):
            batching.batches(data, **options)  # at once, not with the first batch

    def test_devices_that_cannot_share(self, many_devices):
        with pytest.raises(InputError, match="8 devices cannot share 12 jets alike; give 16"):
            batching.batches(numbered(30), batch_size=12, devices=runtime.make_devices())

"""Windows of examples on the devices, kept there or streamed."""

from __future__ import annotations

import time

import chex
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax.inputs import batching
from hepjax.inputs.batching import Buckets
from hepjax.training.window_programs import take_device_jets
from hepjax.types import Batch, Sequences


def jets(count, slots=16, seed=0):
    """Their numbers stand in the targets, in the first value and in the weights."""
    rng = np.random.default_rng(seed)
    mask = np.arange(slots) < rng.integers(1, slots + 1, count)[:, None]
    values = np.zeros((count, slots, 2), np.float32)
    values[..., 0] = np.arange(count)[:, None]
    return Batch(
        Sequences(values * mask[..., None], mask),
        np.arange(count, dtype=np.int32),
        1 + np.arange(count, dtype=np.float32),
    )


def taken(data, rows):
    """What `training.window_programs.take_device_jets` gives, in NumPy: compiling it for each example takes long."""
    batch = jax.tree.map(
        lambda x: np.concatenate([own[np.maximum(r, 0)] for own, r in zip(x, rows, strict=True)]), data
    )
    return batch._replace(weights=np.where(rows.ravel() < 0, 0, batch.weights))


def test_the_compiled_loop_takes_them_so(rng):
    data = jax.tree.map(lambda x: x.reshape(4, 5, *x.shape[1:]), jets(20))
    rows = rng.integers(-1, 5, size=(4, 3))
    chex.assert_trees_all_equal(jax.device_get(take_device_jets(data, rows)), taken(data, rows))


def steps_in(windows):
    """The batches of all steps, as the compiled loop would take them."""
    for window in windows:
        for bucket, rows in zip(window.bucket, window.examples, strict=True):
            if bucket < len(window.data):
                yield window.data[bucket], taken(window.data[bucket], rows)
            else:
                assert (rows == -1).all()


def check_epoch(windows, count, size):
    """Every jet once, whole, in batches of one size."""
    seen = []
    for _, batch in steps_in(windows):
        assert len(batch.weights) == size
        there = batch.weights > 0
        assert there.any()
        np.testing.assert_array_equal(batch.weights[there], 1 + batch.targets[there])
        np.testing.assert_array_equal(batch.inputs.values[there, 0, 0], batch.targets[there])
        seen += batch.targets[there].tolist()
    assert sorted(seen) == list(range(count))
    return seen


LENGTHS = st.sampled_from([(), (16,), (8, 16)])


@given(
    count=st.integers(1, 120), share=st.integers(1, 9), devices=st.sampled_from([1, 2, 4]), lengths=LENGTHS,
    steps=st.integers(1, 9), epoch=st.integers(1, 3),
)  # fmt: skip
def test_kept_windows_give_every_jet_once(count, share, devices, lengths, steps, epoch):
    data, size = jets(count), share * devices
    windows = list(
        batching.make_windows(data, batch_size=size, seed=3, buckets=Buckets(lengths), devices=devices, steps=steps)(
            epoch
        )
    )
    check_epoch(windows, count, size)
    assert len({window.examples.shape for window in windows}) == 1  # so that there is one compilation
    assert all(window.examples.shape[1:] == (devices, share) for window in windows)


@given(
    count=st.integers(1, 120), share=st.integers(1, 9), devices=st.sampled_from([1, 2, 4]), lengths=LENGTHS,
    block=st.integers(1, 50),
)  # fmt: skip
def test_streamed_windows_give_every_jet_once(count, share, devices, lengths, block):
    data, size, buckets = jets(count), share * devices, Buckets(lengths)
    counts = np.bincount(buckets.of(data.inputs), minlength=len(buckets)).tolist()

    def blocks(epoch):
        order = np.random.default_rng(epoch).permutation(count)
        for start in range(0, count, block):
            rows = order[start : start + block]
            yield rows, jax.tree.map(lambda x, rows=rows: x[rows], data)

    epoch = batching.stream_windows(blocks, counts, batch_size=size, seed=3, buckets=buckets, devices=devices)
    windows = list(epoch(1))
    check_epoch(windows, count, size)
    assert len({jax.tree.map(np.shape, window) for window in windows}) <= len(buckets)


def test_order_depends_on_seed_epoch_and_process_alone():
    data = jets(100)

    def order(seed, epoch, **options):
        windows = batching.make_windows(data, batch_size=10, seed=seed, **options)
        return check_epoch(windows(epoch), 100, 10)

    assert order(1, 1) == order(1, 1, steps=3)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)
    assert order(1, 1) != order(1, 1, process=1)


def test_order_is_random_over_all_jets_and_lengths():
    """The place of a jet in an epoch says nothing of its number or its length."""
    data, buckets = jets(2000), Buckets((8, 16))
    order = np.array(check_epoch(batching.make_windows(data, batch_size=20, seed=0, buckets=buckets)(1), 2000, 20))
    assert abs(np.corrcoef(np.arange(2000), order)[0, 1]) < 0.1
    assert abs(np.corrcoef(np.arange(2000), data.inputs.lengths[order])[0, 1]) < 0.1


def test_data_are_placed_once():
    placed = []

    def place(window):
        placed.append(window)
        return window

    epoch = batching.make_windows(jets(50), batch_size=10, seed=0, place=place)
    assert len(placed) == 1
    first, second = (next(epoch(number)) for number in (1, 2))
    assert first.data is second.data
    assert len(placed) == 3


def test_processes_take_as_many_steps():
    """One has jets for three steps, another for five; `agree` is what they say to each other."""
    windows = [
        list(
            batching.make_windows(
                jets(n), batch_size=10, seed=0, process=i, agree=lambda counts: np.maximum(counts, 5)
            )(1)
        )
        for i, n in enumerate((30, 50))
    ]
    assert [sum(len(window.bucket) for window in some) for some in windows] == [5, 5]
    np.testing.assert_array_equal(*(some[0].bucket for some in windows))


class TestBuckets:
    @given(
        st.lists(st.integers(0, 500), min_size=2, max_size=151), st.integers(1, 4), st.integers(0, 1),
        st.floats(0.01, 0.5),
    )  # fmt: skip
    def test_every_jet_fits_and_more_lengths_leave_fewer_pairs(self, counts, most, spare, worth):
        slots, counts = len(counts) - 1, np.array(counts)
        buckets = batching.choose_buckets(counts, most=most, spare=spare, worth=worth)
        assert buckets.lengths[-1] == slots
        assert list(buckets.lengths) == sorted(set(buckets.lengths))
        assert len(buckets) <= most
        lengths = np.repeat(np.arange(slots + 1), counts)
        given = np.array(buckets.lengths)[buckets.of_lengths(lengths)]
        assert (given >= np.minimum(lengths + spare, slots)).all()
        if len(lengths) and len(buckets) > 1:
            assert (given**2).sum() <= (1 - worth * (len(buckets) - 1)) * len(lengths) * slots**2

    def test_finds_the_best(self):
        """Against all choices of three lengths."""
        counts = np.bincount(np.random.default_rng(0).gamma(6, 7, 500).astype(int).clip(1, 64), minlength=65)
        lengths = np.repeat(np.arange(65), counts)
        found = batching.choose_buckets(counts, most=3, worth=1e-9)

        def pairs(some):
            return (np.array(some)[np.searchsorted(some, lengths)] ** 2).sum()

        every = [(a, b, 64) for a in range(8, 64, 8) for b in range(a + 8, 64, 8)]
        assert pairs(found.lengths) == min(map(pairs, every))

    def test_what_is_no_list_has_one_shape(self, rng):
        data = Batch(rng.normal(size=(5, 3)), np.arange(5), np.ones(5))
        ((rows, part),) = batching.by_length(data, Buckets())
        np.testing.assert_array_equal(rows, np.arange(5))
        chex.assert_trees_all_equal(part, data)

    def test_published_networks_keep_a_slot_of_padding(self):
        mask = np.arange(16) < np.array([7, 8, 16])[:, None]
        assert Buckets((8, 16), 1).of(Sequences(mask[..., None], mask)).tolist() == [0, 1, 1]


class TestPrefetch:
    def test_gives_all_in_order(self):
        assert list(batching.prefetch(iter(range(100)))) == list(range(100))

    def test_errors_come_where_the_item_would_have(self):
        def broken():
            yield 1
            raise OSError("no more")

        items = batching.prefetch(broken())
        assert next(items) == 1
        with pytest.raises(OSError, match="no more"):
            next(items)

    def test_works_ahead_but_not_far(self):
        made = []

        def items():
            for i in range(100):
                made.append(i)
                yield i

        found = batching.prefetch(items(), depth=2)
        assert next(found) == 0
        deadline = 200
        while len(made) < 4 and deadline:
            deadline -= 1
            time.sleep(0.01)
        assert 3 <= len(made) <= 5
        found.close()  # its thread ends, though nobody takes the rest
        assert len(made) <= 6

import functools
import operator
import os
import time

import pytest

from hepjax.physics.simulation import pool


def done(units, work, size):
    with pool.open_workers(size) as workers:
        return list(pool.run_units(units, work, workers))


def test_work_comes_back_in_order():
    assert done(range(9), operator.neg, 2) == [(i, -i) for i in range(9)]


def test_workers_do_several_kinds_of_work_in_turn():
    with pool.open_workers(1) as workers:
        results = [list(pool.run_units(range(2), work, workers)) for work in (operator.neg, abs)]
    assert results == [[(0, 0), (1, -1)], [(0, 0), (1, 1)]]


@pytest.mark.parametrize("work", [operator.neg, os._exit], ids=["at its start", "at work"])
def test_a_dead_worker_is_an_error_and_not_a_hang(monkeypatch, work):
    if work is operator.neg:
        monkeypatch.setattr(pool, "_start_worker", functools.partial(os._exit, 3))
    with pytest.raises(RuntimeError, match="a simulation worker died"):
        done([1], work, 1)


def test_a_workers_error_reaches_the_caller():
    with pytest.raises(TypeError, match="bad operand"):
        done(["word"], operator.neg, 1)


def first_of(seconds, workers):
    return next(pool.run_units(seconds, time.sleep, workers))


def test_what_is_under_way_is_given_up():
    with pool.open_workers(1) as workers:
        first_of([0, 600], workers)
        start = time.monotonic()
    assert time.monotonic() - start < 60

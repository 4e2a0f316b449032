import functools
import operator
import os

import pytest

from hepjax.simulation import pool


def test_work_comes_back_in_order():
    assert list(pool.finished(range(9), operator.neg, 2)) == [(i, -i) for i in range(9)]


def test_a_dead_worker_is_an_error_and_not_a_hang(monkeypatch):
    monkeypatch.setattr(pool, "_start_worker", functools.partial(os._exit, 3))
    with pytest.raises(RuntimeError, match="a simulation worker died"):
        list(pool.finished([1], operator.neg, 1))


def test_a_workers_error_reaches_the_caller():
    with pytest.raises(TypeError, match="bad operand"):
        list(pool.finished(["word"], operator.neg, 1))

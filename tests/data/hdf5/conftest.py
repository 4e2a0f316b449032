"""Files stored in other ways, and machines with other cores."""

from __future__ import annotations

import os

import h5py
import pytest

from hepjax.data.datasets import hls4ml


@pytest.fixture
def use_cores(monkeypatch):
    """A function: `use_cores(3)`."""
    return lambda count: monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(count), raising=False)


@pytest.fixture
def stored():
    """A function that stores a file's two large datasets in another way, in chunks of 7 rows unless told otherwise."""

    def again(path, **options):
        with h5py.File(path, "a") as file:
            for name in (hls4ml.CONSTITUENTS, hls4ml.JETS):
                values = file[name][()]
                del file[name]
                file.create_dataset(name, data=values, **{"chunks": (7, *values.shape[1:]), **options})
        return path

    return again

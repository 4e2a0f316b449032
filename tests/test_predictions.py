"""The file of scores: whole or absent."""

from __future__ import annotations

from unittest import mock

import h5py
import numpy as np
import pytest

from hepjax import InputError
from hepjax.predictions import write_scores


def blocks(rng, sizes, labels=True):
    return [(rng.random((n, 3)).astype(np.float32), rng.integers(3, size=n) if labels else None) for n in sizes]


@pytest.mark.parametrize("labels", [True, False])
def test_row_for_row(tmp_path, rng, labels):
    given = blocks(rng, (4, 1, 7), labels)
    write_scores(tmp_path / "s.h5", given, jets=12, classes=("a", "b", "c"))
    with h5py.File(tmp_path / "s.h5") as file:
        np.testing.assert_array_equal(file["scores"], np.concatenate([scores for scores, _ in given]))
        assert list(file.attrs["classes"]) == ["a", "b", "c"]
        assert ("labels" in file) == labels
        if labels:
            np.testing.assert_array_equal(file["labels"], np.concatenate([found for _, found in given]))


def test_nothing_half_written(tmp_path, rng):
    def breaks():
        yield from blocks(rng, (4,))
        raise InputError("row 5 is bad")

    with pytest.raises(InputError, match="row 5"):
        write_scores(tmp_path / "s.h5", breaks(), jets=12, classes=("a", "b", "c"))
    assert not list(tmp_path.iterdir())


def test_refused(tmp_path, rng):
    (tmp_path / "s.h5").write_text("here first")
    with pytest.raises(InputError, match="exists already"):
        write_scores(tmp_path / "s.h5", blocks(rng, (1,)), jets=1, classes=("a", "b", "c"))
    assert (tmp_path / "s.h5").read_text() == "here first"
    with pytest.raises(InputError, match="cannot be written"):
        write_scores(tmp_path / "none" / "s.h5", blocks(rng, (1,)), jets=1, classes=("a", "b", "c"))


def test_full_disk(tmp_path, rng):
    class Full(h5py.File):
        def create_dataset(self, *_, **__):
            raise OSError(28, "No space left on device")

    with mock.patch("h5py.File", Full), pytest.raises(InputError, match="No space"):
        write_scores(tmp_path / "s.h5", blocks(rng, (1,)), jets=1, classes=("a", "b", "c"))
    assert not list(tmp_path.iterdir())

"""New files: whole or absent, whatever goes wrong."""

from __future__ import annotations

import errno

import h5py
import numpy as np
import pytest

from hepjax import InputError
from hepjax.data.atomic_hdf5 import check_new_hdf5_path, new_hdf5_file


def write(path, then=lambda: None):
    with new_hdf5_file(path, "--out") as new:
        new.file["x"] = np.arange(3)
        then()


def test_the_file_appears_whole(tmp_path):
    write(tmp_path / "a.h5", lambda: check_new_hdf5_path(tmp_path / "a.h5"))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x"][:].tolist() == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "error", [OSError(28, "the caller's own"), KeyboardInterrupt(), InputError("the caller's own")]
)
def test_an_error_of_the_caller_stays_what_it_is(tmp_path, error):
    def fail():
        raise error

    with pytest.raises(type(error)) as caught:
        write(tmp_path / "a.h5", fail)
    assert caught.value is error
    assert not list(tmp_path.iterdir())


def test_a_file_that_appears_meanwhile_stays(tmp_path):
    with pytest.raises(InputError, match="--out: exists already"):
        write(tmp_path / "a.h5", lambda: (tmp_path / "a.h5").write_text("precious"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_a_move_that_fails_is_named(tmp_path, monkeypatch):
    def replace(self, target):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("pathlib.Path.replace", replace)
    with pytest.raises(InputError, match=r"--out: cannot be written \(Input/output error\)"):
        write(tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())

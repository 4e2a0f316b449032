"""Files of a run: one file that is named twice is refused before anything is read."""

from __future__ import annotations

import os
import re

import pytest

from hepjax import InputError
from hepjax.data import list_files, readers
from hepjax.inputs import open_files


@pytest.fixture
def folder(tmp_path, jet_file):
    """A folder of a.h5 and b.h5; outside of it are links to a.h5, a copy of it, and a link to the folder."""
    inside = tmp_path / "jets"
    inside.mkdir()
    for seed, name in enumerate("ab"):
        jet_file(f"jets/{name}.h5", seed=seed)
    (tmp_path / "symbolic.h5").symlink_to(inside / "a.h5")
    os.link(inside / "a.h5", tmp_path / "hard.h5")
    (tmp_path / "copy.h5").write_bytes((inside / "a.h5").read_bytes())
    (tmp_path / "linked").symlink_to(inside)
    return tmp_path


@pytest.fixture
def _unread(monkeypatch):
    monkeypatch.setattr(readers, "read_header", lambda *_: pytest.fail("a file was opened"))


@pytest.mark.usefixtures("_unread")
@pytest.mark.parametrize(
    "second", ["jets/a.h5", "jets/../jets/a.h5", "symbolic.h5", "hard.h5", "jets", "linked", "linked/a.h5"]
)
class TestOneFileTwice:
    def test_among_those_to_split(self, folder, second):
        with pytest.raises(InputError, match=r"^--data: .*a\.h5.*(twice|same file); give each file once$"):
            open_files.open_split_files((folder / "jets/a.h5", folder / second))

    @pytest.mark.parametrize("option", ["val", "test"])
    def test_among_those_of_another_part(self, folder, second, option):
        with pytest.raises(InputError, match=rf"^--{option}: .*a\.h5.*give each file once$"):
            open_files.open_split_files((folder / "copy.h5",), **{option: (folder / "jets/a.h5", folder / second)})

    @pytest.mark.parametrize("option", ["val", "test"])
    def test_in_training_and_another_part(self, folder, second, option):
        words = rf"^--{option} .*\.h5: is the same file as --data .*a\.h5; give other jets, or leave --{option} out$"
        with pytest.raises(InputError, match=words):
            open_files.open_split_files((folder / "jets/a.h5",), **{option: (folder / second,)})

    def test_in_validation_and_test(self, folder, second):
        with pytest.raises(InputError, match=r"^--test .*: is the same file as --val .*a\.h5; give other jets"):
            open_files.open_split_files((folder / "copy.h5",), val=(folder / "jets/a.h5",), test=(folder / second,))


@pytest.mark.usefixtures("_unread")
def test_the_sample_is_a_file_too():
    (sample,) = list_files(None)
    with pytest.raises(InputError, match=f"^--test {re.escape(str(sample))}: is the same file as --data"):
        open_files.open_split_files((), test=(sample,))


def test_other_files_are_read_each_once(folder):
    opened = open_files.open_split_files((folder / "jets",), test=(folder / "copy.h5",))
    assert len(opened.data) == 50
    assert len(opened.others["test"]) == 25


@pytest.mark.parametrize("name", ["none.h5", "dangling.h5", "nul\0.h5"])
def test_a_file_that_is_not_there_is_named_by_who_opens_it(tmp_path, name):
    (tmp_path / "dangling.h5").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"\.h5: "):
        open_files.open_split_files((tmp_path / name,))

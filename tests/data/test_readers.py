"""Folders of files of jets that are named after the parts of a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepjax.data.readers import reference_split
from hepjax.runs import train
from hepjax.runs.options import Experiment


@pytest.mark.parametrize(
    "files, parts",
    [
        (["train.h5", "val.h5", "test.h5"], {"data": ["train.h5"], "val": ["val.h5"], "test": ["test.h5"]}),
        (["train_file_0.parquet", "train_file_1.parquet", "test_file_0.parquet"],
         {"data": ["train_file_0.parquet", "train_file_1.parquet"], "test": ["test_file_0.parquet"]}),
        (["train-0/a.root", "train-1/a.root", "val/a.root", "part.tar"],
         {"data": ["train-0", "train-1"], "val": ["val"]}),
        (["train_100M/a.root", "val_5M/a.root", "test_20M/a.root", "notes/a.txt", ".train.h5"],
         {"data": ["train_100M"], "val": ["val_5M"], "test": ["test_20M"]}),
        (["Train.h5", "validation.h5"], {"data": ["Train.h5"], "val": ["validation.h5"]}),
        (["train.h5", "valid.h5"], {"data": ["train.h5"], "val": ["valid.h5"]}),
        (["train.h5", "val.h5", "other.h5"], {}),
        (["training.h5", "testing.h5"], {}),
        (["train.h5"], {}),
        (["val.h5", "test.h5"], {}),
        ([], {}),
    ],
)  # fmt: skip
def test_parts_by_their_names(tmp_path, files, parts):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert {part: [path.name for path in paths] for part, paths in reference_split(tmp_path).items()} == parts
    assert reference_split(tmp_path / "none") == {}


def test_a_training_takes_them_unless_told_otherwise(tmp_path):
    for name in ("train.h5", "val.h5", "test.h5"):
        (tmp_path / name).write_bytes(b"")
    train_file, val_file, test_file = (tmp_path / f"{name}.h5" for name in ("train", "val", "test"))
    found = train._with_reference_split(Experiment(data=(tmp_path,)))
    assert (found.data, found.val, found.test) == ((train_file,), (val_file,), (test_file,))
    assert train._with_reference_split(found) == found
    folds = train._with_reference_split(Experiment(data=(tmp_path,), folds=3))
    assert (folds.data, folds.val, folds.test) == ((train_file,), (), ())
    for other in (
        Experiment(data=(tmp_path,), test=(Path("x.h5"),)),
        Experiment(data=(tmp_path, Path("x.h5"))),
        Experiment(data=(train_file,)),
        Experiment(),
    ):
        assert train._with_reference_split(other) == other

"""Predictions ↔ an HDF5 file, row for row in the input's order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import tasks
from hepjax.data.atomic_hdf5 import decode_text, escape_control_characters, new_hdf5_file, open_hdf5_file
from hepjax.data.hdf5.storage import Place, check_data, find_dataset, find_group
from hepjax.data.threads import physical_memory
from hepjax.errors import InputError
from hepjax.tasks import Predictions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from hepjax.tasks import Task

__all__ = ["Predictions", "is_file", "read_predictions", "read_task", "write_blocks", "write_predictions"]

_OBSERVABLES = "observables/"
"""The group of the jet columns."""
_ADDITIONS = "additions/"
"""The group of the columns that a task has added by the trained networks."""
_TASK = "task"
"""The attribute that holds the task as JSON; files of version 0.1 have none, and are of a classification."""


def is_file(path: Path) -> bool:
    """Tells whether a path is an HDF5 file, which a trained model is not.

    >>> from pathlib import Path
    >>> is_file(Path("runs/mlp-1"))
    False
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def write_blocks(
    path: Path,
    blocks: Iterable[tuple[np.ndarray, np.ndarray | None]],
    *,
    jets: int,
    columns: Sequence[str],
    task: Task,
    rows: np.ndarray | None = None,
) -> None:
    """Writes predictions as they come, under the names of the task's layout.

    Args:
      path: a file that does not exist yet; it appears complete or not at all.
      blocks: (n, K) predictions and (n,) or (n, D) targets or None, in the jets' order.
      jets: how many there are in all.
      columns: the K names.
      task: that the predictions are of.
      rows: (jets,) int64, their rows in the files; None where they are all.

    Raises:
      InputError: the file exists, or cannot be written.
    """
    layout = task.layout
    with new_hdf5_file(path, f"--out {path}") as new:
        new.file.attrs[layout.columns] = list(columns)
        new.file.attrs[_TASK] = json.dumps(tasks.to_json(task))
        values = new.file.create_dataset(layout.values, (jets, len(columns)), np.float32)
        if rows is not None:
            new.file.create_dataset("rows", data=rows, dtype=np.int64)
        row = 0
        for block, targets in blocks:
            values[row : row + len(block)] = block
            if targets is not None:
                known = new.file.require_dataset(layout.targets, (jets, *targets.shape[1:]), targets.dtype)
                known[row : row + len(block)] = targets
            row += len(block)
            new.check()


def write_predictions(path: Path, predictions: Predictions, task: Task) -> None:
    """Writes all that is known of some jets; what `read_predictions` reads.

    Args:
      path: a file that does not exist yet; it appears complete or not at all.
      predictions: and what goes with them.
      task: that they are of.

    Raises:
      InputError: the file exists, or cannot be written.
    """
    layout = task.layout
    with new_hdf5_file(path) as new:
        new.file.attrs[layout.columns] = list(predictions.columns)
        new.file.attrs[_TASK] = json.dumps(tasks.to_json(task))
        for name, values, kind in (
            (layout.values, predictions.values, np.float32),
            (layout.targets, predictions.targets, None),
            ("rows", predictions.rows, np.int64),
            ("weights", predictions.weights, np.float64),
        ):
            if values is not None:
                new.file.create_dataset(name, data=values, dtype=kind)
        for group, columns in ((_OBSERVABLES, predictions.observables), (_ADDITIONS, predictions.additions)):
            for name, values in columns.items():
                new.file.create_dataset(f"{group}{name}", data=values, dtype=np.float32)
        new.check()


def read_task(path: Path) -> Task:
    """Reads what task the predictions in a file are of.

    Args:
      path: written by `hepjax predict`, or `test.h5` of a run folder.

    Returns:
      The task; classification of files of version 0.1, which do not say it.

    Raises:
      InputError: the file has no predictions, is damaged, or of an unknown task.
    """
    with open_hdf5_file(path, "file of scores") as file:
        text = file.attrs.get(_TASK)
    if text is None:
        return tasks.default_task()
    try:
        return tasks.from_json(json.loads(text))
    except InputError as error:
        raise InputError(f"{path}: {error}; tasks of your own need --plugins FILE.py, or their package") from error
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
        raise InputError(
            f"{path}: damaged, its task is no JSON ({escape_control_characters(error)}); predict again"
        ) from error


def read_predictions(path: Path, task: Task | None = None) -> Predictions:
    """Reads a file of predictions.

    Args:
      path: written by `hepjax predict`, to which a dataset `weights` may have been added, or `test.h5` of a run folder.
      task: that they are of; None reads it from the file.

    Returns:
      The predictions, and what goes with them.

    Raises:
      InputError: the file has no predictions, is damaged, or a prediction is NaN or infinite.
    """
    task = read_task(path) if task is None else task
    layout = task.layout
    with open_hdf5_file(path, "file of scores") as file:
        place = Place(file, path, allow_external=False)
        columns = _columns(place, task)
        arrays = {name: dataset[()] for name, dataset in _datasets(place, task, len(columns)).items()}
    values = arrays.pop(layout.values)
    targets, rows, weights = (arrays.pop(name, None) for name in (layout.targets, "rows", "weights"))
    observables, additions = (
        {name.removeprefix(group): column for name, column in arrays.items() if name.startswith(group)}
        for group in (_OBSERVABLES, _ADDITIONS)
    )
    unsound = unsound_rows(values, task)
    check_sound(f"{path}: {layout.values}", len(unsound), len(values), unsound[0] if len(unsound) else 0)
    return Predictions(values, targets, columns, rows, observables, weights, additions)


def check_header(path: Path, task: Task, columns: Sequence[str]) -> None:
    """Refuses a file that has no predictions of a task, without reading them.

    Args:
      path: `test.h5` of a run folder.
      task: that they are of.
      columns: their names.

    Raises:
      InputError: the file is none, or of another task or other columns.
    """
    if not path.is_file():
        there = "something else" if path.exists() else "none"
        raise InputError(f"{path}: expected a file, found {there}; train again, or copy the whole folder of the run")
    own = read_task(path)
    with open_hdf5_file(path, "file of scores") as file:
        place = Place(file, path, allow_external=False)
        found = _columns(place, task)
        _datasets(place, task, len(columns))
    if type(own) is not type(task) or found != tuple(columns):
        raise InputError(
            f"{path}: is of another training: its columns are {', '.join(found)}, those of the run {', '.join(columns)}"
        )


def unsound_rows(values: np.ndarray, task: Task) -> np.ndarray:
    """Returns the rows of predictions that are NaN or infinite; none where that has a meaning for the task.

    Args:
      values: (n, K).
      task: that they are of.
    """
    if task.may_lack_predictions:
        return np.arange(0)
    return np.flatnonzero(~np.isfinite(values).all(axis=1))


def check_sound(what: str, bad: int, jets: int, first: int) -> None:
    """Refuses predictions that are no numbers.

    Args:
      what: they are, for the message.
      bad: the number of jets with such predictions.
      jets: of how many.
      first: the row of the first of them.

    Raises:
      InputError: there are some.
    """
    if bad:
        raise InputError(
            f"{what}: expected finite numbers, found NaN or infinite ones for {bad:,} of {jets:,} jets, the first in "
            f"row {first}; look for values in that row that are far outside of those the model learned from"
        )


def _columns(place: Place, task: Task) -> tuple[str, ...]:
    """Reads the names of the columns of predictions."""
    (file, path, _), layout = place, task.layout
    if layout.columns not in file.attrs or find_dataset(place, layout.values) is None:
        raise InputError(
            f"{path}: not a file of {layout.values}; give one made by hepjax predict, or the folder of a run"
        )
    columns = tuple(map(_text, np.ravel(file.attrs[layout.columns]).tolist()))
    if len({*columns}) != len(columns):
        raise InputError(f"{path}: damaged, {layout.columns} names {', '.join(columns)}; name each once")
    return columns


def _datasets(place: Place, task: Task, count: int) -> dict[str, Any]:
    """Returns the datasets of a file of predictions by name, checked but not read."""
    layout = task.layout
    names = [layout.values, layout.targets, "rows", "weights"]
    names += [f"{group}{name}" for group in (_OBSERVABLES, _ADDITIONS) for name in find_group(place, group) or ()]
    datasets = {name: dataset for name in names if (dataset := find_dataset(place, name)) is not None}
    values = datasets[layout.values]
    jets = len(values) if values.ndim else 0
    for name, dataset in datasets.items():
        shape = (jets, count) if name == layout.values else (jets, *dataset.shape[1:])
        if name in {"rows", "weights"}:
            shape = (jets,)
        _check_numbers(place.path, name, dataset, shape)
    return datasets


def _check_numbers(path: Path, name: str, dataset: Any, shape: tuple[int, ...]) -> None:
    """Refuses a dataset that does not hold numbers of a shape, or more than memory does."""
    if dataset.shape != shape or dataset.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: damaged, {name} has shape {dataset.shape} and type {dataset.dtype}, expected numbers of shape "
            f"{shape}; predict again"
        )
    check_data(path, name, dataset)
    if dataset.nbytes > physical_memory():
        raise InputError(f"{path}: {name} takes {dataset.nbytes / 1e9:,.1f} GB, more than the memory of this machine")


def _text(name: Any) -> str:
    return escape_control_characters(decode_text(name))

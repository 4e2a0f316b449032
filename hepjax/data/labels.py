"""Labels: columns of jets → the class of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from hepjax.data.dataset import label_columns
from hepjax.errors import InputError
from hepjax.types import FileName, OneHot

if TYPE_CHECKING:
    from pathlib import Path

    from hepjax.types import Dataset

_ROUNDING = 1e-3
"""The largest distance of a label from 0 or 1; rounded labels are off by less."""


def classes_of_columns(dataset: Dataset, path: Path, values: np.ndarray) -> np.ndarray:
    """Returns the classes of jets whose labels were checked.

    Args:
      dataset: says which columns are labels.
      path: of their file, whose name may be the label.
      values: (n, L) the label columns.

    Returns:
      (n,) int32.
    """
    if isinstance(dataset.labels, FileName):
        return np.full(len(values), class_of_file_name(path, dataset.labels), np.int32)
    flags = values[:, : len(dataset.classes)]
    return np.asarray(flags.argmax(axis=1) if isinstance(dataset.labels, OneHot) else flags[:, 0], np.int32)


def check_labels(path: Path, dataset: Dataset, values: np.ndarray, rows: np.ndarray) -> None:
    """Refuses jets of no class, or of two.

    Args:
      path: of their file, for messages.
      dataset: says which columns are labels.
      values: (n, L) the label columns.
      rows: (n,) the jets' rows in the file.

    Raises:
      InputError: names the rows.
    """
    if not values.size:
        return
    classes, columns = len(dataset.classes), label_columns(dataset)
    if isinstance(dataset.labels, OneHot):
        # The column of jets without a class is the last; where it is the one that is set, no class is.
        rounded = np.rint(values)
        good = (np.abs(values - rounded) <= _ROUNDING).all(axis=1) & (np.count_nonzero(rounded, axis=1) == 1)
        good &= rounded[:, :classes].max(axis=1) == 1
        undefined = dataset.labels.undefined
        words = f"one-hot over {', '.join(dataset.labels.columns)}" + (f", or {undefined} = 1" if undefined else "")
    else:
        index = values[:, 0]
        good = (index >= 0) & (index < classes) & (index == np.floor(index))
        words = f"whole numbers from 0 to {classes - 1} in {columns[0]}"
    if not good.all():
        wrong = np.flatnonzero(~good)
        listed = ", ".join(map(str, rows[wrong[:5]])) + (", …" if len(wrong) > 5 else "")
        flagged = ", ".join(f"{value:g}" for value in values[wrong[0]].tolist())
        remedy = "remove those jets" if len(wrong) < len(values) else "correct the labels"
        raise InputError(f"{path}: has rows whose labels are not {words}: {listed}; the first has {flagged}; {remedy}")


def class_of_file_name(path: Path, labels: FileName) -> int:
    """Returns the place of the class that the name of a file tells.

    Raises:
      InputError: it tells none.

    >>> from pathlib import Path
    >>> class_of_file_name(Path("q150.hdf5"), FileName(("g", "q")))
    1
    """
    for place, beginning in enumerate(labels.beginnings):
        if re.fullmatch(rf"{re.escape(beginning)}[\d_-]*", path.stem):
            return place
    raise InputError(
        f"{path}: the name of the file tells the class of its jets, but begins with none of "
        f"{', '.join(labels.beginnings)}; rename it, such as {labels.beginnings[0]}{path.suffix}"
    )

"""The summary of a file, for people: columns, classes, ranges, problems."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.data import datasets
from hepjax.data.lazy_jets import chunk_starts, cut_flow, with_columns
from hepjax.data.readers import container_of_file, read_header, read_jets
from hepjax.data.remote import path_of
from hepjax.errors import InputError, NotFiniteError
from hepjax.types.short_repr import short_repr

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hepjax.types import Dataset, Jets

_ROWS = 5000
"""Jets that are looked at together, where chunks are smaller."""
_SHOWN = 10
"""Columns that a problem names."""
_BYTES = 2**28
"""The memory that their particles may take."""


class FileSummary(NamedTuple):
    """A file of jets in numbers."""

    path: str
    jets: int
    slots: int
    """The particles kept per jet."""
    mean_particles: float
    classes: dict[str, int]
    """Jets per class; empty for a file without labels."""
    images: tuple[str, ...]
    missing: tuple[str, ...]
    """Columns of the recognized dataset that the file lacks."""
    ranges: dict[str, tuple[float, float, float]]
    """Smallest, mean and largest value of each column, padding left out."""
    problems: tuple[str, ...]
    provenance: dict[str, str]
    """The file's own attributes."""
    dataset: Dataset
    """The names and meaning of its columns."""
    cut_flow: Mapping[str, int] = {}
    """Cut of a selection → the jets that it left; empty where there is none."""

    def __repr__(self) -> str:
        """Shows arrays by their shapes."""
        return short_repr(self)


def summarize(
    path: str | Path, dataset: Dataset | str | None = None, *, allow_external: bool = False, where: str = ""
) -> FileSummary:
    """Reads a whole file, some thousand jets at a time, and says what is in it.

    Args:
      path: the file.
      dataset: as in `hepjax.read_jets`.
      allow_external: the same.
      where: the same.

    Returns:
      Its summary; a problem that does not stop a reader of other rows is listed in `problems`, not raised.

    Raises:
      InputError: the file cannot be opened (see `hepjax.read_jets`).
    """
    path = path_of(path)
    jets = read_jets(path, dataset=dataset, allow_external=allow_external, where=where)
    described, slots = jets.dataset, int(jets.constituents.shape[1])
    # A chunk is read as a whole, so that looking at a part of it would read it again and again.
    chunk = int(np.diff([*chunk_starts(jets), len(jets)]).max())
    rows = max(1, min(max(_ROWS, chunk), _BYTES // (4 * math.prod(jets.constituents.shape[1:]))))
    classes = dict.fromkeys(described.classes, 0)
    ranges: dict[str, np.ndarray] = {}
    problems: dict[str, int] = {}
    left: dict[str, int] = {}
    multiplicity = left_out = 0
    for start in range(0, len(jets), rows):
        try:
            jets, part = _read_finite_columns(jets, slice(start, start + rows), left)
        except InputError as error:
            problem, lost = str(error).removeprefix(f"{path}: "), min(rows, len(jets) - start)
            problems[problem] = problems.get(problem, 0) + lost
            left_out += lost
            continue
        multiplicity += int(part.mask.sum())
        if part.labels is not None:
            for name, count in zip(classes, np.bincount(part.labels, minlength=len(classes)), strict=True):
                classes[name] += int(count)
        _widen_column_ranges(ranges, part)
    return FileSummary(
        path=str(path),
        jets=len(jets),
        slots=slots,
        mean_particles=multiplicity / (len(jets) - left_out) if left_out < len(jets) else math.nan,
        classes=classes,
        images=described.images,
        missing=(*_missing_columns(described), *read_header(path, allow_external).unfilled),
        ranges={name: (float(v[0]), float(v[1] / v[3]), float(v[2])) for name, v in ranges.items() if name not in left},
        problems=(
            *(
                f"{problem} ({lost} of {len(jets)} jets around them are left out of the classes, means and ranges)"
                for problem, lost in problems.items()
            ),
            *_columns_left_out(left),
        ),
        provenance=container_of_file(path).attributes(path),
        dataset=described,
        cut_flow=cut_flow(jets),
    )


def _read_finite_columns(jets: Jets, rows: slice, left: dict[str, int]) -> tuple[Jets, Jets]:
    """Reads rows without the columns that are not finite there, whose first such row is added to those left out."""
    try:
        return jets, jets[rows]
    except NotFiniteError as error:
        particles, observables = (
            [name for name in names if of_jets != error.of_jets or name not in error.columns]
            for of_jets, names in ((False, jets.particle_names), (True, jets.observable_names))
        )
        narrow = with_columns(jets, particles, observables)
        lost = {*error.columns} - {*(narrow.observable_names if error.of_jets else narrow.particle_names)}
        if not lost:  # labels, weights, and what tells particles from padding cannot be left out
            raise
        left |= {name: error.row for name in error.columns if name in lost}
        return _read_finite_columns(narrow, rows, left)


def _columns_left_out(left: dict[str, int]) -> tuple[str, ...]:
    if not left:
        return ()
    names = ", ".join(list(left)[:_SHOWN]) + (f", … ({len(left)} columns)" if len(left) > _SHOWN else "")
    start = f"NaN, infinite or beyond float32: {names}, from row {min(left.values())}"
    return (f"{start}; they are left out here, and such rows are refused where a model reads them",)


def _missing_columns(described: Dataset) -> tuple[str, ...]:
    """The columns that a file of a known dataset usually has."""
    if described.name not in datasets.DATASETS.names():
        return ()
    known = datasets.get(described.name)
    return tuple(
        name
        for usual, columns in (
            (known.particle_columns, described.particle_columns),
            (known.jet_columns, described.jet_columns),
        )
        for name in usual
        if name not in columns
    )


def _widen_column_ranges(ranges: dict[str, np.ndarray], part: Jets) -> None:
    """Widens each column's (min, sum, max, count) by a part's values; padding does not count."""
    columns = [(part.particle_names, part.constituents[part.mask]), (part.observable_names, part.observables)]
    if part.weights is not None:
        columns.append(((str(part.dataset.weights),), part.weights[:, None]))
    for names, values in columns:
        for name, column in zip(names, values.T.astype(np.float64), strict=True):
            if column.size:
                new = np.array([column.min(), column.sum(), column.max(), column.size])
                old = ranges.get(name, np.array([np.inf, 0.0, -np.inf, 0.0]))
                ranges[name] = np.array([min(old[0], new[0]), old[1] + new[1], max(old[2], new[2]), old[3] + new[3]])

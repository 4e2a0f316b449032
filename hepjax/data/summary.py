"""What a file holds, for people: columns, classes, ranges, problems."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hepjax.data.atomic_hdf5 import open_file
from hepjax.data.datasets import hls4ml
from hepjax.data.hdf5.header import read_header
from hepjax.data.hdf5.lazy_jets import read_jets
from hepjax.errors import InputError
from hepjax.types import FileSummary

if TYPE_CHECKING:
    from hepjax.types import Jets

_ROWS = 5000


def summarise(path: str | Path) -> FileSummary:
    """Reads a whole file, some thousand jets at a time, and tells what is in it.

    Args:
      path: the file.

    Returns:
      Its summary; a problem that does not stop a reader of other rows is listed in `problems`, not raised.

    Raises:
      InputError: the header is not of the public layout (see `read_jets`).
    """
    path = Path(path)
    header = read_header(path)
    with open_file(path) as file:
        provenance = {str(k): str(v) for k, v in file.attrs.items()}
    jets = read_jets(path)
    classes = dict.fromkeys(hls4ml.CLASSES, 0)
    ranges: dict[str, np.ndarray] = {}
    problems: dict[str, int] = {}
    multiplicity = left_out = 0
    for start in range(0, len(jets), _ROWS):
        try:
            part = jets[start : start + _ROWS]
        except InputError as error:
            problem, lost = str(error).removeprefix(f"{path}: "), min(_ROWS, len(jets) - start)
            problems[problem] = problems.get(problem, 0) + lost
            left_out += lost
            continue
        multiplicity += int(part.mask.sum())
        if part.labels is not None:
            for name, count in zip(hls4ml.CLASSES, np.bincount(part.labels, minlength=5), strict=True):
                classes[name] += int(count)
        _widen(ranges, part)
    missing = [
        *(name for name in hls4ml.PARTICLE_COLUMNS if name not in jets.particle_names),
        *(name for name in hls4ml.OBSERVABLE_COLUMNS if name not in jets.observable_names),
    ]
    return FileSummary(
        path=str(path),
        jets=len(jets),
        slots=header.slots,
        mean_particles=multiplicity / (len(jets) - left_out) if left_out < len(jets) else math.nan,
        classes=classes if jets.labels is not None else {},
        images=header.images,
        missing=tuple(missing),
        ranges={name: (float(v[0]), float(v[1] / v[3]), float(v[2])) for name, v in ranges.items()},
        problems=tuple(
            f"{problem} ({lost} of {len(jets)} jets around them are left out of the classes, means and ranges)"
            for problem, lost in problems.items()
        ),
        provenance=provenance,
    )


def _widen(ranges: dict[str, np.ndarray], part: Jets) -> None:
    """Widens each column's (min, sum, max, count) by a part's values; padding does not count."""
    particles = part.constituents[part.mask]
    for names, values in ((part.particle_names, particles), (part.observable_names, part.observables)):
        for name, column in zip(names, values.T.astype(np.float64), strict=True):
            if column.size:
                new = np.array([column.min(), column.sum(), column.max(), column.size])
                old = ranges.get(name, np.array([np.inf, 0.0, -np.inf, 0.0]))
                ranges[name] = np.array([min(old[0], new[0]), old[1] + new[1], max(old[2], new[2]), old[3] + new[3]])

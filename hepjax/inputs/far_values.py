"""Values of jets that lie far outside those that a model was trained on: where they are, in words."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax import data as jet_files
from hepjax import runtime
from hepjax.inputs.scaling import FAR, extremes, is_far
from hepjax.types import Sequences

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.types import Array, Jets, Scaling

log = logging.getLogger("hepjax")


class Extent(NamedTuple):
    """The range of what was loaded of some rows of jets."""

    start: int
    stop: int
    least: Array
    """(F,) the smallest value of each column, padding too."""
    most: Array
    """(F,) the largest."""


class Found(NamedTuple):
    """The number of values far outside, and the first of them; nothing else is known where there is none."""

    number: int
    row: int = 0
    slot: int = -1
    """The place of the particle; -1 for a jet's own column."""
    column: int = 0
    value: float = 0.0


def extent(start: int, stop: int, inputs: Any, pipeline: InputPipeline) -> list[Extent]:
    """Measures the range of what was loaded of some rows, which takes little time.

    Args:
      start: the first row.
      stop: behind the last.
      inputs: what the pipeline has loaded of them.
      pipeline: of the model.

    Returns:
      One range; none where the model's columns are not scaled.
    """
    values = inputs.values if isinstance(inputs, Sequences) else inputs
    return [Extent(start, stop, *extremes(values))] if pipeline.scaled and start < stop else []


def find_far_values(jets: Jets, pipeline: InputPipeline, scaling: Scaling, extents: Iterable[Extent]) -> Found:
    """Finds the values far outside; rows whose range holds some are read once more.

    Args:
      jets: lazy jets.
      pipeline: that has loaded them.
      scaling: fitted on the training jets.
      extents: of the rows to look at, in their order.

    Returns:
      Their number, and the first.
    """
    found = Found(0)
    for each in extents:
        if _reach_far([each], scaling):
            inputs = pipeline.load(jets, slice(each.start, each.stop))
            found = add_found(found, far_values_of(inputs, pipeline, scaling), each.start)
    return found


def add_found(found: Found, more: Found, start: int) -> Found:
    """Adds what was found in some rows to what was found before them.

    Args:
      found: before.
      more: in rows that are counted from `start`.
      start: the first of them.

    Returns:
      All together.
    """
    first = found if found.number else more._replace(row=more.row + start)
    return first._replace(number=found.number + more.number)


def far_values_of(inputs: Any, pipeline: InputPipeline, scaling: Scaling) -> Found:
    """Finds the values far outside in what was loaded of some jets.

    Args:
      inputs: what the pipeline has loaded.
      pipeline: of the model; none are found where its columns are not scaled.
      scaling: fitted on the training jets.

    Returns:
      Their number, and the first, whose row counts from the first jet.
    """
    values, mask = (inputs.values, inputs.mask[..., None]) if isinstance(inputs, Sequences) else (inputs, True)
    ranges = extent(0, len(values), inputs, pipeline)
    if not _reach_far(ranges, scaling) or not len(places := np.argwhere(is_far(scaling, values) & mask)):
        return Found(0)
    row, *slot, column = places[0].tolist()
    return Found(len(places), row, slot[0] if slot else -1, column, float(values[tuple(places[0])]))


def warn_of_far_values(
    groups: Sequence[Jets], extents: Sequence[Sequence[Extent]], pipeline: InputPipeline, scaling: Scaling
) -> str:
    """Finds the values far outside in some groups of files, those of all processes, and warns once.

    Args:
      groups: the lazy jets of each.
      extents: of the rows to look at, for each group.
      pipeline: that has loaded them.
      scaling: fitted on the training jets.

    Returns:
      One sentence that names the first and counts the others; "" where there are none.
    """
    found = [find_far_values(jets, pipeline, scaling, each) for jets, each in zip(groups, extents, strict=True)]
    numbers = runtime.gather(np.array([[i, *each] for i, each in enumerate(found)], np.float64))
    numbers = numbers[numbers[:, 1] > 0]
    if not len(numbers):
        return ""
    group, _, row, slot, column, value = numbers[np.argmin(numbers[:, 0])].tolist()
    first = Found(int(numbers[:, 1].sum()), int(row), int(slot), int(column), value)
    text = far_values_text(groups[int(group)], first, pipeline, scaling)
    log.warning("%s; such values count as the mean; correct them or leave those jets out", text)
    return text


def far_values_text(jets: Jets, found: Found, pipeline: InputPipeline, scaling: Scaling) -> str:
    """Says where values far outside are.

    Args:
      jets: that they are of.
      found: one or more.
      pipeline: that has loaded them.
      scaling: fitted on the training jets.

    Returns:
      One sentence, without its full stop.
    """
    file, row = jet_files.file_and_row(jets, found.row)
    name, mean, std = (x[found.column] for x in (pipeline.columns, scaling.mean, scaling.std))
    others = found.number - 1
    more = f", and so {'is another value' if others == 1 else f'are {others} other values'}" if others else ""
    place = f"row {row}, particle {found.slot}" if found.slot >= 0 else f"row {row}"
    return (
        f"{file}: {place}: {name} is {found.value:g}, more than {FAR:g} standard deviations ({std:.3g}) from the mean "
        f"({mean:.3g}){more}"
    )


def _reach_far(extents: Iterable[Extent], scaling: Scaling) -> bool:
    return any(is_far(scaling, np.stack([each.least, each.most])).any() for each in extents)

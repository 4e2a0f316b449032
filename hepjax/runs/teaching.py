"""A trained classifier as the teacher of a training: its predictions for all jets, computed once before."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax import runtime
from hepjax.errors import InputError
from hepjax.runs import predictions, records, stored, taggers, trained_jets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hepjax.inputs.batching.stream import Block
    from hepjax.inputs.load_subsets import Splits, Subset
    from hepjax.runs.taggers import Predictor
    from hepjax.tasks import Task
    from hepjax.types import Dataset, Jets

_BLOCK = 2**13
"""Jets that the teacher predicts at once."""
_EVERY = 10.0
"""Seconds between lines on how far it is."""

log = logging.getLogger("hepjax")


class Teacher(NamedTuple):
    """A trained model whose predictions are learned."""

    source: Path
    predictor: Predictor
    record: dict[str, str]
    """What experiment.json says of it: where it is, and its checksum."""


def open_teacher(task: Task, saved: Mapping[str, Any] | None = None) -> Teacher | None:
    """Opens the teacher that a task names.

    Args:
      task: that is learned.
      saved: what experiment.json holds of a run that goes on; None of a new one.

    Returns:
      The teacher; None where the task names none.

    Raises:
      InputError: it is no trained model of the same task, or another than the one that the run began with; or there are
        several processes.
    """
    source = task.taught_by()
    if source is None:
        return None
    if runtime.process()[1] > 1:
        raise InputError("--teacher: its predictions are computed in one process, found several; train in one")
    try:
        predictor = taggers.load(source)
        record = {
            "folder": str(source.resolve()),
            "sha256": records.checksum(source / stored.EXPERIMENT if source.is_dir() else source),
        }
    except InputError as error:
        raise InputError(f"--teacher {source}: {error}") from error
    if type(predictor.task) is not type(task):
        found, wanted = (type(each).__name__.lower() for each in (predictor.task, task))
        raise InputError(f"--teacher {source}: has learned {found}, expected {wanted}; name another teacher")
    if saved is not None and (saved.get("teacher") or {}).get("sha256") != record["sha256"]:
        raise InputError(f"--teacher {source}: is not the one that the run began with; start a new run")
    return Teacher(source, predictor, record)


def images_of(teacher: Teacher | None) -> tuple[str, ...]:
    """Returns the images of the files that a teacher looks at; none without one.

    Args:
      teacher: opened.
    """
    return () if teacher is None else teacher.predictor.pipeline.images


def check_teacher(teacher: Teacher | None, task: Task, dataset: Dataset, jets: Sequence[Jets]) -> None:
    """Refuses a teacher that does not predict what is to be learned, or cannot read the jets.

    Args:
      teacher: opened; None is good.
      task: that is learned.
      dataset: of the jets.
      jets: all that it shall predict, lazy.

    Raises:
      InputError: names the classes of both, or what the jets lack.
    """
    if teacher is None:
        return
    classes, known = task.columns(dataset), teacher.predictor.outputs
    if sorted(classes) != sorted(known):
        raise InputError(
            f"--teacher {teacher.source}: its classes are {', '.join(known)}, those of the jets {', '.join(classes)}; "
            "name a teacher of the same classes"
        )
    try:
        for each in jets:
            teacher.predictor.pipeline.load(each, slice(0, 1))
    except InputError as error:
        raise InputError(f"--teacher {teacher.source}: cannot read these jets: {error}") from error


def attach_predictions(teacher: Teacher | None, jets: Splits, task: Task, *, folds: bool) -> Splits:
    """Gives each jet the teacher's predictions, which are computed in blocks and kept.

    Args:
      teacher: opened and checked; None changes nothing.
      jets: of the run, in memory or streamed.
      task: that is learned.
      folds: whether jets of all parts are tested.

    Returns:
      The same, with `taught` in their batches: columns in the order of the task's.

    Raises:
      InputError: the teacher gives no numbers for some jets.
    """
    if teacher is None:
        return jets
    predictor, tested, counts = teacher.predictor, 0, np.zeros(2, int)
    parts: dict[str, Any] = {}
    order = [predictor.outputs.index(name) for name in task.columns(jets.dataset)]
    tell = _progress(sum(len(getattr(jets, name).rows) for name in jets.split._fields))
    for name in jets.split._fields:
        subset: Subset = getattr(jets, name)
        taught = np.zeros((len(subset.rows), len(order)), np.float32)
        for first in range(0, len(taught), _BLOCK):
            here = slice(first, first + _BLOCK)
            inputs = predictor.pipeline.load(subset.jets, subset.rows[here])  # type: ignore[arg-type]
            predicted = predictor.predict(inputs)
            wrong = predictions.unsound_rows(predicted, predictor.task)
            first_wrong = int(subset.rows[here][wrong[0]]) if len(wrong) else 0
            predictions.check_sound(f"--teacher {teacher.source}", len(wrong), len(predicted), first_wrong)
            taught[here] = predicted[:, order]
            if folds or name == "test":
                tested, counts = tested + len(predicted), counts + trained_jets.count(predictor.trained, inputs)
            tell(len(predicted))
        parts[name] = _with_taught(subset, taught)
    known = trained_jets.evaluated(predictor.trained, tested, tuple(counts.tolist()))
    trained_jets.tell(f"the teacher {teacher.source}", known)
    return jets._replace(**parts)


def _with_taught(subset: Subset, taught: np.ndarray) -> Subset:
    """The same jets, with what the teacher predicts for them in their batches."""

    def blocks(seeds: Sequence[int]) -> Iterator[Block]:
        return ((places, batch._replace(taught=taught[places])) for places, batch in subset.blocks(seeds))

    data = None if subset.data is None else subset.data._replace(taught=taught)
    return subset._replace(data=data, blocks=blocks)


def _progress(total: int) -> Callable[[int], None]:
    """Returns what is told of newly predicted jets, and logs how far it is now and then, and at the end."""
    done, due = 0, time.monotonic() + _EVERY

    def tell(new: int) -> None:
        nonlocal done, due
        done += new
        if done == total or time.monotonic() > due:
            log.info("the teacher has predicted %s of %s jets", f"{done:,}", f"{total:,}")
            due = time.monotonic() + _EVERY

    return tell

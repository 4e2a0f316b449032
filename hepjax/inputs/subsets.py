"""The jets of an experiment: opened, read as its pipeline says, split, and refused where nothing can be learnt.

Of several processes, each reads a part of the files of its own, in one go, whatever part of the split a jet belongs to.
"""

from __future__ import annotations

import itertools
import logging
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import jax
import numpy as np

from hepjax import data as jet_files
from hepjax import inputs as representations
from hepjax import runtime
from hepjax.errors import InputError
from hepjax.inputs import batching
from hepjax.tasks.classification import decorrelation
from hepjax.types import Batch, Dataset, Jets, Moments, Scaling, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.runs.options import Experiment

_AT_ONCE = 2**28
"""Bytes of a file's particles that are read at once."""
_SHARE = 16
"""The part of the memory for jets that the particles of one block of a stream may take."""

_ROWS = 100_000
"""Jets whose observables are read at once."""

log = logging.getLogger("hepjax")


class Part(NamedTuple):
    """The jets of this process in one part of the split, by rising row number; n of them."""

    rows: np.ndarray
    """(n,) int64, their rows in the files."""
    labels: np.ndarray
    """(n,) int32 class indices."""
    lengths: np.ndarray
    """(n,) int32, the particles of each; 0 where the model does not look at particles."""
    data: Batch | None
    """All of them, where they fit into memory."""
    blocks: Callable[[Sequence[int]], Iterator[batching.Block]]
    """A seed → all jets in blocks, each with the places of its jets in this part; random where they are read anew."""
    jets: Jets | None = None
    """Of the files that `rows` are of, lazily; None where there are no files."""


class Parts(NamedTuple):
    """The jets of an experiment, as read by its pipeline."""

    train: Part
    val: Part
    test: Part
    split: batching.Split
    """Of the files that are split, the rows of each part, for all processes."""
    counts: tuple[int, int, int]
    """The jets of each part, of all processes."""
    scaling: Scaling
    """Fitted on the training part of all processes."""
    fingerprint: int
    """A checksum of all jets, whatever process has read them."""
    dataset: Dataset
    """What the columns of the jets to train on mean."""


class _Read(NamedTuple):
    """What one pass over files gave."""

    parts: dict[str, Part]
    moments: list[Moments]
    """Of the training jets."""
    checksum: int
    empty: int
    """Jets without a particle."""


def load(experiment: Experiment, pipeline: InputPipeline, jets: Jets) -> Parts:
    """Reads and splits the jets; those that do not fit into memory are looked at once, and read anew when asked for.

    Args:
      experiment: names the files, and how much memory the jets may take.
      pipeline: says what to read of them.
      jets: those to train on, from `open_jets`.

    Returns:
      The parts.

    Raises:
      InputError: a file is not usable, a part lacks a class, or there is one class only.
    """
    own = {name: files for name, files in (("val", experiment.val), ("test", experiment.test)) if files}
    shares = (0.6 + 0.2 * len(own), 0.0 if "val" in own else 0.2, 0.0 if "test" in own else 0.2)
    dataset, classes = jets.dataset, jets.classes
    shared = check_labelled(jet_files.with_images(jets, pipeline.images), experiment.data)
    split = batching.split(len(shared), seed=experiment.seed, fractions=shares)
    wanted = [(shared, {name: rows for name, rows in split._asdict().items() if name not in own})]
    for name, files in own.items():
        others = check_labelled(open_jets(files, images=pipeline.images, dataset=experiment.dataset), files)
        _check_classes(others, classes, f"--{name} {names(files)}")
        wanted.append((others, {name: np.arange(len(others))}))
    count, memory = sum(len(jets) for jets, _ in wanted), experiment.memory * 1e9
    keep = count * _bytes(pipeline) <= memory * runtime.process()[1]
    found = [_read(*some, pipeline, keep=keep, at_once=min(memory / _SHARE, _AT_ONCE)) for some in wanted]
    named = {name: part for read in found for name, part in read.parts.items()}
    labels = _total([np.bincount(named[name].labels, minlength=len(classes)) for name in split._fields])
    present = np.flatnonzero(labels.sum(axis=0)).tolist()
    check_two_classes(present, classes, names(experiment.data))
    for name, counts in zip(split._fields, labels, strict=True):
        batching.check_classes(np.flatnonzero(counts), present, name, classes)
    _warn_of_empty(int(_total([read.empty for read in found]).sum()), count)
    parts = Parts(
        **named,
        dataset=dataset,
        split=split,
        counts=tuple(labels.sum(axis=1).tolist()),
        scaling=representations.scaling_of(_of_all(found[0].moments)),
        fingerprint=zlib.crc32(_total([read.checksum for read in found]).tobytes()),
    )
    return decorrelation.attach(parts, pipeline.columns, experiment.insensitive, experiment.seed)


def _check_classes(jets: Jets, classes: Sequence[str], name: str) -> None:
    if jets.classes != tuple(classes):
        raise InputError(
            f"{name}: the jets' classes are {', '.join(jets.classes)}, those to train on {', '.join(classes)}; give "
            "jets of the same classes"
        )


def open_jets(
    files: Sequence[Path] | None, *, images: Sequence[str] = (), dataset: Dataset | str | None = None
) -> Jets:
    """Opens the files' jets, with as many particles as all of them keep.

    Args:
      files: none is the sample that comes with hepjax.
      images: that are needed.
      dataset: what the columns mean, or the name of that; None recognizes it by the columns.

    Returns:
      Lazy jets.

    Raises:
      InputError: a file is not usable.
    """
    return jet_files.read_jets(files or None, shortest=True, images=images, dataset=dataset)


def blocks(jets: Jets, pipeline: InputPipeline) -> Iterator[tuple[Any, np.ndarray | None]]:
    """All jets in order, so many at a time that they fit in memory.

    Args:
      jets: lazy jets.
      pipeline: says what to read of them.

    Yields:
      What it read, and the labels where they are known.
    """
    empty = 0
    for rows in itertools.starmap(slice, _spans(jets, slice(0, len(jets)), _rows(jets, _AT_ONCE))):
        inputs = pipeline.load(jets, rows)
        empty += int((_lengths(inputs) == 0).sum())
        yield inputs, None if jets.labels is None else np.asarray(jets.labels[rows])
    _warn_of_empty(empty, len(jets))


def of_inputs(inputs: Any) -> Part:
    """Jets that were read already, as a part of their own.

    Args:
      inputs: what a pipeline has read of n jets.

    Returns:
      The part; its labels mean nothing.

    >>> of_inputs(np.zeros((3, 16))).rows.tolist()
    [0, 1, 2]
    """
    lengths = _lengths(inputs)
    data = Batch(inputs, np.zeros(len(lengths), np.int32), np.ones(len(lengths), np.float32))
    return Part(np.arange(len(lengths)), np.asarray(data.targets), lengths, data, _whole(data))


def observables(jets: Jets | None, rows: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Some observables of jets, for what is binned in them; of several processes, of all.

    Args:
      jets: lazy jets; None has no observables.
      rows: (n,) those of this process.
      names: of the observables; such as the files lack are left out.

    Returns:
      Name → (N,) float32, in the order of processes and rows.
    """
    if jets is None:
        return {}
    places = [jets.observable_names.index(name) for name in names if name in jets.observable_names]
    blocks = np.array_split(rows, max(len(rows) // _ROWS, 1))
    found = np.concatenate([np.asarray(jets.observables[block])[:, places] for block in blocks])
    return {jets.observable_names[place]: column for place, column in zip(places, runtime.gather(found).T, strict=True)}


def names(files: Sequence[Path]) -> str:
    """The files, for a message.

    >>> names(())
    'the embedded sample'
    """
    return ", ".join(map(str, files[:3])) + (", …" if len(files) > 3 else "") if files else "the embedded sample"


def check_two_classes(present: Sequence[int], classes: Sequence[str], name: str) -> None:
    """Refuses jets of one class.

    Args:
      present: the classes that are there.
      classes: all classes' names.
      name: of the jets, for the message.

    Raises:
      InputError: there is one only.
    """
    if len(present) < 2:
        only = classes[present[0]]
        raise InputError(f"{name}: all jets are of class {only}; give jets of two classes or more")


def check_labelled(jets: Jets, files: Sequence[Path]) -> Jets:
    """Returns the same jets, if they are labelled.

    Args:
      jets: any.
      files: that they are from, for the message.

    Raises:
      InputError: they have no labels.
    """
    if jets.labels is None:
        raise InputError(f"{names(files)}: no labels, so nothing can be learnt; give labelled jets")
    return jets


def _bytes(pipeline: InputPipeline) -> int:
    """Of one jet in memory, its label and weight included."""
    size: int = sum(leaf.nbytes for leaf in jax.tree.leaves(pipeline.example))
    return size + 8


def _rows(jets: Jets, size: float) -> int:
    """How many rows of the files take so many bytes."""
    shapes = [jets.constituents.shape, *(image.shape for image in jets.images.values())]
    return max(int(size / (4 * sum(int(np.prod(shape[1:])) for shape in shapes))), 1)


def _read(jets: Jets, split: dict[str, np.ndarray], pipeline: InputPipeline, *, keep: bool, at_once: float) -> _Read:
    """One pass over this process's share of some files, which looks at every jet and keeps those that it shall."""
    mine, size = runtime.rows_of_process(len(jets)), _rows(jets, at_once)
    first, count = mine.start, mine.stop - mine.start
    rows = {name: np.sort(r[(first <= r) & (r < mine.stop)]) for name, r in split.items()}
    kept = {name: _room(pipeline, len(r)) for name, r in rows.items()} if keep else {}
    labels, lengths = np.empty((2, count), np.int32)
    moments, checksum, told = [], 0, cast("Any", jets.labels)
    for start, stop in _spans(jets, mine, size):
        inputs, here = pipeline.load(jets, slice(start, stop)), slice(start - first, stop - first)
        labels[here], lengths[here] = told[start:stop], _lengths(inputs)
        checksum += _checksum(start, inputs, labels[here])
        for name, chosen in rows.items():
            low, high = np.searchsorted(chosen, (start, stop))
            part = jax.tree.map(lambda x, places=chosen[low:high] - start: x[places], inputs)
            if name == "train":
                moments.append(pipeline.statistics(part))
            if keep:
                jax.tree.map(lambda room, x, low=low, high=high: np.copyto(room[low:high], x), kept[name], part)
    parts = {}
    for name, chosen in rows.items():
        of_part = labels[chosen - first], lengths[chosen - first]
        data = Batch(kept[name], of_part[0], np.ones(len(chosen), np.float32)) if keep else None
        stream = _whole(data) if data is not None else _stream(jets, chosen, of_part[0], pipeline, size)
        parts[name] = Part(chosen, *of_part, data, stream, jets)
    return _Read(parts, moments, checksum % 2**64, int((lengths == 0).sum()))


def _spans(jets: Jets, rows: slice, size: int) -> Iterator[tuple[int, int]]:
    """The rows in order, some `size` at a time, cut where chunks end: none is read twice."""
    starts = jet_files.chunk_starts(jets)
    edges = np.array([rows.start, *starts[(rows.start < starts) & (starts < rows.stop)]])
    kept = edges[np.diff((edges - rows.start) // size, prepend=-1) > 0].tolist()
    return itertools.pairwise([*kept, rows.stop])


def _whole(data: Batch) -> Callable[[Sequence[int]], Iterator[batching.Block]]:
    return lambda _: iter([(np.arange(len(data.targets)), data)])


def _stream(
    jets: Jets, rows: np.ndarray, labels: np.ndarray, pipeline: InputPipeline, size: int
) -> Callable[[Sequence[int]], Iterator[batching.Block]]:
    """Some rows of files, whole chunks at a time: the chunks in random order, `size` rows or so shuffled at once."""
    starts = np.append(jet_files.chunk_starts(jets), len(jets))
    chunks = np.split(np.arange(len(rows)), np.searchsorted(rows, starts[1:-1]))

    def blocks(seed: Sequence[int]) -> Iterator[batching.Block]:
        rng = np.random.default_rng(seed)
        order = rng.permutation([i for i, chunk in enumerate(chunks) if len(chunk)])
        cuts = np.flatnonzero(np.diff(np.cumsum(np.diff(starts)[order]) // size)) + 1
        for group in np.split(order, cuts):
            places = rng.permutation(np.concatenate([chunks[i] for i in group] or [np.arange(0)]))
            yield places, Batch(pipeline.load(jets, rows[places]), labels[places], np.ones(len(places), np.float32))

    return blocks


def _room(pipeline: InputPipeline, count: int) -> Any:
    return jax.tree.map(lambda x: np.empty((count, *x.shape[1:]), x.dtype), pipeline.example)


def _lengths(inputs: Any) -> np.ndarray:
    """The particles of each jet; 1 where the model does not look at them."""
    found = inputs.lengths if isinstance(inputs, Sequences) else np.ones(len(jax.tree.leaves(inputs)[0]))
    return np.asarray(found, np.int32)


def _checksum(first: int, inputs: Any, labels: np.ndarray) -> int:
    """A number that adds up to the same over all rows, in whatever blocks they are read."""
    leaves = [np.ascontiguousarray(x).reshape(len(labels), -1) for x in (*jax.tree.leaves(inputs), labels)]
    rows: list[Any] = list(np.concatenate([x.view(np.uint8) for x in leaves], axis=1))
    odd = 2 * np.arange(first, first + len(rows), dtype=np.uint64) + 1
    sums = odd * np.array([zlib.crc32(row) for row in rows], np.uint64)
    total: int = sum(sums.tolist())
    return total


def _total(counts: Sequence[Any]) -> np.ndarray:
    """The sum over all processes."""
    total: np.ndarray = runtime.gather(np.asarray(counts, np.uint64)[None]).sum(axis=0)
    return total


def _of_all(parts: Sequence[Moments]) -> list[Moments]:
    """The moments that all processes have found."""
    rows = runtime.gather(np.array([[part.rows, *part.mean, *part.squares] for part in parts]))
    return [Moments(row[0], *np.split(row[1:], 2)) for row in rows]


def _warn_of_empty(empty: int, jets: int) -> None:
    if empty:
        log.warning("%d of %d jets have no particle: their scores are the same for every class", empty, jets)

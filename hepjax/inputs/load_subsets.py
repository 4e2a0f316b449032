"""The jets of a run: opened, read as a pipeline says, split, each subset with its targets and weights.

Of several processes, each reads a part of the files of its own, in one go, whatever subset a jet belongs to.
"""

from __future__ import annotations

import itertools
import logging
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import data as jet_files
from hepjax import runtime
from hepjax.errors import InputError
from hepjax.inputs import batching, far_values, jet_hashes
from hepjax.inputs.file_weights import check_event_weights, normalize_weights
from hepjax.inputs.scaling import moments_of_all_processes, scaling_of
from hepjax.types import Batch, Dataset, Jets, Moments, Scaling, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hepjax.inputs.open_files import Opened
    from hepjax.inputs.pipelines import InputPipeline

    ReadTargets = Callable[[Jets, slice | np.ndarray], np.ndarray | None]
    """(jets, rows) → (n,) int32 or (n, D) float32; None where the files have none."""
    Selection = Callable[[np.ndarray, int], np.ndarray]
    """(targets of n jets, seed) → (m,) rising places of those that are learned from."""

_AT_ONCE = 2**28
"""Bytes of a file's particles that are read at once."""
_SHARE = 16
"""The part of the memory for jets that the particles of one block of a stream may take."""

log = logging.getLogger("hepjax")


class Subset(NamedTuple):
    """The jets of this process in one part of the split, by rising row number; n of them."""

    rows: np.ndarray
    """(n,) int64, their rows in the files."""
    targets: np.ndarray
    """(n,) int32 class indices, or (n, D) float32."""
    weights: np.ndarray
    """(n,) float32 weights of any sign to learn with, with a mean of 1 over all training jets."""
    lengths: np.ndarray
    """(n,) int32, the particles of each; 1 where the model does not look at particles."""
    data: Batch | None
    """All of them, where they fit into memory."""
    blocks: Callable[[Sequence[int]], Iterator[batching.Block]]
    """A seed → all jets in blocks, each with the places of its jets in this subset; random where they are read anew."""
    jets: Jets | None = None
    """Of the files that `rows` are of, lazily; None where there are no files."""
    hashes: jet_hashes.JetHashes = jet_hashes.join_blocks(())
    """Of all jets, or of a sample, by their places in this subset."""
    measured: np.ndarray | None = None
    """(n,) float32 event weights of the files, where those to learn with are others; None where they are the same."""

    @property
    def event_weights(self) -> np.ndarray:
        """(n,) the event weights of the files, by which jets are measured; 1 where they have none."""
        return self.weights if self.measured is None else self.measured

    @property
    def known_weights(self) -> np.ndarray | None:
        """(n,) the event weights; None where the files have none."""
        return None if self.jets is None or self.jets.weights is None else self.event_weights


class Splits(NamedTuple):
    """The jets of a run, as loaded by its pipeline."""

    train: Subset
    val: Subset
    test: Subset
    split: batching.Split
    """Of the files that are split, the rows of each subset, for all processes."""
    counts: tuple[int, int, int]
    """The jets of each subset, of all processes."""
    scaling: Scaling
    """Fitted on the training jets of all processes."""
    fingerprint: int
    """A checksum of all jets, whatever process has read them."""
    dataset: Dataset
    """What the columns of the jets to train on mean."""
    limit: np.uint64
    """The largest hash that `hashes` of the subsets have."""
    far_values: str = ""
    """Where values lie far outside the rest; "" where none does."""


class _Pass(NamedTuple):
    """The result of one pass over files."""

    subsets: dict[str, Subset]
    moments: list[Moments]
    """Of the training jets."""
    extents: list[far_values.Extent]
    """Of all jets."""
    checksum: int
    empty: int
    """Jets without a particle."""


def load_subsets(
    opened: Opened,
    pipeline: InputPipeline,
    read_targets: ReadTargets,
    *,
    seed: int,
    memory: float,
    needed_by: str = "",
    select: Selection | None = None,
) -> Splits:
    """Reads and splits the jets; those that do not fit into memory are looked at once, and read anew when asked for.

    Args:
      opened: from `hepjax.inputs.open_files.open_split_files`.
      pipeline: says what to load of them.
      read_targets: reads what is to be learned of them.
      seed: of the split.
      memory: gigabytes that the jets of a process may take.
      needed_by: a sentence on what needs all jets in memory, so that they are not streamed; "" where nothing does.
      select: which training and validation jets are learned from; the others are left out. None is all.

    Returns:
      The splits.

    Raises:
      InputError: a file is not usable, has no targets, or has weights that are not finite; or the jets do not fit into
        memory and are needed there, before any is read.
    """
    others = opened.others
    shares = (0.6 + 0.2 * len(others), 0.0 if "val" in others else 0.2, 0.0 if "test" in others else 0.2)
    split = batching.split(len(opened.data), seed=seed, fractions=shares)
    wanted = {"data": (opened.data, {name: rows for name, rows in split._asdict().items() if name not in others})}
    wanted |= {name: (jets, {name: np.arange(len(jets))}) for name, jets in others.items()}
    if select is not None:
        for name, (jets, rows) in wanted.items():
            chosen = _selected_rows(jets, rows, read_targets, opened.sources[name], lambda t: select(t, seed))
            batching.log_left_out({part: (len(chosen[part]), len(rows[part])) for part in rows if part != "test"})
            wanted[name] = (jets, chosen)
        split = split._replace(**{name: rows for name, rows in wanted["data"][1].items() if name not in others})
    count, most = sum(len(jets) for jets, _ in wanted.values()), memory * 1e9
    size, processes = count * _bytes_per_jet(pipeline), runtime.process()[1]
    keep = size <= most * processes
    if needed_by and not keep:
        raise InputError(
            f"--memory: {needed_by}, expected {size / processes / 1e9:.2g} GB or more, found {memory:g}; give more, or "
            "fewer jets"
        )
    limit = jet_hashes.sampling_limit(len(wanted["data"][1]["train"]))
    shared: dict[str, Any] = {"keep": keep, "at_once": min(most / _SHARE, _AT_ONCE), "limit": limit}
    passes = [
        _read_process_share(jets, rows, pipeline, read_targets, source=opened.sources[name], **shared)
        for name, (jets, rows) in wanted.items()
    ]
    subsets = {name: subset for each in passes for name, subset in each.subsets.items()}
    normalize_weights({name: subset.weights for name, subset in subsets.items()})
    _warn_of_empty_jets(int(_sum_over_processes([each.empty for each in passes]).sum()), count)
    read = [each.extents for each in passes]
    scaling = scaling_of(moments_of_all_processes(passes[0].moments))
    return Splits(
        **subsets,
        split=split,
        counts=tuple(_sum_over_processes([len(subsets[name].rows) for name in split._fields]).tolist()),
        scaling=scaling,
        fingerprint=zlib.crc32(_sum_over_processes([each.checksum for each in passes]).tobytes()),
        dataset=opened.data.dataset,
        limit=limit,
        far_values=far_values.warn_of_far_values([jets for jets, _ in wanted.values()], read, pipeline, scaling),
    )


def select_learned_jets(splits: Splits, keep: Callable[[Subset], np.ndarray]) -> Splits:
    """Leaves out jets of a run, whether they are in memory or read anew.

    Args:
      splits: the jets.
      keep: a subset → (n,) bool, True for jets that stay.

    Returns:
      The other jets; the same splits where all stay.
    """
    kept = {name: keep(getattr(splits, name)) for name in splits.split._fields}
    counts = tuple(_sum_over_processes([np.sum(mask) for mask in kept.values()]).tolist())
    if counts == splits.counts:
        return splits
    batching.log_left_out(dict(zip(kept, zip(counts, splits.counts, strict=True), strict=True)))
    subsets = {name: _masked_subset(getattr(splits, name), mask) for name, mask in kept.items()}
    split = batching.Split(*(runtime.gather(subset.rows) for subset in subsets.values()))
    train, val, test = subsets.values()
    return splits._replace(train=train, val=val, test=test, split=split, counts=counts)


def _masked_subset(subset: Subset, mask: np.ndarray) -> Subset:
    """The jets of a subset where a mask is True."""
    arrays: dict[str, Any] = {name: getattr(subset, name)[mask] for name in ("rows", "targets", "weights", "lengths")}
    arrays["hashes"] = jet_hashes.take_jets(subset.hashes, np.flatnonzero(mask))
    arrays["measured"] = None if subset.measured is None else subset.measured[mask]
    if subset.data is not None:
        data = jax.tree.map(lambda x: x[mask], subset.data)
        return subset._replace(**arrays, data=data, blocks=_subset_in_memory(data))
    places = np.cumsum(mask) - 1

    def blocks(seed: Sequence[int]) -> Iterator[batching.Block]:
        for chosen, batch in subset.blocks(seed):
            inside = mask[chosen]
            yield places[chosen[inside]], jax.tree.map(lambda x, inside=inside: x[inside], batch)

    return subset._replace(**arrays, blocks=blocks)


def subset_blocks(
    jets: Jets, pipeline: InputPipeline, read_targets: ReadTargets
) -> Iterator[tuple[Any, np.ndarray | None]]:
    """Loads all jets in order, in blocks that fit in memory.

    Args:
      jets: lazy jets.
      pipeline: says what to load of them.
      read_targets: reads what was to be learned of them.

    Yields:
      What it loaded, and the targets where they are known.
    """
    empty = 0
    spans = jet_files.row_spans(jets, slice(0, len(jets)), _rows_of_bytes(jets, _AT_ONCE))
    for rows in itertools.starmap(slice, spans):
        inputs = pipeline.load(jets, rows)
        empty += int((_particle_counts(inputs) == 0).sum())
        yield inputs, read_targets(jets, rows)
    _warn_of_empty_jets(empty, len(jets))


def subset_of_inputs(inputs: Any) -> Subset:
    """Makes a subset of jets that were loaded already.

    Args:
      inputs: what a pipeline has loaded of n jets.

    Returns:
      The subset; its targets mean nothing.

    >>> subset_of_inputs(np.zeros((3, 16))).rows.tolist()
    [0, 1, 2]
    """
    lengths = _particle_counts(inputs)
    data = Batch(inputs, np.zeros(len(lengths), np.int32), np.ones(len(lengths), np.float32))
    rows, targets, weights = np.arange(len(lengths)), np.asarray(data.targets), np.asarray(data.weights)
    return Subset(rows, targets, weights, lengths, data, _subset_in_memory(data))


def _selected_rows(
    jets: Jets,
    split: dict[str, np.ndarray],
    read_targets: ReadTargets,
    source: str,
    select: Callable[[np.ndarray], np.ndarray],
) -> dict[str, np.ndarray]:
    """Returns the rows of each part, of the training and validation parts those that are learned from."""

    def learned(rows: np.ndarray) -> Any:
        return rows[select(_check_subset_targets(read_targets(jets, rows), source))]

    return {name: rows if name == "test" else learned(np.sort(rows)) for name, rows in split.items()}


def _bytes_per_jet(pipeline: InputPipeline) -> int:
    """Counts the bytes of one jet in memory, with its target and weight."""
    size: int = sum(leaf.nbytes for leaf in jax.tree.leaves(pipeline.example))
    return size + 8


def _rows_of_bytes(jets: Jets, size: float) -> int:
    """Counts the rows of the files that fit into a number of bytes."""
    shapes = [jets.constituents.shape, *(image.shape for image in jets.images.values())]
    return max(int(size / (4 * sum(int(np.prod(shape[1:])) for shape in shapes))), 1)


def _read_process_share(
    jets: Jets,
    split: dict[str, np.ndarray],
    pipeline: InputPipeline,
    read_targets: ReadTargets,
    *,
    source: str,
    keep: bool,
    at_once: float,
    limit: np.uint64,
) -> _Pass:
    """Reads this process's share of some files once; checks every jet and keeps those that are asked for."""
    mine, size = runtime.rows_of_process(len(jets)), _rows_of_bytes(jets, at_once)
    first, count = mine.start, mine.stop - mine.start
    rows = {name: np.sort(r[(first <= r) & (r < mine.stop)]) for name, r in split.items()}
    kept = {name: _allocate_subset(pipeline, len(r)) for name, r in rows.items()} if keep else {}
    targets = _check_subset_targets(read_targets(jets, slice(first, first)), source)
    targets = np.empty((count, *targets.shape[1:]), targets.dtype)
    lengths, weights = np.empty(count, np.int32), np.ones(count, np.float32)
    moments, extents, sampled, checksum = [], [], [], 0
    for start, stop in jet_files.row_spans(jets, mine, size):
        inputs, here = pipeline.load(jets, slice(start, stop)), slice(start - first, stop - first)
        targets[here] = _check_subset_targets(read_targets(jets, slice(start, stop)), source)
        lengths[here] = _particle_counts(inputs)
        extents += far_values.extent(start, stop, inputs, pipeline)
        known = [inputs, targets[here]]
        if jets.weights is not None:
            weights[here] = check_event_weights(np.asarray(jets.weights[start:stop]), start, source)
            known.append(weights[here])
        checksum += jet_hashes.checksum_of_rows(start, known)
        sampled.append(jet_hashes.sample_jets(inputs, start - first, limit))
        for name, chosen in rows.items():
            low, high = np.searchsorted(chosen, (start, stop))
            part = jax.tree.map(lambda x, places=chosen[low:high] - start: x[places], inputs)
            if name == "train":
                moments.append(pipeline.statistics(part))
            if keep:
                jax.tree.map(lambda room, x, low=low, high=high: np.copyto(room[low:high], x), kept[name], part)
    subsets, hashes = {}, jet_hashes.join_blocks(sampled)
    for name, chosen in rows.items():
        places = chosen - first
        y, w = targets[places], weights[places]
        data = Batch(kept[name], y, w) if keep else None
        stream = _subset_in_memory(data) if data is not None else _stream_subset(jets, chosen, y, w, pipeline, size)
        of_subset = jet_hashes.take_jets(hashes, places)
        subsets[name] = Subset(chosen, y, w, lengths[places], data, stream, jets, of_subset)
    return _Pass(subsets, moments, extents, checksum % 2**64, int((lengths == 0).sum()))


def _check_subset_targets(targets: np.ndarray | None, source: str) -> np.ndarray:
    if targets is None:
        raise InputError(f"{source}: has no targets, so nothing can be learned; give jets that have them")
    return targets


def _subset_in_memory(data: Batch) -> Callable[[Sequence[int]], Iterator[batching.Block]]:
    return lambda _: iter([(np.arange(len(data.targets)), data)])


def _stream_subset(
    jets: Jets, rows: np.ndarray, targets: np.ndarray, weights: np.ndarray, pipeline: InputPipeline, size: int
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
            yield places, Batch(pipeline.load(jets, rows[places]), targets[places], weights[places])

    return blocks


def _allocate_subset(pipeline: InputPipeline, count: int) -> Any:
    return jax.tree.map(lambda x: np.empty((count, *x.shape[1:]), x.dtype), pipeline.example)


def _particle_counts(inputs: Any) -> np.ndarray:
    """The particles of each jet; 1 where the model does not look at them."""
    lengths = inputs.lengths if isinstance(inputs, Sequences) else np.ones(len(jax.tree.leaves(inputs)[0]))
    return np.asarray(lengths, np.int32)


def _sum_over_processes(counts: Sequence[Any]) -> np.ndarray:
    """The sum over all processes."""
    total: np.ndarray = runtime.gather(np.asarray(counts, np.uint64)[None]).sum(axis=0)
    return total


def _warn_of_empty_jets(empty: int, jets: int) -> None:
    if empty:
        log.warning("%d of %d jets have no particle: the same is predicted for all of them", empty, jets)

"""Jets that a model was trained on, among those that it is measured on: counted, told or refused."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax import report, runtime, training
from hepjax.errors import InputError
from hepjax.inputs import jet_hashes
from hepjax.inputs.jet_hashes import JetHashes, Overlap, TrainedJets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hepjax.inputs.load_subsets import Splits
    from hepjax.runs.ensembles import Member
    from hepjax.runs.options import Experiment

FILE = "trained_jets.msgpack"
"""Hashes of the training jets; runs of an older hepjax have none."""
METRIC = "trained_on"
"""The entry of metrics.json."""
_MOST = 0.5
"""The share of training jets from which on nothing can be measured."""

log = logging.getLogger("hepjax")


class Examined(NamedTuple):
    """The training jets of one training, or of all those of a run, and where they are measured on again."""

    trained: TrainedJets
    overlaps: Mapping[str, Overlap]
    """Of the validation and test part, "val" and "test"."""
    members: tuple[Examined, ...] = ()
    """The same of each training of a run."""


def examine(experiment: Experiment, jets: Splits, members: Sequence[Member]) -> Examined:
    """Looks for the training jets among those to validate and test on, in all processes alike.

    Args:
      experiment: the options.
      jets: of the run.
      members: its trainings.

    Returns:
      The training jets of all; of folds the sum of their overlaps, of other trainings the largest.
    """
    known = _gather_hashes(jets)

    def look(member: Member) -> Examined:
        trained = _trained_jets(known, member.train, jets.limit)
        parts = {name: getattr(member, name) for name in ("val", "test")}
        return Examined(trained, {name: _overlap(trained, known, numbers) for name, numbers in parts.items()})

    each = tuple(look(member) for member in members)
    if len(each) == 1:
        return each[0]._replace(members=each)
    together = _trained_jets(known, np.unique(np.concatenate([member.train for member in members])), jets.limit)
    overlaps = {name: [one.overlaps[name] for one in each] for name in ("val", "test")}
    combine = _sum if experiment.folds else max
    return Examined(together, {name: combine(found) for name, found in overlaps.items()}, each)


def check(examined: Examined, sources: Mapping[str, str]) -> None:
    """Refuses parts that are mostly made of training jets, and warns of any others that have some.

    Args:
      examined: from `examine`.
      sources: "data", "val" and "test" → the files' names.

    Raises:
      InputError: names the files, the number of jets, their share, and what to do.
    """
    for part, found in examined.overlaps.items():
        if found.share >= _MOST:
            raise InputError(
                f"{sources.get(part, sources['data'])}: {report.overlap_text(part, *found)} are training jets too, so "
                f"that they measure nothing; look for copies of a file and for rows that repeat, or give other jets by "
                f"--{part}"
            )
    if runtime.is_first() and (entry := metric(examined.overlaps)):
        log.warning("%s Look for copies of a file and for rows that repeat", report.trained_on_sentence(entry))


def metric(overlaps: Mapping[str, Overlap]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns what metrics.json says of training jets among those that were measured on; empty where there are none.

    >>> metric({"val": Overlap(0, 5), "test": Overlap(1, 4)})
    {'trained_on': {'test': {'jets': 1, 'of': 4, 'share': 0.25}}}
    """
    found = {name: one._asdict() | {"share": one.share} for name, one in overlaps.items() if one.jets}
    return {METRIC: found} if found else {}


def count(trained: TrainedJets | None, inputs: Any) -> tuple[int, int]:
    """Counts training jets among others.

    Args:
      trained: the training jets, where they are known.
      inputs: what the pipeline of the model has loaded of the others.

    Returns:
      How many could be compared, and how many of them are training jets.
    """
    if trained is None:
        return 0, 0
    return jet_hashes.count_equal_jets(trained, jet_hashes.join_halves(jet_hashes.hash_jets(inputs)))


def evaluated(trained: TrainedJets | None, jets: int, counts: tuple[int, int]) -> dict[str, Any]:
    """Returns what metrics.json says of training jets among those that a model is evaluated on.

    Args:
      trained: the training jets, where they are known.
      jets: how many the model is evaluated on.
      counts: the sum of `count` over all of them.

    Returns:
      As `metric`.
    """
    return {} if trained is None else metric({"test": jet_hashes.overlap(trained, jets, *counts)})


def of_test_part(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of `metric` that is about test jets.

    Args:
      metrics: what metrics.json holds.
    """
    found = metrics.get(METRIC) or {}
    return {METRIC: {"test": found["test"]}} if "test" in found else {}


def tell(name: str, metrics: Mapping[str, Any]) -> None:
    """Warns of figures of merit on training jets.

    Args:
      name: what the figures are of.
      metrics: what metrics.json holds.
    """
    if words := report.trained_on_sentence(metrics):
        log.warning("%s: %s", name, words)


def tell_of_earlier_training(
    name: str, trained: TrainedJets | None, jets: Splits, parts: Sequence[str] = ("test",)
) -> None:
    """Warns of jets to test on that an earlier training has learned from, whose network is trained on.

    Args:
      name: of the network.
      trained: its training jets, where they are known; those of another kind of inputs equal none.
      jets: of the run.
      parts: that are tested.
    """
    if trained is None:
        return
    subsets = [getattr(jets, part) for part in parts]
    hashes = np.concatenate([jet_hashes.join_halves(subset.hashes.halves) for subset in subsets])
    count = sum(len(subset.rows) for subset in subsets)
    found = jet_hashes.overlap(trained, count, *jet_hashes.count_equal_jets(trained, hashes))
    tell(name, metric({"test": found}))


def write(folder: Path, trained: TrainedJets, identity: str) -> None:
    """Writes what is kept of the training jets.

    Args:
      folder: of the run.
      trained: its training jets.
      identity: of the training.
    """
    training.save(folder / FILE, trained, identity)


def read(folder: Path, identity: str | None) -> TrainedJets | None:
    """Reads what is kept of the training jets.

    Args:
      folder: of the run.
      identity: of the training; None is any.

    Returns:
      The training jets; None of a run of an older hepjax.

    Raises:
      InputError: the file is damaged, or of another training.
    """
    path = folder / FILE
    if not path.exists() and not path.is_symlink():
        return None
    blank = TrainedJets(np.zeros(0, np.uint64), np.uint64(0), 0, 0.0)
    trained = training.restore(path, blank, identity)
    hashes = trained.hashes
    sound = hashes.ndim == 1 and hashes.dtype == np.uint64 and (hashes[:-1] < hashes[1:]).all()
    if not sound or (hashes > trained.limit).any() or len(hashes) > trained.jets or not 0 <= trained.chance <= 1:
        raise InputError(f"{path}: damaged, it holds no hashes of training jets; train again")
    return trained


def _gather_hashes(jets: Splits) -> JetHashes:
    """The hashes of all parts and processes, numbered through the training, validation and test part."""
    blocks, first = [], 0
    for subset, count in zip(jets[:3], jets.counts, strict=True):
        before = int(runtime.gather(np.array([len(subset.rows)]))[: runtime.process()[0]].sum())
        places = runtime.gather(first + before + subset.hashes.places)
        blocks.append(JetHashes(places, runtime.gather(subset.hashes.halves)))
        first += count
    return jet_hashes.join_blocks(blocks)


def _trained_jets(known: JetHashes, numbers: np.ndarray, limit: np.uint64) -> TrainedJets:
    return jet_hashes.make_trained_jets(jet_hashes.take_jets(known, numbers).halves, limit)


def _overlap(trained: TrainedJets, known: JetHashes, numbers: np.ndarray) -> Overlap:
    hashes = jet_hashes.join_halves(jet_hashes.take_jets(known, numbers).halves)
    return jet_hashes.overlap(trained, len(numbers), *jet_hashes.count_equal_jets(trained, hashes))


def _sum(overlaps: Sequence[Overlap]) -> Overlap:
    return Overlap(*map(sum, zip(*overlaps, strict=True)))

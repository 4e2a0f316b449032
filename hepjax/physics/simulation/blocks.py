"""The rows of a file, block after block, out of units of one class each."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from hepjax.data.datasets import hls4ml
from hepjax.physics.simulation import clustering, pool
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.units import UNIT_JETS, Unit, simulate_unit

if TYPE_CHECKING:
    from collections.abc import Generator

BLOCK_JETS = 250
"""Jets that are measured at once."""


def shuffled_labels(jets: int, classes: tuple[str, ...], seed: int) -> np.ndarray:
    """(N,) labels in the order of the file: equal shares, shuffled by the seed."""
    share, rest = divmod(jets, len(classes))
    counts = [share + (i < rest) for i in range(len(classes))]
    labels = np.repeat([hls4ml.CLASSES.index(name) for name in classes], counts)
    # Units draw from [seed, label, number], whose labels are smaller.
    return np.random.default_rng([seed, len(hls4ml.CLASSES)]).permutation(labels)


def plan_of(labels: np.ndarray, seed: int, conditions: Conditions = PUBLIC, start: int = 0) -> list[Unit]:
    """The units that rows from `start` on need, in the order in which they first do."""
    units = []
    for label in np.unique(labels[start:]):
        rows = np.flatnonzero(labels == label)
        first = int(np.count_nonzero(rows < start)) // UNIT_JETS
        for number in range(first, -(-len(rows) // UNIT_JETS)):
            size = min(UNIT_JETS, len(rows) - number * UNIT_JETS)
            units.append((int(rows[number * UNIT_JETS]), Unit(seed, int(label), number, size, conditions)))
    return [unit for _, unit in sorted(units, key=lambda found: found[0])]


def blocks(
    labels: np.ndarray, seed: int, workers: pool.Crew, conditions: Conditions, start: int
) -> Generator[tuple[np.ndarray, clustering.RaggedJets], None, None]:
    """The file's rows from `start` on, block after block: labels and jets."""
    # Jets of a unit that lie in rows before `start`.
    made_before = np.bincount(labels[:start], minlength=len(hls4ml.CLASSES)) % UNIT_JETS
    waiting: dict[int, clustering.RaggedJets] = {}
    plan = plan_of(labels, seed, conditions, start)
    with contextlib.closing(pool.finished(plan, simulate_unit, workers)) as finished:
        for low in range(start, len(labels), BLOCK_JETS):
            block = labels[low : low + BLOCK_JETS]
            needed = np.bincount(block, minlength=len(hls4ml.CLASSES))
            while any(_held(waiting, label) < count for label, count in enumerate(needed)):
                unit, made = next(finished)
                held = [waiting[unit.label]] if unit.label in waiting else []
                if not held:
                    made = clustering.select(made, np.arange(made_before[unit.label], len(made.counts)))
                waiting[unit.label] = clustering.concatenate([*held, made])
            yield block, _taken(waiting, block, needed)


def _taken(waiting: dict[int, clustering.RaggedJets], block: np.ndarray, needed: np.ndarray) -> clustering.RaggedJets:
    """Takes a block's jets out of those that wait, each into its row."""
    taken = []
    for label in np.flatnonzero(needed).tolist():
        rows = np.arange(len(waiting[label].counts))
        taken.append(clustering.select(waiting[label], rows[: needed[label]]))
        waiting[label] = clustering.select(waiting[label], rows[needed[label] :])
    # `taken` is sorted by label; this puts each jet into its row.
    rank = np.argsort(np.argsort(block, kind="stable"), kind="stable")
    return clustering.select(clustering.concatenate(taken), rank)


def _held(waiting: dict[int, clustering.RaggedJets], label: int) -> int:
    return len(waiting[label].counts) if label in waiting else 0

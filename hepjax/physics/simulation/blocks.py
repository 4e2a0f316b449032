"""The rows of a file, block after block, from units of one class each."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.data.datasets import hls4ml
from hepjax.physics.simulation import clustering, pool
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.cuts import Cuts, add_cut_counts
from hepjax.physics.simulation.units import UNIT_JETS, Unit, simulate_unit

if TYPE_CHECKING:
    from collections.abc import Generator

BLOCK_JETS = 250
"""Jets that are measured at once."""


class Block(NamedTuple):
    """Consecutive rows of a file."""

    labels: np.ndarray
    """(n,) indices into `hls4ml.CLASSES`."""
    jets: clustering.RaggedJets
    cuts: Cuts
    """Of all units of which the first jet lies in this block."""


def shuffled_labels(jets: int, classes: tuple[str, ...], seed: int) -> np.ndarray:
    """Returns (N,) labels in the order of the file: equal shares, shuffled by the seed."""
    share, rest = divmod(jets, len(classes))
    counts = [share + (i < rest) for i in range(len(classes))]
    labels = np.repeat([hls4ml.CLASSES.index(name) for name in classes], counts)
    # Units draw from [seed, label, number], whose labels are smaller.
    return np.random.default_rng([seed, len(hls4ml.CLASSES)]).permutation(labels)


def plan_units(labels: np.ndarray, seed: int, conditions: Conditions = PUBLIC, start: int = 0) -> list[Unit]:
    """Lists the units that rows from `start` on need, in the order in which they first do."""
    units = []
    for label in np.unique(labels[start:]):
        rows = np.flatnonzero(labels == label)
        first = int(np.count_nonzero(rows < start)) // UNIT_JETS
        for number in range(first, -(-len(rows) // UNIT_JETS)):
            size = min(UNIT_JETS, len(rows) - number * UNIT_JETS)
            units.append((int(rows[number * UNIT_JETS]), Unit(seed, int(label), number, size, conditions)))
    return [unit for _, unit in sorted(units, key=lambda pair: pair[0])]


def make_row_blocks(
    labels: np.ndarray, seed: int, workers: pool.Workers, conditions: Conditions, start: int
) -> Generator[Block, None, None]:
    """Makes the file's rows from `start` on, block after block."""
    # Jets of a unit that lie in rows before `start`.
    made_before = np.bincount(labels[:start], minlength=len(hls4ml.CLASSES)) % UNIT_JETS
    waiting: dict[int, clustering.RaggedJets] = {}
    plan = plan_units(labels, seed, conditions, start)
    with contextlib.closing(pool.run_units(plan, simulate_unit, workers)) as results:
        for low in range(start, len(labels), BLOCK_JETS):
            block = labels[low : low + BLOCK_JETS]
            needed = np.bincount(block, minlength=len(hls4ml.CLASSES))
            total = Cuts()
            while any(_count_waiting_jets(waiting, label) < count for label, count in enumerate(needed)):
                unit, (jets, cuts) = next(results)
                if unit.label in waiting:
                    waiting[unit.label] = clustering.concatenate_jets([waiting[unit.label], jets])
                    total = add_cut_counts(total, cuts)
                    continue
                before = made_before[unit.label]
                waiting[unit.label] = clustering.select_jets(jets, np.arange(before, len(jets.counts)))
                if before == 0:  # otherwise an earlier run counted this unit
                    total = add_cut_counts(total, cuts)
            yield Block(block, _take_row_block(waiting, block, needed), total)


def _take_row_block(
    waiting: dict[int, clustering.RaggedJets], block: np.ndarray, needed: np.ndarray
) -> clustering.RaggedJets:
    """Takes a block's jets out of those that wait, each into its row."""
    groups = []
    for label in np.flatnonzero(needed).tolist():
        rows = np.arange(len(waiting[label].counts))
        groups.append(clustering.select_jets(waiting[label], rows[: needed[label]]))
        waiting[label] = clustering.select_jets(waiting[label], rows[needed[label] :])
    # The groups are sorted by label; this puts each jet into its row.
    rank = np.argsort(np.argsort(block, kind="stable"), kind="stable")
    return clustering.select_jets(clustering.concatenate_jets(groups), rank)


def _count_waiting_jets(waiting: dict[int, clustering.RaggedJets], label: int) -> int:
    return len(waiting[label].counts) if label in waiting else 0

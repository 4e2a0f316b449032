"""Hashes of jets, which tell whether jets to measure a model on are among those that it was trained on.

A hash is made of what a model reads of a jet, in the files' own units: of jet columns and images all, of lists of
particles the first ones. Zeros and padding count nothing, and neither do labels and weights. Of many jets those are
compared whose hash is below a limit: the same jets of every file, so that few are kept and their share is estimated
without a bias (Broder, doi:10.1109/SEQUEN.1997.666900).
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax.types import Conditioned, Sequences

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE = 2**16
"""The training jets that are kept, or about as many; all where there are fewer."""
_ALL = np.uint64(2**64 - 1)
_LEADING = 8
"""The particles of a list that are looked at."""
_BLOCK = 2**14
"""Numbers that are hashed at once: they stay in the processor's cache."""
_DISTINCT = 16
"""Of fewer jets than this, counted by how rarely two are equal, nobody can say why jets are equal."""
_DEVIATIONS = 4
"""By how many standard deviations more jets must be equal than by chance."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class JetHashes(NamedTuple):
    """The hashes of some jets of a list, m of them."""

    places: np.ndarray
    """(m,) int64, rising, where in the list they are."""
    halves: np.ndarray
    """(m, 2) uint64, from `hash_jets`."""


class TrainedJets(NamedTuple):
    """What is kept of the jets that a model was trained on, to recognize them."""

    hashes: np.ndarray
    """(k,) uint64, rising, each once."""
    limit: np.uint64
    """No hash is larger."""
    jets: int
    """The training jets whose hashes these are, of which some may be equal."""
    chance: float
    """The share of other jets of their kind that equal one of them by chance."""


class Overlap(NamedTuple):
    """Jets that a model was trained on, among those that it is measured on."""

    jets: int
    """How many; an estimate where a sample was compared."""
    of: int
    """Among how many."""

    @property
    def share(self) -> float:
        """The part of all, from 0 to 1."""
        return self.jets / max(self.of, 1)


def hash_jets(inputs: Any) -> np.ndarray:
    """Computes two hashes of each jet: one of every other number that a model reads of it, one of the numbers between.

    Each is a sum of products of odd constants with the bits of the numbers (multilinear hashing), so that it depends on
    the numbers and their columns alone, and a 0 or -0 adds nothing.

    Args:
      inputs: what a pipeline has loaded of N jets.

    Returns:
      (N, 2) uint64; 0 where all numbers are 0.

    >>> a, b = hash_jets(np.array([[1.0, 0.0, -0.0], [1.0, 2.0, 0.0]], np.float32))
    >>> a[0] == b[0], a[1].item()
    (np.True_, 0)
    """
    parts = _parts_to_compare(inputs)
    count, width = len(parts[0]), sum(math.prod(part.shape[1:]) for part in parts)
    with np.errstate(over="ignore"):
        constants = _mix(np.arange(1, width + 1, dtype=np.uint64) * _GOLDEN) | np.uint64(1)
    halves, size = np.empty((2, count), np.uint64), max(_BLOCK // max(width, 1), 1)
    for start in range(0, count, size):
        rows = slice(start, start + size)
        numbers = np.concatenate([part[rows].reshape(len(part[rows]), -1).T for part in parts])
        numbers = np.asarray(numbers, np.float32) + np.float32(0)  # -0 becomes 0
        bits = numbers.view(np.uint32).astype(np.uint64)
        bits *= _GOLDEN  # the low bits of round numbers are 0, and must not stay so
        bits ^= bits >> np.uint64(32)
        for i in range(2):
            halves[i, rows] = constants[i::2] @ bits[i::2]
    return halves.T


def join_halves(halves: np.ndarray) -> np.ndarray:
    """Joins the two hashes of jets to one, evenly spread over all 64-bit numbers.

    Args:
      halves: (N, 2) from `hash_jets`.

    Returns:
      (N,) uint64; 0 where all numbers are 0, so that nothing can be said.
    """
    return _mix(_mix(halves[:, 0]) * _GOLDEN + halves[:, 1])


def sampling_limit(jets: int) -> np.uint64:
    """Chooses the largest hash that is kept, so that about `SAMPLE` training jets are.

    >>> sampling_limit(1000) == 2**64 - 1, sampling_limit(4 * SAMPLE) == 2**62
    (np.True_, np.True_)
    """
    return _ALL if jets <= SAMPLE else np.uint64(2**64 * SAMPLE // jets)


def sample_jets(inputs: Any, first: int, limit: np.uint64) -> JetHashes:
    """Hashes a block of jets, and keeps those that are compared: with a number that is not 0, and below the limit.

    Args:
      inputs: what a pipeline has loaded of them.
      first: the place of the first one.
      limit: from `sampling_limit`.
    """
    halves = hash_jets(inputs)
    kept = np.flatnonzero(_are_compared(join_halves(halves), limit))
    return JetHashes(first + kept, halves[kept])


def join_blocks(blocks: Sequence[JetHashes]) -> JetHashes:
    """Joins blocks of jets, in their order."""
    none = JetHashes(np.zeros(0, np.int64), np.zeros((0, 2), np.uint64))
    return JetHashes(*map(np.concatenate, zip(none, *blocks, strict=True)))


def take_jets(hashes: JetHashes, places: np.ndarray) -> JetHashes:
    """Takes some jets of a list.

    Args:
      hashes: of the list.
      places: (n,) rising, where they are.

    Returns:
      Those among them whose hashes are known, by their places in `places`.

    >>> known = JetHashes(np.array([1, 4, 6]), np.ones((3, 2), np.uint64))
    >>> take_jets(known, np.array([0, 4, 5, 6])).places.tolist()
    [1, 3]
    """
    ranks = np.full(1 + max((int(x[-1]) for x in (places, hashes.places) if len(x)), default=-1), -1)
    ranks[places] = np.arange(len(places))
    found = ranks[hashes.places]
    inside = found >= 0
    return JetHashes(found[inside], hashes.halves[inside])


def make_trained_jets(halves: np.ndarray, limit: np.uint64) -> TrainedJets:
    """Makes what is kept of training jets.

    Args:
      halves: (m, 2) of those below the limit.
      limit: from `sampling_limit`.
    """
    hashes, counts = np.unique(join_halves(halves), return_counts=True)
    return TrainedJets(hashes, np.uint64(limit), len(halves), _chance_to_be_equal(halves, counts, limit))


def count_equal_jets(trained: TrainedJets, hashes: np.ndarray) -> tuple[int, int]:
    """Counts jets that equal training jets.

    Args:
      trained: the training jets.
      hashes: (n,) from `join_halves`.

    Returns:
      How many could be compared, and how many of them are equal to a training jet.
    """
    compared = hashes[_are_compared(hashes, trained.limit)]
    places = np.minimum(np.searchsorted(trained.hashes, compared), max(len(trained.hashes) - 1, 0))
    equal = int((trained.hashes[places] == compared).sum()) if len(trained.hashes) else 0
    return len(compared), equal


def overlap(trained: TrainedJets, jets: int, compared: int, equal: int) -> Overlap:
    """Estimates how many jets were trained on; exactly where all could be compared, and none is equal by chance.

    Where training jets equal each other by chance, such as those of one coarse column, other jets equal them as often.
    What counts is how many more do.

    Args:
      trained: the training jets.
      jets: how many there are.
      compared: how many could be compared.
      equal: how many of these are equal to a training jet.

    Returns:
      The overlap.

    >>> trained = make_trained_jets(hash_jets(np.arange(1.0, 9.0, dtype=np.float32).reshape(4, 2)), sampling_limit(4))
    >>> overlap(trained, 10, 10, 2).share
    0.2
    """
    if not equal:
        return Overlap(0, jets)
    share, chance = equal / compared, trained.chance
    if chance:
        noise = np.sqrt((chance * (1 - chance) + 1 / compared) * (1 / compared + 1 / trained.jets))
        if share - chance < _DEVIATIONS * noise:
            return Overlap(0, jets)
        share = (share - chance) / (1 - chance)
    elif trained.limit == _ALL:
        return Overlap(equal, jets)
    return Overlap(max(round(share * jets), 1), jets)


def checksum_of_rows(first: int, known: Any) -> int:
    """Computes a number that adds up to the same over all rows, in whatever blocks they are read.

    Args:
      first: the number of the first row.
      known: a pytree of arrays, each with one row a jet.

    Returns:
      The number, to be added to those of other rows.
    """
    count = len(jax.tree.leaves(known)[0])
    leaves = [np.ascontiguousarray(x).reshape(count, -1) for x in jax.tree.leaves(known)]
    rows = np.concatenate([x.view(np.uint8) for x in leaves], axis=1)
    content, width = memoryview(rows.data).cast("B"), rows.shape[1]
    checksums = [zlib.crc32(content[i : i + width]) for i in range(0, rows.size, width)]
    sums = (2 * np.arange(first, first + count, dtype=np.uint64) + 1) * np.array(checksums, np.uint64)
    total: int = sum(sums.tolist())
    return total


def _chance_to_be_equal(halves: np.ndarray, counts: np.ndarray, limit: np.uint64) -> float:
    """Estimates the share of other jets that equal a training jet by chance.

    It is the share of training jets that equal another one (Good, doi:10.1093/biomet/40.3-4.237), but where these are
    copies. Of jets that are equal by chance, more are equal in one half only; of copies, those with one half in common
    have the other one in common too.
    """
    same, total = _pairs(counts), len(halves)
    if not same:
        return 0.0
    kept = (int(limit) + 1) / 2**64
    distinct = total**2 / (2 * same * kept)
    of_halves = (_pairs(np.unique(halves[:, i], return_counts=True)[1]) for i in range(2))
    # All jets have 1/kept times as many equal pairs as the sample, whose hashes are equal too; of others 1/kept².
    if distinct >= _DISTINCT and all((pairs - same) / kept < same for pairs in of_halves):
        return 0.0
    return float(counts[counts > 1].sum() / total)


def _pairs(counts: np.ndarray) -> int:
    """Counts the pairs of equal things, of which there are `counts` each."""
    return int((counts * (counts - 1) // 2).sum())


def _are_compared(hashes: np.ndarray, limit: np.uint64) -> np.ndarray:
    compared: np.ndarray = (hashes != 0) & (hashes <= limit)
    return compared


def _parts_to_compare(inputs: Any) -> list[np.ndarray]:
    """The arrays whose numbers jets are told apart by, each with N rows."""
    values = inputs.values if isinstance(inputs, Conditioned) else inputs  # conditions are labels
    leaves = jax.tree.leaves(values, is_leaf=lambda x: isinstance(x, Sequences))
    return [np.asarray(x.values[:, :_LEADING] if isinstance(x, Sequences) else x) for x in leaves]


def _mix(x: np.ndarray) -> np.ndarray:
    """Mixes the bits of 64-bit numbers, one to one; 0 stays 0 (Steele et al., doi:10.1145/2660193.2660195)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x

"""Reading jets for training: hepjax in shuffled batches against h5py in a line, in one run.

    python benchmarks/reading.py [--jets 24000] [--group 4] [--rounds 5]

A file of 150 particles × 16 columns in float32, chunks of 1000 jets, gzip level 1; and one with the shuffle filter too.
Jets have 20 to 150 particles, 45 on average, random numbers, and zeros in the padding. h5py reads the particles and
the table of jets, chunk by chunk, in a line, and does nothing with them. hepjax takes the chunks in random order, a few
at a time, reads them checked, their rows mixed, in a thread ahead, and cuts them into batches of 128 of particles, mask
and labels; or into lists of the 30 hardest particles in 7 columns. Both take turns; the first turn of each is left out.
Aimed at: 1.5 times the jets per second of h5py. Expected before the first run on two cores: 1.7; 1.8 shuffled,
for zlib alone ran 2.2 times faster in two threads. Found with zlib: 1.6, and 1.4 to 1.6 with the shuffle filter;
with isal in its place: 2.7, and 2.0 to 2.3. Where another program keeps a core busy, expect half.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import tyro

from hepjax import read_jets
from hepjax.data import chunk_starts
from hepjax.data.datasets import hls4ml
from hepjax.data.threads import reader_cores
from hepjax.inputs import sequences
from hepjax.inputs.batching.stream import prefetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hepjax import Jets

BATCH, CHUNK, SLOTS, FEW = 128, 1000, 150, 30
Arrays = tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    jets: int = 24_000
    """Jets in the file."""
    group: int = 4
    """Chunks whose rows are mixed."""
    rounds: int = 5
    """Turns of each."""


def write(path: Path, jets: int, shuffle: bool) -> None:
    """A file of random jets."""
    random = np.random.default_rng(0)
    options = {"compression": "gzip", "compression_opts": 1, "shuffle": shuffle}
    names = list(hls4ml.PARTICLE_COLUMNS)
    with h5py.File(path, "w") as file:
        file[hls4ml.PARTICLE_NAMES], file[hls4ml.JET_NAMES] = np.array(names, "S"), np.array(hls4ml.JET_COLUMNS, "S")
        shapes = {hls4ml.CONSTITUENTS: (SLOTS, len(names)), hls4ml.JETS: (len(hls4ml.JET_COLUMNS),)}
        for name, shape in shapes.items():
            file.create_dataset(name, (jets, *shape), np.float32, chunks=(CHUNK, *shape), **options)
        for first in range(0, jets, CHUNK):
            count = min(CHUNK, jets - first)
            lengths = random.lognormal(3.73, 0.4, count).round().clip(20, SLOTS)
            particles = random.normal(size=(count, SLOTS, len(names))).astype(np.float32)
            pt = -np.sort(-random.exponential(20, (count, SLOTS)))
            particles[..., names.index("j1_pt")], particles[..., names.index("j1_e")] = pt, 1.5 * pt
            table = random.normal(size=(count, len(hls4ml.JET_COLUMNS))).astype(np.float32)
            table[:, -6:] = np.eye(6)[random.integers(0, 5, count)]
            file[hls4ml.CONSTITUENTS][first : first + count] = (
                particles * (np.arange(SLOTS) < lengths[:, None])[..., None]
            )
            file[hls4ml.JETS][first : first + count] = table


def read_in_line(path: Path) -> int:
    """All of a file by h5py, a chunk at a time; returns how many jets."""
    seen = 0
    with h5py.File(path) as file:
        for first in range(0, len(file[hls4ml.JETS]), CHUNK):
            particles, table = (file[name][first : first + CHUNK] for name in (hls4ml.CONSTITUENTS, hls4ml.JETS))
            seen += min(len(particles), len(table))
    return seen


def groups(jets: Jets, count: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """The rows of `count` chunks at a time: chunks in random order, rows mixed."""
    chunks = np.split(np.arange(len(jets)), chunk_starts(jets)[1:])
    order = random.permutation(len(chunks))
    for first in range(0, len(order), count):
        yield random.permutation(np.concatenate([chunks[i] for i in order[first : first + count]]))


def cut(parts: Iterable[Arrays]) -> Iterator[Arrays]:
    """Batches; the rows that a part leaves over go before the next."""
    left: Arrays | None = None
    for part in parts:
        first = 0
        if left is not None:
            first = BATCH - len(left[0])
            yield tuple(np.concatenate([a, b[:first]]) for a, b in zip(left, part, strict=True))
        last = len(part[0]) - (len(part[0]) - first) % BATCH
        for place in range(first, last, BATCH):
            yield tuple(array[place : place + BATCH] for array in part)
        left = tuple(array[last:] for array in part)
    if left is not None and len(left[0]):
        yield left


def read_whole(jets: Jets, rows: np.ndarray) -> Arrays:
    """All particles and columns."""
    part = jets[rows]
    return part.constituents, part.mask, part.labels


def read_lists(jets: Jets, rows: np.ndarray) -> Arrays:
    """Some particles and columns."""
    return *sequences(jets, hls4ml.PARTICLE_FEATURES, rows=rows), jets.labels[rows]


def read_mixed(jets: Jets, read: Callable[[Jets, np.ndarray], Arrays], count: int) -> int:
    """An epoch of hepjax; returns how many jets."""
    random = np.random.default_rng(0)
    return sum(len(batch[0]) for batch in cut(prefetch((read(jets, rows) for rows in groups(jets, count, random)), 1)))


def jets_per_second(epoch: Callable[[], int]) -> float:
    """The speed of an epoch."""
    start = time.perf_counter()
    seen = epoch()
    return seen / (time.perf_counter() - start)


def main(benchmark: Benchmark) -> None:
    """Measures and prints."""
    print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}, {reader_cores()} cores, {benchmark.jets} jets")
    with tempfile.TemporaryDirectory() as folder:
        for name, shuffle in (("gzip", False), ("shuffle, gzip", True)):
            path = Path(folder) / "jets.h5"
            write(path, benchmark.jets, shuffle)
            whole, few = read_jets(path), read_jets(path, particles=FEW)
            epochs = [
                lambda path=path: read_in_line(path),
                lambda jets=whole: read_mixed(jets, read_whole, benchmark.group),
                lambda jets=few: read_mixed(jets, read_lists, benchmark.group),
            ]
            if any(epoch() != benchmark.jets for epoch in epochs):
                raise ValueError("not every jet was read")
            found = np.array([[jets_per_second(epoch) for epoch in epochs] for _ in range(benchmark.rounds)])
            theirs, ours, lists = np.median(found, axis=0)
            ratios = np.median(found[:, 1:] / found[:, :1], axis=0)
            print(
                f"{name}: h5py {theirs:,.0f} jets/s; hepjax {ours:,.0f}, ratio {ratios[0]:.2f}; "
                f"lists of {FEW} particles {lists:,.0f}, ratio {ratios[1]:.2f}; target 1.5"
            )


if __name__ == "__main__":
    main(tyro.cli(Benchmark))

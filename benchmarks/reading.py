"""Reading jets for training: hepjax in shuffled batches against h5py in a line, and against weaver-core's loader.

    python benchmarks/reading.py [--jets 24000] [--group 4] [--rounds 5]
    python benchmarks/reading.py --no-hdf5 --rounds 3          # the second part alone

First HDF5. A file of 150 particles × 16 columns in float32, chunks of 1000 jets, gzip level 1; and one with the shuffle
filter too.
Jets have 20 to 150 particles, 45 on average, random numbers, and zeros in the padding. h5py reads the particles and
the table of jets, chunk by chunk, in a line, and does nothing with them. hepjax takes the chunks in random order, a few
at a time, reads them checked, their rows mixed, in a thread ahead, and cuts them into batches of 128 of particles, mask
and labels; or into lists of the 30 hardest particles in 7 columns. Both take turns; the first turn of each is left out.
Aimed at: 1.5 times the jets per second of h5py. Expected before the first run on two cores: 1.7; 1.8 shuffled,
for zlib alone ran 2.2 times faster in two threads. Found with zlib: 1.6, and 1.4 to 1.6 with the shuffle filter;
with isal in its place: 2.7, and 2.0 to 2.3. Where another program keeps a core busy, expect half.

Then Parquet and ROOT (`--no-weaver` leaves it out). Four files of 25,000 jets of up to 128 particles, ten columns of
random numbers as lists of their own length; Parquet with groups of 5,000 rows and zstd, ROOT with baskets of 2,000 jets
and zlib. weaver-core reads file after file, shuffled, in two worker processes of torch's DataLoader; hepjax four chunks
at a time, shuffled, in its threads. Both give padded batches of 128 jets and their labels; they take turns, and the
first turn of each is left out. Aimed at: twice weaver-core's jets per second. Expected before the first run: 1.5 for
Parquet, 1 for ROOT, where both wait for uproot. Without weaver-core (`pip install weaver-core torch`) hepjax runs
alone.

Last the memory while jets are streamed from Parquet files of 10,000 (`--no-memory` leaves it out), each number of jets
in a process of its own. Expected: the same for all.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import tyro

from hepjax import read_jets
from hepjax.choices import Role
from hepjax.data import chunk_starts
from hepjax.data.datasets import hls4ml
from hepjax.data.threads import reader_cores
from hepjax.inputs import sequences
from hepjax.inputs.batching.stream import prefetch
from hepjax.types import Dataset, OneHot

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
    hdf5: bool = True
    """Measure HDF5 against h5py."""
    weaver: bool = True
    """Measure Parquet and ROOT against weaver-core."""
    memory: bool = True
    """Measure the memory of streaming."""


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
    print(f"{reader_cores()} cores, load {os.getloadavg()[0]:.1f}")
    if benchmark.hdf5:
        measure_hdf5(benchmark)
    if benchmark.weaver:
        measure_weaver(benchmark)
    if benchmark.memory:
        measure_memory(benchmark)


def measure_hdf5(benchmark: Benchmark) -> None:
    """Measures HDF5 against h5py."""
    print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}, {benchmark.jets} jets")
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


PARTICLES, FILES, PER_FILE = 128, 4, 25_000
COLUMNS = ("px", "py", "pz", "energy", "deta", "dphi", "d0val", "dzval", "charge", "isPhoton")
LABELS = ("label_QCD", "label_top")
DATASET = Dataset(
    "benchmark",
    particle_columns=tuple(f"part_{name}" for name in COLUMNS),
    classes=("QCD", "top"),
    labels=OneHot(LABELS),
    roles={role: f"part_{role.value}" for role in (Role.PX, Role.PY, Role.PZ, Role.ENERGY)},
)
CONFIG = f"""
treename: tree
inputs:
  pf:
    length: {PARTICLES}
    pad_mode: constant
    vars: [{", ".join(f"[part_{name}, null]" for name in COLUMNS)}]
labels:
  type: simple
  value: [{", ".join(LABELS)}]
preprocess:
  method: manual
  data_fraction: 0.1
"""
PROGRAM = r"""
import re, sys
sys.path.insert(0, sys.argv[1])
import reading
reading.read_lists_of_particles(sys.argv[2:], 4)
print(int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


def random_lists(random: np.random.Generator, jets: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(jets,) particles of each jet, and columns of all of them by falling pT."""
    counts = random.lognormal(3.73, 0.4, jets).round().clip(20, PARTICLES).astype(np.int64)
    columns = {f"part_{name}": random.normal(size=counts.sum()).astype(np.float32) for name in COLUMNS}
    jet = np.repeat(np.arange(jets), counts)
    pt = random.exponential(20, counts.sum())
    pt = pt[np.lexsort((-pt, jet))]
    phi = random.uniform(-np.pi, np.pi, len(pt))
    columns |= {"part_px": (pt * np.cos(phi)).astype(np.float32), "part_py": (pt * np.sin(phi)).astype(np.float32)}
    columns["part_energy"] = (1.1 * np.hypot(pt, columns["part_pz"])).astype(np.float32)
    return counts, columns


def write_lists(folder: Path, end: str, files: int, jets: int) -> list[Path]:
    """Files of jets with lists of particles, Parquet or ROOT."""
    import awkward
    import pyarrow as pa
    import uproot
    from pyarrow import parquet

    paths = []
    for number in range(files):
        random = np.random.default_rng(number)
        counts, columns = random_lists(random, jets)
        flags = random.integers(0, 2, jets)
        labels = {name: (flags == i).astype(np.int32) for i, name in enumerate(LABELS)}
        paths.append(folder / f"jets_{number}{end}")
        if end == ".parquet":
            offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
            lists = {name: pa.ListArray.from_arrays(offsets, x) for name, x in columns.items()}
            parquet.write_table(pa.table(lists | labels), paths[-1], row_group_size=5000, compression="zstd")
            continue
        lists = {name: awkward.unflatten(x, counts) for name, x in columns.items()} | labels
        with uproot.recreate(paths[-1]) as file:
            tree = file.mktree("tree", {name: getattr(x, "dtype", "var * float32") for name, x in lists.items()})
            for first in range(0, jets, 2000):
                tree.extend({name: x[first : first + 2000] for name, x in lists.items()})
    return paths


def read_lists_of_particles(paths: Iterable[Path | str], count: int) -> int:
    """An epoch of hepjax; returns how many jets."""
    return read_mixed(read_jets(list(paths), dataset=DATASET, particles=PARTICLES), read_whole, count)


def weaver_epoch(folder: Path, paths: list[Path]) -> Callable[[], int]:
    """An epoch of weaver-core; its workers stay between two of them."""
    from torch.utils.data import DataLoader
    from weaver.utils.dataset import SimpleIterDataset

    (folder / "data.yaml").write_text(CONFIG)
    options = {"for_training": True, "fetch_by_files": True, "fetch_step": 1, "name": "train"}
    data = SimpleIterDataset({"_": [str(path) for path in paths]}, str(folder / "data.yaml"), **options)
    loader = DataLoader(data, batch_size=BATCH, num_workers=2, persistent_workers=True)

    def epoch() -> int:
        seen = 0
        for inputs, _, _ in loader:
            if inputs["pf"].shape[1:] != (len(COLUMNS), PARTICLES):
                raise ValueError(f"weaver-core gives {inputs['pf'].shape}")
            seen += len(inputs["pf"])
        return seen

    return epoch


def measure_weaver(benchmark: Benchmark) -> None:
    """Measures Parquet and ROOT against weaver-core."""
    has_peer = all(importlib.util.find_spec(name) for name in ("weaver", "torch"))
    if not has_peer:
        print("weaver-core is not installed (pip install weaver-core torch); hepjax runs alone")
    for end in (".parquet", ".root"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            paths = write_lists(folder, end, FILES, PER_FILE)
            epochs = [lambda paths=paths: read_lists_of_particles(paths, benchmark.group)]
            epochs += [weaver_epoch(folder, paths)] if has_peer else []
            for epoch in epochs:
                if (seen := epoch()) != FILES * PER_FILE:
                    raise ValueError(f"{seen} of {FILES * PER_FILE} jets were read")
            speeds = np.array([[jets_per_second(epoch) for epoch in epochs] for _ in range(benchmark.rounds)])
            ours, *theirs = np.median(speeds, axis=0)
            words = f"{end}: hepjax {ours:,.0f} jets/s"
            if theirs:
                ratios = speeds[:, 0] / speeds[:, 1]
                words += f"; weaver-core {theirs[0]:,.0f}, ratio {np.median(ratios):.2f}"
                words += f" ({ratios.min():.2f} to {ratios.max():.2f}); target 2"
            print(words, flush=True)


def measure_memory(_: Benchmark) -> None:
    """Measures the largest memory of processes that stream more and more jets."""
    with tempfile.TemporaryDirectory() as name:
        (written,) = write_lists(Path(name), ".parquet", 1, 10_000)
        links = [Path(name) / f"link_{number}.parquet" for number in range(100)]
        for link in links:
            link.hardlink_to(written)
        for count in (1, 10, 100):
            words = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), *map(str, links[:count])]
            done = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603
            print(f"{count * 10_000:9,} jets: {float(done.stdout.split()[-1]):,.0f} MB at most", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Benchmark))

"""Memory and time of a training on streamed jets, from ten thousand to a million of them.

    python benchmarks/streaming.py [--jets 10000 30000 100000 300000 1000000] [--memory 0.02]

Each line is a process of its own: `hepjax train deepsets` for two epochs with small layers, on files of 10,000 random
jets of 30 particles each (gzip level 1, chunks of 1,000), and two more for validation and test; `--memory` is small, so
that all but nothing stays in it. Prints the jets per second of the second epoch, the share of it spent waiting for
input, the seconds of both, and the largest resident memory of the process. Expected: the same jets per second and the
same memory in all lines, but for the labels, lengths and row numbers of all jets, 16 bytes each. Found: 90,000 to
121,000 jets/s, and 522 to 547 MB.
"""

from __future__ import annotations

import csv
import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import tyro

from hepjax.data.datasets import hls4ml

FILE = 10_000
PROGRAM = """
import resource, sys
from hepjax.cli import app
app.main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    jets: tuple[int, ...] = (10_000, 30_000, 100_000, 300_000, 1_000_000)
    """To train on, in multiples of 10,000."""
    memory: float = 0.02
    """Gigabytes that the jets may take."""


def write_jets(path: Path, seed: int) -> None:
    """A file of the public layout, compressed."""
    rng = np.random.default_rng(seed)
    mask = np.arange(30) < rng.lognormal(np.log(25), 0.4, FILE)[:, None]
    pt = np.sort(rng.exponential(20, mask.shape), axis=1)[:, ::-1]
    particles = np.repeat(pt[..., None], len(hls4ml.PARTICLE_COLUMNS), axis=2) + rng.normal(size=(*mask.shape, 16))
    particles[..., hls4ml.PARTICLE_COLUMNS.index("j1_pt")] = pt
    particles[..., hls4ml.PARTICLE_COLUMNS.index("j1_e")] = 2 * pt
    jets = rng.normal(size=(FILE, len(hls4ml.JET_COLUMNS)))
    jets[:, -6:] = np.eye(6)[rng.integers(5, size=FILE)]
    with h5py.File(path, "w") as file:
        options = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        data = (particles * mask[..., None]).astype(np.float32)
        file.create_dataset(hls4ml.CONSTITUENTS, data=data, chunks=(1000, *data.shape[1:]), **options)
        file.create_dataset(hls4ml.JETS, data=jets.astype(np.float32), chunks=(1000, jets.shape[1]), **options)
        file[hls4ml.PARTICLE_NAMES] = np.array([*hls4ml.PARTICLE_COLUMNS, hls4ml.PARTICLE_ID], "S")
        file[hls4ml.JET_NAMES] = np.array(hls4ml.JET_COLUMNS, "S")


def measure(folder: Path, jets: int, memory: float) -> str:
    """One line."""
    out, files = folder / f"run-{jets}", [str(folder / f"{i}.h5") for i in range(jets // FILE)]
    words = ["train", "--data", *files, "--val", str(folder / "val.h5"), "--test", str(folder / "test.h5")]
    words += ["--out", str(out), "--epochs", "2", "--memory", str(memory)]
    words += ["deepsets", "--particle", "16", "8", "--hidden", "16"]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], check=True, capture_output=True, text=True)  # noqa: S603
    with (out / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    speed, waiting = (float(rows[-1][name]) for name in ("jets_per_second", "waiting"))
    seconds, memory = sum(float(row["seconds"]) for row in rows), float(done.stdout.split()[-1])
    return (
        f"{jets:9,} jets: {speed:9,.0f} jets/s, {waiting:.0%} waiting for input, {seconds:6.1f} s for both epochs, "
        f"{memory:6.0f} MB at most"
    )


def main(benchmark: Benchmark) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for seed, name in enumerate(["val", "test", *range(max(benchmark.jets) // FILE)]):
            write_jets(folder / f"{name}.h5", seed)
        for jets in benchmark.jets:
            print(measure(folder, jets, benchmark.memory), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Benchmark))

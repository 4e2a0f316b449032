"""Many workers simulate, one parent measures and writes: the same seed gives the same file, however many workers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from hepjax.data.atomic_hdf5 import check_new_hdf5_path
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics.simulation import part_files, pool
from hepjax.physics.simulation.assemble import (
    Observables,
    Progress,
    assemble_file,
    check_sample,
    ignore_simulation_progress,
    measure_jets,
)
from hepjax.physics.simulation.blocks import BLOCK_JETS, make_row_blocks, shuffled_labels
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.cuts import describe_cuts
from hepjax.physics.simulation.files import LAYOUT, Layout
from hepjax.physics.simulation.part_files import Part
from hepjax.physics.simulation.provenance import Sample, check_made_the_same, describe_sample

if TYPE_CHECKING:
    from collections.abc import Generator

_log = logging.getLogger(__name__)


def simulate(
    path: str | Path,
    *,
    jets: int,
    layout: Layout = LAYOUT,
    seed: int = 0,
    jobs: int | None = None,
    observables: Observables,
    classes: tuple[str, ...] = hls4ml.CLASSES,
    conditions: Conditions = PUBLIC,
    progress: Progress = ignore_simulation_progress,
) -> None:
    """Simulates jets of gluons, light quarks, W, Z and top near 1 TeV into a new file of the public layout.

    The classes get equal shares, the rest going to the first ones, and the seed shuffles them. The file depends on
    `jets`, `layout`, `seed`, `classes`, `conditions` and the versions of the generators, and not on `jobs`; it
    appears complete or not at all. The parts that an interrupted run has finished are kept beside it, in a folder of
    its name and `.unfinished`, and a second call with the same arguments goes on from there.

    Args:
      path: a file that does not exist yet.
      jets: the number of jets to make.
      layout: the part of each jet to write; the observables see all of its particles.
      seed: a non-negative integer.
      jobs: worker processes; None is one per available core. In a script, call from under
        `if __name__ == "__main__":`, for each worker imports the script.
      observables: a function of the momenta (N, M, 4) float64 in GeV, by falling pT, and the mask (N, M) that returns
        the (N, 53) columns `hls4ml.OBSERVABLE_COLUMNS`. It is called in this process, block after block in a fixed
        order; N is 250 but in the last block, M a multiple of 16.
      classes: the classes to make.
      conditions: the process, the detector, and the choice of jets.
      progress: called with the number of jets that are finished and kept since the last call, first of all with those
        of an earlier run.

    Raises:
      InputError: an argument is wrong, the extra `sim` is missing, Pythia refuses the conditions, the file exists, is
        being made by another run or cannot be written, or its unfinished parts were begun with other arguments.
      RuntimeError: a worker died.

    >>> simulate("jets.h5", jets=100, observables=observables)  # doctest: +SKIP
    """
    path, sample = Path(path), Sample(jets, layout, seed, classes, conditions)
    count = check_sample(sample, jobs)
    check_new_hdf5_path(path)
    with pool.open_workers(count) as workers:
        _simulate_one_file(path, sample, workers, observables, progress)


def simulate_files(
    folder: str | Path,
    *,
    jets: int,
    per_file: int = 10_000,
    layout: Layout = LAYOUT,
    seed: int = 0,
    jobs: int | None = None,
    observables: Observables,
    classes: tuple[str, ...] = hls4ml.CLASSES,
    conditions: Conditions = PUBLIC,
    progress: Progress = ignore_simulation_progress,
) -> list[Path]:
    """Simulates jets into several files, the first made with `seed`, the next with `seed + 1`, and so on.

    Files that exist already are left as they are, so that a second call goes on where the first stopped; those that
    another run is making are left to it. So machines with one folder in common may all do the same call, or take seeds
    apart by the number of files.

    Args:
      folder: a folder; it is made where there is none.
      jets: of all files.
      per_file: jets of each file but the last.
      layout: as in `simulate`.
      seed: of the first file.
      jobs: as in `simulate`.
      observables: as in `simulate`.
      classes: as in `simulate`.
      conditions: as in `simulate`.
      progress: as in `simulate`.

    Returns:
      The files that exist now.

    Raises:
      InputError: as in `simulate`, or a file of the same name was made otherwise.
      RuntimeError: a worker died.

    >>> simulate_files("jets", jets=1_000_000, seed=1, observables=observables)  # doctest: +SKIP
    """
    whole = Sample(jets, layout, seed, classes, conditions)
    count = check_sample(whole, jobs)
    if per_file < 1:
        raise InputError(f"per_file: expected an integer of at least 1, found {per_file}")
    folder = Path(folder)
    samples = {
        folder / f"jets_{layout.particles}p_{seed + i:06d}.h5": whole._replace(
            jets=min(per_file, jets - start), seed=seed + i
        )
        for i, start in enumerate(range(0, jets, per_file))
    }
    made = {path for path, sample in samples.items() if _is_file_made(path, sample)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); give another place") from error
    progress(sum(samples[path].jets for path in made))
    with pool.open_workers(count) as workers:
        for path, sample in samples.items():
            if path not in made:
                _simulate_file_of_folder(path, sample, workers, observables, progress)
    return [path for path in samples if path.exists()]


def _simulate_one_file(
    path: Path, sample: Sample, workers: pool.Workers, observables: Observables, progress: Progress
) -> None:
    """Makes a file, or the parts that are missing of it."""
    labels = shuffled_labels(sample.jets, sample.classes, sample.seed)

    def parts(done: int, _: int) -> Generator[Part, None, None]:
        for block in make_row_blocks(labels, sample.seed, workers, sample.conditions, done * BLOCK_JETS):
            yield Part(measure_jets(block.jets, block.labels, observables, sample.layout), block.cuts)

    _, cuts = assemble_file(path, sample, describe_sample(sample), parts, progress)
    if cuts.kept < cuts.events:
        _log.info("%s: %s", path, describe_cuts(cuts, sample.conditions.keep))


def _simulate_file_of_folder(
    path: Path, sample: Sample, workers: pool.Workers, observables: Observables, progress: Progress
) -> None:
    """Makes a file of a folder, unless another run does or did."""
    try:
        if not path.exists():
            _simulate_one_file(path, sample, workers, observables, progress)
            return
    except part_files.BusyError:
        _log.info("%s: left to another run", path)
    if _is_file_made(path, sample):
        progress(sample.jets)


def _is_file_made(path: Path, sample: Sample) -> bool:
    """Says whether a file exists; refuses another file of its name."""
    wanted = describe_sample(sample)
    exists = path.exists()
    if exists:
        check_made_the_same(path, wanted)
    return exists

"""Many workers simulate, one parent measures and writes: the same seed gives the same file, however many workers."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np

from hepjax.data.atomic_hdf5 import check_target
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics.simulation import clustering, pool, unfinished
from hepjax.physics.simulation.blocks import BLOCK_JETS, blocks, shuffled_labels
from hepjax.physics.simulation.columns import constituent_columns
from hepjax.physics.simulation.conditions import PUBLIC, Conditions, check
from hepjax.physics.simulation.events import EventsUnit, chunks, simulate_events
from hepjax.physics.simulation.files import LAYOUT, Attribute, Layout, Rows, check_mantissa_bits, cut, jet_writer
from hepjax.physics.simulation.provenance import Sample, check_made_the_same, described, described_events

_log = logging.getLogger(__name__)

Observables = Callable[[np.ndarray, np.ndarray], np.ndarray]
Progress = Callable[[int], None]


def _nobody(count: int) -> None:
    """Hears of progress where nobody listens."""


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
    progress: Progress = _nobody,
) -> None:
    """Simulates jets of gluons, light quarks, W, Z and top near 1 TeV into a new file of the public layout.

    The classes get equal shares, the rest going to the first ones, and the seed shuffles them. The file depends on
    `jets`, `layout`, `seed`, `classes`, `conditions` and the versions of the generators, and not on `jobs`; it
    appears complete or not at all. What an interrupted run has finished is kept beside it, in a folder of its name and
    `.unfinished`, and a second call with the same arguments goes on from there.

    Args:
      path: a file that does not exist yet.
      jets: how many jets to make.
      layout: how much of each jet to write; the observables see all of its particles.
      seed: a non-negative integer.
      jobs: worker processes; None is one per available core. In a script, call from under
        `if __name__ == "__main__":`, for each worker imports the script.
      observables: a function of the momenta (N, M, 4) float64 in GeV, by falling pT, and the mask (N, M) that returns
        the (N, 53) columns `hls4ml.OBSERVABLE_COLUMNS`. It is called in this process, block after block in a fixed
        order; N is 250 but in the last block, M a multiple of 16.
      classes: the classes to make.
      conditions: what collides, what is seen, which jets are kept.
      progress: called with the number of jets that are finished and kept since the last call, first of all with those
        of an earlier run.

    Raises:
      InputError: an argument is wrong, the extra `sim` is missing, Pythia refuses the conditions, the file exists, is
        being made by another run or cannot be written, or what is unfinished of it was begun with other arguments.
      RuntimeError: a worker died.

    >>> simulate("jets.h5", jets=100, observables=observables)  # doctest: +SKIP
    """
    path, sample = Path(path), Sample(jets, layout, seed, classes, conditions)
    count = _checked(sample, jobs)
    check_target(path)
    with pool.crew(count) as workers:
        _simulate(path, sample, workers, observables, progress)


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
    progress: Progress = _nobody,
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
      InputError: as in `simulate`, or a file is there that was made otherwise.
      RuntimeError: a worker died.

    >>> simulate_files("jets", jets=1_000_000, seed=1, observables=observables)  # doctest: +SKIP
    """
    whole = Sample(jets, layout, seed, classes, conditions)
    count = _checked(whole, jobs)
    if per_file < 1:
        raise InputError(f"per_file: expected an integer of at least 1, found {per_file}")
    folder = Path(folder)
    samples = {
        folder / f"jets_{layout.particles}p_{seed + i:06d}.h5": whole._replace(
            jets=min(per_file, jets - start), seed=seed + i
        )
        for i, start in enumerate(range(0, jets, per_file))
    }
    made = {path for path, sample in samples.items() if _is_made(path, sample)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); give another place") from error
    progress(sum(samples[path].jets for path in made))
    with pool.crew(count) as workers:
        for path, sample in samples.items():
            if path not in made:
                _simulate_or_pass(path, sample, workers, observables, progress)
    return [path for path in samples if path.exists()]


def jets_of_events(
    path: str | Path,
    events: str | Path,
    *,
    label: int | None = None,
    jets: int | None = None,
    layout: Layout = LAYOUT,
    seed: int = 0,
    jobs: int | None = None,
    observables: Observables,
    conditions: Conditions = PUBLIC,
    progress: Progress = _nobody,
) -> None:
    """Takes events of other generators through the detector and the clustering, into a new file of the public layout.

    Args:
      path: a file that does not exist yet.
      events: a Les Houches file, which Pythia showers and hadronises, or a HepMC file of whole collisions; both may be
        compressed by gzip.
      label: index into `hls4ml.CLASSES` of all jets; None writes no labels.
      jets: the most to make; None is all.
      layout: how much of each jet to write.
      seed: of showers, detector and pile-up.
      jobs: worker processes.
      observables: what to measure.
      conditions: their `pt`, `unlimited` and `undecayed` do not count.
      progress: as in `simulate`.

    Raises:
      InputError: as in `simulate`, or the events are damaged or give no jets.
      RuntimeError: a worker died.

    >>> jets_of_events("jets.h5", "events.lhe.gz", observables=observables)  # doctest: +SKIP
    """
    path, events = Path(path), Path(events)
    most = sys.maxsize if jets is None else jets
    sample = Sample(most, layout, seed, hls4ml.CLASSES, conditions)
    count = _checked(sample, jobs)
    if label is not None and not 0 <= label < len(hls4ml.CLASSES):
        raise InputError(f"label: expected None or an integer from 0 to {len(hls4ml.CLASSES) - 1}, found {label}")
    check_target(path)

    def parts(done: int, total: int) -> Generator[Rows, None, None]:
        rest = (EventsUnit(seed, n, chunk, conditions) for n, chunk in enumerate(chunks(events)) if n >= done)
        for _, block in pool.finished(rest, simulate_events, workers) if total < most else ():
            labels = np.full(len(block.counts), -1 if label is None else label)
            rows = cut(_measured(block, labels, observables, layout), most - total)
            total += len(rows.labels)
            yield rows
            if total >= most:
                return

    attributes = described_events(sample, events, label)
    with pool.crew(count) as workers:
        _make(path, layout, attributes, parts, progress, labelled=label is not None)


def _simulate(path: Path, sample: Sample, workers: pool.Crew, observables: Observables, progress: Progress) -> None:
    """Makes one file, or what is missing of it."""
    labels = shuffled_labels(sample.jets, sample.classes, sample.seed)

    def parts(done: int, _: int) -> Generator[Rows, None, None]:
        for some, block in blocks(labels, sample.seed, workers, sample.conditions, done * BLOCK_JETS):
            yield _measured(block, some, observables, sample.layout)

    _make(path, sample.layout, described(sample), parts, progress)


def _simulate_or_pass(
    path: Path, sample: Sample, workers: pool.Crew, observables: Observables, progress: Progress
) -> None:
    """Makes one file of a folder, unless another run does or did."""
    try:
        if not path.exists():
            _simulate(path, sample, workers, observables, progress)
            return
    except unfinished.BusyError:
        _log.info("%s: left to another run", path)
    if _is_made(path, sample):
        progress(sample.jets)


def _is_made(path: Path, sample: Sample) -> bool:
    wanted = described(sample)
    if there := path.exists():
        check_made_the_same(path, wanted)
    return there


def _make(
    path: Path,
    layout: Layout,
    attributes: dict[str, Attribute],
    parts: Callable[[int, int], Generator[Rows, None, None]],
    progress: Progress,
    *,
    labelled: bool = True,
) -> None:
    """Makes a file out of the parts that are there and those that follow on so many parts and jets."""
    with unfinished.begun(path, attributes) as whole:
        done, total = whole, sum(len(rows.labels) for rows in unfinished.load(path, whole))
        if total:
            _log.info("%s: %s jets of an earlier run are there", path, f"{total:,}")
        progress(total)
        try:
            with contextlib.closing(parts(done, total)) as rest:
                for rows in rest:
                    unfinished.save(path, done, rows)
                    done, total = done + 1, total + len(rows.labels)
                    progress(len(rows.labels))
            _require_jets(path, total)
            with jet_writer(path, layout, attributes=attributes, labelled=labelled) as append:
                for rows in unfinished.load(path, done):
                    append(rows)
        except BaseException as error:
            words = f"{unfinished.folder_of(path)} keeps {total:,} jets; the same command goes on from there"
            if total and isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(words) from error
            if total:
                _log.warning("%s", words)
            raise


def _require_jets(path: Path, total: int) -> None:
    if total == 0:
        raise InputError(f"{path}: no jet comes out of these collisions; correct the conditions")


def _measured(jets: clustering.RaggedJets, labels: np.ndarray, observables: Observables, layout: Layout) -> Rows:
    """Jets as they are written: their hardest particles, with frames that refer to the whole jet."""
    p4, ids, mask = clustering.padded(jets)
    found = _observed(observables, p4, mask) if len(labels) else np.zeros((0, len(hls4ml.OBSERVABLE_COLUMNS)))
    columns = constituent_columns(p4, mask, p4.sum(axis=1))[:, : layout.particles]
    short = layout.particles - columns.shape[1]
    rows = Rows(np.pad(columns, ((0, 0), (0, short), (0, 0))), found, labels)
    if not layout.truth:
        return rows
    ids = np.pad(ids[:, : layout.particles], ((0, 0), (0, short)))
    return rows._replace(ids=ids, parton=jets.parton, decays=jets.decays)


def _observed(observables: Observables, p4: np.ndarray, mask: np.ndarray) -> np.ndarray:
    measured = np.asarray(observables(p4, mask))
    wanted = (len(p4), len(hls4ml.OBSERVABLE_COLUMNS))
    if measured.shape != wanted:
        raise InputError(f"observables: expected a function that returns shape {wanted}, found {measured.shape}")
    if not np.isfinite(measured).all():
        row, column = np.argwhere(~np.isfinite(measured))[0]
        name = hls4ml.OBSERVABLE_COLUMNS[column]
        raise InputError(f"observables: expected finite numbers, found {measured[row, column]} in {name} of a jet")
    return measured


def _checked(sample: Sample, jobs: int | None) -> int:
    """The number of workers, if all arguments are in order."""
    jobs = pool.cores() if jobs is None else jobs
    numbers = (
        ("jets", sample.jets, 1),
        ("particles", sample.layout.particles, 1),
        ("seed", sample.seed, 0),
        ("jobs", jobs, 1),
    )
    for name, value, least in numbers:
        if value < least:
            raise InputError(f"{name}: expected an integer of at least {least}, found {value}")
    check_mantissa_bits(sample.layout.mantissa_bits)
    check(sample.conditions)
    classes = sample.classes
    if not classes or len(set(classes)) < len(classes) or not set(classes) <= set(hls4ml.CLASSES):
        raise InputError(f"classes: expected different ones of {', '.join(hls4ml.CLASSES)}, found {classes}")
    return jobs

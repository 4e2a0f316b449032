"""Many workers simulate, one parent measures and writes: the same seed gives the same file, however many workers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hepjax import schema
from hepjax.errors import InputError
from hepjax.hdf5_files import check_target
from hepjax.simulation import clustering, pool, unfinished
from hepjax.simulation.blocks import BLOCK_JETS, blocks, shuffled_labels
from hepjax.simulation.columns import constituent_columns
from hepjax.simulation.conditions import PUBLIC, Conditions, check
from hepjax.simulation.events import EventsUnit, chunks, simulate_events
from hepjax.simulation.files import LAYOUT, Attribute, Layout, Rows, check_mantissa_bits, cut, jet_writer, joined
from hepjax.simulation.provenance import check_made_the_same, command, described
from hepjax.simulation.units import UNIT_JETS

PART_JETS = 1000
"""Jets that are kept at once, should the run be interrupted; a multiple of `BLOCK_JETS`."""
PART_UNITS = 10
"""Units of events that are kept at once."""

Observables = Callable[[np.ndarray, np.ndarray], np.ndarray]
Progress = Callable[[int], None]


def simulate(
    path: str | Path,
    *,
    jets: int,
    layout: Layout = LAYOUT,
    seed: int = 0,
    jobs: int | None = None,
    observables: Observables,
    classes: tuple[str, ...] = schema.CLASSES,
    conditions: Conditions = PUBLIC,
    progress: Progress | None = None,
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
        the (N, 53) columns `schema.OBSERVABLE_COLUMNS`. It is called in this process, block after block in a fixed
        order; N is 250 but in the last block, M a multiple of 16.
      classes: the classes to make.
      conditions: what collides, what is seen, which jets are kept.
      progress: called with the number of jets finished since the last call.

    Raises:
      InputError: an argument is wrong, the extra `sim` is missing, Pythia refuses the conditions, the file exists or
        cannot be written, or what is unfinished of it was begun with other arguments.
      RuntimeError: a worker died.

    >>> simulate("jets.h5", jets=100, observables=observables)  # doctest: +SKIP
    """
    path = Path(path)
    workers = min(_checked(jets, layout, seed, jobs, conditions), -(-jets // UNIT_JETS) + len(classes))
    attributes = _attributes(jets, layout, seed, classes, conditions)
    labels = shuffled_labels(jets, classes, seed)

    def parts(done: int, told: Progress) -> Generator[Rows, None, None]:
        made = blocks(labels, seed, workers, conditions, done * PART_JETS)
        measured = (_measured(block, some, observables, layout) for some, block in made)
        yield from _grouped(measured, PART_JETS // BLOCK_JETS, told, made)

    _make(path, layout, attributes, parts, progress)


def simulate_files(
    folder: str | Path,
    *,
    jets: int,
    per_file: int = 10_000,
    layout: Layout = LAYOUT,
    seed: int = 0,
    classes: tuple[str, ...] = schema.CLASSES,
    conditions: Conditions = PUBLIC,
    progress: Progress | None = None,
    **others: Any,
) -> list[Path]:
    """Simulates jets into several files, the first made with `seed`, the next with `seed + 1`, and so on.

    Files that exist already are left as they are, so that a second call goes on where the first stopped. Machines that
    share the work take seeds apart by the number of files.

    Args:
      folder: a folder; it is made where there is none.
      jets: of all files.
      per_file: jets of each file but the last.
      layout: as in `simulate`.
      seed: of the first file.
      classes: as in `simulate`.
      conditions: as in `simulate`.
      progress: as in `simulate`.
      others: the other arguments of `simulate`.

    Returns:
      The files.

    Raises:
      InputError: as in `simulate`, or a file is there that was made otherwise.
      RuntimeError: a worker died.

    >>> simulate_files("jets", jets=1_000_000, seed=1, observables=observables)  # doctest: +SKIP
    """
    folder = Path(folder)
    _checked(jets, layout, seed, 1, conditions)
    if per_file < 1:
        raise InputError(f"per_file: expected an integer of at least 1, found {per_file}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); give another place") from error
    files = []
    for number, start in enumerate(range(0, jets, per_file)):
        count, own = min(per_file, jets - start), seed + number
        path = folder / f"jets_{layout.particles}p_{own:06d}.h5"
        if path.exists():
            check_made_the_same(path, _attributes(count, layout, own, classes, conditions))
            if progress is not None:
                progress(count)
        else:
            same = {"layout": layout, "classes": classes, "conditions": conditions, "progress": progress, **others}
            simulate(path, jets=count, seed=own, **same)
        files.append(path)
    return files


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
    progress: Progress | None = None,
) -> None:
    """Takes events of other generators through the detector and the clustering, into a new file of the public layout.

    Args:
      path: a file that does not exist yet.
      events: a Les Houches file, which Pythia showers and hadronises, or a HepMC file of whole collisions; both may be
        compressed by gzip.
      label: index into `schema.CLASSES` of all jets; None writes no labels.
      jets: the most to make; None is all.
      layout: how much of each jet to write.
      seed: of showers, detector and pile-up.
      jobs: worker processes.
      observables: what to measure.
      conditions: their `pt`, `unlimited` and `undecayed` do not count.
      progress: called with the number of jets finished since the last call.

    Raises:
      InputError: as in `simulate`, or the events are damaged or give no jets.
      RuntimeError: a worker died.

    >>> jets_of_events("jets.h5", "events.lhe.gz", observables=observables)  # doctest: +SKIP
    """
    path, events = Path(path), Path(events)
    most = sys.maxsize if jets is None else jets
    workers = _checked(most, layout, seed, jobs, conditions)
    what = f"--events {events.name}" + ("" if label is None else f" --label {schema.CLASSES[label]}")
    attributes = {
        **described(layout, seed, conditions),
        "generator": "events of another generator, then hepjax.simulation",
        "events": f"{events.name}, {events.stat().st_size if events.is_file() else 0:,} bytes",
        "command": command(layout, seed, what if jets is None else f"{what} --jets {jets}"),
    }

    def parts(done: int, told: Progress) -> Generator[Rows, None, None]:
        missing = most - sum(len(rows.labels) for rows in unfinished.load(path, done))
        units = (EventsUnit(seed, number, chunk, conditions) for number, chunk in enumerate(chunks(events)))
        made = pool.finished((unit for unit in units if unit.number >= done * PART_UNITS), simulate_events, workers)
        known = -1 if label is None else label
        rows = (_measured(block, np.full(len(block.counts), known), observables, layout) for _, block in made)
        for part in _grouped(rows, PART_UNITS, told, made):
            if missing <= 0:
                return
            yield cut(part, missing)
            missing -= len(part.labels)

    _make(path, layout, attributes, parts, progress, labelled=label is not None)


def _make(
    path: Path,
    layout: Layout,
    attributes: dict[str, Attribute],
    parts: Callable[[int, Progress], Generator[Rows, None, None]],
    progress: Progress | None,
    *,
    labelled: bool = True,
) -> None:
    """Makes the parts of a file that are missing, then the file."""
    check_target(path)
    told = progress or (lambda _: None)
    done = unfinished.begin(path, attributes)
    try:
        total = sum(len(rows.labels) for rows in unfinished.load(path, done))
        told(total)
        with contextlib.closing(parts(done, told)) as rest:
            for rows in rest:
                unfinished.save(path, done, rows)
                done += 1
                total += len(rows.labels)
        _require_jets(path, total)
        with jet_writer(path, layout, attributes=attributes, labelled=labelled) as append:
            for rows in unfinished.load(path, done):
                append(rows)
    except KeyboardInterrupt as error:
        if done:
            words = f"{unfinished.folder_of(path)} keeps {total:,} jets; the same command goes on from there"
            raise KeyboardInterrupt(words) from error
        raise
    finally:
        if done == 0:
            unfinished.end(path)
    unfinished.end(path)


def _require_jets(path: Path, total: int) -> None:
    if total == 0:
        raise InputError(f"{path}: no jet comes out of these collisions; correct the conditions")


def _grouped(
    measured: Iterable[Rows], size: int, told: Progress, source: Generator[Any, None, None]
) -> Generator[Rows, None, None]:
    """Several blocks as one; `source`, which feeds them, is closed at the end."""
    with contextlib.closing(source):
        together: list[Rows] = []
        for block in measured:
            told(len(block.labels))
            together.append(block)
            if len(together) == size:
                yield joined(together)
                together = []
        if together:
            yield joined(together)


def _measured(jets: clustering.RaggedJets, labels: np.ndarray, observables: Observables, layout: Layout) -> Rows:
    """Jets as they are written: their hardest particles, with frames that refer to the whole jet."""
    p4, ids, mask = clustering.padded(jets)
    found = _observed(observables, p4, mask) if len(labels) else np.zeros((0, len(schema.OBSERVABLE_COLUMNS)))
    columns = constituent_columns(p4, mask, p4.sum(axis=1))[:, : layout.particles]
    short = layout.particles - columns.shape[1]
    rows = Rows(np.pad(columns, ((0, 0), (0, short), (0, 0))), found, labels)
    if not layout.truth:
        return rows
    ids = np.pad(ids[:, : layout.particles], ((0, 0), (0, short)))
    return rows._replace(ids=ids, parton=jets.parton, decays=jets.decays)


def _observed(observables: Observables, p4: np.ndarray, mask: np.ndarray) -> np.ndarray:
    measured = np.asarray(observables(p4, mask))
    wanted = (len(p4), len(schema.OBSERVABLE_COLUMNS))
    if measured.shape != wanted:
        raise InputError(f"observables: expected a function that returns shape {wanted}, found {measured.shape}")
    if not np.isfinite(measured).all():
        row, column = np.argwhere(~np.isfinite(measured))[0]
        name = schema.OBSERVABLE_COLUMNS[column]
        raise InputError(f"observables: expected finite numbers, found {measured[row, column]} in {name} of a jet")
    return measured


def _checked(jets: int, layout: Layout, seed: int, jobs: int | None, conditions: Conditions) -> int:
    """The number of workers, if all arguments are in order."""
    jobs = pool.cores() if jobs is None else jobs
    numbers = (("jets", jets, 1), ("particles", layout.particles, 1), ("seed", seed, 0), ("jobs", jobs, 1))
    for name, value, least in numbers:
        if value < least:
            raise InputError(f"{name}: expected an integer of at least {least}, found {value}")
    check_mantissa_bits(layout.mantissa_bits)
    check(conditions)
    return jobs


def _attributes(
    jets: int, layout: Layout, seed: int, classes: tuple[str, ...], conditions: Conditions
) -> dict[str, Attribute]:
    unknown = [name for name in classes if name not in schema.CLASSES]
    if unknown or not classes or len(set(classes)) < len(classes):
        raise InputError(f"classes: expected different ones of {', '.join(schema.CLASSES)}, found {classes}")
    asked: dict[str, Attribute] = {"classes": " ".join(classes), "jets": jets}
    asked["command"] = command(layout, seed, f"--jets {jets}")
    return described(layout, seed, conditions) | asked

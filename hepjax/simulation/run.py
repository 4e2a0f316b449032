"""Many workers simulate, one parent measures and writes: the same seed gives the same file, however many workers."""

from __future__ import annotations

import collections
import contextlib
import os
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata
from pathlib import Path

import numpy as np

from hepjax import __version__, schema
from hepjax.errors import InputError
from hepjax.hdf5_files import check_target
from hepjax.simulation import clustering
from hepjax.simulation.columns import constituent_columns
from hepjax.simulation.files import Attribute, check_mantissa_bits, jet_writer
from hepjax.simulation.processes import missing_extra
from hepjax.simulation.units import UNIT_JETS, Unit, simulate_unit

BLOCK_JETS = 250
"""Jets that are measured and written at once."""
_UNITS_AHEAD = 3
"""Units per worker that may be finished or under way before the parent needs them."""

Observables = Callable[[np.ndarray, np.ndarray], np.ndarray]


def simulate(
    path: str | Path,
    *,
    jets: int,
    particles: int = 30,
    seed: int = 0,
    jobs: int | None = None,
    observables: Observables,
    classes: tuple[str, ...] = schema.CLASSES,
    mantissa_bits: int | None = None,
    command: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Simulates jets of gluons, light quarks, W, Z and top near 1 TeV into a new file of the public layout.

    The classes get equal shares, the rest going to the first ones, and the seed shuffles them. Two jets of a class
    that stand in a row may stem from one event. The file depends on `jets`, `particles`, `seed`, `classes` and the
    versions of the generators, and not on `jobs`; it appears complete or not at all.

    Args:
      path: a file that does not exist yet.
      jets: how many jets to make.
      particles: how many of each jet's hardest particles to write; the observables see them all.
      seed: a non-negative integer.
      jobs: worker processes; None is one per available core. In a script, call from under
        `if __name__ == "__main__":`, for each worker imports the script.
      observables: a function of the momenta (N, M, 4) float64 in GeV, by falling pT, and the mask (N, M) that returns
        the (N, 53) columns `schema.OBSERVABLE_COLUMNS`. It is called in this process, block after block in a fixed
        order; N is 250 but in the last block, M a multiple of 16.
      classes: the classes to make.
      mantissa_bits: round the particles to this many mantissa bits, so that they compress better; None loses nothing.
      command: what made the file, recorded in it; None is the equivalent command line.
      progress: called with the number of jets written since the last call.

    Raises:
      InputError: an argument is wrong, the extra `sim` is missing, or the file exists or cannot be written.
      RuntimeError: a worker died, or Pythia failed.

    >>> simulate("jets.h5", jets=100, observables=observables)  # doctest: +SKIP
    """
    path = Path(path)
    workers = _check_arguments(jets, particles, seed, jobs, classes)
    check_mantissa_bits(mantissa_bits)
    check_target(path)
    labels = _shuffled_labels(jets, classes, seed)
    command = command or _equivalent_command(jets, particles, seed, mantissa_bits)
    attributes = {**_provenance(), "classes": " ".join(classes), "seed": seed, "command": command}
    with (
        jet_writer(path, particles, attributes=attributes, mantissa_bits=mantissa_bits) as append,
        contextlib.closing(_blocks(labels, seed, workers)) as blocks,
    ):
        for block_labels, block in blocks:
            p4, _, mask = clustering.padded(block)
            measured = _measure(observables, p4, mask)
            append(_hardest(p4, mask, particles), measured, block_labels)
            if progress is not None:
                progress(len(block_labels))


def _check_arguments(jets: int, particles: int, seed: int, jobs: int | None, classes: tuple[str, ...]) -> int:
    """The number of workers, if all arguments are in order."""
    jobs = _cores() if jobs is None else jobs
    for name, value, least in (("jets", jets, 1), ("particles", particles, 1), ("seed", seed, 0), ("jobs", jobs, 1)):
        if value < least:
            raise InputError(f"{name}: expected an integer of at least {least}, found {value}")
    unknown = [name for name in classes if name not in schema.CLASSES]
    if unknown or not classes or len(set(classes)) < len(classes):
        raise InputError(f"classes: expected different ones of {', '.join(schema.CLASSES)}, found {classes}")
    return min(jobs, -(-jets // UNIT_JETS) + len(classes))


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _shuffled_labels(jets: int, classes: tuple[str, ...], seed: int) -> np.ndarray:
    """(N,) labels in the order of the file: equal shares, shuffled by the seed."""
    share, rest = divmod(jets, len(classes))
    counts = [share + (i < rest) for i in range(len(classes))]
    labels = np.repeat([schema.CLASSES.index(name) for name in classes], counts)
    # The units draw from [seed, label, index]; two numbers cannot collide with three.
    return np.random.default_rng([seed, len(schema.CLASSES)]).permutation(labels)


def _hardest(p4: np.ndarray, mask: np.ndarray, particles: int) -> np.ndarray:
    """(N, particles, 16) columns of each jet's hardest particles; the frames refer to the whole jet."""
    columns = constituent_columns(p4, mask, p4.sum(axis=1))[:, :particles]
    return np.pad(columns, ((0, 0), (0, particles - columns.shape[1]), (0, 0)))


def _equivalent_command(jets: int, particles: int, seed: int, mantissa_bits: int | None) -> str:
    rounding = "" if mantissa_bits is None else f" --mantissa-bits {mantissa_bits}"
    return f"hepjax simulate OUT.h5 --jets {jets} --particles {particles} --seed {seed}{rounding}"


def _provenance() -> dict[str, Attribute]:
    try:
        versions = {name: metadata.version(name) for name in ("pythia8mc", "fastjet")}
    except metadata.PackageNotFoundError as error:
        raise missing_extra(str(error.name)) from error
    return {
        "description": "Simulated physics, not measured data: proton collisions at 13 TeV by Pythia 8, "
        "a fast detector, and anti-kT jets with R = 0.4 by FastJet.",
        "generator": "hepjax.simulation",
        "hepjax_version": __version__,
        "pythia8_version": versions["pythia8mc"],
        "fastjet_version": versions["fastjet"],
    }


def _measure(observables: Observables, p4: np.ndarray, mask: np.ndarray) -> np.ndarray:
    measured = np.asarray(observables(p4, mask))
    wanted = (len(p4), len(schema.OBSERVABLE_COLUMNS))
    if measured.shape != wanted:
        raise InputError(f"observables: expected a function that returns shape {wanted}, found {measured.shape}")
    if not np.isfinite(measured).all():
        row, column = np.argwhere(~np.isfinite(measured))[0]
        name = schema.OBSERVABLE_COLUMNS[column]
        raise InputError(f"observables: expected finite numbers, found {measured[row, column]} in {name} of a jet")
    return measured


def _plan(labels: np.ndarray, seed: int) -> list[Unit]:
    """All units, in the order in which the rows of the file first need them."""
    units = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        for index, start in enumerate(range(0, len(rows), UNIT_JETS)):
            size = min(UNIT_JETS, len(rows) - start)
            units.append((int(rows[start]), Unit(seed, int(label), index, size)))
    return [unit for _, unit in sorted(units)]


def _blocks(
    labels: np.ndarray, seed: int, workers: int
) -> Generator[tuple[np.ndarray, clustering.RaggedJets], None, None]:
    """The file's rows, block after block: labels and jets."""
    waiting: dict[int, clustering.RaggedJets] = {}
    with contextlib.closing(_finished_units(_plan(labels, seed), workers)) as finished:
        for start in range(0, len(labels), BLOCK_JETS):
            block = labels[start : start + BLOCK_JETS]
            needed = np.bincount(block, minlength=len(schema.CLASSES))
            while any(_held(waiting, label) < count for label, count in enumerate(needed)):
                unit, made = next(finished)
                held = [waiting[unit.label]] if unit.label in waiting else []
                waiting[unit.label] = clustering.concatenate([*held, made])
            taken = []
            for label in np.flatnonzero(needed).tolist():
                rows = np.arange(len(waiting[label].counts))
                taken.append(clustering.select(waiting[label], rows[: needed[label]]))
                waiting[label] = clustering.select(waiting[label], rows[needed[label] :])
            # `taken` is sorted by label; this puts each jet into its row.
            rank = np.argsort(np.argsort(block, kind="stable"), kind="stable")
            yield block, clustering.select(clustering.concatenate(taken), rank)


def _held(waiting: dict[int, clustering.RaggedJets], label: int) -> int:
    return len(waiting[label].counts) if label in waiting else 0


def _finished_units(units: list[Unit], workers: int) -> Generator[tuple[Unit, clustering.RaggedJets], None, None]:
    """The units' jets in the order of `units`, while workers are a few units ahead."""
    import multiprocessing

    # Spawn, since forking a process that runs JAX threads can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    todo = iter(units)
    running: collections.deque[tuple[Unit, Future[clustering.RaggedJets]]] = collections.deque()
    try:
        for _ in units:
            while len(running) < _UNITS_AHEAD * workers and (unit := next(todo, None)) is not None:
                running.append((unit, pool.submit(simulate_unit, unit)))
            unit, future = running.popleft()
            yield unit, future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a simulation worker died: it ran out of memory, was killed, or the calling script lacks "
            '`if __name__ == "__main__":`; use fewer jobs or correct the script'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Silences a worker, and ties its life to the parent's."""
    import multiprocessing
    import signal
    import threading

    # Ctrl-C reaches the whole group; the parent alone answers it, and shuts the workers down.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Pythia and FastJet print banners past Python's own stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    parent = multiprocessing.parent_process()

    def follow_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()

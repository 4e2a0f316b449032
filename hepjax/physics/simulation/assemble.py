"""Jets → the rows of a file, kept part by part, then written at once: what all kinds of simulation share."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics.simulation import clustering, part_files, pool
from hepjax.physics.simulation.columns import constituent_columns
from hepjax.physics.simulation.conditions import check_conditions
from hepjax.physics.simulation.cuts import Cuts, add_cut_counts, describe_cuts
from hepjax.physics.simulation.files import Rows, check_mantissa_bits, jet_writer
from hepjax.physics.simulation.part_files import Part

if TYPE_CHECKING:
    from pathlib import Path

    from hepjax.physics.simulation.files import Attribute, Layout
    from hepjax.physics.simulation.provenance import Sample

_log = logging.getLogger(__name__)

Observables = Callable[[np.ndarray, np.ndarray], np.ndarray]
Progress = Callable[[int], None]
Parts = Callable[[int, int], Generator[Part, None, None]]
"""The parts of a file that follow on a number of parts and of jets."""


def ignore_simulation_progress(count: int) -> None:
    """Takes news of progress where nobody listens.

    >>> ignore_simulation_progress(3)
    """


class Assembled(NamedTuple):
    """The result of writing a file."""

    jets: int
    cuts: Cuts


def assemble_file(
    path: Path,
    sample: Sample,
    attributes: dict[str, Attribute],
    parts: Parts,
    progress: Progress,
    *,
    labeled: bool = True,
    weights: tuple[str, ...] = (),
) -> Assembled:
    """Makes a file of the parts that an earlier run left and those that follow on them.

    Args:
      path: a file that does not exist yet.
      sample: its layout, and the choice of jets.
      attributes: the choices that the file's content depends on; they become its attributes, with the number of jets
        that each cut left.
      parts: makes the parts that are missing.
      progress: called with the number of new jets, first with those of an earlier run.
      labeled: write the label columns.
      weights: names of the jets' event weights, the nominal one first.

    Returns:
      How many jets it has, and how many each cut left.

    Raises:
      InputError: no jet comes out, or the file cannot be written.
    """
    with part_files.lock_parts_folder(path, attributes) as whole:
        done, total, cuts = whole, 0, Cuts()
        for rows, counts in part_files.load_parts(path, whole):
            total, cuts = total + len(rows.labels), add_cut_counts(cuts, counts)
        if total:
            _log.info("%s: %s jets of an earlier run are there", path, f"{total:,}")
        progress(total)
        try:
            with contextlib.closing(parts(done, total)) as rest:
                for part in rest:
                    part_files.save_part(path, done, part)
                    count = len(part.rows.labels)
                    done, total, cuts = done + 1, total + count, add_cut_counts(cuts, part.cuts)
                    progress(count)
            steps = describe_cuts(cuts, sample.conditions.keep)
            _check_jet_count(path, total, steps)
            everything = attributes | {"cuts": steps}
            with jet_writer(path, sample.layout, attributes=everything, labeled=labeled, weights=weights) as append:
                for rows, _ in part_files.load_parts(path, done):
                    append(rows)
        except BaseException as error:
            words = f"{part_files.parts_folder(path)} keeps {total:,} jets; the same command goes on from there"
            if total and isinstance(error, KeyboardInterrupt):
                raise type(error)(words) from error
            if total:
                _log.warning("%s", words)
            raise
    return Assembled(total, cuts)


def _check_jet_count(path: Path, total: int, steps: str) -> None:
    if total == 0:
        part_files.discard_parts(path)
        raise InputError(f"{path}: no jet is left ({steps}); give harder events or other conditions")


def measure_jets(jets: clustering.RaggedJets, labels: np.ndarray, observables: Observables, layout: Layout) -> Rows:
    """Measures jets: their hardest particles, with frames that refer to the whole jet, and their observables.

    Args:
      jets: n jets.
      labels: (n,) indices into `hls4ml.CLASSES`, or -1.
      observables: a function of momenta and mask, as of `simulate`.
      layout: the part of each jet that is written.

    Returns:
      The jets as they are written.

    Raises:
      InputError: the function returns another shape, or numbers that are not finite.
    """
    p4, ids, mask = clustering.pad_jets(jets)
    shape = (len(labels), len(hls4ml.OBSERVABLE_COLUMNS))
    values = _jet_observables_of_rows(observables, p4, mask) if len(labels) else np.zeros(shape)
    columns = constituent_columns(p4, mask, p4.sum(axis=1))[:, : layout.particles]
    short = layout.particles - columns.shape[1]
    rows = Rows(np.pad(columns, ((0, 0), (0, short), (0, 0))), values, labels)
    if jets.weights.shape[1]:
        rows = rows._replace(weights=jets.weights)
    if not layout.truth:
        return rows
    ids = np.pad(ids[:, : layout.particles], ((0, 0), (0, short)))
    return rows._replace(ids=ids, parton=jets.parton, decays=jets.decays)


def _jet_observables_of_rows(observables: Observables, p4: np.ndarray, mask: np.ndarray) -> np.ndarray:
    values = np.asarray(observables(p4, mask))
    wanted = (len(p4), len(hls4ml.OBSERVABLE_COLUMNS))
    if values.shape != wanted:
        raise InputError(f"observables: expected a function that returns shape {wanted}, found {values.shape}")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        name = hls4ml.OBSERVABLE_COLUMNS[column]
        raise InputError(f"observables: expected finite numbers, found {values[row, column]} in {name} of a jet")
    return values


def check_sample(sample: Sample, jobs: int | None) -> int:
    """Checks all choices of a sample.

    Args:
      sample: any.
      jobs: worker processes, or None.

    Returns:
      The number of workers: one per core where it is None.

    Raises:
      InputError: a choice is out of range.
    """
    jobs = pool.worker_cores() if jobs is None else jobs
    numbers = (
        ("jets", sample.jets, 1),
        ("particles", sample.layout.particles, 1),
        ("seed", sample.seed, 0),
        ("jobs", jobs, 1),
    )
    for name, value, least in numbers:
        if value < least:
            raise InputError(f"{name}: expected an integer of at least {least}, found {value}")
    if sample.seed > MAX_SEED:
        raise InputError(f"seed: expected an integer up to {MAX_SEED}, found {sample.seed}")
    check_mantissa_bits(sample.layout.mantissa_bits)
    check_conditions(sample.conditions)
    classes = sample.classes
    if not classes or len(set(classes)) < len(classes) or not set(classes) <= set(hls4ml.CLASSES):
        raise InputError(f"classes: expected different ones of {', '.join(hls4ml.CLASSES)}, found {classes}")
    return jobs


MAX_SEED = 2**63 - 1
"""The largest integer that an attribute of a file can hold."""

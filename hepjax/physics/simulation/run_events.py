"""Files of events that others generated → files of jets, with the events' weights."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hepjax.choices import Keep
from hepjax.data.atomic_hdf5 import check_new_hdf5_path
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics.simulation import pool
from hepjax.physics.simulation.assemble import (
    Observables,
    Progress,
    assemble_file,
    check_sample,
    ignore_simulation_progress,
    measure_jets,
)
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.cuts import describe_cuts
from hepjax.physics.simulation.event_files import read_event_chunks
from hepjax.physics.simulation.event_survey import Survey, survey_event_file
from hepjax.physics.simulation.events import EventsUnit, simulate_events
from hepjax.physics.simulation.files import LAYOUT, Layout, first_jets
from hepjax.physics.simulation.part_files import Part
from hepjax.physics.simulation.provenance import Sample, describe_events
from hepjax.physics.simulation.weights import are_weights_equal, describe_weights

if TYPE_CHECKING:
    from collections.abc import Generator

    from hepjax.physics.simulation.assemble import Assembled

_log = logging.getLogger(__name__)


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
    progress: Progress = ignore_simulation_progress,
) -> None:
    """Takes events of other generators through the detector and the clustering, into a new file of the public layout.

    The file of events is read to its end first, so that a damaged one is refused before the work begins. All events
    are used, whatever their weights, which the file keeps: the nominal ones in the dataset `weights`, others in
    `namedWeights`, with their names in `weightNames`.

    Args:
      path: a file that does not exist yet.
      events: a Les Houches file, which Pythia showers and hadronizes, or a HepMC file of whole collisions; both may be
        compressed by gzip, bzip2 or xz.
      label: index into `hls4ml.CLASSES` of all jets; None writes no labels.
      jets: the most to make; None is all.
      layout: the part of each jet to write.
      seed: of showers, detector and pile-up.
      jobs: worker processes.
      observables: as in `simulate`.
      conditions: their `pt`, `unlimited` and `undecayed` do not count.
      progress: as in `simulate`.

    Raises:
      InputError: as in `simulate`, or the events are damaged, need merging, or give no jets.
      RuntimeError: a worker died.

    >>> jets_of_events("jets.h5", "events.lhe.gz", observables=observables)  # doctest: +SKIP
    """
    path, events = Path(path), Path(events)
    most = sys.maxsize if jets is None else jets
    sample = Sample(most, layout, seed, hls4ml.CLASSES, conditions)
    count = check_sample(sample, jobs)
    if label is not None and not 0 <= label < len(hls4ml.CLASSES):
        raise InputError(f"label: expected None or an integer from 0 to {len(hls4ml.CLASSES) - 1}, found {label}")
    check_new_hdf5_path(path)
    contents = survey_event_file(events)
    weighting = describe_weights(contents.names, contents.totals, contents.strategy)
    _log_event_weights(events, contents, weighting)

    def parts_of_events(done: int, total: int) -> Generator[Part, None, None]:
        rest = (
            EventsUnit(seed, n, chunk, conditions) for n, chunk in enumerate(read_event_chunks(events)) if n >= done
        )
        for _, (block, cuts) in pool.run_units(rest, simulate_events, workers) if total < most else ():
            labels = np.full(len(block.counts), -1 if label is None else label)
            rows = first_jets(measure_jets(block, labels, observables, layout), most - total)
            total += len(rows.labels)
            yield Part(rows, cuts)
            if total >= most:
                return

    attributes = describe_events(sample, events, label) | {"weights": weighting}
    with pool.open_workers(count) as workers:
        assembled = assemble_file(
            path, sample, attributes, parts_of_events, progress, labeled=label is not None, weights=contents.names
        )
    _log_jets_of_events(path, events, assembled, jets, conditions.keep)


def _log_event_weights(events: Path, contents: Survey, weighting: str) -> None:
    """Says how events are weighted: aloud where they do not count alike."""
    unequal = bool(contents.names) and not are_weights_equal(contents.totals)
    level = logging.WARNING if unequal or contents.totals.negative else logging.INFO
    _log.log(level, "%s: events: %s; weights: %s", events, f"{contents.events:,}", weighting)


def _log_jets_of_events(path: Path, events: Path, assembled: Assembled, jets: int | None, keep: Keep) -> None:
    """Says how many jets the cuts left, where there are fewer than were asked for or than events."""
    steps = describe_cuts(assembled.cuts, keep)
    if jets is not None and assembled.jets < jets:
        _log.warning(
            "%s: jets: %s, fewer than the %s asked for: %s has no more (%s)",
            path, f"{assembled.jets:,}", f"{jets:,}", events, steps,
        )  # fmt: skip
    elif keep is Keep.LEADING and assembled.cuts.kept < assembled.cuts.events:
        _log.warning("%s: jets: %s; %s", path, f"{assembled.jets:,}", steps)
    else:
        _log.info("%s: jets: %s; %s", path, f"{assembled.jets:,}", steps)

"""A first pass through a file of events: its frame and its weights, checked before any event is simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.physics.simulation import hepmc, les_houches
from hepjax.physics.simulation.event_files import read_event_chunks
from hepjax.physics.simulation.event_text import Format, event_place_text
from hepjax.physics.simulation.les_houches_text import read_les_houches_init
from hepjax.physics.simulation.weights import WeightTotals, add_weights, check_weight_names

if TYPE_CHECKING:
    from pathlib import Path


class Survey(NamedTuple):
    """The content of a file of events."""

    format: Format
    events: int
    strategy: int | None
    """The weighting strategy of a Les Houches file."""
    names: tuple[str, ...]
    """The weights of each event, the nominal one first; empty where events have none."""
    totals: WeightTotals
    """Of the nominal weights; all 0 where events have none."""


def survey_event_file(path: str | Path) -> Survey:
    """Reads a file of events to its end.

    All numbers of Les Houches events are checked; of HepMC events, which are far larger, only where each begins and
    ends and how it is weighted.

    Args:
      path: a Les Houches or HepMC file.

    Returns:
      What it holds.

    Raises:
      InputError: it is missing, damaged, cut off, or holds no events; an event has other weights than the first; or a
        Les Houches file cannot be showered as it is.

    >>> survey_event_file("events.lhe").events  # doctest: +SKIP
    237
    """
    written, strategy, names, totals = Format.LES_HOUCHES, None, None, WeightTotals()
    events = 0
    for chunk in read_event_chunks(path):
        written = chunk.format
        if written is Format.LES_HOUCHES:
            if events == 0:
                strategy = read_les_houches_init(chunk.path, chunk.header).strategy
            weights = les_houches.les_houches_weights(chunk)
        else:
            weights = hepmc.hepmc_weights(chunk)
        nominal: list[float] = []
        for row, (event_names, values) in enumerate(weights):
            names = event_names if names is None else names
            check_weight_names(event_place_text(chunk, row), event_names, names)
            nominal += values[:1]
        totals = add_weights(totals, np.array(nominal, np.float64))
        events += len(chunk.events)
    return Survey(written, events, strategy, names or (), totals)

"""Hard collisions of a Les Houches event file → whole collisions, with Pythia: showers, remnants, hadrons."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.physics.simulation.collisions import collisions_from_pythia_batch
from hepjax.physics.simulation.event_text import END, Format, event_place_text
from hepjax.physics.simulation.les_houches_text import (
    check_les_houches_event,
    declared_les_houches_weights,
    event_for_pythia,
    event_rows_of_couplings,
    read_les_houches_init,
    read_les_houches_weights,
)
from hepjax.physics.simulation.processes import COMMON, DECAYS, Generator, configure_pythia
from hepjax.physics.simulation.processes import seed as seed_generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hepjax.physics.simulation.collisions import Collisions
    from hepjax.physics.simulation.conditions import Conditions
    from hepjax.physics.simulation.event_text import Beams, Chunk, EventWeights

_FEWEST = 20
"""Pythia gives up on single events by accident, but not on all of this many."""


def collide_les_houches(chunk: Chunk, seed: int, conditions: Conditions) -> Collisions:
    """Lets Pythia make whole collisions of hard ones.

    Pythia reads the events itself, with the beams that the file names. Bosons and tops without decay products decay to
    quarks, unless the settings say otherwise. Each event is kept, whatever its weight and the file's strategy
    (hep-ph/0109068); its weights come with it.

    Args:
      chunk: events of a Les Houches file.
      seed: a non-negative integer.
      conditions: their `pythia` counts.

    Returns:
      The collisions; those that Pythia gives up on are missing.

    Raises:
      InputError: an event or the file's header is wrong, Pythia refuses the settings or gives up on all of 20 events or
        more, or the extra `sim` is missing.

    >>> collide_les_houches(next(chunks("events.lhe")), 1, Conditions()).events  # doctest: +SKIP
    100
    """
    header = read_les_houches_init(chunk.path, chunk.header).header
    table = np.array([weights.values for weights in les_houches_weights(chunk)])
    pythia = _pythia_of_header(chunk.path, header, conditions.pythia)
    with tempfile.TemporaryDirectory(prefix="hepjax-") as folder:
        # Initialized before, it only opens the new file.
        events = [event_for_pythia(event, row) for row, event in enumerate(chunk.events)]
        pythia.settings.word("Beams:LHEF", _write_les_houches_file(folder, header, events))
        pythia.init()
        seed_generator(Generator(pythia), seed)
        try:
            batch = pythia.nextBatch(len(chunk.events), "none")
        except RuntimeError as error:
            raise InputError(
                f"{_les_houches_batches(chunk)}: Pythia cannot read them ({error}); correct the file"
            ) from error
    collisions = collisions_from_pythia_batch(batch, _shower_weights_of_batch(batch, table))
    if collisions.events == 0 and len(chunk.events) >= _FEWEST:
        raise InputError(
            f"{_les_houches_batches(chunk)}: Pythia gives up on all of them; check their colors, "
            "mothers, masses and process "
            "numbers, and the settings"
        )
    return collisions


def les_houches_weights(chunk: Chunk) -> Iterator[EventWeights]:
    """Checks the events of a Les Houches file, and reads their weights.

    Args:
      chunk: any events of the file.

    Yields:
      The weights of each event.

    Raises:
      InputError: an event is wrong.

    >>> [weights.values for weights in les_houches_weights(next(chunks("events.lhe")))][:2]  # doctest: +SKIP
    [(0.25,), (-0.25,)]
    """
    declared = declared_les_houches_weights(chunk.header)
    for row, event in enumerate(chunk.events):
        check_les_houches_event(event_place_text(chunk, row), event)
        yield read_les_houches_weights(event_place_text(chunk, row), event, declared)


def les_houches_beams(chunk: Chunk) -> Beams:
    """Reads what the header of a Les Houches file says of the beams.

    Args:
      chunk: any chunk of the file.

    Returns:
      The beams.

    Raises:
      InputError: the header's init block cannot be read, or it has no beams.

    >>> les_houches_beams(next(chunks("events.lhe")))  # doctest: +SKIP
    Beams(ids=(2212, 2212), energies=(6500.0, 6500.0))
    """
    return read_les_houches_init(chunk.path, chunk.header).beams


def _shower_weights_of_batch(batch: Any, table: np.ndarray) -> np.ndarray:
    """Finds the weights of a batch's collisions, times those of their showers: 1, unless settings bias them."""
    import awkward as ak  # type: ignore[import-untyped]  # comes with fastjet

    completed = ak.drop_none(batch, axis=0)
    if len(completed) == 0:
        return table[:0]
    rows = event_rows_of_couplings(ak.to_numpy(completed.info.alphaEM))
    return np.asarray(table[rows] * ak.to_numpy(completed.info.weights[:, :1]))


def _les_houches_batches(chunk: Chunk) -> str:
    return f"{chunk.path}: events {chunk.first} to {chunk.first + len(chunk.events) - 1}"


def _write_les_houches_file(folder: str, header: bytes, events: Sequence[bytes]) -> str:
    path = Path(folder, "events.lhe")
    path.write_bytes(b"".join([header, *events, END[Format.LES_HOUCHES], b"\n"]))
    return str(path)


@functools.lru_cache(maxsize=2)
def _pythia_of_header(path: str, header: bytes, settings: tuple[str, ...]) -> Any:
    """Returns a Pythia for all files with this header, initialized once: that takes a quarter of a second."""
    pythia = configure_pythia(*COMMON, *DECAYS, "SLHA:verbose = 0", *settings, "Beams:frameType = 4")
    with tempfile.TemporaryDirectory(prefix="hepjax-") as folder:
        # By this method, for a path in a setting's line ends at the first blank.
        pythia.settings.word("Beams:LHEF", _write_les_houches_file(folder, header, ()))
        if not pythia.init():
            raise InputError(f"{path}: Pythia fails to initialize with this header and these settings; correct them")
    pythia.settings.flag("Beams:newLHEFsameInit", True)
    return pythia

"""Hard collisions of a Les Houches event file → whole collisions, with Pythia: showers, remnants, hadrons."""

from __future__ import annotations

import functools
import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError
from hepjax.physics.simulation.collisions import from_batch
from hepjax.physics.simulation.event_files import Beams, shown
from hepjax.physics.simulation.processes import COMMON, DECAYS, Generator, configured
from hepjax.physics.simulation.processes import seed as seed_generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.physics.simulation.collisions import Collisions
    from hepjax.physics.simulation.conditions import Conditions
    from hepjax.physics.simulation.event_files import Chunk

_END = b"</LesHouchesEvents>\n"
_INIT = re.compile(rb"<init(?:>|\s[^>]*>)[^\n]*\n(.*?)</init>", re.DOTALL)
# The kinds of numbers in the lines that the accord prescribes (hep-ph/0109068).
_BEAMS = (int, int, float, float, int, int, int, int, int, int)
_PROCESS = (float, float, float, int)
_EVENT = (int, int, float, float, float, float)
_PARTICLE = (int,) * 6 + (float,) * 7
_INCOMING = -1
_STATUSES = {_INCOMING, 1, 2, 3}
"""Incoming, outgoing, decayed, and documentation."""
_LARGEST = 2**31 - 1
"""Integer that Pythia can read."""
_FEWEST = 20
"""So many events in a row that Pythia gives up on are no accident."""


def collide(chunk: Chunk, seed: int, conditions: Conditions) -> Collisions:
    """Lets Pythia make whole collisions of hard ones.

    Pythia reads the events itself, with the beams that the file names. Bosons and tops without decay products decay to
    quarks, unless the settings say otherwise. Each event counts once, whatever its weight, where the file's strategy is
    3 or 4; for strategies 1 and 2, Pythia draws events by their weights (hep-ph/0109068).

    Args:
      chunk: events of a Les Houches file.
      seed: a non-negative integer.
      conditions: their `pythia` counts.

    Returns:
      The collisions; those that Pythia gives up on are missing.

    Raises:
      InputError: an event or the file's header is wrong, Pythia refuses the settings or gives up on all of 20 events or
        more, or the extra `sim` is missing.

    >>> collide(next(chunks("events.lhe")), 1, Conditions()).events  # doctest: +SKIP
    100
    """
    beams(chunk)
    for number, event in enumerate(chunk.events, chunk.first):
        _check_event(chunk.path, number, event)
    pythia = _reader(chunk.path, chunk.header, conditions.pythia)
    with tempfile.TemporaryDirectory(prefix="hepjax-") as folder:
        # Initialised before, it only opens the new file.
        pythia.settings.word("Beams:LHEF", _written(folder, chunk.header, chunk.events))
        pythia.init()
        seed_generator(Generator(pythia), seed)
        try:
            batch = pythia.nextBatch(len(chunk.events), "none")
        except RuntimeError as error:
            raise InputError(f"{_where(chunk)}: Pythia cannot read them ({error}); correct the file") from error
    return _collisions(chunk, batch)


def _collisions(chunk: Chunk, batch: Any) -> Collisions:
    """The collisions of a batch, unless Pythia gave up on all of many."""
    made = from_batch(batch)
    if made.events == 0 and len(batch) >= _FEWEST:
        raise InputError(
            f"{_where(chunk)}: Pythia gives up on all of them; check their colours, mothers, masses and process "
            "numbers, and the settings"
        )
    return made


def _where(chunk: Chunk) -> str:
    return f"{chunk.path}: events {chunk.first} to {chunk.first + len(chunk.events) - 1}"


def _written(folder: str, header: bytes, events: Sequence[bytes]) -> str:
    path = Path(folder, "events.lhe")
    path.write_bytes(b"".join([header, *events, _END]))
    return str(path)


@functools.lru_cache(maxsize=2)
def _reader(path: str, header: bytes, settings: tuple[str, ...]) -> Any:
    """A Pythia for all files with this header, initialised once: that takes a quarter of a second."""
    pythia = configured(*COMMON, *DECAYS, "SLHA:verbose = 0", *settings, "Beams:frameType = 4")
    with tempfile.TemporaryDirectory(prefix="hepjax-") as folder:
        # By this method, for a path in a setting's line ends at the first blank.
        pythia.settings.word("Beams:LHEF", _written(folder, header, ()))
        if not pythia.init():
            raise InputError(f"{path}: Pythia fails to initialise with this header and these settings; correct them")
    pythia.settings.flag("Beams:newLHEFsameInit", True)
    return pythia


def beams(chunk: Chunk) -> Beams:
    """What the header of a Les Houches file says of the beams.

    Args:
      chunk: any chunk of the file.

    Returns:
      The beams.

    Raises:
      InputError: the header's init block cannot be read, or it has no beams.

    >>> beams(next(chunks("events.lhe")))  # doctest: +SKIP
    Beams(ids=(2212, 2212), energies=(6500.0, 6500.0))
    """
    block = _INIT.search(chunk.header)
    lines = block[1].splitlines() if block else []
    place = f"{chunk.path}: <init>"
    line = lines[0] if lines else b""
    id_a, id_b, energy_a, energy_b, *_, processes = _numbers(place, line, _BEAMS, "numbers of the beams")
    for row in range(1, int(processes) + 1):
        _numbers(place, lines[row] if row < len(lines) else b"", _PROCESS, f"numbers of process {row}")
    if 0 in (id_a, id_b) or min(energy_a, energy_b) <= 0:
        raise InputError(f"{place}: expected two beams with energies, found {shown(line)}; generate with beams")
    return Beams((int(id_a), int(id_b)), (energy_a, energy_b))


def _check_event(path: str, number: int, event: bytes) -> None:
    """What Pythia would pass over in silence, or read wrongly."""
    lines = event.splitlines()
    place = f"{path}: event {number}"
    particles = int(_numbers(place, lines[1], _EVENT, "numbers of the event")[0])
    if not 1 <= particles <= len(lines) - 3:
        raise InputError(f"{place}: expected as many lines of particles as {shown(lines[1])} says, found less")
    rows = [_numbers(place, line, _PARTICLE, "numbers of a particle") for line in lines[2 : 2 + particles]]
    if unknown := {values[1] for values in rows} - _STATUSES:
        raise InputError(f"{place}: expected particles of status -1, 1, 2 or 3, found {min(unknown)}")
    incoming = {row for row, values in enumerate(rows, 1) if values[1] == _INCOMING}
    if len(incoming) not in (2, 4):  # four in two hard collisions at once
        raise InputError(f"{place}: expected two incoming particles (status {_INCOMING}), found {len(incoming)}")
    reached = {0, *incoming}
    while more := {row for row, values in enumerate(rows, 1) if values[2] in reached} - reached:
        reached |= more
    lost = sorted(set(range(1, particles + 1)) - reached)
    if lost or any(rows[row - 1][2] != 0 for row in incoming):
        found = shown(lines[1 + (lost or sorted(incoming))[0]])
        raise InputError(f"{place}: expected mothers that lead back to the incoming particles, found {found}")


def _numbers(place: str, line: bytes, kinds: Sequence[type[int | float]], what: str) -> list[float]:
    """The first numbers of a line."""
    words = line.split()[: len(kinds)]
    try:
        values = [kind(word) for kind, word in zip(kinds, words, strict=True)]
    except ValueError:
        values = [math.nan]
    if any(isinstance(value, int) and abs(value) > _LARGEST for value in values):
        values = [math.nan]
    # Python would take an underscore between digits.
    if b"_" in b"".join(words) or not all(map(math.isfinite, values)):
        raise InputError(
            f"{place}: expected {len(kinds)} finite {what}, found {shown(line)}; correct it or make it anew"
        )
    return values

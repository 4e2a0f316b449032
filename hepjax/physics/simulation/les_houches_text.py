"""The text of Les Houches files: the init block, the numbers of events, and their weights, each checked."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.physics.simulation.event_text import Beams, EventWeights, excerpt_of_text

if TYPE_CHECKING:
    from collections.abc import Sequence

NOMINAL = "XWGTUP"
"""The accord's name for the weight of an event."""
_INIT = re.compile(rb"<init(?:>|\s[^>]*>)(.*?)</init>", re.DOTALL)
# The kinds of numbers in the lines that the accord prescribes (hep-ph/0109068).
_BEAMS = (int, int, float, float, int, int, int, int, int, int)
_PROCESS = (float, float, float, int)
_EVENT = (int, int, float, float, float, float)
_PARTICLE = (int,) * 6 + (float,) * 7
_INCOMING = -1
_STATUSES = {_INCOMING, 1, 2, 3}
"""Incoming, outgoing, decayed, and documentation."""
_LARGEST = 2**31 - 1
"""The largest integer that Pythia can read."""
_NEEDS_CROSS_SECTION = (2, 3)
"""Strategies, but for their sign, that take the normalization from the cross sections of <init>."""
_UNWEIGHTED = 3
_FORTRAN = re.compile(rb"(?<=[\d.])(?:[dD]([-+]?\d+)|([-+]\d{3}))(?![\w.])")
"""Exponents as Fortran writes them: 1.0D+03, and 1.0-103 where three digits leave no room for a letter."""
_MERGED = re.compile(
    rb"^[ \t]*['\"]?([-+\d.eEdD]+)['\"]?[ \t]*=[ \t]*(ickkw|ktdurham|ptlund)\b", re.MULTILINE | re.IGNORECASE
)
"""The settings of MadGraph's run card by which events are to be merged with their showers, where above 0."""
_SCHEMES = {"1": "MLM", "2": "CKKW", "3": "FxFx", "4": "UNLOPS"}
_DECLARED = re.compile(rb"<weight\s[^>]*?\bid\s*=\s*(?:'([^']*)'|\"([^\"]*)\")")
_NAMED = re.compile(rb"<wgt\s[^>]*?\bid\s*=\s*(?:'([^']*)'|\"([^\"]*)\")[^>]*>([^<]*)</wgt>")
_LISTED = re.compile(rb"<weights(?:\s[^>]*)?>([^<]*)</weights>")
_MORE = re.compile(rb"\s*[-+]?\d+(?:\s+[-+]?\d+){5}(?:\s+[-+.\deEdD]+){7}\s*$")
"""A line as that of a particle."""
_WEIGHT_BLOCK = re.compile(rb"<(rwgt|weights|initrwgt)(?:\s[^>]*)?>.*?</\1>", re.DOTALL)
_COUPLING = 4
"""The place of AQEDUP in the first line of an event."""


class Init(NamedTuple):
    """The content of the init block of a Les Houches file."""

    beams: Beams
    strategy: int
    """IDWTUP: what the weights of events mean, ±1 to ±4."""
    cross_sections: tuple[float, ...]
    """Of each process, pb."""
    header: bytes
    """The header as Pythia is to read it: of a strategy by which it keeps every event, whatever its weight."""


def read_les_houches_init(path: str, header: bytes) -> Init:
    """Reads the init block of a Les Houches file.

    Args:
      path: the file's name, for errors.
      header: its text before the first event.

    Returns:
      What the block says.

    Raises:
      InputError: the block cannot be read, has no beams, an unknown strategy, or no cross section where its strategy
        needs one; or the events are made to be merged with their showers.

    >>> block = b"<init>|2212 2212 6500 6500 0 0 1 1 -4 1|2.5 0.1 2.5 7|</init>".replace(b"|", bytes([10]))
    >>> read_les_houches_init("a.lhe", block)[:3]
    (Beams(ids=(2212, 2212), energies=(6500.0, 6500.0)), -4, (2.5,))
    """
    _check_not_merged(path, header)
    block = _INIT.search(header)
    start, inside = (block.start(), block[1]) if block else (0, b"")
    lines = [line for line in inside.splitlines() if line.strip()]
    place = f"{path}: <init>"
    line = lines[0] if lines else b""
    values = _first_numbers_of_line(place, line, _BEAMS, "numbers of the beams")
    id_a, id_b, energy_a, energy_b, *pdfs, strategy, count = values
    if count < 1:
        raise InputError(f"{place}: expected one process or more, found {excerpt_of_text(line)}; correct it")
    processes = [
        _first_numbers_of_line(place, lines[row] if row < len(lines) else b"", _PROCESS, f"numbers of process {row}")
        for row in range(1, int(count) + 1)
    ]
    if 0 in (id_a, id_b) or min(energy_a, energy_b) <= 0:
        raise InputError(
            f"{place}: expected two beams with energies, found {excerpt_of_text(line)}; generate with beams"
        )
    if not 1 <= abs(strategy) <= 4:
        raise InputError(f"{place}: expected a weighting strategy of ±1, ±2, ±3 or ±4, found {strategy:g}; correct it")
    cross_sections = tuple(process[0] for process in processes)
    if abs(strategy) in _NEEDS_CROSS_SECTION and not any(cross_sections):
        raise InputError(
            f"{place}: expected the cross section of a process, which weighting strategy {strategy:g} needs, found 0 "
            "for all; write it there, in pb"
        )
    first = [f"{id_a:.0f} {id_b:.0f} {energy_a!r} {energy_b!r}", *(f"{value:.0f}" for value in pdfs)]
    rows = [" ".join([*first, str(_UNWEIGHTED), f"{count:.0f}"]), *(f"1.0 0.0 1.0 {row[3]:.0f}" for row in processes)]
    text = b"\n".join([b"<init>", *(row.encode() for row in rows), *lines[len(rows) :], b"</init>\n"])
    beams = Beams((int(id_a), int(id_b)), (energy_a, energy_b))
    return Init(beams, int(strategy), cross_sections, _WEIGHT_BLOCK.sub(b"", header[:start]) + text)


def _check_not_merged(path: str, header: bytes) -> None:
    """Refuses events that are to be merged with their showers."""
    for value, name in _MERGED.findall(header):
        setting, number = name.decode().lower(), _FORTRAN.sub(_fortran_exponent, value).decode()
        try:
            merged = float(number) > 0
        except ValueError:
            merged = False
        if merged:
            scheme = _SCHEMES.get(number, "merging") if setting == "ickkw" else "CKKW-L"
            raise InputError(
                f"{path}: its header says {setting} = {number}: such events are to be merged with their showers "
                f"({scheme}), which hepjax does not do; give events made without that setting, or merged ones as HepMC"
            )


def event_for_pythia(event: bytes, row: int) -> bytes:
    r"""Returns the text of an event as Pythia is to read it: without named weights, and marked with a number.

    Pythia passes over events that it gives up on and reads the next. The number, in the place of the electromagnetic
    coupling, which Pythia hands on and does not use, says which event a collision is of.

    Args:
      event: its text, already checked.
      row: a number from 0 on.

    Returns:
      The text, with exponents that C++ reads.

    >>> event_for_pythia(b"<event>\n1 1 1.0D+03 1.5-101 0.0078 1.\n", 6)
    b'<event>\n1 1 1.0e+03 1.5e-101 7 1.\n'
    """
    lines = _FORTRAN.sub(_fortran_exponent, _WEIGHT_BLOCK.sub(b"", event)).splitlines(keepends=True)
    words = lines[1].split()
    words[_COUPLING] = b"%d" % (row + 1)
    lines[1] = b" ".join(words) + b"\n"
    return b"".join(lines)


def event_rows_of_couplings(coupling: np.ndarray) -> np.ndarray:
    """Returns the numbers that events were marked with.

    >>> event_rows_of_couplings(np.array([7.0])).tolist()
    [6]
    """
    return np.asarray(np.rint(coupling), np.int64) - 1


def _fortran_exponent(match: re.Match[bytes]) -> bytes:
    return b"e" + (match[1] or match[2])


def check_les_houches_event(place: str, event: bytes) -> float:
    """Checks an event for what Pythia would pass over in silence, or read wrongly.

    Args:
      place: the words that name the event in an error.
      event: its text.

    Returns:
      Its weight XWGTUP.

    Raises:
      InputError: a number is missing or wrong, or the particles do not stem from the incoming ones.
    """
    lines = event.splitlines()
    values = _first_numbers_of_line(place, lines[1], _EVENT, "numbers of the event")
    particles = int(values[0])
    if not 1 <= particles <= len(lines) - 3:
        raise InputError(
            f"{place}: expected as many lines of particles as {excerpt_of_text(lines[1])} says, found fewer"
        )
    if _MORE.match(lines[2 + particles]):
        raise InputError(
            f"{place}: expected as many lines of particles as {excerpt_of_text(lines[1])} says, found more"
        )
    rows = [
        _first_numbers_of_line(place, line, _PARTICLE, "numbers of a particle") for line in lines[2 : 2 + particles]
    ]
    if unknown := {row[1] for row in rows} - _STATUSES:
        raise InputError(f"{place}: expected particles of status -1, 1, 2 or 3, found {min(unknown)}")
    incoming = {number for number, row in enumerate(rows, 1) if row[1] == _INCOMING}
    if len(incoming) not in (2, 4):  # four in two hard collisions at once
        raise InputError(f"{place}: expected two incoming particles (status {_INCOMING}), found {len(incoming)}")
    reached = {0, *incoming}
    while more := {number for number, row in enumerate(rows, 1) if row[2] in reached} - reached:
        reached |= more
    lost = sorted(set(range(1, particles + 1)) - reached)
    if lost or any(rows[number - 1][2] != 0 for number in incoming):
        line = excerpt_of_text(lines[1 + (lost or sorted(incoming))[0]])
        raise InputError(f"{place}: expected mothers that lead back to the incoming particles, found {line}")
    return values[2]


def declared_les_houches_weights(header: bytes) -> tuple[str, ...]:
    r"""Returns the names of the weights that a header declares in <initrwgt>, in order.

    >>> header = b"<initrwgt><weight id='1' > a </weight><weight MUR=\"2\" id=\"b\"></weight></initrwgt>"
    >>> declared_les_houches_weights(header)
    ('1', 'b')
    """
    block = header.partition(b"<initrwgt")[2].partition(b"</initrwgt")[0]
    return tuple(_les_houches_word(single or double) for single, double in _DECLARED.findall(block))


def read_les_houches_weights(place: str, event: bytes, declared: tuple[str, ...]) -> EventWeights:
    """Reads all weights of an event.

    Args:
      place: the words that name the event in an error.
      event: its text, already checked.
      declared: the names that the header declares, for weights that are a mere list.

    Returns:
      The weight XWGTUP, then those of <rwgt> by their ids, or those of <weights>. Where an id comes again, a number is
      put after it.

    Raises:
      InputError: a weight is no finite number, or a list has another length than the header declares.

    >>> text = b"<event>|1 1 -2.5 1 1 1|<rwgt><wgt id='mur2'> 1.5D0 </wgt></rwgt>|</event>".replace(b"|", bytes([10]))
    >>> read_les_houches_weights("a.lhe: event 1", text, ())
    EventWeights(names=('XWGTUP', 'mur2'), values=(-2.5, 1.5))
    """
    lines = event.splitlines()
    nominal = _first_numbers_of_line(place, lines[1], _EVENT, "numbers of the event")[2]
    pairs = [(_les_houches_word(single or double), value) for single, double, value in _NAMED.findall(event)]
    listed = _LISTED.search(event)
    if listed is not None and not pairs:
        words = listed[1].split()
        if declared and len(words) != len(declared):
            raise InputError(
                f"{place}: expected {len(declared)} weights, as the header declares, found {len(words)}; correct it"
            )
        pairs = list(zip(declared or map(str, range(1, len(words) + 1)), words, strict=True))
    if not pairs:
        return EventWeights((NOMINAL,), (nominal,))
    names = _distinct_weight_names([NOMINAL, *(name for name, _ in pairs)])
    return EventWeights(names, (nominal, *(_les_houches_weight(place, name, value) for name, value in pairs)))


def _distinct_weight_names(names: list[str]) -> tuple[str, ...]:
    """Puts a number after each name that comes again."""
    if len(set(names)) == len(names):
        return tuple(names)
    counts: dict[str, int] = {}
    distinct = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        distinct.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return tuple(distinct)


def _les_houches_weight(place: str, name: str, text: bytes) -> float:
    word = _FORTRAN.sub(_fortran_exponent, text.strip())
    try:
        value = math.nan if b"_" in word else float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{place}: expected a finite weight {name}, found {excerpt_of_text(text)}; correct it or make it anew"
        )
    return value


def _les_houches_word(name: bytes) -> str:
    return name.decode("utf-8", "replace").strip()


def _first_numbers_of_line(place: str, line: bytes, kinds: Sequence[type[int | float]], what: str) -> list[float]:
    """Reads the first numbers of a line."""
    words = line.split()[: len(kinds)]
    try:
        values = [kind(word) for kind, word in zip(kinds, words, strict=True)]
    except ValueError:
        plain = _FORTRAN.sub(_fortran_exponent, line)
        if plain != line:
            return _first_numbers_of_line(place, plain, kinds, what)
        values = [math.nan]
    if any(isinstance(value, int) and abs(value) > _LARGEST for value in values):
        values = [math.nan]
    # Python would take an underscore between digits.
    if b"_" in b"".join(words) or not all(map(math.isfinite, values)):
        raise InputError(
            f"{place}: expected {len(kinds)} finite {what}, found {excerpt_of_text(line)}; correct it or make it anew"
        )
    return values

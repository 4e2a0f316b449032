"""The vocabulary of event files: formats, chunks of whole events as text, and the errors that readers share."""

from __future__ import annotations

import enum
from typing import NamedTuple

from hepjax.errors import InputError

MAX_EVENT = 1 << 26
"""Bytes of the largest event or header that is read; anything larger is no event."""
_EXCERPT = 60
"""Characters of a bad line that an error quotes."""


class Format(enum.Enum):
    """Formats that files of events are written in."""

    LES_HOUCHES = "LHE"
    """Les Houches event file, versions 1 to 3 (hep-ph/0609017): hard collisions."""
    HEPMC2 = "HepMC2"
    """IO_GenEvent of HepMC 2: whole collisions."""
    HEPMC3 = "HepMC3"
    """Asciiv3 of HepMC 3 (arXiv:1912.08005): whole collisions."""


END = {
    Format.LES_HOUCHES: b"</LesHouchesEvents>",
    Format.HEPMC2: b"HepMC::IO_GenEvent-END_EVENT_LISTING",
    Format.HEPMC3: b"HepMC::Asciiv3-END_EVENT_LISTING",
}
"""The text that a whole file ends with."""


class Chunk(NamedTuple):
    """Several consecutive events of a file; picklable."""

    path: str
    format: Format
    header: bytes
    """The file's text before its first event."""
    events: tuple[bytes, ...]
    """The text of each event."""
    first: int
    """The number of its first event in the file, from 1."""


class Beams(NamedTuple):
    """The two particles that collide."""

    ids: tuple[int, int]
    """PDG identities."""
    energies: tuple[float, float]
    """GeV."""


class EventWeights(NamedTuple):
    """The weights of an event, the nominal one first; both empty where the event has none."""

    names: tuple[str, ...]
    values: tuple[float, ...]


def event_place_text(chunk: Chunk, row: int) -> str:
    """Returns the words that name an event in an error: its file, and its number in the file.

    >>> event_place_text(Chunk("a.lhe", Format.LES_HOUCHES, b"", (b"", b""), 101), 1)
    'a.lhe: event 102'
    """
    return f"{chunk.path}: event {chunk.first + row}"


def excerpt_of_text(text: bytes) -> str:
    r"""Returns the first line of a text, quoted, and short enough for an error.

    >>> excerpt_of_text(b"E 1 2\nV 3")
    "'E 1 2'"
    """
    line = text.splitlines()[0] if text else b""
    return repr(line[:_EXCERPT].decode("utf-8", "replace").strip()) + ("..." if len(line) > _EXCERPT else "")


def cut_off_file_error(path: str, written: Format, where: str) -> InputError:
    """Returns the error of a file without its end.

    >>> print(cut_off_file_error("a.lhe", Format.LES_HOUCHES, " after event 7"))
    a.lhe: expected </LesHouchesEvents> at its end, found none after event 7: it was cut off; fetch or make it anew, \
or add that line if its last event is whole
    """
    end = END[written].decode()
    return InputError(
        f"{path}: expected {end} at its end, found none{where}: it was cut off; fetch or make it anew, or add that "
        "line if its last event is whole"
    )


def endless_event_error(path: str, part: str) -> InputError:
    """Returns the error of a header or an event that does not end.

    >>> print(endless_event_error("a.lhe", "event 7"))
    a.lhe: event 7: expected its end within 67108864 bytes, found none; make it anew
    """
    return InputError(f"{path}: {part}: expected its end within {MAX_EVENT} bytes, found none; make it anew")


def joined_files_error(path: str, written: Format, line: bytes) -> InputError:
    """Returns the error of a file that goes on after its end.

    >>> print(joined_files_error("a.hepmc", Format.HEPMC3, b"HepMC::Version 3.02"))
    a.hepmc: expected nothing after HepMC::Asciiv3-END_EVENT_LISTING, found 'HepMC::Version 3.02'; if files were \
joined, give them one by one
    """
    return InputError(
        f"{path}: expected nothing after {END[written].decode()}, found {excerpt_of_text(line)}; if "
        "files were joined, give "
        "them one by one"
    )

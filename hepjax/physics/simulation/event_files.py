"""Files of events that others generated, Les Houches or HepMC → chunks of whole events, as text."""

from __future__ import annotations

import enum
import gzip
import re
import zlib
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_CHUNK = 1 << 23
"""Bytes: a chunk ends with the event that reaches this."""
_MAX_EVENT = 1 << 26
"""Bytes of the largest event or header: what is larger is no event."""
_MAX_LINE = 1 << 24
_GZIP = b"\x1f\x8b"
_BEGINNING = 4096
"""Bytes that show what a file is, or that it is whole."""
_SHOWN = 60
"""Characters of a bad line that an error shows."""


class Format(enum.Enum):
    """What a file of events is written in."""

    LES_HOUCHES = "LHE"
    """Les Houches event file, versions 1 to 3 (hep-ph/0609017): hard collisions."""
    HEPMC2 = "HepMC2"
    """IO_GenEvent of HepMC 2: whole collisions."""
    HEPMC3 = "HepMC3"
    """Asciiv3 of HepMC 3 (arXiv:1912.08005)."""


class Chunk(NamedTuple):
    """Some events of a file; picklable."""

    path: str
    format: Format
    header: bytes
    """The file's text before its first event."""
    events: tuple[bytes, ...]
    """The text of each event."""
    first: int
    """The number of its first event in the file, from 1."""


class Beams(NamedTuple):
    """What collides."""

    ids: tuple[int, int]
    """PDG identities."""
    energies: tuple[float, float]
    """GeV."""


class _Marks(NamedTuple):
    """How the parts of a file are told apart."""

    event: re.Pattern[bytes]
    """How the first line of an event begins."""
    end: bytes
    """How the file's last line begins."""


_MARKS = {
    Format.LES_HOUCHES: _Marks(re.compile(rb"\s*<event(?=[\s>])"), b"</LesHouchesEvents>"),
    Format.HEPMC2: _Marks(re.compile(rb"E "), b"HepMC::IO_GenEvent-END_EVENT_LISTING"),
    Format.HEPMC3: _Marks(re.compile(rb"E "), b"HepMC::Asciiv3-END_EVENT_LISTING"),
}
_EVENT_END = b"</event>"
_INIT_END = b"</init>"


def chunks(path: str | Path, size: int = 100) -> Iterator[Chunk]:
    """The events of a file, some at a time, in order.

    What the file is follows from its content, not its name; it may be compressed with gzip. The memory needed does not
    depend on the number of events.

    Args:
      path: a Les Houches event file, or HepMC 2 or 3 in ASCII.
      size: events per chunk; large events make fewer, `MAX_CHUNK` bytes or little more.

    Yields:
      Chunks; together they hold each event once.

    Raises:
      InputError: the file is missing, is something else, has no events, or is damaged or cut off.

    >>> [len(chunk.events) for chunk in chunks("events.lhe.gz", 100)]  # doctest: +SKIP
    [100, 100, 37]
    """
    if size < 1:
        raise InputError(f"size: expected at least one event per chunk, found {size}")
    path = str(path)
    number = 0
    try:
        with open(path, "rb") as file, _plain(file) as text:  # noqa: PTH123 — one way for all
            beginning = text.read(_BEGINNING)
            written = _format(path, beginning)
            if text is file:
                _check_end(path, file, written)
            text.seek(0)
            for chunk in _grouped(path, written, text, size):
                yield chunk
                number += len(chunk.events)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}: damaged or cut off after event {number} or a little later ({error}); fetch or make it anew"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be read ({reason}); give a file of Les Houches or HepMC events") from error


def _plain(file: IO[bytes]) -> IO[bytes]:
    """The text of a file that may be compressed."""
    compressed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if compressed else file


def _format(path: str, beginning: bytes) -> Format:
    """What a file is, by its first bytes."""
    if not beginning.strip():
        raise InputError(f"{path}: expected Les Houches or HepMC events, found an empty file; make it anew")
    if b"<LesHouchesEvents" in beginning:
        version = re.search(rb"<LesHouchesEvents[^>\n]*\bversion\s*=\s*[\"']([^\"']*)", beginning)
        if version is None or version[1][:1] not in (b"1", b"2", b"3"):
            found = shown(version[1]) if version else "none"
            raise InputError(f"{path}: expected Les Houches events of version 1, 2 or 3, found version {found}")
        return Format.LES_HOUCHES
    for written in (Format.HEPMC2, Format.HEPMC3):
        if _MARKS[written].end.replace(b"END", b"START") in beginning:
            return written
    raise InputError(
        f"{path}: expected Les Houches events (<LesHouchesEvents version=...>) or HepMC events in ASCII (IO_GenEvent "
        f"or Asciiv3), plain or compressed with gzip, found {shown(beginning.lstrip())}; convert it"
    )


def _check_end(path: str, file: IO[bytes], written: Format) -> None:
    """Finds at once that a plain file was cut off; a compressed one has to be read first."""
    file.seek(0, 2)
    file.seek(max(0, file.tell() - _BEGINNING))
    if _MARKS[written].end not in file.read():
        raise _cut_off(path, written, "")


def _cut_off(path: str, written: Format, where: str) -> InputError:
    end = _MARKS[written].end.decode()
    return InputError(
        f"{path}: expected {end} as its last line, found none{where}: it was cut off; fetch or make it anew, or add "
        "that line if its last event is whole"
    )


def _grouped(path: str, written: Format, text: IO[bytes], size: int) -> Iterator[Chunk]:
    """Chunks of the events of an open file."""
    lines = _lines(path, text)
    header, line = _header(path, written, lines)
    group: list[bytes] = []
    first, held = 1, 0
    events = _les_houches_events if written is Format.LES_HOUCHES else _hepmc_events
    for event in events(path, written, line, lines):
        group.append(event)
        held += len(event)
        if len(group) == size or held >= MAX_CHUNK:
            yield Chunk(path, written, header, tuple(group), first)
            first, held, group = first + len(group), 0, []
    if group:
        yield Chunk(path, written, header, tuple(group), first)
    elif first == 1:
        raise InputError(f"{path}: expected events, found none after its header; make it anew")
    for line in lines:
        if line.strip():
            raise InputError(
                f"{path}: expected nothing after {_MARKS[written].end.decode()}, found {shown(line)}; if files were "
                "joined, give them one by one"
            )


def _lines(path: str, text: IO[bytes]) -> Iterator[bytes]:
    while line := text.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
            raise InputError(f"{path}: expected lines of text, found one of {_MAX_LINE} bytes or more; make it anew")
        yield line


def _header(path: str, written: Format, lines: Iterator[bytes]) -> tuple[bytes, bytes]:
    """The text before the first event, from the line that says what it is, and the line that follows."""
    marks = _MARKS[written]
    begin = b"<LesHouchesEvents" if written is Format.LES_HOUCHES else b"HepMC::"
    kept: list[bytes] = []
    held = 0
    accord = written is Format.LES_HOUCHES
    for line in lines:
        if marks.event.match(line) or line.startswith(marks.end):
            if accord:
                raise InputError(f"{path}: expected {_INIT_END.decode()} before the first event, found none")
            return b"".join(kept), line
        if kept or begin in line:
            # Before it there may be a mark of the encoding, an XML declaration, comments.
            kept.append(line if kept else line[line.index(begin) :])
            held += len(line)
            if accord and _INIT_END in line:
                # No more of it: Pythia takes a tag <eventgroup> for an event.
                return b"".join(kept), b""
        if held > _MAX_EVENT:
            raise InputError(f"{path}: expected an event within {_MAX_EVENT} bytes, found none; make it anew")
    raise _cut_off(path, written, f", nor {_INIT_END.decode()}" if accord else "")


def _hepmc_events(path: str, written: Format, line: bytes, lines: Iterator[bytes]) -> Iterator[bytes]:
    """The events of a HepMC file: each begins with a line E."""
    end = _MARKS[written].end
    number = 0
    while not line.startswith(end):
        number += 1
        kept, held = [line], len(line)
        for following in lines:
            if following.startswith((b"E ", b"HepMC::")):
                line = following
                break
            kept.append(following)
            held += len(following)
            if held > _MAX_EVENT:
                raise _endless(path, number)
        else:
            raise _cut_off(path, written, f", and event {number} may lack a part")
        if line.startswith(b"HepMC::") and not line.startswith(end):
            raise InputError(f"{path}: event {number}: expected {end.decode()} or an event, found {shown(line)}")
        yield b"".join(kept)


def _les_houches_events(path: str, written: Format, line: bytes, lines: Iterator[bytes]) -> Iterator[bytes]:
    """The events of a Les Houches file; comments and tags between them are left out."""
    marks = _MARKS[written]
    number = 0
    comment = False
    while not line.startswith(marks.end):
        if comment or line.lstrip().startswith(b"<!--"):
            comment = b"-->" not in line
        elif marks.event.match(line):
            number += 1
            yield _les_houches_event(path, number, line, lines)
        elif line.strip() and not line.lstrip().startswith((b"#", b"<")):
            raise InputError(
                f"{path}: after event {number}: expected <event> or {marks.end.decode()}, found {shown(line)}"
            )
        elif line.lstrip().startswith(_EVENT_END):
            raise InputError(f"{path}: after event {number}: expected <event>, found {_EVENT_END.decode()}")
        following = next(lines, None)
        if following is None:
            raise _cut_off(path, written, f" after event {number}")
        line = following


def _les_houches_event(path: str, number: int, line: bytes, lines: Iterator[bytes]) -> bytes:
    marks = _MARKS[Format.LES_HOUCHES]
    kept, held = [line], len(line)
    for following in lines:
        if marks.event.match(following) or following.startswith(marks.end):
            raise InputError(f"{path}: event {number}: expected {_EVENT_END.decode()}, found {shown(following)}")
        kept.append(following)
        held += len(following)
        if _EVENT_END in following:
            if following.strip() != _EVENT_END:
                raise InputError(
                    f"{path}: event {number}: expected {_EVENT_END.decode()} alone, found {shown(following)}"
                )
            return b"".join(kept)
        if held > _MAX_EVENT:
            raise _endless(path, number)
    raise _cut_off(path, Format.LES_HOUCHES, f", and event {number} has no {_EVENT_END.decode()}")


def _endless(path: str, number: int) -> InputError:
    return InputError(f"{path}: event {number}: expected its end within {_MAX_EVENT} bytes, found none; make it anew")


def shown(text: bytes) -> str:
    r"""The first line of a text, short enough for an error.

    >>> shown(b"E 1 2\nV 3")
    "'E 1 2'"
    """
    line = text.splitlines()[0] if text else b""
    return repr(line[:_SHOWN].decode("utf-8", "replace").strip()) + ("..." if len(line) > _SHOWN else "")

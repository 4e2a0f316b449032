"""The frame of event files: where the header, each event and the file end, in Les Houches and in HepMC text."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from hepjax.errors import InputError
from hepjax.physics.simulation import event_text
from hepjax.physics.simulation.event_text import (
    END,
    Format,
    cut_off_file_error,
    endless_event_error,
    excerpt_of_text,
    joined_files_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGIN = b"<LesHouchesEvents"
_INIT_END = b"</init>"
_EVENT_BEGIN = re.compile(rb"\s*<event(?=[\s>])")
_EVENT_END = b"</event>"
_TAG = re.compile(rb"(<event(?:\s[^>\n]*)?>|</event>|</LesHouchesEvents>)")
"""The tags after the header that need lines of their own."""
_HEPMC_TITLE = b"HepMC::"


def split_les_houches(path: str, lines: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    r"""Splits a Les Houches file into its header and its events.

    Tags may share a line with other text, as some writers put them; the events have theirs on lines of their own.
    Comments and other tags between events are left out, and so is text without tags behind the file's end, where POWHEG
    writes the state of its random numbers.

    Args:
      path: the file's name, for errors.
      lines: its lines.

    Returns:
      The text from `<LesHouchesEvents` to `</init>`, and the text of each event; the end of the file is checked as the
      last event is taken.

    Raises:
      InputError: a part is missing, is not where it belongs, or is too large.

    >>> text = [b'<LesHouchesEvents version="1.0">', b"<init>", b"</init><event>", b"1 2</event></LesHouchesEvents>"]
    >>> header, events = split_les_houches("a.lhe", (line + bytes([10]) for line in text))
    >>> list(events)
    [b'<event>\n1 2\n</event>\n']
    """
    header, rest = _les_houches_header(path, lines)
    return header, _les_houches_events(path, _put_tags_on_lines(itertools.chain([rest], lines)))


def _les_houches_header(path: str, lines: Iterator[bytes]) -> tuple[bytes, bytes]:
    """Returns the text up to `</init>`, and the rest of that line."""
    kept: list[bytes] = []
    size, comment = 0, False
    for line in lines:
        size += len(line)
        if size > event_text.MAX_EVENT:
            raise endless_event_error(path, "header")
        if not kept:
            # A mark of the encoding, an XML declaration or comments may come first.
            if _BEGIN not in line:
                continue
            line = line[line.index(_BEGIN) :]  # noqa: PLW2901
        if comment or line.lstrip().startswith(b"<!--"):
            comment = b"-->" not in line
        elif _INIT_END in line:
            # No more than that: Pythia takes a tag <eventgroup> for an event.
            before, _, rest = line.partition(_INIT_END)
            return b"".join([*kept, before, _INIT_END, b"\n"]), rest
        elif _EVENT_BEGIN.match(line) or line.lstrip().startswith(END[Format.LES_HOUCHES]):
            raise InputError(f"{path}: expected {_INIT_END.decode()} before the first event, found none")
        kept.append(line)
    raise cut_off_file_error(path, Format.LES_HOUCHES, f", nor {_INIT_END.decode()}")


def _put_tags_on_lines(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Puts tags of events on lines of their own; a line that begins with # is a comment."""
    for line in lines:
        if b"<" not in line or line.lstrip().startswith(b"#") or _TAG.fullmatch(line.strip()):
            yield line
            continue
        for piece in _TAG.split(line):
            if piece.strip():
                yield piece if piece.endswith(b"\n") else piece + b"\n"


def _les_houches_events(path: str, lines: Iterator[bytes]) -> Iterator[bytes]:
    end = END[Format.LES_HOUCHES]
    number, comment = 0, False
    for line in lines:
        text = line.strip()
        if comment or text.startswith(b"<!--"):
            comment = b"-->" not in text
        elif _EVENT_BEGIN.match(line):
            number += 1
            yield _les_houches_event(path, number, line, lines)
        elif text.startswith(end):
            _check_text_after_end(path, lines)
            return
        elif text.startswith(_EVENT_END):
            raise InputError(f"{path}: after event {number}: expected <event>, found {_EVENT_END.decode()}")
        elif text and not text.startswith((b"#", b"<")):
            raise InputError(
                f"{path}: after event {number}: expected <event> or {end.decode()}, found {excerpt_of_text(line)}"
            )
    raise cut_off_file_error(path, Format.LES_HOUCHES, f" after event {number}")


def _les_houches_event(path: str, number: int, line: bytes, lines: Iterator[bytes]) -> bytes:
    kept, size = [line], len(line)
    for following in lines:
        if _EVENT_BEGIN.match(following) or following.lstrip().startswith(END[Format.LES_HOUCHES]):
            raise InputError(
                f"{path}: event {number}: expected {_EVENT_END.decode()}, found {excerpt_of_text(following)}"
            )
        kept.append(following)
        size += len(following)
        if following.lstrip().startswith(_EVENT_END):
            return b"".join(kept)
        if size > event_text.MAX_EVENT:
            raise endless_event_error(path, f"event {number}")
    raise cut_off_file_error(path, Format.LES_HOUCHES, f", and event {number} has no {_EVENT_END.decode()}")


def _check_text_after_end(path: str, lines: Iterator[bytes]) -> None:
    """Refuses tags behind the end of a Les Houches file; text and comments may stand there."""
    comment = False
    for line in lines:
        if comment or line.lstrip().startswith(b"<!--"):
            comment = b"-->" not in line
        elif b"<" in line and not line.lstrip().startswith(b"#"):
            raise joined_files_error(path, Format.LES_HOUCHES, line)


def split_hepmc(path: str, written: Format, lines: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Splits a HepMC file into its header and its events, each of which begins with a line E.

    Args:
      path: the file's name, for errors.
      written: `HEPMC2` or `HEPMC3`.
      lines: its lines.

    Returns:
      The text before the first event, and the text of each event; the end of the file is checked as the last event is
      taken.

    Raises:
      InputError: a part is missing, is not where it belongs, or is too large.

    >>> text = b"HepMC::Asciiv3-START_EVENT_LISTING|E 0 0 0|E 1 0 0|HepMC::Asciiv3-END_EVENT_LISTING|".split(b"|")
    >>> len(list(split_hepmc("a.hepmc", Format.HEPMC3, (line + bytes([10]) for line in text))[1]))
    2
    """
    kept: list[bytes] = []
    size = 0
    for line in lines:
        if line.startswith((b"E ", END[written])):
            return b"".join(kept), _hepmc_events(path, written, line, lines)
        if kept or _HEPMC_TITLE in line:
            kept.append(line if kept else line[line.index(_HEPMC_TITLE) :])
        size += len(line)
        if size > event_text.MAX_EVENT:
            raise endless_event_error(path, "header")
    raise cut_off_file_error(path, written, "")


def _hepmc_events(path: str, written: Format, line: bytes, lines: Iterator[bytes]) -> Iterator[bytes]:
    number = 0
    while not line.startswith(END[written]):
        number += 1
        kept, size = [line], len(line)
        for following in lines:
            if following.startswith((b"E ", _HEPMC_TITLE)):
                line = following
                break
            kept.append(following)
            size += len(following)
            if size > event_text.MAX_EVENT:
                raise endless_event_error(path, f"event {number}")
        else:
            raise cut_off_file_error(path, written, f", and event {number} may lack a part")
        if line.startswith(_HEPMC_TITLE) and not line.startswith(END[written]):
            raise InputError(
                f"{path}: event {number}: expected {END[written].decode()} or an event, found {excerpt_of_text(line)}"
            )
        yield b"".join(kept)
    for following in lines:
        if following.strip():
            raise joined_files_error(path, written, following)

"""Files of events that others generated, Les Houches or HepMC, read as chunks of whole events."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from hepjax.errors import InputError
from hepjax.physics.simulation.event_frames import split_hepmc, split_les_houches
from hepjax.physics.simulation.event_text import END, Chunk, Format, excerpt_of_text

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CHUNK = 1 << 23
"""Bytes: a chunk ends with the event that reaches this."""
_MAX_LINE = 1 << 24
_BEGINNING = 4096
"""Bytes from which the format of a file is known."""
_OTHERS = {b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"7z\xbc\xaf\x27\x1c": "7z", b"\x04\x22\x4d\x18": "lz4"}
"""Compressions that are known by the first bytes, and not read."""


def read_event_chunks(path: str | Path, size: int = 100) -> Iterator[Chunk]:
    """Reads the events of a file, several at a time, in order.

    The format follows from the content, not from the name; the file may be compressed by gzip, bzip2 or xz. The memory
    needed does not depend on the number of events.

    Args:
      path: a Les Houches event file, or HepMC 2 or 3 in ASCII.
      size: events per chunk; large events make fewer, `MAX_CHUNK` bytes or little more.

    Yields:
      Chunks; together they hold each event once.

    Raises:
      InputError: the file is missing, is something else, has no events, or is damaged or cut off.

    >>> [len(chunk.events) for chunk in read_event_chunks("events.lhe.gz", 100)]  # doctest: +SKIP
    [100, 100, 37]
    """
    if size < 1:
        raise InputError(f"size: expected at least one event per chunk, found {size}")
    path = str(path)
    events = 0
    try:
        _check_regular_file(path)
        with open(path, "rb") as file, _open_event_text(path, file) as text:  # noqa: PTH123 — one way for all
            written = _recognize_event_format(path, text.read(_BEGINNING))
            text.seek(0)
            for chunk in _group_events_in_chunks(path, written, text, size):
                yield chunk
                events += len(chunk.events)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise _damaged_file_error(path, events, error) from error
    except OSError as error:
        if error.errno is None:  # from a decompressor, not from the system
            raise _damaged_file_error(path, events, error) from error
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be read ({reason}); give a file of Les Houches or HepMC events") from error


def _damaged_file_error(path: str, events: int, error: Exception) -> InputError:
    return InputError(
        f"{path}: damaged or cut off after event {events} or a little later ({error}); fetch or make it anew"
    )


def _check_regular_file(path: str) -> None:
    """Refuses pipes and devices, which cannot be read twice and may never end."""
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{path}: cannot be read (no regular file); give a file of Les Houches or HepMC events")


def _open_event_text(path: str, file: IO[bytes]) -> IO[bytes]:
    """Opens the text of a file that may be compressed, as its first bytes say."""
    first = file.read(6)
    file.seek(0)
    if first.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if first.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.BZ2File(file))
    if first == b"\xfd7zXZ\0":
        return cast("IO[bytes]", lzma.LZMAFile(file))
    for magic, name in _OTHERS.items():
        if first.startswith(magic):
            raise InputError(f"{path}: compressed by {name}; decompress it first, or compress it by gzip, bzip2 or xz")
    return file


def _recognize_event_format(path: str, beginning: bytes) -> Format:
    """Recognizes the format of a file by its first bytes."""
    if not beginning.strip():
        raise InputError(f"{path}: expected Les Houches or HepMC events, found an empty file; make it anew")
    if b"<LesHouchesEvents" in beginning:
        version = re.search(rb"<LesHouchesEvents[^>\n]*\bversion\s*=\s*[\"']([^\"']*)", beginning)
        if version is None or version[1][:1] not in (b"1", b"2", b"3"):
            words = excerpt_of_text(version[1]) if version else "none"
            raise InputError(f"{path}: expected Les Houches events of version 1, 2 or 3, found version {words}")
        return Format.LES_HOUCHES
    for written in (Format.HEPMC2, Format.HEPMC3):
        if END[written].replace(b"END", b"START") in beginning:
            return written
    raise InputError(
        f"{path}: expected Les Houches events (<LesHouchesEvents version=...>) or HepMC events in ASCII (IO_GenEvent "
        "or Asciiv3), plain or compressed by gzip, bzip2 or xz, found "
        f"{excerpt_of_text(beginning.lstrip())}; convert it"
    )


def _group_events_in_chunks(path: str, written: Format, text: IO[bytes], size: int) -> Iterator[Chunk]:
    """Groups the events of an open file into chunks."""
    lines = _event_file_lines(path, text)
    if written is Format.LES_HOUCHES:
        header, events = split_les_houches(path, lines)
    else:
        header, events = split_hepmc(path, written, lines)
    group: list[bytes] = []
    first, held = 1, 0
    for event in events:
        group.append(event)
        held += len(event)
        if len(group) == size or held >= MAX_CHUNK:
            yield Chunk(path, written, header, tuple(group), first)
            first, held, group = first + len(group), 0, []
    if group:
        yield Chunk(path, written, header, tuple(group), first)
    elif first == 1:
        raise InputError(f"{path}: expected events, found none after its header; make it anew")


def _event_file_lines(path: str, text: IO[bytes]) -> Iterator[bytes]:
    while line := text.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
            raise InputError(f"{path}: expected lines of text, found one of {_MAX_LINE} bytes or more; make it anew")
        yield line

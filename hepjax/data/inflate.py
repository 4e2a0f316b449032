"""Any part of a deflated member of a ZIP archive, without decoding it from its beginning each time."""

from __future__ import annotations

import struct
import threading
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import zipfile

_APART = 2**26
"""The decoded bytes between two places at which the decoder's state is kept, which takes 50 kB."""
_PACKED, _PIECE = 2**18, 2**24
"""The packed bytes that are read at a time, and the most that are decoded at a time."""
_HEADER = struct.Struct("<4s22xHH")
"""The header of a member: its signature, and the lengths of its name and of what follows that."""


class _State(NamedTuple):
    """A decoder somewhere in a member."""

    place: int
    """The bytes that it has given."""
    offset: int
    """The place in the archive of the next packed byte."""
    checksum: int
    """The checksum of all bytes that it has given."""
    decoder: Any


class InflateStates:
    """States of the decoder of one member, at its beginning, every 64 MiB, and where the last read has ended.

    So reads that follow each other decode each byte once, and any other read decodes 64 MiB too many at most.
    """

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        """Finds the beginning of the data.

        Args:
          archive: open.
          member: compressed by deflate.

        Raises:
          ValueError: the member does not begin where the archive says.
        """
        file: Any = archive.fp
        file.seek(member.header_offset)
        signature, name, extra = _HEADER.unpack(file.read(_HEADER.size))
        if signature != b"PK\3\4":
            raise ValueError("the member is not where the archive says")
        offset = member.header_offset + _HEADER.size + name + extra
        self._size, self._checksum, self._end = member.file_size, member.CRC, offset + member.compress_size
        self._states = [_State(0, offset, 0, zlib.decompressobj(-zlib.MAX_WBITS))]
        self._last = self._states[0]
        self._lock = threading.Lock()

    def read(self, archive: zipfile.ZipFile, start: int, stop: int) -> bytes:
        """Decodes a part.

        Args:
          archive: the same file, opened by this thread.
          start: its first byte, counted from the beginning of the decoded member.
          stop: the byte behind its last.

        Returns:
          The bytes; too few where the member ends before.

        Raises:
          ValueError: the checksum of the member is wrong, which is seen when its end is reached.
          zlib.error: the member is damaged.
        """
        with self._lock:
            state = max((x for x in (*self._states, self._last) if x.place <= start), key=lambda x: x.place)
            if state.place >= max(self._states[-1].place, self._last.place):
                # Nobody has been further: those who go on from here wait, for they would decode the same.
                return self._advance(archive, state, start, stop)
        return self._advance(archive, state, start, stop)

    def _advance(self, archive: zipfile.ZipFile, state: _State, start: int, stop: int) -> bytes:
        decoder, parts = state.decoder.copy(), []
        place, offset, checksum = state.place, state.offset, state.checksum
        while place < stop:
            goal = min(start if place < start else stop, self._states[-1].place + _APART)
            goal = goal if goal > place else (start if place < start else stop)
            piece, offset = inflate(archive.fp, decoder, offset, self._end, min(goal - place, _PIECE))
            if not piece:
                break
            checksum = zlib.crc32(piece, checksum)
            if place >= start:
                parts.append(piece)
            place += len(piece)
            if place >= self._states[-1].place + _APART:
                self._states.append(_State(place, offset, checksum, decoder.copy()))
        if place == self._size and checksum != self._checksum:
            raise ValueError("wrong checksum")
        self._last = _State(place, offset, checksum, decoder)
        return b"".join(parts)


def inflate(file: Any, decoder: Any, offset: int, end: int, most: int) -> tuple[bytes, int]:
    """Decodes the next bytes of a deflated stream.

    Args:
      file: the archive.
      decoder: of zlib, which is changed.
      offset: the place in the archive of the next packed byte.
      end: the place behind the last one.
      most: bytes to decode.

    Returns:
      One byte or more, or none at the end of the stream; and the place of the next packed byte.
    """
    piece = b""
    while not piece and not decoder.eof:
        file.seek(offset)
        packed = file.read(max(0, min(_PACKED, end - offset)))
        piece = decoder.decompress(packed, most)
        offset += len(packed) - len(decoder.unconsumed_tail)
        if not packed and not piece:
            break
    return piece, offset

"""The body of an answer, piece by piece; a server that gives too little, or too slowly, is given up."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from hepjax.data.atomic_hdf5 import escape_control_characters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from hepjax.data.download._records import Retry

MAGIC = {
    ".h5": b"\x89HDF\r\n\x1a\n",
    ".hdf5": b"\x89HDF\r\n\x1a\n",
    ".root": b"root",
    ".parquet": b"PAR1",
    ".npz": b"PK\3\4",
    ".gz": b"\x1f\x8b",
    ".tar": b"",
}
"""The end of a file's name → its first bytes; a plain archive begins with a name, which may be any."""
PAGE = b"<"
"""The first bytes of web pages, by which they are told from files of jets."""
PATIENCE = 3
"""The head of an answer, or one piece of it, may take so many times as long as a server may be silent."""
_CHUNK = 1 << 16  # small enough that a cut connection loses little
_LONGEST = max(map(len, MAGIC.values()))
_LARGEST = 1 << 38
"""Bytes of an archive, at most."""


class TryAgain(Exception):  # noqa: N818 - it is a signal, not an error
    """The signal for a failed attempt that is worth repeating."""

    def __init__(self, reason: str, wait: float = 0.0, *, unreachable: bool = False, slow: bool = False) -> None:
        super().__init__(escape_control_characters(reason)[:300])
        self.wait = wait
        self.unreachable = unreachable
        self.slow = slow


def pieces(response: requests.Response, retry: Retry, most: int = _LARGEST) -> Iterator[bytes]:
    """Yields the body of a response as it comes; gives up where it comes too slowly, or is longer than `most`."""
    began, before, done = time.monotonic(), 0, 0
    with _given_up_when_silent(response, PATIENCE * retry.timeout) as came:
        while piece := _beginning(response) if not done else response.raw.read1(_CHUNK, decode_content=False):
            came()
            done += len(piece)
            if done > most:
                raise TryAgain(f"the server sent more than {most} bytes")
            yield piece
            seconds = time.monotonic() - began
            if seconds >= retry.timeout:
                if done - before < retry.slowest * seconds:
                    raise TryAgain(f"{(done - before) / seconds:.0f} bytes a second came, too few to go on", slow=True)
                began, before = time.monotonic(), done


@contextlib.contextmanager
def _given_up_when_silent(response: requests.Response, seconds: float) -> Iterator[Callable[[], None]]:
    """Closes a connection on which no whole piece comes for so long, be it that bytes come, of the size of a piece.

    Args:
      response: whose body is read inside the `with`.
      seconds: the longest time for one piece.

    Yields:
      The function to call after each piece.

    Raises:
      TryAgain: none came.
    """
    connection, last, silent, ended = response.raw.connection, time.monotonic(), threading.Event(), threading.Event()

    def came() -> None:
        nonlocal last
        last = time.monotonic()

    def watch() -> None:
        while not ended.wait(max(last + seconds - time.monotonic(), 0.01)):
            if time.monotonic() - last >= seconds:
                silent.set()
                with contextlib.suppress(OSError, AttributeError):  # it may be closed already
                    connection.sock.shutdown(socket.SHUT_RDWR)
                return

    threading.Thread(target=watch, daemon=True).start()
    problem = f"nothing whole came in {seconds:.0f} s"
    try:
        yield came
    except Exception as error:
        if silent.is_set():
            raise TryAgain(problem, slow=True) from error
        raise
    finally:
        ended.set()
    if silent.is_set():
        raise TryAgain(problem, slow=True)


def _beginning(response: requests.Response) -> bytes:
    """The first bytes of a body, enough to tell what it is."""
    piece: bytes = response.raw.read1(_CHUNK, decode_content=False)
    while piece and len(piece) < _LONGEST:
        more = response.raw.read1(_CHUNK, decode_content=False)
        if not more:
            break
        piece += more
    return piece

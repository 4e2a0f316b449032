"""Open files and what was decoded last, which readers keep between two reads so as not to decode it again."""

from __future__ import annotations

import collections
import contextlib
import os
import threading
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.data.remote import RemotePath

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

_HANDLES = 16
"""Open files that are kept."""
_BYTES = 2**28
"""Bytes of what is kept that was decoded."""


class Handle(NamedTuple):
    """An open file, and what closes it."""

    key: tuple[Hashable, Hashable]
    """The file as it was when it was opened, and the name of what is open."""
    value: Any
    stack: contextlib.ExitStack


class Kept:
    """Open files and decoded parts of them, for all threads of a process; bounded, the oldest go first.

    Whatever is kept belongs to a file as it was: one that has changed is opened anew. Other processes begin with
    nothing.
    """

    def __init__(self, most: int = _BYTES) -> None:
        """Makes an empty one.

        Args:
          most: bytes of what is kept that was decoded.
        """
        self.most = most
        self._lock = threading.Lock()
        self._idle: list[Handle] = []
        # Files that nobody holds any more are closed in order, even where they would be collected with their readers.
        weakref.finalize(self, _close, self._idle)
        self._values: collections.OrderedDict[Hashable, tuple[Future[Any], int]] = collections.OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        """What is open stays in its process."""
        return Kept, (self.most,)

    @contextlib.contextmanager
    def opened(
        self, path: Path, opens: Callable[[], AbstractContextManager[Any]], name: Hashable = ""
    ) -> Iterator[Any]:
        """Gives an open file to one thread at a time; it stays open unless an error is raised.

        Args:
          path: of the file.
          opens: opens it.
          name: of what is opened, where that is not the whole file.

        Yields:
          What `opens` gives.
        """
        handle = self.take(path, name) or self.open(path, opens())
        with handle.stack:
            yield handle.value
            self.give_back(name, handle)

    def open(self, path: Path, opens: AbstractContextManager[Any]) -> Handle:
        """Opens what `give_back` may keep.

        Args:
          path: of the file.
          opens: gives what is opened, and closes it.

        Returns:
          What is open; its `stack` closes it.
        """
        stack = contextlib.ExitStack()
        stamp = _stamp(path)
        return Handle((stamp, ""), stack.enter_context(opens), stack)

    def take(self, path: Path, name: Hashable) -> Handle | None:
        """Takes what is open, of the file as it is now, and not in use; None where nothing is."""
        key = (_stamp(path), name)
        with self._lock:
            place = next((i for i, handle in enumerate(self._idle) if handle.key == key), None)
            return None if place is None else self._idle.pop(place)

    def give_back(self, name: Hashable, handle: Handle) -> None:
        """Keeps what is open for the next that takes it by this name, and empties its stack."""
        with self._lock:
            self._idle.append(Handle((handle.key[0], name), handle.value, handle.stack.pop_all()))
            old = self._idle.pop(0) if len(self._idle) > _HANDLES else None
        if old is not None:
            old.stack.close()

    def decoded(self, path: Path, name: Hashable, decode: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        """Decodes a part of a file once for all threads, as long as it is kept.

        Args:
          path: of the file.
          name: of the part.
          decode: gives it.
          size: its bytes.

        Returns:
          What `decode` gives, which nobody may change.
        """
        key = (_stamp(path), name)
        with self._lock:
            held = self._values.get(key)
            future: Future[Any] = Future() if held is None else held[0]
            if held is None:
                self._values[key] = (future, 0)
            self._values.move_to_end(key)
        if held is not None:
            return future.result()
        try:
            future.set_result(decode())
        except BaseException as error:
            with self._lock:
                del self._values[key]
            future.set_exception(error)
            raise
        self._note_size(key, size(future.result()))
        return future.result()

    def close(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._values.clear()
            idle = self._idle.copy()
            self._idle.clear()
        _close(idle)

    def _note_size(self, key: Hashable, size: int) -> None:
        """Notes how large a part is, and forgets the oldest ones where all together are too large."""
        with self._lock:
            if key in self._values:
                self._values[key] = (self._values[key][0], size)
            while self._values and sum(size for _, size in self._values.values()) > self.most:
                self._values.popitem(last=False)


def _close(handles: list[Handle]) -> None:
    while handles:
        handles.pop().stack.close()


def _stamp(path: Path) -> Hashable:
    """What tells a file, and its present content, from others; and the process, for children share open files."""
    if isinstance(path, RemotePath):
        return os.getpid(), path.address
    try:
        status = path.stat()
    except OSError:  # whoever opens it says what is wrong
        return os.getpid(), str(path)
    return os.getpid(), str(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

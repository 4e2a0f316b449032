"""Files on other machines, by their addresses (https://, root://, s3://): read piece by piece, as local files are.

fsspec knows the protocols. Only the bytes that a reader asks for are fetched; what fails is tried again.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import io
import os
import re
import sys
import threading
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from hepjax.errors import InputError, file_problem, import_extra, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(:.*:)?//", re.DOTALL)
_BLOCK, _BLOCKS = 2**16, 64
"""Small reads fetch a block of so many bytes; so many blocks are kept."""
_DELAYS = (0.5, 2.0, 8.0)
"""Seconds to wait before what failed is tried again."""
_SILENT = 30.0
"""Seconds without an answer after which an attempt has failed."""
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers of a server that may be others a little later."""
_PACKAGES = {
    "http": "'hepjax[remote]'", "https": "'hepjax[remote]'", "root": "fsspec-xrootd", "s3": "s3fs", "gs": "gcsfs",
    "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs", "sftp": "paramiko", "ssh": "paramiko", "hf": "huggingface_hub",
}  # fmt: skip
"""Protocol → what pip installs for it."""
_ONE_READER = threading.RLock()
"""Of HDF5 files on other machines."""


class RemotePath(type(Path())):  # type: ignore[misc]  # the class of this system's paths
    """An address that stands where a path is expected; a plain path would lose one of two slashes."""

    address = ""

    def __new__(cls, address: str) -> RemotePath:
        """Makes the path."""
        path: RemotePath = super().__new__(cls, address)
        path.address = address
        return path

    def __init__(self, address: str) -> None:
        """Keeps the address as it is."""
        if sys.version_info >= (3, 12):
            super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        """The address; a path that was derived from one is no address."""
        return self.address or super().__str__()

    def with_segments(self, *segments: str) -> Path:
        """Makes paths that are derived from this one."""
        return Path(*segments)

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes get the address, too."""
        return RemotePath, (self.address,)

    @property
    def name(self) -> str:
        """The last part of the path, without the query behind it."""
        return PurePosixPath(urlsplit(self.address).path).name

    def resolve(self, strict: bool = False) -> RemotePath:  # noqa: ARG002 - the interface of paths
        """The same: an address does not depend on a folder."""
        return self


def path_of(text: str | os.PathLike[str]) -> Path:
    """Returns the path of a file, or its address where it lies on another machine.

    Args:
      text: a path, an address such as https://host/jets.root, or file:///path.

    Raises:
      InputError: the address is a chain of several, or names a file of another machine by file://.

    >>> path_of("jets.h5"), str(path_of("https://host//a.root?x=1")), path_of("file:///data/a%20b.h5")
    (PosixPath('jets.h5'), 'https://host//a.root?x=1', PosixPath('/data/a b.h5'))
    """
    words = os.fspath(text)
    if isinstance(text, RemotePath) or not _ADDRESS.match(words):
        return text if isinstance(text, Path) else Path(words)
    if "::" in words:
        raise InputError(f"{words}: a chain of addresses, which is not followed; give the address of the file itself")
    scheme, _, rest = words.partition("://")
    if scheme.lower() in ("file", "local"):
        host, slash, path = rest.partition("/")
        if host not in ("", "localhost") or not slash:
            raise InputError(f"{words}: expected file:///PATH; give the path itself")
        return Path(unquote(f"/{path}"))
    return RemotePath(words)


def split_address(path: RemotePath, ends: str) -> tuple[RemotePath, str | None]:
    """Splits an address with a tree behind its path into the address of the file and the tree.

    Args:
      path: the tree stands behind the path and before the query, so that neither a port nor a query is taken for it.
      ends: of file names that may have trees, as alternatives of a regular expression.

    >>> split_address(RemotePath("https://host:80/a.root:events?token=b:c"), "root|npz")[1]
    'events'
    """
    pattern = rf"([^/]+//[^/?]*/[^?]*?\.(?:{ends})):([^?]+)(\?.*)?"
    parts = re.fullmatch(pattern, path.address, re.DOTALL | re.IGNORECASE)
    return (RemotePath(f"{parts[1]}{parts[3] or ''}"), parts[2]) if parts else (path, None)


def file_identity(path: Path) -> tuple[Any, ...]:
    """Returns what tells a file from all others, whatever its names are.

    Args:
      path: of the file.

    Raises:
      OSError: there is no such file on this machine.

    >>> file_identity(RemotePath("https://host/a.root"))
    ('https://host/a.root',)
    """
    if isinstance(path, RemotePath):
        return (path.address,)
    status = path.stat()
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def open_source(path: Path, kind: str, *, raises: bool = True) -> Iterator[Path | RemoteFile]:
    """Gives what a library can read: the path of a local file, or an open remote one.

    Args:
      path: of the file.
      kind: what it should be, for messages.
      raises: whether a read that fails raises its error at once; otherwise it gives zeros, as HDF5 needs it, and the
        error is raised at the end of the context.

    Yields:
      The path, or a file to seek and read in.

    Raises:
      InputError: there is no such file, or it cannot be reached or read in pieces, in whatever words the library that
        reads it says so.
    """
    if not isinstance(path, RemotePath):
        if problem := file_problem(path):
            raise InputError(f"{path}: {problem}; give {kind}")
        yield path
        return
    with contextlib.nullcontext() if raises else _without_collection(), RemoteFile(path, raises=raises) as file:
        try:
            yield file
        except Exception as error:
            if file.failure and str(error) != file.failure:
                raise InputError(file.failure) from error
            raise
        if file.failure:
            raise InputError(file.failure)


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Keeps other threads from collecting garbage, one reader at a time.

    h5py holds its lock while it waits for the network, and fsspec's thread, where it collects an object of h5py, would
    wait for that lock for ever. Opening the file inside of this context waits for that thread first, so that it is
    collecting nothing.
    """
    with _ONE_READER:
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()


def source_size(source: Path | RemoteFile) -> int:
    """Returns the bytes of what `open_source` gives."""
    return source.size if isinstance(source, RemoteFile) else source.stat().st_size


class RemoteFile(io.RawIOBase):
    """A file on another machine, of which only the pieces that are read are fetched."""

    def __init__(self, path: RemotePath, *, raises: bool = True) -> None:
        """Asks the server for its size.

        Args:
          path: the address.
          raises: as in `open_source`.

        Raises:
          InputError: a package is missing, there is no such file, or it cannot be read in pieces.
        """
        super().__init__()
        self.path, self._place, self._raises = path, 0, raises
        self.failure = ""
        """Why a read has failed. Not the error: its traceback would keep buffers of libraries that are freed."""
        self._blocks: collections.OrderedDict[int, bytes] = collections.OrderedDict()
        self._file: Any = self._patiently(lambda: _open(path))
        size = getattr(self._file, "size", None)
        if size is None:
            raise InputError(
                f"{path}: the server sends it as a whole only, not in pieces; download it and give its path"
            )
        self.size = int(size)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The next byte to be read."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a byte; nothing is fetched."""
        self._place = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.size}[whence])
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer, as far as the file goes."""
        with memoryview(buffer) as given, given.cast("B") as view:
            del buffer, given  # tracebacks may keep them when HDF5 has freed the memory, and crash Python at its end
            size = max(0, min(len(view), self.size - self._place))
            try:
                view[:size] = self._bytes(self._place, self._place + size) if not self.failure else bytes(size)
            except InputError:
                if self._raises:
                    raise
                view[:size] = bytes(size)  # HDF5 crashes where a read fails
        self._place += size
        return size

    def close(self) -> None:
        """Closes the connection."""
        if not self.closed and getattr(self, "_file", None) is not None:
            self._file.close()
        super().close()

    def _bytes(self, start: int, stop: int) -> bytes:
        if stop - start >= _BLOCK:
            return self._fetch(start, stop)
        pieces = []
        for block in range(start // _BLOCK, -(-stop // _BLOCK)):
            first = block * _BLOCK
            if block not in self._blocks:
                self._blocks[block] = self._fetch(first, min(first + _BLOCK, self.size))
            self._blocks.move_to_end(block)
            pieces.append(self._blocks[block][max(start - first, 0) : stop - first])
            if len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        return b"".join(pieces)

    def _fetch(self, start: int, stop: int) -> bytes:
        def fetch() -> bytes:
            self._file.seek(start)
            data: bytes = self._file.read(stop - start)
            if len(data) != stop - start:
                raise ConnectionError(f"{len(data)} of {stop - start} bytes came")
            return data

        data: bytes = self._patiently(fetch)
        return data

    def _patiently(self, work: Callable[[], Any]) -> Any:
        """Does what may fail for a while, several times."""
        for delay in (*_DELAYS, None):
            try:
                return work()
            except InputError:
                raise
            except Exception as error:  # each protocol has errors of its own
                reason, transient = _reason(error)
                if delay is None or not transient:
                    remedy = "try again later, or download it" if transient else "look at the address, or download it"
                    self.failure = f"{self.path}: {reason}; {remedy} and give its path"
                    raise InputError(self.failure) from error
                time.sleep(delay)
        raise AssertionError


def _open(path: RemotePath) -> Any:
    """Opens an address by its protocol, without a cache."""
    fsspec = import_extra("fsspec", "remote", path)
    protocol = path.address.partition("://")[0].lower()
    options: dict[str, Any] = {}
    try:
        kind = fsspec.get_filesystem_class(protocol)
        if protocol in ("http", "https"):
            timeout = import_extra("aiohttp", "remote", path).ClientTimeout(
                None, sock_connect=_SILENT, sock_read=_SILENT
            )
            options["client_kwargs"] = {"timeout": timeout}
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        remedy = f"pip install {package}" if package else one_line(error)
        raise InputError(f"{path}: the protocol {protocol} needs a further package; {remedy}") from error
    except ValueError as error:
        raise InputError(
            f"{path}: fsspec knows no protocol {protocol}; give a path, or https://, root:// or s3://"
        ) from error
    if issubclass(kind, fsspec.get_filesystem_class("file")) or protocol in ("memory", "data", "reference", "dir"):
        raise InputError(f"{path}: {protocol}:// is no other machine; give the path of a file")
    system, inside = fsspec.core.url_to_fs(path.address, **options)
    return system.open(inside, "rb", cache_type="none")


def _reason(error: BaseException) -> tuple[str, bool]:
    """What went wrong, in words, and whether it may go well a little later."""
    chain: list[Any] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    status = next((each.status for each in chain if isinstance(getattr(each, "status", None), int)), None)
    if status is not None:
        return f"the server answers {status}{' (no such file)' if status == 404 else ''}", status in _TRANSIENT
    if isinstance(error, FileNotFoundError) and len(chain) == 1:
        return "no such file", False
    if "range requests" in str(error):
        return "the server sends it as a whole only, not in pieces", False
    if isinstance(error, PermissionError | ValueError | TypeError):
        return f"cannot be read ({one_line(error)})", False
    return f"the connection failed ({one_line(chain[-1])})", True

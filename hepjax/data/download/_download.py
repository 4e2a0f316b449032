"""Resumable download of an archive from a web server, and its verification."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import logging
import queue
import shutil
import threading
import time
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import pooch
import requests
import urllib3

from hepjax.data.atomic_hdf5 import escape_control_characters
from hepjax.data.download._body import MAGIC, PAGE, PATIENCE, TryAgain, pieces
from hepjax.errors import InputError, file_problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hepjax.data.download._records import Archive, Progress, Retry, Source

_log = logging.getLogger(__name__)

_LARGEST_LISTING = 1 << 24
"""Bytes of the list of a record's files, at most."""
_MAX_REDIRECTS = 5
_MALFORMED = (ValueError, UnicodeError, urllib3.exceptions.LocationParseError)
"""The errors that requests raises for a malformed address; some are of its own exceptions as well."""
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def with_listed_checksum(archive: Archive, page: str, retry: Retry) -> Archive:
    """Adds the size and MD5 sum that the record lists; returns the archive unchanged if there is no listing."""
    address = page.replace("/records/", "/api/records/")
    if address == page:  # no record of Zenodo
        return archive
    try:
        with (
            requests.Session() as session,
            _open_response(session, address, {"Accept": "application/json"}, retry) as response,
        ):
            response.raise_for_status()
            text = b"".join(pieces(response, retry, _LARGEST_LISTING))
        listed = {file["key"]: file for file in json.loads(text)["files"]}[archive.name]
        algorithm, _, digest = str(listed["checksum"]).rpartition(":")
        return archive._replace(md5=digest if algorithm in ("", "md5") else None, size=int(listed["size"]))
    except (
        requests.RequestException, urllib3.exceptions.HTTPError, InputError, ValueError, LookupError, TypeError,
        OverflowError, RecursionError, TryAgain,
    ) as error:  # fmt: skip
        _log.info("%s lists no checksum for %s (%s); trusting the first download", address, archive.name, error)
        return archive


def verify_archive(path: Path, archive: Archive, recorded: str | None, report: Progress) -> tuple[str, str]:
    """Returns the SHA-256 sum of a complete archive, and a description of its problem (empty if it is valid)."""
    size = path.stat().st_size
    report(f"verifying {archive.name}", 0, size)
    if archive.size is not None and size != archive.size:
        return "", f"has {size} bytes, expected {archive.size}"
    if archive.md5 and (md5 := pooch.file_hash(str(path), alg="md5")) != archive.md5.lower():
        return "", f"has the MD5 sum {md5}, expected {archive.md5}"
    if archive.adler32 and (adler := _adler32(path)) != archive.adler32.lower():
        return "", f"has the Adler-32 checksum {adler}, expected {archive.adler32}"
    sha256 = str(pooch.file_hash(str(path)))
    report(f"verifying {archive.name}", size, size)
    if recorded and sha256 != recorded:
        problem = (
            f"has the SHA-256 sum {sha256}, expected {recorded} as recorded when it was first fetched (to accept a "
            f"changed archive, delete {archive.name}.sha256)"
        )
        return sha256, problem
    return sha256, ""


def _adler32(path: Path) -> str:
    checksum = 1
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            checksum = zlib.adler32(piece, checksum)
    return f"{checksum:08x}"


def download(path: Path, archive: Archive, recorded: str | None, source: Source, retry: Retry, report: Progress) -> str:
    """Downloads to `path`, resumes an earlier run, and returns the SHA-256 sum."""
    address, page = source.address_of(archive), source.page
    part = path.with_name(f"{path.name}.part")
    if part.exists() and (other := file_problem(part)):
        raise InputError(f"{part}: {other}. Delete it and run again")
    failures, furthest = 0, _partial_size(part)
    with requests.Session() as session:
        while True:
            try:
                sha256 = _attempt_and_verify(session, address, part, archive, recorded, retry, report)
                break
            except TryAgain as problem:
                if _partial_size(part) > furthest and not problem.slow:
                    failures, furthest = 0, _partial_size(part)
                # A server that never sent a byte is probably unreachable, so that waiting does not help.
                allowed = min(1, len(retry.delays)) if problem.unreachable and not furthest else len(retry.delays)
                if failures >= allowed:
                    raise InputError(
                        f"{address}: {problem}. Run again to go on, or download {archive.name} from {page} by hand, "
                        f"put it into {part.parent}, and run again"
                    ) from problem
                wait = max(retry.delays[failures], min(problem.wait, retry.longest))
                _log.warning("%s: %s; trying again in %.0f s", archive.name, problem, wait)
                time.sleep(wait)
                failures += 1
    part.replace(path)
    _discard_partial_download(part)
    return sha256


def _attempt_and_verify(
    session: requests.Session,
    address: str,
    part: Path,
    archive: Archive,
    recorded: str | None,
    retry: Retry,
    report: Progress,
) -> str:
    """Downloads once, and returns the SHA-256 sum if the archive is complete and valid."""
    resumed = _attempt_download(session, address, part, archive, retry, report)
    sha256, problem = verify_archive(part, archive, recorded, report)
    if problem:
        _discard_partial_download(part)  # or it would be taken up again for ever
        if resumed:
            raise TryAgain(f"the completed download {problem}")
        raise InputError(
            f"{address}: the download {problem}. It was not kept; the record has changed or the network altered it. "
            "Run again; if it stays so, compare with the sum on the record's page"
        )
    return sha256


def _attempt_download(
    session: requests.Session, address: str, part: Path, archive: Archive, retry: Retry, report: Progress
) -> bool:
    """Downloads once, as far as it goes. True where the beginning came from an earlier attempt."""
    state = _read_download_state(part)
    start = _partial_size(part) if state else 0
    if start and start == state.get("total"):
        return True
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator := state.get("etag") or state.get("modified"):
            headers["If-Range"] = validator
    try:
        with _open_response(session, address, headers, retry) as response:
            if start and response.status_code in (400, 412):  # what was noted of the part is wrong
                _discard_partial_download(part)
                raise TryAgain("the part downloaded before cannot be continued")
            _check_response_header(response, address, part)
            if response.status_code == 206:
                _check_resumed_response(response, part, start, state)
                total = state.get("total")
            else:
                start, total = 0, _content_length(response)
            if total is not None and archive.size is not None and total != archive.size:
                raise InputError(f"{address}: offers {total} bytes, expected {archive.size}: the record has changed")
            _receive_body(response, address, part, archive.name, start, total, retry=retry, report=report)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _download_error(_innermost_cause(error)) from error
    return start > 0


def _download_error(cause: BaseException) -> TryAgain:
    if isinstance(cause, http.client.IncompleteRead):
        return TryAgain("the connection ended early")
    reason = str(cause).rsplit(": ", 1)[-1]
    if isinstance(cause, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
        return TryAgain(f"cannot be reached ({reason})", unreachable=True)
    return TryAgain(f"the connection failed ({reason})")


def _innermost_cause(error: BaseException) -> BaseException:
    """Returns the original cause, because requests and urllib3 wrap their errors several times."""
    while True:
        inner = [arg for arg in (*error.args, getattr(error, "reason", None)) if isinstance(arg, BaseException)]
        if not inner:
            return error
        error = inner[-1]


def _open_response(
    session: requests.Session, address: str, headers: Mapping[str, str], retry: Retry
) -> contextlib.closing[requests.Response]:
    """Sends a GET request and follows a limited number of redirects."""
    for _ in range(_MAX_REDIRECTS + 1):
        response = _answer(session, address, headers, retry)
        if not response.is_redirect:
            return contextlib.closing(response)
        response.close()
        address = _redirect_target(address, response.headers["Location"])
    raise InputError(
        f"{escape_control_characters(address)}: redirects more than {_MAX_REDIRECTS} times. Check "
        "the network's proxy or login page"
    )


def _answer(session: requests.Session, address: str, headers: Mapping[str, str], retry: Retry) -> requests.Response:
    """Sends a GET request and waits for the head of the answer, whose bytes may come one by one, for a limited time."""
    done: queue.SimpleQueue[requests.Response | BaseException] = queue.SimpleQueue()

    def ask() -> None:
        try:
            done.put(session.get(address, headers=headers, stream=True, allow_redirects=False, timeout=retry.timeout))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = done.get(timeout=PATIENCE * retry.timeout)
    except queue.Empty:
        raise TryAgain(f"no answer in {PATIENCE * retry.timeout:.0f} s", slow=True) from None
    if isinstance(answer, requests.Response):
        return answer
    if isinstance(answer, _MALFORMED):
        words = f"{escape_control_characters(address)[:300]}: is no address ({escape_control_characters(answer)[:300]})"
        raise InputError(f"{words}. Check the network's proxy or login page") from answer
    raise answer


def _redirect_target(address: str, location: str) -> str:
    """Returns the target of a redirect; refuses to leave https for an insecure connection."""
    try:
        target = urljoin(address, location)
        scheme = urlsplit(target).scheme
    except ValueError as error:
        raise InputError(
            f"{address}: redirects to {escape_control_characters(location)[:200]}, which is no address. "
            "Check the network's proxy"
        ) from error
    if scheme not in ("https", urlsplit(address).scheme):
        raise InputError(
            f"{address}: redirects to {escape_control_characters(target)[:200]}, which is not secure. "
            "Check the network's proxy"
        )
    return target


def _check_response_header(response: requests.Response, address: str, part: Path) -> None:
    """Checks by the header that a response is the file or its missing part."""
    status = response.status_code
    if status == 416:  # the requested part does not exist
        _discard_partial_download(part)
        raise TryAgain("the part downloaded before does not fit the file any more")
    if status in _TRANSIENT:
        delay = response.headers.get("Retry-After", "")
        raise TryAgain(f"the server answers {status} {response.reason}", float(delay) if delay.isdecimal() else 0.0)
    if status not in (200, 206):
        raise InputError(
            f"{address}: the server answers {status} {escape_control_characters(response.reason)}. The "
            "record may have moved"
        )
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _other_content_error(address, part, "a web page (text/html)")


def _other_content_error(address: str, part: Path, content: str) -> InputError:
    ends = part.name.removesuffix(".part").partition(".")[2]
    kind = f"a .{ends} archive" if "tar" in ends else f"a .{ends} file"
    return InputError(
        f"{address}: the server sent {content}, expected {kind}. Check for a proxy or login page in between"
    )


def _content_length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _check_resumed_response(response: requests.Response, part: Path, start: int, state: Mapping[str, Any]) -> None:
    """Checks that a partial response starts at the end of the existing part and belongs to the same file."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    piece, _, total = rest.partition("/")
    etag = response.headers.get("ETag")
    same = etag is None or state.get("etag") is None or etag == state["etag"]
    if not (same and unit == "bytes" and piece.startswith(f"{start}-") and total == str(state.get("total"))):
        _discard_partial_download(part)
        raise TryAgain("the file changed since the download began")


def _receive_body(
    response: requests.Response,
    address: str,
    part: Path,
    name: str,
    start: int,
    total: int | None,
    *,
    retry: Retry,
    report: Progress,
) -> None:
    """Appends the body of a response to `part`, or replaces `part` if `start` is 0."""
    chunks = pieces(response, retry)
    first = next(chunks, b"")
    if start == 0:
        magic = MAGIC[PurePosixPath(name).suffix]
        if not first.startswith(magic) or first.startswith(PAGE) or not first:  # before an older part is discarded
            raise _other_content_error(address, part, f"{first[:12]!r}")
        _discard_partial_download(part)
        _write_download_state(part, response, total)
    if total is not None and shutil.disk_usage(part.parent).free < total - start:
        raise OSError(errno.ENOSPC, "no space for the rest of the file", str(part))
    done = start
    with part.open("ab") as file:
        while first:
            file.write(first)
            done += len(first)
            report(f"downloading {name}", done, total)
            first = next(chunks, b"")
    if total is not None and done != total:  # older releases of urllib3 do not raise an error
        raise TryAgain(f"the connection ended after {done} of {total} bytes")


def _partial_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _download_state_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_download_state(part: Path) -> dict[str, Any]:
    """Reads the state of a partial download; empty if it cannot be resumed."""
    path = _download_state_path(part)
    if file_problem(path):
        return {}
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(state, dict) or type(state.get("total")) is not int or state["total"] < 0:
        return {}
    # What cannot stand in a request would make every attempt fail.
    texts = [state.get("etag"), state.get("modified")]
    good = all(text is None or (isinstance(text, str) and text.isascii() and text.isprintable()) for text in texts)
    return state if good else {}


def _write_download_state(part: Path, response: requests.Response, total: int | None) -> None:
    etag = response.headers.get("ETag", "")
    state = {
        "total": total,
        "etag": etag if etag.startswith('"') else None,  # a weak ETag does not guarantee identical bytes
        "modified": response.headers.get("Last-Modified"),
    }
    _download_state_path(part).write_text(json.dumps(state))


def _discard_partial_download(part: Path) -> None:
    part.unlink(missing_ok=True)
    _download_state_path(part).unlink(missing_ok=True)

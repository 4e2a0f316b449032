"""Whatever a server sends, or an earlier run left behind, a record is fetched or refused in one clear line."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import socket
import tarfile
import threading
import time

import numpy as np
import pytest

from hepjax.data.download import Archive, Record, Retry, Source, fetch
from hepjax.errors import InputError

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(2000)
NAME = "a.tar.gz"
QUICK = Retry(delays=(0.0, 0.0), timeout=0.5, longest=0.0)
LIMIT = 20
"""Seconds of one case; most take some milliseconds."""
JUNK = (
    None, True, -1, 0, 5, 2**80, 1.5, "", "x", "ä\r\nX: y", [], {}, [1], {"a": 1}, {"../x.h5": 2008}, {"a.h5": "2008"},
    {"a.h5": None}, "[" * 100_000,
)  # fmt: skip


def packed(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


GOOD = packed([("train/a.h5", HDF5), ("train/b.h5", HDF5)])


class Server:
    """Sends to each connection the next of `replies`, the last for ever: bytes, or a function of the socket."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.replies = [b""]
        self.over = threading.Event()
        self.seen = []
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def page(self):
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/records/1"

    def serve(self):
        while not self.over.is_set():
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection:
            try:
                request = connection.recv(65536)
                if request.startswith(b"GET /api/"):
                    connection.sendall(self.listing)
                    return
                self.seen.append(request)
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                reply(connection) if callable(reply) else connection.sendall(reply)
            except OSError:
                pass

    listing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server():
    server = Server()
    yield server
    server.over.set()
    server.socket.close()


def head(length, *more, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(content=GOOD):
    return head(len(content), 'ETag: "x"') + content


def get(server, to, retry=QUICK, **known):
    archive = Archive(NAME, "train", **known)
    return fetch(Record.JETS_30P, to, sources={Record.JETS_30P: Source(server.page, (archive,))}, retry=retry)


def trickle(server, beginning, rest=b"\x1f", seconds=0.02):
    def reply(connection):
        connection.sendall(beginning)
        while not server.over.wait(seconds):
            connection.sendall(rest)

    return reply


@pytest.mark.parametrize(
    "beginning, words",
    [
        (head(10**6) + b"\x1f\x8b", "bytes a second came, too few to go on"),
        (b"HTTP/1.1 200 OK\r\nX: ", "no answer in 2 s"),
        (b"", "no answer in 2 s"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0", "nothing whole came in 2 s"),
    ],
    ids=["body", "head", "status", "size of a chunk"],
)
def test_a_trickle_is_given_up(server, tmp_path, beginning, words):
    server.replies = [trickle(server, beginning, b"0" if b"chunked" in beginning else b"\x1f")]
    began = time.monotonic()
    with pytest.raises(InputError, match=words):
        get(server, tmp_path, QUICK._replace(delays=(0.0,)))
    assert time.monotonic() - began < 6
    assert len(server.seen) == 2


def test_a_list_that_trickles_is_left_alone(server, tmp_path):
    server.listing, server.replies = head(10**6) + b"{", [whole()]
    assert len(get(server, tmp_path)) == 2


@pytest.mark.parametrize(
    "location",
    ["http://[::1", "http://", "http://a b/", "//[", "http://a:99999999/", "http://" + "a" * 70 + ".x/", "\x7f"],
)
def test_a_redirect_to_no_address(server, tmp_path, location):
    server.replies = [head(0, f"Location: {location}", status="302 Found")]
    with pytest.raises(InputError) as caught:
        get(server, tmp_path, QUICK._replace(delays=()))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "state",
    [
        b"\xff\xfe", b"[" * 100_000, b'{"total": "5"}', b'{"total": true}', b'{"total": -1}', b'{"total": 1e999}',
        json.dumps({"total": len(GOOD), "etag": ["x"]}).encode(),
        json.dumps({"total": len(GOOD), "etag": "a\nb"}).encode(),
        json.dumps({"total": len(GOOD), "etag": '"ä"'}).encode(), json.dumps({"total": 5, "modified": 3}).encode(),
        json.dumps({"total": 5, "etag": '"x"'}).encode(), json.dumps({"total": 10**12}).encode(),
    ],
)  # fmt: skip
def test_a_part_with_a_wrong_state_begins_anew(server, tmp_path, state):
    folder = tmp_path / "jets-30p"
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(b"\x1f\x8bwrong")
    (folder / f"{NAME}.part.json").write_bytes(state)
    # A server that does not like the request, then one that sends all.
    server.replies = [whole()] if b"total" not in state else [head(0, status="400 Bad Request"), whole()]
    if len(server.replies) == 2 and not state.startswith(b'{"total": 5, "etag"') and b"1000000" not in state:
        server.replies = [whole()]
    assert len(get(server, tmp_path)) == 2
    assert {path.name for path in folder.iterdir()} == {".lock", NAME, f"{NAME}.sha256", "train"}


@pytest.mark.parametrize("name", [".lock", NAME, f"{NAME}.sha256", f"{NAME}.part"])
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_named(server, tmp_path, name, kind):
    folder = tmp_path / "jets-30p"
    folder.mkdir()
    os.mkfifo(folder / name) if kind == "pipe" else (folder / name).mkdir()
    server.replies = [whole()]
    with pytest.raises(InputError, match=rf"{name}: .*(a pipe|a folder), not a file.*Delete it"):
        get(server, tmp_path)


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"<html>", b"f" * 63, b"F" * 64])
def test_a_checksum_that_is_none(server, tmp_path, text):
    (tmp_path / "jets-30p").mkdir()
    (tmp_path / "jets-30p" / f"{NAME}.sha256").write_bytes(text)
    with pytest.raises(InputError, match=r"sha256: expected a SHA-256 sum, found '.*Delete it"):
        get(server, tmp_path)
    assert not server.seen


def test_a_forged_header_takes_no_memory(server, tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    content = io.BytesIO()
    import gzip

    with gzip.open(content, "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    server.replies = [whole(content.getvalue())]
    with pytest.raises(InputError, match=r"broken archive \(a header is too large\)"):
        get(server, tmp_path)


def hostile_reply(rng):  # noqa: PLR0911 - one for each kind
    """An answer of a server that is broken or lies."""
    kind, content = rng.integers(8), GOOD
    if kind == 0:
        data = bytearray(whole())
        for place in rng.integers(len(data), size=int(rng.choice([1, 3, 30]))).tolist():
            data[place] = int(rng.integers(256))
        return bytes(data)
    if kind == 1:
        return whole()[: int(rng.integers(len(whole())))]
    if kind == 2:
        return rng.bytes(int(rng.integers(0, 500)))
    if kind == 3:
        names = ["", "/", "..", "a" * 300 + ".h5", "\udc80.h5", "train/a.h5", ".h5", "a\nb.h5", "a/../b.h5"]
        chosen = rng.choice(len(names), 2).tolist()
        return whole(packed([(names[each], HDF5[: int(rng.integers(2008))]) for each in chosen]))
    if kind == 4:
        status = str(rng.choice(["206 Partial", "200 ", "999 x", "abc", "301 Moved", "500 no", "416 no", "204 none"]))
        return head(len(GOOD), "Location: " + str(rng.choice(["", "/", "http://[", "ftp://x"])), status=status) + GOOD
    if kind == 5:
        length = str(rng.choice(["-1", "x", "9" * 30, "0", "5", "1e3", "\u0663"]))
        return head(length, f"Content-Range: bytes {length}-{length}/{length}", f"Retry-After: {length}") + GOOD
    if kind == 6:
        unpacked = bytearray(tarfile.RECORDSIZE * 2)
        with tarfile.open(fileobj=io.BytesIO(GOOD)) as tar:
            unpacked[:512] = tar.next().tobuf()
        for place in rng.integers(512, size=3).tolist():
            unpacked[place] = int(rng.integers(256))
        # The sum of a header is mended, so that what it says is believed.
        unpacked[148:156] = b"        "
        unpacked[148:156] = b"%06o\0 " % (sum(unpacked[:512]) & 0o777777)
        import gzip

        return whole(gzip.compress(bytes(unpacked), 1))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + rng.bytes(40) + b"\r\n0\r\n\r\n" + content


def hostile_folder(rng, folder):
    """What an earlier run, or somebody, left in the folder of a record."""
    folder.mkdir(parents=True)
    junk = JUNK[int(rng.integers(len(JUNK)))]
    text = junk if isinstance(junk, str) else json.dumps(junk)
    kind = rng.integers(6)
    if kind == 0:
        (folder / f"{NAME}.part").write_bytes(GOOD[: int(rng.integers(len(GOOD)))])
        state = {"total": len(GOOD), "etag": '"x"', "modified": None}
        state[str(rng.choice([*state]))] = junk
        (folder / f"{NAME}.part.json").write_text(json.dumps(state) if rng.random() < 0.7 else text)
    elif kind == 1:
        (folder / "train").mkdir()
        (folder / "train" / "a.h5").write_bytes(HDF5)
        files = junk if rng.random() < 0.6 else {"a.h5": junk}
        (folder / "train" / "manifest.json").write_text(json.dumps({"files": files}) if rng.random() < 0.8 else text)
    elif kind == 2:
        (folder / f"{NAME}.sha256").write_text(text)
    elif kind == 3:
        (folder / "train").write_text(text)
    elif kind == 4:
        (folder / NAME).write_bytes(GOOD[: int(rng.integers(len(GOOD)))])


def one_case(server, tmp_path, seed):
    rng = np.random.default_rng(seed)
    shutil.rmtree(tmp_path / "jets-30p", ignore_errors=True)
    if rng.random() < 0.5:
        hostile_folder(rng, tmp_path / "jets-30p")
    junk = JUNK[int(rng.integers(len(JUNK)))]
    listing = junk if isinstance(junk, str) else json.dumps({"files": [{"key": NAME, "size": junk, "checksum": junk}]})
    server.listing = whole(listing.encode()) if rng.random() < 0.3 else Server.listing
    server.replies = [hostile_reply(rng) for _ in range(2)] + [whole()]
    known = {"md5": hashlib.md5(GOOD, usedforsecurity=False).hexdigest()} if rng.random() < 0.3 else {}
    return get(server, tmp_path, QUICK._replace(timeout=2.0), **known)


def outcomes(server, tmp_path, seed, count):
    """How many cases were fetched and refused; anything else raises."""
    fetched = refused = 0
    for number in range(count):
        began = time.monotonic()
        try:
            files = one_case(server, tmp_path, (seed, number))
        except InputError as error:
            assert str(error).isprintable(), number  # noqa: PT017
            refused += 1
        else:
            assert all(path.is_file() for path in files), number
            fetched += 1
        assert time.monotonic() - began < LIMIT, number
    return fetched, refused


def test_hostile_servers_and_folders(server, tmp_path):
    fetched, refused = outcomes(server, tmp_path, seed=0, count=300)
    assert min(fetched, refused) > 50

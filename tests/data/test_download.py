from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import functools
import hashlib
import http.server
import io
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import zlib

import pytest

from hepjax.data.download import SOURCES, Archive, Record, Retry, Source, _download, _unpack, fetch, select, train_line
from hepjax.data.download._body import MAGIC
from hepjax.errors import InputError

HDF5 = b"\x89HDF\r\n\x1a\n"
QUICK = Retry(delays=(0.0, 0.0, 0.0), timeout=10.0, longest=0.0)
TRAIN = "hls4ml_LHCjet_30p_train.tar.gz"


def packed(members):
    """A .tar.gz of (name, bytes) pairs and ready-made TarInfo objects; its length depends on their lengths only."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=0) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


@functools.cache
def noise(seed, size=150_000):
    """Bytes that do not compress."""
    return b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(size // 32))


@functools.cache
def archive_bytes(seed=0):
    folder = tarfile.TarInfo("train")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    files = [(f"train/jetImage_7_30p_{i}_{i + 1}.h5", HDF5 + noise(seed + i)) for i in range(2)]
    return packed([folder, *files, ("train/._jetImage_7_30p_0_1.h5", b"attributes of a Mac"), ("train/README", b"x")])


@dataclasses.dataclass
class Seen:
    """A request; noted before it is answered, for the client may be done before the server is."""

    path: str
    range: str | None
    sent: int = 0


class Server(http.server.ThreadingHTTPServer):
    """Answers file requests by `answers`, one after the other, the last for ever; and lists nothing unless told."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = archive_bytes()
        self.answers = [whole]
        self.listing = None
        self.seen: list[Seen] = []
        self.over = threading.Event()

    @property
    def page(self):
        return f"http://127.0.0.1:{self.server_port}/records/3601436"

    @property
    def sent(self):
        return sum(observed.sent for observed in self.seen)

    def handle_error(self, request, client_address):
        """A client may hang up."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args):
        pass

    def do_GET(self):
        if self.path.startswith("/api/"):
            if self.server.listing is None:
                self.send_error(404)
            else:
                self.reply(200, json.dumps(self.server.listing).encode(), {"Content-Type": "application/json"})
            return
        outputs = self.server.answers
        self.server.seen.append(Seen(self.path, self.headers.get("Range")))
        (outputs.pop(0) if len(outputs) > 1 else outputs[0])(self)

    def reply(self, status, body=b"", headers=(), length=None):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.server.seen:
            self.server.seen[-1].sent = len(body)
        self.wfile.write(body)


def etag(content):
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def whole(handler, *, status=200):
    """The whole file, whatever was asked."""
    content = handler.server.content
    return handler.reply(status, content, {"ETag": etag(content)})


def ranges(handler, *, stop=None, validate=True):
    """As a good server does it: pieces on request, unless the file changed. `stop` cuts the body short."""
    content, requested = handler.server.content, handler.headers.get("Range")
    same = handler.headers.get("If-Range", etag(content)) == etag(content) or not validate
    headers = {"ETag": etag(content)}
    if requested is None or not same:
        return handler.reply(200, content[:stop], headers, length=len(content))
    start = int(requested.removeprefix("bytes=").removesuffix("-"))
    if start >= len(content):
        return handler.reply(416)
    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return handler.reply(206, content[start:][:stop], headers, length=len(content) - start)


def cut(handler):
    return ranges(handler, stop=len(handler.server.content) // 2)


def stall(handler):
    handler.server.over.wait(5)


def stall_midway(handler):
    half = len(handler.server.content) // 2
    handler.send_response(200)
    handler.send_header("ETag", etag(handler.server.content))
    handler.send_header("Content-Length", str(len(handler.server.content)))
    handler.end_headers()
    handler.wfile.write(handler.server.content[:half])
    handler.wfile.flush()
    handler.server.over.wait(5)


def html(handler):
    return handler.reply(200, b"<!DOCTYPE html><p>Please log in", {"Content-Type": "text/html; charset=utf-8"})


def refuse(status, **headers):
    def answer(handler):
        handler.reply(status, b"busy", {name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def redirect(target):
    def answer(handler):
        handler.reply(302, b"", {"Location": target})

    return answer


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def source_of(server, **known):
    return {Record.JETS_30P: Source(server.page, (Archive(TRAIN, "train", **known),))}


def get(server, to, *, retry=QUICK, progress=None, check=None, **known):
    return fetch(Record.JETS_30P, to, sources=source_of(server, **known), retry=retry, progress=progress, check=check)


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def assert_fetched(files, seed=0):
    assert [path.name for path in files] == ["jetImage_7_30p_0_1.h5", "jetImage_7_30p_1_2.h5"]
    assert [path.read_bytes() for path in files] == [HDF5 + noise(seed), HDF5 + noise(seed + 1)]


def assert_nothing_looks_finished(to):
    folder = to / "jets-30p"
    assert not (folder / "train").exists()
    assert not list(folder.rglob("*.h5"))


def test_a_good_server(server, tmp_path):
    messages = []
    files = get(server, tmp_path, progress=lambda *report: messages.append(report))
    assert_fetched(files)
    assert files[0].parent == tmp_path / "jets-30p" / "train"
    size = len(server.content)
    assert (f"downloading {TRAIN}", size, size) in messages
    assert {what.split()[0] for what, _, _ in messages} == {"downloading", "verifying", "unpacking"}
    left = {path.name for path in (tmp_path / "jets-30p").iterdir()}
    assert left == {".lock", TRAIN, f"{TRAIN}.sha256", "train"}
    assert (tmp_path / "jets-30p" / f"{TRAIN}.sha256").read_text().split() == [
        hashlib.sha256(server.content).hexdigest(),
        TRAIN,
    ]


def test_train_comes_before_val(server, tmp_path):
    archives = (Archive("a.tar.gz", "train"), Archive("b.tar.gz", "val"))
    files = fetch(Record.JETS_100P, tmp_path, sources={Record.JETS_100P: Source(server.page, archives)}, retry=QUICK)
    assert [path.parent.name for path in files] == ["train", "train", "val", "val"]
    assert [observed.path for observed in server.seen] == [
        f"/records/3601436/files/{x}.tar.gz?download=1" for x in "ab"
    ]


def test_the_second_run_downloads_nothing(server, tmp_path):
    first = get(server, tmp_path)
    (tmp_path / "jets-30p" / TRAIN).unlink()  # allowed once it is unpacked
    requests = len(server.seen)
    assert get(server, tmp_path) == first
    assert len(server.seen) == requests


def test_the_default_folder_is_the_users_cache(server, tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda project: str(tmp_path / project))
    assert get(server, None)[0].parent == tmp_path / "hepjax" / "jets-30p" / "train"


@pytest.mark.parametrize("harm", ["truncated", "deleted", "overwritten"])
def test_a_damaged_file_is_noticed(server, tmp_path, harm):
    path = get(server, tmp_path)[1]
    if harm == "deleted":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[:-1] if harm == "truncated" else b"\0" * len(content))
    with pytest.raises(InputError, match=r"jetImage_7_30p_1_2.h5: missing or changed.*Move .*train away"):
        get(server, tmp_path)


def test_a_folder_of_another_origin_is_left_alone(server, tmp_path):
    (tmp_path / "jets-30p" / "train").mkdir(parents=True)
    with pytest.raises(InputError, match="not made by"):
        get(server, tmp_path)
    assert not server.seen


def test_an_archive_placed_by_hand_needs_no_server(server, tmp_path):
    (tmp_path / "jets-30p").mkdir()
    (tmp_path / "jets-30p" / TRAIN).write_bytes(server.content)
    assert_fetched(get(server, tmp_path))
    assert not server.seen


def test_a_wrong_archive_placed_by_hand(server, tmp_path):
    (tmp_path / "jets-30p").mkdir()
    (tmp_path / "jets-30p" / TRAIN).write_bytes(server.content)
    with pytest.raises(InputError, match=r"train.tar.gz: has the MD5 sum .*expected 0000.*Delete it"):
        get(server, tmp_path, md5="0" * 32)
    with pytest.raises(InputError, match=r"has \d+ bytes, expected 5. Delete it"):
        get(server, tmp_path, size=5)


# Files that are no archives, and archives of other files.


def get_file(server, to, name="test.h5", split="test", **known):
    source = Source(server.page, (Archive(name, split, **known),))
    return fetch(Record.TOP_TAGGING, to, sources={Record.TOP_TAGGING: source}, retry=QUICK)


def test_a_file_of_jets(server, tmp_path):
    server.content = HDF5 + noise(1)
    server.answers = [cut, ranges]
    path = tmp_path / "top-tagging" / "test" / "test.h5"
    adler = f"{zlib.adler32(server.content):08x}"
    assert get_file(server, tmp_path, md5=md5(server.content), adler32=adler) == [path]
    assert path.read_bytes() == server.content
    assert server.seen[0].path == "/records/3601436/files/test.h5?download=1"
    assert server.seen[1].range is not None
    assert {file.name for file in path.parent.iterdir()} == {"test.h5", "test.h5.sha256"}
    requests = len(server.seen)
    assert get_file(server, tmp_path) == [path]
    assert len(server.seen) == requests
    path.write_bytes(server.content[:-1])
    with pytest.raises(InputError, match=r"test.h5: has changed since it was fetched. Delete it"):
        get_file(server, tmp_path)
    path.unlink()
    server.content = HDF5 + noise(2)
    with pytest.raises(InputError, match="recorded when it was first fetched"):
        get_file(server, tmp_path)
    assert not path.exists()


def test_a_file_placed_by_hand(server, tmp_path):
    path = tmp_path / "top-tagging" / "test" / "test.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(HDF5 + noise(1))
    with pytest.raises(InputError, match=r"has the Adler-32 checksum \w+, expected 00000001. Delete it"):
        get_file(server, tmp_path, adler32="00000001")
    assert get_file(server, tmp_path, md5=md5(HDF5 + noise(1))) == [path]
    assert not server.seen


@pytest.mark.parametrize("name", ["test.h5", "a.npz", "a.root", "a.parquet", "a.tar"])
def test_a_web_page_is_no_file_of_jets(server, tmp_path, name):
    server.answers = [lambda handler: handler.reply(200, b"<html>Please log in")]
    with pytest.raises(InputError, match=r"the server sent b'<html>.*expected a .*(file|archive)\."):
        get_file(server, tmp_path, name)
    assert [file.name for file in (tmp_path / "top-tagging").rglob("*") if file.is_file()] == [".lock"]


def test_a_plain_archive_of_root_files(server, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("train_100M/HToBB_000.root", "train_100M/TTBar_000.root"):
            info = tarfile.TarInfo(name)
            info.size = 1004
            tar.addfile(info, io.BytesIO(b"root" + bytes(1000)))
    server.content = buffer.getvalue()
    files = get_file(server, tmp_path, "part0.tar", "train-0")
    assert [str(path.relative_to(tmp_path)) for path in files] == [
        "top-tagging/train-0/HToBB_000.root", "top-tagging/train-0/TTBar_000.root",
    ]  # fmt: skip
    assert train_line(files) == f"hepjax train --data {tmp_path}/top-tagging/train-0"
    assert get_file(server, tmp_path, "part0.tar", "train-0") == files
    assert len(server.seen) == 1


def test_a_file_that_is_refused_is_not_finished(server, tmp_path):
    server.content = HDF5 + noise(1)
    source = {Record.TOP_TAGGING: Source(server.page, (Archive("test.h5", "test"),))}

    def check(path):
        raise InputError(f"{path}: no jets")

    with pytest.raises(InputError, match="no jets"):
        fetch(Record.TOP_TAGGING, tmp_path, sources=source, retry=QUICK, check=check)
    assert not (tmp_path / "top-tagging" / "test" / "test.h5.sha256").exists()


# Interrupted and resumed.


def test_a_cut_download_goes_on_where_it_stopped(server, tmp_path):
    server.answers = [cut, ranges]
    assert_fetched(get(server, tmp_path, md5=md5(server.content)))
    assert server.seen[0].range is None
    assert server.seen[1].range.startswith("bytes=")
    # A chunk at most is fetched twice.
    assert len(server.content) <= server.sent <= len(server.content) + (1 << 16)
    assert server.seen[1].sent < 0.75 * len(server.content)


def test_a_later_run_goes_on_where_an_earlier_one_stopped(server, tmp_path):
    server.answers = [cut]
    with pytest.raises(InputError, match=r"Run again to go on.*by hand"):
        get(server, tmp_path, retry=QUICK._replace(delays=()))
    part = tmp_path / "jets-30p" / f"{TRAIN}.part"
    kept = part.stat().st_size
    assert kept > len(server.content) // 4
    server.answers = [ranges]
    assert_fetched(get(server, tmp_path))
    assert server.seen[-1].range == f"bytes={kept}-"
    assert not part.exists()


def test_progress_renews_patience_but_standing_still_does_not(server, tmp_path):
    server.answers = [functools.partial(ranges, stop=70_000)]
    assert_fetched(get(server, tmp_path, retry=QUICK._replace(delays=(0.0,))))
    server.seen.clear()
    shutil.rmtree(tmp_path / "jets-30p")
    server.answers = [lambda handler: handler.reply(200, server.content[:70_000], length=len(server.content))]
    with pytest.raises(InputError, match="the connection ended early"):
        get(server, tmp_path)
    assert len(server.seen) <= 2 + len(QUICK.delays)


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.answers = [cut, whole]
    assert_fetched(get(server, tmp_path, md5=md5(server.content)))
    assert server.seen[1].range is not None
    assert server.seen[1].sent == len(server.content)


@pytest.mark.parametrize("validate", [True, False], ids=["good server", "ignores If-Range"])
def test_a_file_that_changes_midway_is_not_glued_together(server, tmp_path, validate):
    other = archive_bytes(seed=10)

    def changed(handler):
        handler.server.content = other
        return ranges(handler, validate=validate)

    assert len(other) == len(server.content)
    server.answers = [cut, changed]
    assert_fetched(get(server, tmp_path), seed=10)  # with no known sum to help
    assert len(server.seen) == (2 if validate else 3)


@pytest.mark.parametrize("grown", [False, True], ids=["by its sum", "by its length"])
def test_a_change_is_noticed_without_validators(server, tmp_path, grown):
    """Without ETag the pieces of two files may be glued together: the checksum tells, and all is fetched anew."""
    content = server.content
    other = content[:2] + bytes(byte ^ 1 for byte in content[2:]) + b"more" * grown

    def plain(content, stop=None):
        def answer(handler):
            requested = handler.headers.get("Range")
            start = int(requested.removeprefix("bytes=").removesuffix("-")) if requested else 0
            headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if requested else {}
            return handler.reply(
                206 if requested else 200, content[start:][:stop], headers, length=len(content) - start
            )

        return answer

    server.answers = [plain(other, stop=150_000), plain(content)]
    assert_fetched(get(server, tmp_path, md5=None if grown else md5(content)))
    assert [observed.range is None for observed in server.seen] == [True, False, True]


def test_a_part_longer_than_the_file(server, tmp_path):
    server.answers = [cut]
    with pytest.raises(InputError):
        get(server, tmp_path, retry=QUICK._replace(delays=()))
    with (tmp_path / "jets-30p" / f"{TRAIN}.part").open("ab") as file:
        file.write(noise(3, 400_000))
    server.answers = [ranges]
    assert_fetched(get(server, tmp_path))


def test_a_whole_part_is_not_asked_for_again(server, tmp_path):
    """As a run leaves it that is killed while it verifies."""
    server.answers = [cut]
    with pytest.raises(InputError):
        get(server, tmp_path, retry=QUICK._replace(delays=()))
    (tmp_path / "jets-30p" / f"{TRAIN}.part").write_bytes(server.content)
    server.seen.clear()
    assert_fetched(get(server, tmp_path))
    assert not server.seen


def test_an_unreadable_state_starts_over(server, tmp_path):
    server.answers = [cut]
    with pytest.raises(InputError):
        get(server, tmp_path, retry=QUICK._replace(delays=()))
    (tmp_path / "jets-30p" / f"{TRAIN}.part.json").write_text('{"total"')
    server.answers = [ranges]
    assert_fetched(get(server, tmp_path))
    assert server.seen[-1].range is None


@pytest.mark.parametrize("answer", [stall, stall_midway])
def test_a_stall_is_given_up(server, tmp_path, answer):
    server.answers = [answer, ranges]
    assert_fetched(get(server, tmp_path, retry=QUICK._replace(timeout=0.3)))
    server.answers = [stall]
    shutil.rmtree(tmp_path / "jets-30p")
    with pytest.raises(InputError, match=r"timed out.*by hand"):
        get(server, tmp_path, retry=QUICK._replace(delays=(0.0,), timeout=0.3))


# What a server may answer.


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, tmp_path, monkeypatch, status):
    waits = []
    monkeypatch.setattr(_download.time, "sleep", waits.append)
    server.answers = [refuse(status, Retry_After="7"), refuse(status), refuse(status, Retry_After="900"), whole]
    assert_fetched(get(server, tmp_path, retry=Retry((1.0, 2.0, 4.0), timeout=1.0)))
    assert waits == [7.0, 2.0, 120.0]


def test_a_busy_server_is_not_asked_for_ever(server, tmp_path):
    server.answers = [refuse(503)]
    with pytest.raises(InputError, match="answers 503 Service Unavailable"):
        get(server, tmp_path)
    assert len(server.seen) == 1 + len(QUICK.delays)


def test_a_missing_file_is_final(server, tmp_path):
    server.answers = [refuse(404)]
    with pytest.raises(InputError, match=r"files/hls4ml.*answers 404 Not Found"):
        get(server, tmp_path)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [html, lambda handler: handler.reply(200, b"<html>no type"), lambda handler: handler.reply(200)],
    ids=["by its type", "by its bytes", "empty"],
)
def test_a_web_page_is_not_an_archive(server, tmp_path, answer):
    server.answers = [answer]
    with pytest.raises(InputError, match=r"the server sent .*expected a .tar.gz archive"):
        get(server, tmp_path)
    assert len(server.seen) == 1


def test_a_web_page_does_not_cost_the_part(server, tmp_path):
    server.answers = [cut]
    with pytest.raises(InputError):
        get(server, tmp_path, retry=QUICK._replace(delays=()))
    part = tmp_path / "jets-30p" / f"{TRAIN}.part"
    kept = part.read_bytes()
    for output in (html, lambda handler: handler.reply(200, b"<html>no type")):
        server.answers = [output]
        with pytest.raises(InputError, match="the server sent"):
            get(server, tmp_path)
        assert part.read_bytes() == kept
    assert kept == server.content[: len(kept)]


def test_redirects_are_followed_a_few_times(server, tmp_path):
    server.answers = [redirect("/elsewhere"), redirect(f"http://127.0.0.1:{server.server_port}/again"), whole]
    assert_fetched(get(server, tmp_path))
    assert [observed.path for observed in server.seen][1:] == ["/elsewhere", "/again"]
    shutil.rmtree(tmp_path / "jets-30p")
    server.answers = [redirect("/round")]
    with pytest.raises(InputError, match="redirects more than 5 times"):
        get(server, tmp_path)


@pytest.mark.parametrize(
    "address, location, target",
    [
        ("https://a.org/x/y", "z", "https://a.org/x/z"),
        ("https://a.org/x", "https://b.org/y", "https://b.org/y"),
        ("http://a.org/x", "https://a.org/x", "https://a.org/x"),
        ("http://a.org/x", "//b.org/y", "http://b.org/y"),
        ("https://a.org/x", "http://a.org/x", None),
        ("https://a.org/x", "file:///etc/passwd", None),
        ("http://a.org/x", "ftp://a.org/x", None),
    ],
)
def test_a_redirect_never_loses_security(address, location, target):
    if target is None:
        with pytest.raises(InputError, match="not secure"):
            _download._redirect_target(address, location)
    else:
        assert _download._redirect_target(address, location) == target


def test_a_body_of_unknown_length(server, tmp_path):
    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(server.content)

    server.answers = [answer]
    assert_fetched(get(server, tmp_path, md5=md5(server.content)))


def test_offline(tmp_path):
    with socket.socket() as sock:  # a port where nobody listens
        sock.bind(("127.0.0.1", 0))
        page = f"http://127.0.0.1:{sock.getsockname()[1]}/records/3601436"
        sources = {Record.JETS_30P: Source(page, (Archive(TRAIN, "train"),))}
        with pytest.raises(InputError) as caught:
            fetch(Record.JETS_30P, tmp_path, sources=sources, retry=QUICK)
    message = str(caught.value)
    assert "cannot be reached ([Errno 111] Connection refused)" in message or "refused" in message
    assert f"download {TRAIN} from {page} by hand, put it into {tmp_path / 'jets-30p'}" in message
    assert "\n" not in message


# Checksums.


def test_a_lying_server(server, tmp_path):
    with pytest.raises(InputError, match=r"has the MD5 sum .*expected 0000.*not kept"):
        get(server, tmp_path, md5="0" * 32)
    assert [path.name for path in (tmp_path / "jets-30p").iterdir()] == [".lock"]


def test_a_wrong_size_is_noticed_before_the_download(server, tmp_path):
    with pytest.raises(InputError, match=r"offers \d+ bytes, expected 5"):
        get(server, tmp_path, size=5)
    assert not list((tmp_path / "jets-30p").glob("*.part*"))


def test_a_file_that_changes_after_the_first_download(server, tmp_path):
    get(server, tmp_path)
    folder = tmp_path / "jets-30p"
    shutil.rmtree(folder / "train")
    (folder / TRAIN).unlink()
    server.content = archive_bytes(seed=10)
    with pytest.raises(InputError, match=r"recorded when it was first fetched.*delete .*sha256"):
        get(server, tmp_path)
    assert_nothing_looks_finished(tmp_path)
    (folder / TRAIN).write_bytes(server.content)
    with pytest.raises(InputError, match="recorded when it was first fetched"):
        get(server, tmp_path)
    (folder / f"{TRAIN}.sha256").unlink()
    assert_fetched(get(server, tmp_path), seed=10)


@pytest.mark.parametrize("prefix", ["md5:", ""])
def test_the_sum_that_the_record_lists(server, tmp_path, prefix):
    wrong = {"key": TRAIN, "size": len(server.content), "checksum": prefix + "0" * 32}
    server.listing = {"files": [{"key": "other"}, wrong]}
    with pytest.raises(InputError, match=r"has the MD5 sum .*expected 0000"):
        get(server, tmp_path)
    server.listing = {"files": [{**wrong, "checksum": prefix + md5(server.content)}]}
    assert_fetched(get(server, tmp_path))


@pytest.mark.parametrize("listing", [[], {}, {"files": [{"key": TRAIN}]}, {"files": None}, "text"])
def test_a_strange_listing_is_ignored(server, tmp_path, listing):
    server.listing = listing
    assert_fetched(get(server, tmp_path))


def test_the_pinned_table():
    assert set(SOURCES) == set(Record)
    for source in SOURCES.values():
        assert source.page.startswith("https://")
        assert len({(archive.split, archive.name) for archive in source.archives}) == len(source.archives)
        for archive in source.archives:
            assert pathlib.PurePosixPath(archive.name).suffix in MAGIC
            assert archive.md5 is None or len(bytes.fromhex(archive.md5)) == 16
            assert source.address_of(archive).startswith("https://")
            assert archive.name in source.address_of(archive)
        # Two archives must not unpack into one folder, which one of them would lose.
        packed = [archive.split for archive in source.archives if archive.packed]
        assert len({*packed}) == len(packed)


@pytest.mark.parametrize(
    "record, parts, address",
    [
        ("top-tagging", {"train": 1, "val": 1, "test": 1}, "https://zenodo.org/records/2603256/files/train.h5?download=1"),
        ("jetclass", {"train": 10, "val": 1, "test": 1, "example": 1}, None),
        ("jetclass2", {"train": 1340, "val": 335, "test": 335}, None),
        ("quark-gluon", {"train": 16, "val": 2, "test": 2}, "https://zenodo.org/records/3164691/files/QG_jets.npz?download=1"),
        ("jetnet-30", {"all": 5}, "https://zenodo.org/records/6975118/files/g.hdf5?download=1"),
        ("atlas-top", {"train": 1, "test": 1}, "https://opendata.cern.ch/record/15013/files/train.h5"),
    ],
)  # fmt: skip
def test_the_parts_of_records(record, parts, address):
    source = SOURCES[Record(record)]
    assert collections.Counter(archive.part for archive in source.archives) == parts
    assert address is None or source.address_of(source.archives[0]) == address
    shown = [archive for archive in source.archives if archive.part != "example"]
    assert list(select(source)) == shown
    assert [a.part for a in select(source, [*parts][:1], range(1))] == [*parts][:1]
    with pytest.raises(InputError, match=f"--part nonsense: the record has {', '.join(parts)}"):
        select(source, ["nonsense"])
    with pytest.raises(InputError, match=r"--files: \w+ has \d+ files"):
        select(source, [], range(5000))


# Unpacking.


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def device(name):
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 3
    return info


@pytest.mark.parametrize(
    "member",
    [
        ("../x.h5", HDF5),
        ("train/../../x.h5", HDF5),
        ("/tmp/hepjax-evil.h5", HDF5),  # noqa: S108
        link("train/x.h5", "/etc/passwd", tarfile.SYMTYPE),
        link("train/x.h5", "../../../outside", tarfile.SYMTYPE),
        link("train/x.h5", "a.h5", tarfile.SYMTYPE),
        link("train/x.h5", "../../outside", tarfile.LNKTYPE),
        device("train/x.h5"),
    ],
    ids=["parent", "parent inside", "absolute", "symlink", "symlink out", "symlink in", "hard link out", "device"],
)
def test_an_evil_member_is_refused(server, tmp_path, member):
    server.content = packed([("train/a.h5", HDF5), member])
    with pytest.raises(InputError, match=r"train.tar.gz: refused because of its member '.*x.h5'|evil.h5'"):
        get(server, tmp_path / "to")
    assert_nothing_looks_finished(tmp_path / "to")
    assert {path.name for path in tmp_path.iterdir()} == {"to"}
    assert not pathlib.Path("/tmp/hepjax-evil.h5").exists()  # noqa: S108
    assert not (tmp_path / "to" / "jets-30p" / f"{TRAIN}.sha256").exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (archive_bytes()[:-100_000], "broken archive"),
        (archive_bytes()[:-6] + bytes(6), "broken archive"),  # only gzip's own checksum is wrong
        (b"\x1f\x8bgarbage" * 100, "broken archive"),
        (packed([]), "holds no .h5 file"),
        (packed([("train/README", b"x")]), "holds no .h5 file"),
        (packed([("train/a.h5", b"<html>")]), "its member a.h5 is not HDF5"),
        (packed([("train/a.h5", HDF5), ("val/a.h5", HDF5)]), "two files named a.h5"),
    ],
    ids=["truncated", "checksum", "garbage", "empty", "no files", "not HDF5", "twice"],
)
def test_a_broken_archive(server, tmp_path, content, message):
    server.content = content
    with pytest.raises(InputError, match=f"train.tar.gz: .*{message}"):
        get(server, tmp_path)
    assert_nothing_looks_finished(tmp_path)
    assert not (tmp_path / "jets-30p" / f"{TRAIN}.sha256").exists()


def test_a_bomb_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_unpack, "_MAX_UNPACKED", 200_000)
    with pytest.raises(InputError, match="unpacks to more than"):
        get(server, tmp_path)
    assert_nothing_looks_finished(tmp_path)


def test_a_failed_check_leaves_nothing(server, tmp_path):
    def check(path):
        assert path.read_bytes().startswith(HDF5)
        raise InputError(f"{path.name}: no jets")

    with pytest.raises(InputError, match="no jets"):
        get(server, tmp_path, check=check)
    assert_nothing_looks_finished(tmp_path)
    assert_fetched(get(server, tmp_path, check=lambda path: None))


def test_an_interrupted_unpacking_leaves_nothing(server, tmp_path, monkeypatch):
    copy = shutil.copyfileobj

    def interrupted(inside, outside, length):
        outside.write(inside.read(1000))
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path)
    assert_nothing_looks_finished(tmp_path)
    monkeypatch.setattr(shutil, "copyfileobj", copy)
    requests = len(server.seen)
    assert_fetched(get(server, tmp_path))
    assert len(server.seen) == requests


def test_what_a_killed_unpacking_left_is_swept_away(server, tmp_path):
    work = tmp_path / "jets-30p" / ".train.unpacking"
    work.mkdir(parents=True)
    (work / "half.h5").write_bytes(HDF5)
    assert_fetched(get(server, tmp_path))
    assert not work.exists()


# The disk, and other processes.


@contextlib.contextmanager
def full_after(monkeypatch, count, suffix):
    """Files whose name ends so take `count` bytes, then the disk is full."""
    plain = pathlib.Path.open

    class Full(io.FileIO):
        def write(self, data):
            room = count - self.tell()
            if room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device", str(self.name))
            return super().write(data[:room])

    def opened(self, mode="r", *args, **kwargs):
        if self.name.endswith(suffix) and ("a" in mode or "x" in mode):
            return io.BufferedWriter(Full(self, mode.replace("b", "")), 1)
        return plain(self, mode, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "open", opened)
        yield


def test_a_full_disk_keeps_the_part(server, tmp_path, monkeypatch):
    server.answers = [ranges]
    with full_after(monkeypatch, 150_000, ".part"), pytest.raises(InputError, match=r"the disk is full.*run again"):
        get(server, tmp_path)
    assert (tmp_path / "jets-30p" / f"{TRAIN}.part").stat().st_size == 150_000
    assert_fetched(get(server, tmp_path))
    assert server.seen[-1].range == "bytes=150000-"


def test_a_disk_too_small_is_noticed_at_once(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_download.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 5, 5))
        with pytest.raises(InputError, match="the disk is full"):
            get(server, tmp_path)
    assert_fetched(get(server, tmp_path))


def test_a_full_disk_while_unpacking_keeps_the_archive(server, tmp_path, monkeypatch):
    with full_after(monkeypatch, 10_000, ".h5"), pytest.raises(InputError, match="the disk is full"):
        get(server, tmp_path)
    assert_nothing_looks_finished(tmp_path)
    requests = len(server.seen)
    assert_fetched(get(server, tmp_path))
    assert len(server.seen) == requests


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/jets-30p: Not a directory"):
        get(server, tmp_path / "file")


def test_two_processes_at_once(server, tmp_path):
    def slowly(handler):
        handler.server.over.wait(0.2)
        return whole(handler)

    server.answers = [slowly]
    code = (
        "import sys, pathlib\n"
        "from hepjax.data.download import Archive, Record, Source, fetch\n"
        "sources = {Record.JETS_30P: Source(sys.argv[1], (Archive(sys.argv[2], 'train'),))}\n"
        "print(len(fetch(Record.JETS_30P, pathlib.Path(sys.argv[3]), sources=sources)))\n"
    )
    command = [sys.executable, "-c", code, server.page, TRAIN, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in running] == ["2", "2"]
    assert len(server.seen) == 1


def test_the_names_of_the_records_cost_no_heavy_import():
    code = "import sys, hepjax.data.download; print({'jax', 'numpy', 'pooch', 'requests', 'h5py'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"

"""A server of a folder's files by HTTP, in pieces on request, on this machine only; it counts what it sends."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
from urllib.parse import unquote, urlsplit


class Server(http.server.ThreadingHTTPServer):
    """Sends files of `folder`; `faults` are done first, one for each GET."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.sent, self.asked, self.faults, self.in_pieces = folder, 0, [], [], True

    def address(self, name, query=""):
        return f"http://127.0.0.1:{self.server_port}/{name}{query}"

    def handle_error(self, request, client_address):
        """A client may hang up."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        if (content := self.content()) is not None:
            self.answer(200, content, b"")

    def do_GET(self):
        self.server.asked.append(self.path)
        fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, int):
            self.send_error(fault)
            return
        if (content := self.content()) is None:
            return
        piece = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if piece is None or not self.server.in_pieces:
            self.answer(200, content, content)
            return
        first, last = int(piece[1]), min(int(piece[2]), len(content) - 1)
        body = content[first : last + 1]
        cut = len(body) // 2 if fault == "cut" else len(body)
        headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self.answer(206, body, body[:cut], headers)
        self.close_connection = fault == "cut"

    def content(self):
        path = self.server.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if path.is_file():
            return path.read_bytes()
        self.send_error(404)
        return None

    def answer(self, status, content, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.server.sent += len(body)
        self.wfile.write(body)


@contextlib.contextmanager
def serving(folder):
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

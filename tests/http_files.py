"""A web server on this machine that gives files as well, or as badly, as a test says."""

from __future__ import annotations

import contextlib
import hashlib
import socketserver
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class File:
    """One file, and what befalls those who ask for it; `statuses` and `cuts` are used up, one a request."""

    data: bytes
    etag: str | None = None  # None: that of the data; "" for none
    ranges: bool = True
    length: bool = True  # say how long it is
    kind: str = "application/octet-stream"
    statuses: list[int] = field(default_factory=list)  # answers with an error first
    cuts: list[int] = field(default_factory=list)  # bytes after which the line goes dead
    stall: float = 0.0  # seconds of silence before the end of what is cut
    redirect: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)  # the headers of each request

    @property
    def tag(self) -> str:
        return f'"{hashlib.md5(self.data).hexdigest()}"' if self.etag is None else self.etag


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        file = self.server.files.get(self.path)
        if file is None:
            return self.send_error(404)
        file.asked.append(dict(self.headers))
        if file.statuses:
            return self.send_error(file.statuses.pop(0))
        if file.redirect:
            self.send_response(302)
            self.send_header("Location", file.redirect)
            return self.finish_headers(file, 0)
        start = self.start_of(file)
        if start >= len(file.data) > 0:
            return self.send_error(416)
        body = file.data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(file.data) - 1}/{len(file.data)}")
        self.finish_headers(file, len(body))
        self.give(file, body)

    def start_of(self, file: File) -> int:
        asked = self.headers.get("Range", "")
        fits = self.headers.get("If-Range", file.tag) == file.tag
        return int(asked.removeprefix("bytes=").partition("-")[0]) if asked and file.ranges and fits else 0

    def finish_headers(self, file: File, length: int) -> None:
        self.send_header("Content-Type", file.kind)
        if file.length:
            self.send_header("Content-Length", str(length))
        if file.tag:
            self.send_header("ETag", file.tag)
        for key, value in file.headers.items():
            self.send_header(key, value)
        self.end_headers()

    def give(self, file: File, body: bytes) -> None:
        end = file.cuts.pop(0) if file.cuts else len(body)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[:end])
            self.wfile.flush()
            if end < len(body):
                time.sleep(file.stall)

    def log_message(self, *words: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Gives `files` by their path, "/a/b.bin"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, File] = {}
        self.address = f"http://127.0.0.1:{self.server_port}"

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's asks a name server, who may not be there
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def put(self, path: str, data: bytes, **how: object) -> File:
        self.files[path] = File(data, **how)  # type: ignore[arg-type]
        return self.files[path]


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

# SPDX-License-Identifier: GPL-3.0-or-later
"""A door in front of an object store that does something bad at a chosen request; else it passes all on.

Nothing in the code under test knows of it. The store behind it is real, so what was passed on has happened.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import threading
import typing as t
from urllib.parse import parse_qs, urlsplit

_ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>no</Message></Error>'
_HOP = ("connection", "transfer-encoding", "keep-alive")


class Fault(t.NamedTuple):
    """``answer``: what is said instead; without one the connection is cut. ``is_passed_on``: only the
    answer is lost. ``lasts``: every request from then on; ``recurs``: every one of the same kind.
    ``act``: what happens to somebody else."""

    answer: tuple[int, str] | None = None
    is_passed_on: bool = False
    lasts: bool = False
    recurs: bool = False
    act: str = ""


def kind_of(method: str, target: str) -> str:
    """Which step of a backup a request is; what only looks is nothing."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    name = parts.path.rpartition("/")[2].partition(".")[0]
    if method == "POST":
        return "begin" if "uploads" in query else "complete"
    if method == "PUT":
        return f"part {query['partNumber'][0]}" if "partNumber" in query else f"put {name}"
    return f"read back {name}" if method == "HEAD" and parts.path.count("/") > 1 else ""


class Door:
    """Listens on a port of its own, and strikes at the first request whose kind ends with ``at``."""

    def __init__(self, store_url: str, at: str, fault: Fault, act: t.Callable[[str], None]) -> None:
        self._address = urlsplit(store_url).netloc
        self._at, self._fault, self._act = at, fault, act
        self._lock = threading.Lock()
        self.struck = self.healed = False
        door = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                # A client that is killed in the middle is part of the trial.
                with contextlib.suppress(OSError):
                    super().handle_one_request()

            def log_message(self, *_words: t.Any) -> None:
                pass

            def serve(self) -> None:
                door.serve(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def heal(self) -> None:
        self.healed = True

    def serve(self, request: http.server.BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fault = self._fault if self._strikes(request) else None
        if fault is None:
            self._reply(request, *self._pass_on(request, body))
            return
        if fault.is_passed_on:
            self._pass_on(request, body)
        if fault.act:
            self._act(fault.act)
        if fault.answer is not None:
            text = _ERROR.format(fault.answer[1]).encode()
            self._reply(request, fault.answer[0], [("Content-Type", "application/xml")], text)
            return
        request.close_connection = True
        request.connection.shutdown(socket.SHUT_RDWR)

    def _strikes(self, request: http.server.BaseHTTPRequestHandler) -> bool:
        with self._lock:
            if self.healed or (self.struck and not (self._fault.lasts or self._fault.recurs)):
                return False
            is_meant = kind_of(request.command, request.path).endswith(self._at)
            strikes = is_meant or (self.struck and self._fault.lasts)
            self.struck = self.struck or is_meant
            return strikes

    def _pass_on(
        self, request: http.server.BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            # As it came, its host included: that is what the client has signed.
            connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in (*_HOP, "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    @staticmethod
    def _reply(
        request: http.server.BaseHTTPRequestHandler,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
    ) -> None:
        request.send_response_only(status)
        known = {name.lower() for name, _value in headers}
        for name, value in headers:
            request.send_header(name, value)
        if "content-length" not in known:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

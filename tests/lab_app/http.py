# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP/1.1 server: keep-alive, one thread a connection, and an end that cuts nobody off."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import typing as t
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

_REASONS = {200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 401: "Unauthorized",
            402: "Payment Required", 403: "Forbidden", 404: "Not Found", 409: "Conflict",
            500: "Internal Server Error", 503: "Service Unavailable"}  # fmt: skip


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: dict[str, t.Any]


@dataclass
class Response:
    status: int
    content: dict[str, t.Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class Answer(Exception):
    """Leaves a function early with a response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = Response(status, {"error": message})


class Server:
    """Listens, answers, and on ``stop`` finishes what it has begun."""

    def __init__(self, port: int, answer: t.Callable[[Request], Response]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256, reuse_port=False)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _address = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                # Whoever gave up and reset before we came to him is an error of accept, not of ours.
                # The pause is for errors that stay, such as no file handle left.
                time.sleep(0.01)
                continue
            with self._lock:
                self._connections.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def stop(self, patience_seconds: float) -> None:
        """Accept no more, let each connection finish its request, then return."""
        self._stopping.set()
        # shutdown wakes the thread in accept(); close alone would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            clients = list(self._connections)
        for client in clients:
            # What has already arrived can still be read and is answered; after it comes the end.
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RD)
        deadline = time.monotonic() + patience_seconds
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.02)

    def _serve(self, client: socket.socket) -> None:
        stream: t.BinaryIO = t.cast(t.BinaryIO, client.makefile("rb", buffering=16384))
        try:
            while self._serve_one(client, stream):
                pass
        except (OSError, ValueError):
            pass
        finally:
            stream.close()
            client.close()
            with self._lock:
                self._connections.discard(client)

    def _serve_one(self, client: socket.socket, stream: t.BinaryIO) -> bool:
        request = _read(stream)
        if request is None:
            return False
        response = self._answer(request)
        keep = request.headers.get("connection", "").lower() != "close" and not self._stopping.is_set()
        client.sendall(_render(response, keep))
        return keep


def _read(stream: t.BinaryIO) -> t.Optional[Request]:
    first = stream.readline(65536).split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while (line := stream.readline(65536)) not in (b"\r\n", b"\n"):
        if not line:
            return None
        name, _colon, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    raw = stream.read(length) if length else b""
    if len(raw) < length:
        return None
    parts = urlsplit(first[1].decode("latin-1"))
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return Request(first[0].decode("latin-1"), parts.path, query, headers, _parse(raw))


def _parse(raw: bytes) -> dict[str, t.Any]:
    try:
        body = json.loads(raw) if raw else {}
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _render(response: Response, keep: bool) -> bytes:
    payload = json.dumps(response.content, default=str).encode()
    head = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Status')}"]
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(payload)),
        "Connection": "keep-alive" if keep else "close",
        **response.headers,
    }
    head += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + payload

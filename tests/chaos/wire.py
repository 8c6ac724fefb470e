# SPDX-License-Identifier: GPL-3.0-or-later
"""A wire between a client and PostgreSQL that does something bad at a chosen statement.

It reads the frontend's messages as far as to count the simple queries, which is all that the driver sends.
Nothing in the code under test knows of it.
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import typing as t

_SSL_REQUEST = 80877103
_QUERY = b"Q"


class Cut(Exception):
    """This connection is to end now, without a word to either side."""


class Wire:
    """Listens on a port of its own. ``strike`` is called once, before or after statement ``at`` is passed on.

    Statements count from 1, over all connections whose application name ``counts`` accepts. A strike that
    raises Cut cuts the connection it happened on.
    """

    def __init__(
        self,
        server: tuple[str, int],
        counts: t.Callable[[str], bool] = lambda _name: True,
        at: int = 0,
        is_before: bool = True,
        strike: t.Callable[[], None] = lambda: None,
    ) -> None:
        self._server, self._counts, self._at, self._is_before = server, counts, at, is_before
        self._strike = strike
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.statements = 0
        self.struck = ""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            ends, self._open = self._open, []
        for end in ends:
            _end(end)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server, timeout=10)
                server.settimeout(None)
            except OSError:
                _end(client)
                continue
            with self._lock:
                self._open += [client, server]
            threading.Thread(target=self._forth, args=(client, server), daemon=True).start()
            threading.Thread(target=_back, args=(server, client), daemon=True).start()

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        try:
            is_counted = self._counts(_greet(client, server))
            while True:
                kind, message = _message(client)
                self._pass_on(server, message, kind, is_counted)
        except (Cut, OSError, EOFError):
            pass
        finally:
            _end(client)
            _end(server)

    def _pass_on(self, server: socket.socket, message: bytes, kind: bytes, is_counted: bool) -> None:
        is_due = False
        if is_counted and kind == _QUERY:
            with self._lock:
                self.statements += 1
                is_due = self.statements == self._at
                if is_due:
                    self.struck = " ".join(message[5:-1].decode("utf-8", "replace").split())[:120]
        if is_due and self._is_before:
            self._strike()
        server.sendall(message)
        if is_due and not self._is_before:
            self._strike()


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def _exactly(end: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = end.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts


def _greet(client: socket.socket, server: socket.socket) -> str:
    """Pass the startup message on; the application's name. TLS is declined, so that messages can be read."""
    while True:
        head = _exactly(client, 4)
        body = _exactly(client, struct.unpack("!I", head)[0] - 4)
        if struct.unpack("!I", body[:4])[0] != _SSL_REQUEST:
            break
        client.sendall(b"N")
    server.sendall(head + body)
    words = body[4:].split(b"\0")
    return dict(zip(words[::2], words[1::2], strict=False)).get(b"application_name", b"").decode()


def _message(client: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(client, 5)
    return head[:1], head + _exactly(client, struct.unpack("!I", head[1:])[0] - 4)


def _back(server: socket.socket, client: socket.socket) -> None:
    try:
        while part := server.recv(65536):
            client.sendall(part)
    except OSError:
        pass
    finally:
        _end(client)
        _end(server)

# SPDX-License-Identifier: GPL-3.0-or-later
"""One keep-alive HTTP/1.1 connection that retries nothing: what fails is a failure."""

from __future__ import annotations

import json
import select
import socket
import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: dict[str, t.Any]


class Client:
    def __init__(self, port: int, timeout_seconds: float = 20) -> None:
        self._port = port
        self._timeout = timeout_seconds
        self._line: t.Optional[socket.socket] = None
        self._stream: t.Optional[t.BinaryIO] = None

    def call(
        self, method: str, path: str, body: t.Optional[dict[str, t.Any]] = None, token: str = ""
    ) -> Answer:
        """One request; raises OSError when no whole answer came."""
        payload = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: emailai.example\r\nContent-Length: {len(payload)}\r\n"
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        self._open()
        try:
            return self._exchange(head.encode() + b"\r\n" + payload)
        except (OSError, ValueError) as exc:
            self.close()
            raise OSError(str(exc) or type(exc).__name__) from exc

    def close(self) -> None:
        for part in (self._stream, self._line):
            if part is not None:
                part.close()
        self._line = self._stream = None

    def _open(self) -> None:
        # A kept connection that became readable between requests was closed by the other side;
        # every browser notices that and opens another one.
        if self._line is not None and select.select([self._line], [], [], 0)[0]:
            self.close()
        if self._line is None:
            self._line = socket.create_connection(("127.0.0.1", self._port), timeout=self._timeout)
            self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._stream = self._line.makefile("rb")

    def _exchange(self, request: bytes) -> Answer:
        assert self._line is not None
        assert self._stream is not None
        self._line.sendall(request)
        first = self._stream.readline().split(None, 2)
        if len(first) < 2:
            raise OSError("closed without an answer")
        headers: dict[str, str] = {}
        while (line := self._stream.readline()) not in (b"\r\n", b"\n"):
            if not line:
                raise OSError("closed within the headers")
            name, _colon, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        raw = self._body(headers)
        if headers.get("connection", "").lower() == "close" or "content-length" not in headers:
            self.close()
        return Answer(int(first[1]), headers, _parse(raw))

    def _body(self, headers: dict[str, str]) -> bytes:
        assert self._stream is not None
        if "content-length" not in headers:
            return self._stream.read()
        length = int(headers["content-length"])
        raw = self._stream.read(length)
        if len(raw) < length:
            raise OSError("closed within the answer")
        return raw


def _parse(raw: bytes) -> dict[str, t.Any]:
    try:
        content = json.loads(raw) if raw else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}

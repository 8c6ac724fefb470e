# SPDX-License-Identifier: GPL-3.0-or-later
"""Many users at little cost: keep-alive connections on one loop, each answer accounted for.

``python -m bench.users PORT CONNECTIONS RATE SLOW FILE`` runs until SIGTERM and then writes its figures. One
request in five is a POST; of the SLOW first users each tenth request takes long. Nothing is tried twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import typing as t
from dataclasses import asdict, dataclass, field
from pathlib import Path

_LENGTH: t.Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
_RELEASE: t.Final = re.compile(rb"\r\nx-release: *(\S+)", re.I)
_PATIENCE_SECONDS: t.Final = 10.0
_SLOW_TURN: t.Final = 10
SLOW_SECONDS: t.Final = 0.3
_POST: t.Final = b"POST /page HTTP/1.1\r\nHost: bench\r\nContent-Length: 16\r\n\r\n0123456789abcdef"
_GET: t.Final = b"GET /page HTTP/1.1\r\nHost: bench\r\n\r\n"
_SLOW: t.Final = f"GET /slow/{SLOW_SECONDS} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
_KEPT: t.Final = 20


@dataclass(frozen=True)
class Reply:
    """One whole answer; ``release`` is empty where no application gave it."""

    status: int
    release: str
    must_close: bool


def read_reply(data: bytes) -> tuple[t.Optional[Reply], bytes]:
    """The first answer in ``data`` and what follows it; None while it is not all there."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None, data
    length = _LENGTH.search(head)
    size = int(length[1]) if length else 0
    if len(rest) < size:
        return None, data
    release = _RELEASE.search(head)
    return Reply(
        status=int(head[9:12]),
        release=release[1].decode() if release else "",
        must_close=b"connection: close" in head.lower() or length is None,
    ), rest[size:]


@dataclass
class Tally:
    """What became of all requests. A wrong answer that a release gave itself is counted apart."""

    requests: int = 0
    posts: int = 0
    failed: int = 0
    wrong: dict[str, int] = field(default_factory=dict)
    seen: dict[str, list[float]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def note(self, reply: Reply, now: float) -> None:
        self.requests += 1
        if reply.release:
            self.seen.setdefault(reply.release, [now, now])[1] = now
        if reply.status == 200:
            return
        if reply.release:
            self.wrong[reply.release] = self.wrong.get(reply.release, 0) + 1
        else:
            self._fail(f"{reply.status} without an application")

    def lose(self, words: str) -> None:
        """A request without an answer."""
        self.requests += 1
        self._fail(words)

    def _fail(self, words: str) -> None:
        self.failed += 1
        if len(self.words) < _KEPT:
            self.words.append(words)

    def exposure(self, release: str) -> float:
        """How long users got answers of a release, from the first to the last."""
        first, last = self.seen.get(release, [0.0, 0.0])
        return last - first


def request(is_slow: bool, turn: int) -> bytes:
    """What a user asks for at his turn."""
    if turn % 5 == 0:
        return _POST
    return _SLOW if is_slow and turn % _SLOW_TURN == 1 else _GET


class User(asyncio.Protocol):
    """One connection, and the next one when it is lost."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd, self.turn, self.is_slow = crowd, number, number < crowd.slow
        self.transport: t.Optional[asyncio.Transport] = None
        self.asked_at = 0.0
        self._data = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = t.cast(asyncio.Transport, transport)
        self._data = b""
        self._later()

    def _later(self) -> None:
        now = self.crowd.loop.time()
        self._due = max(self._due + self.crowd.pause, now)
        if self._due > now:
            self.crowd.loop.call_at(self._due, self._ask)
        else:
            self.crowd.loop.call_soon(self._ask)

    def _ask(self) -> None:
        if self.crowd.is_over or self.transport is None or self.transport.is_closing() or self.asked_at:
            return
        self.turn += 1
        words = request(self.is_slow, self.turn)
        self.crowd.tally.posts += words is _POST
        self.asked_at = self.crowd.loop.time()
        self.transport.write(words)

    def data_received(self, data: bytes) -> None:
        reply, self._data = read_reply(self._data + data)
        if reply is None or not self.asked_at:
            return
        self.asked_at = 0.0
        self.crowd.tally.note(reply, time.time())
        if reply.must_close and self.transport is not None:
            self.transport.close()
        else:
            self._later()

    def connection_lost(self, exc: t.Optional[Exception]) -> None:
        self.transport = None
        if self.asked_at:
            self.crowd.tally.lose(f"the connection ended: {exc!r}")
            self.asked_at = 0.0
        self.crowd.come(self)

    def look(self, now: float) -> None:
        """Give up an answer that does not come."""
        if self.asked_at and now - self.asked_at > _PATIENCE_SECONDS and self.transport is not None:
            self.transport.abort()


class Crowd:
    """All users of one balancer; ``rate`` is requests a second in all, 0 as fast as it goes."""

    def __init__(self, port: int, connections: int, rate: float, slow: int) -> None:
        self.port, self.tally, self.slow = port, Tally(), slow
        self.pause = connections / rate if rate else 0.0
        self.is_over = False
        self.users = [User(self, number) for number in range(connections)]
        self._tasks: set[asyncio.Task[None]] = set()

    def come(self, user: User) -> None:
        if not self.is_over:
            task = self.loop.create_task(self._connect(user))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, user: User) -> None:
        try:
            await self.loop.create_connection(lambda: user, "127.0.0.1", self.port)
        except OSError as exc:
            self.tally.lose(f"no connection: {exc}")
            await asyncio.sleep(0.05)
            self.come(user)

    async def run(self) -> None:
        self.loop = asyncio.get_running_loop()
        over = asyncio.Event()
        self.loop.add_signal_handler(signal.SIGTERM, over.set)
        began = time.monotonic()
        for user in self.users:
            self.come(user)
        while not over.is_set():
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(over.wait(), 1)
            for user in self.users:
                user.look(self.loop.time())
        self.is_over = True
        self.tally.seconds = time.monotonic() - began
        deadline = self.loop.time() + 2
        while any(user.asked_at for user in self.users) and self.loop.time() < deadline:
            await asyncio.sleep(0.02)


class Load:
    """Users in a process of their own while the block runs."""

    def __init__(self, port: int, connections: int, rate: float, slow: int, path: Path) -> None:
        self.path = path
        words = (port, connections, rate, slow, path)
        self.command = [sys.executable, "-m", "bench.users", *map(str, words)]
        self.tally = Tally()

    def __enter__(self) -> Load:
        self.path.unlink(missing_ok=True)
        self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        time.sleep(1)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        self.tally = Tally(**json.loads(self.path.read_text()))


def main() -> None:
    port, connections, rate, slow, path = sys.argv[1:]
    crowd = Crowd(int(port), int(connections), float(rate), int(slow))
    asyncio.run(crowd.run())
    Path(path).write_text(json.dumps(asdict(crowd.tally)))


if __name__ == "__main__":
    main()

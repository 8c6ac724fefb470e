# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves one stream between a child process and the store. The end of a stream is believed only
after the child's exit status was 0: a pipe that ends says nothing about why it ended."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._archive import packing
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._archive.stored import Stored, Writer

# Large enough that threads seldom hand over to each other, small enough for the processor's cache.
_CHUNK: t.Final = 256 * 1024
# The most that an ordinary user may have, on Linux; Python 3.9 has no name for the request.
_PIPE: t.Final = 1024 * 1024
_F_SETPIPE_SZ: t.Final = 1031


class Cancelled(MigrationError):
    """The work was told to end, or another part of it failed first."""


class Crew:
    """Every child process and server session of one work, so that all can be ended at once."""

    def __init__(self) -> None:
        # A signal's handler may stop the crew while its own thread is starting a child.
        self._lock = threading.RLock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self.sessions: list[t.Any] = []
        self.reason = ""

    def start(self, command: t.Sequence[str], **options: t.Any) -> subprocess.Popen[bytes]:
        with self._lock:
            self.ensure_wanted()
            child = subprocess.Popen(list(command), **options)
            self._children.add(child)
        return child

    def dismiss(self, child: subprocess.Popen[bytes]) -> None:
        """A child that has ended, or is to end now."""
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        with self._lock:
            self._children.discard(child)

    def stop(self, reason: str) -> None:
        """End everything; the first reason is the one that is told."""
        with self._lock:
            self.reason = self.reason or reason
            children = list(self._children)
        for child in children:
            if child.poll() is None:
                child.terminate()
        for session in list(self.sessions):
            if not session.closed:
                session.cancel()

    def ensure_wanted(self) -> None:
        if self.reason:
            raise Cancelled("go on with", "the work", self.reason)


@dataclass(frozen=True)
class Sums:
    """Size and SHA-256 of a stream on both sides of the compressor."""

    bytes_plain: int
    sha256_plain: str
    bytes_packed: int
    sha256_packed: str


class _Meter:
    def __init__(self) -> None:
        self.bytes = 0
        self._sha256 = hashlib.sha256()

    def add(self, data: bytes) -> bytes:
        self.bytes += len(data)
        self._sha256.update(data)
        return data

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


def send(
    crew: Crew,
    command: t.Sequence[str],
    environment: t.Mapping[str, str],
    codec: packing.Codec,
    writer: Writer,
    on_bytes: t.Callable[[int], None] = lambda count: None,
) -> tuple[Sums, Stored]:
    """Child's output -> compressor -> store. The object exists afterwards, or nothing of it does."""
    plain, packed = _Meter(), _Meter()
    try:
        with tempfile.TemporaryFile() as complaints:
            child = crew.start(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, env=environment
            )
            try:
                output = t.cast("t.BinaryIO", child.stdout)
                _widen(output)
                for chunk in iter(lambda: output.read(_CHUNK), b""):
                    crew.ensure_wanted()
                    writer.write(packed.add(codec.feed(plain.add(chunk))))
                    on_bytes(len(chunk))
                output.close()
                ensure_success(command, child.wait(), complaints, crew)
            finally:
                crew.dismiss(child)
        writer.write(packed.add(codec.flush()))
        stored = writer.finish()
    except BaseException:
        # A store that is away cannot be tidied either; what is told is the first thing that went wrong.
        with contextlib.suppress(MigrationError):
            writer.abort()
        raise
    return Sums(plain.bytes, plain.sha256, packed.bytes, packed.sha256), stored


def receive(
    chunks: t.Iterator[bytes],
    codec: packing.Codec,
    expected: Sums,
    name: str,
    sink: t.Callable[[bytes], None],
    crew: Crew,
) -> None:
    """Store -> decompressor -> sink; raises before anybody is told the end if a byte is another."""
    plain, packed = _Meter(), _Meter()
    try:
        for chunk in chunks:
            crew.ensure_wanted()
            data = plain.add(codec.feed(packed.add(chunk)))
            if data:
                sink(data)
        rest = plain.add(codec.flush())
        if rest:
            sink(rest)
    except MigrationError as exc:
        if exc.act != "unpack":
            raise
        raise damaged(name, exc.cause) from None
    found = Sums(plain.bytes, plain.sha256, packed.bytes, packed.sha256)
    if found != expected:
        cause = f"it has {found.bytes_packed} bytes of {expected.bytes_packed}"
        if found.bytes_packed == expected.bytes_packed:
            cause = "its SHA-256 is not the manifest's"
        raise damaged(name, cause)


def feed_child(
    crew: Crew,
    command: t.Sequence[str],
    environment: t.Mapping[str, str],
    fill: t.Callable[[t.Callable[[bytes], None]], None],
) -> None:
    """Run a child on a stream that ``fill`` writes; the child sees its end only if ``fill`` returned."""
    with tempfile.TemporaryFile() as complaints:
        child = crew.start(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints, env=environment
        )
        entry = t.cast("t.BinaryIO", child.stdin)
        _widen(entry)
        try:
            try:
                fill(lambda data: _write_all(entry.fileno(), data))
                entry.close()
            except BrokenPipeError:
                # The child has ended early: its own words say why.
                child.wait()
            ensure_success(command, child.wait(), complaints, crew)
        finally:
            if child.poll() is None:
                # It must not take our end for the stream's end.
                child.kill()
            _close(entry)
            crew.dismiss(child)


def run_child(crew: Crew, command: t.Sequence[str], environment: t.Mapping[str, str]) -> None:
    with tempfile.TemporaryFile() as complaints:
        child = crew.start(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=complaints, env=environment
        )
        try:
            ensure_success(command, child.wait(), complaints, crew)
        finally:
            crew.dismiss(child)


def _widen(pipe: t.BinaryIO) -> None:
    """Let the program at the other end run ahead while a chunk is compressed and sent."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, _PIPE)


def _close(entry: t.BinaryIO) -> None:
    with contextlib.suppress(BrokenPipeError):
        entry.close()


def ensure_success(command: t.Sequence[str], status: int, complaints: t.IO[bytes], crew: Crew) -> None:
    if status == 0:
        return
    crew.ensure_wanted()
    complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, complaints.tell() - 8192))
    program = os.path.basename(command[0])
    raise explain(program, status, complaints.read().decode(errors="replace"))


# pg_dump's and pg_restore's own words -> what it means here.
_MEANINGS: t.Final[tuple[tuple[str, str, str], ...]] = (
    (r"password authentication failed", "the server refuses the role or its password", "Check the login"),
    (r"No space left on device", "the disk is full", "Free space there"),
    (r"canceling statement due to lock timeout", "another session locks a table", "Run it again later"),
    (r"SSL support is not compiled in", "it was built without TLS", "Name another in client_folder"),
    (r"permission denied for \S+ \S+", "", "Use the role that owns the objects"),
    (r"out of shared memory", "the server has too few lock slots", "Raise max_locks_per_transaction"),
)  # fmt: skip


def explain(program: str, status: int, words: str) -> MigrationError:
    """One sentence from a failed program's last words. Pure."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error:|FATAL|ERROR", line)] or lines[-1:]
    for pattern, cause, cure in _MEANINGS:
        for line in lines:
            found = re.search(pattern, line)
            if found:
                return MigrationError("finish", program, cause or found.group(0), cure, kind="database")
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return MigrationError("finish", program, f"it was ended by {name}", "Run it again", kind="database")
    cause = re.sub(rf"^{program}: (error: )?", "", errors[0]) if errors else f"it ended with status {status}"
    return MigrationError("finish", program, cause, "", kind="database")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def damaged(name: str, cause: str) -> MigrationError:
    return MigrationError(
        "use", f"object {name}", f"it is damaged: {cause}", "Use another backup", kind="storage", damaged=name
    )

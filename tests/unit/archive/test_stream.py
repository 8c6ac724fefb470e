# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a stream is believed only after the child's exit status; real children, no server."""

from __future__ import annotations

import io
import os
import random
import sys
import threading
import time
import typing as t

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._archive import packing, stream
from ansible_collections.emailai.migration.plugins.module_utils._archive.stored import Stored
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError


class Memory:
    """A writer that tells whether its object was published, given up, or left in the air."""

    def __init__(self, fails_at: str = "") -> None:
        self.data = b""
        self.state = "open"
        self.fails_at = fails_at

    def write(self, data: bytes) -> None:
        if self.fails_at == "write":
            raise MigrationError("write", "x", "the store is away")
        self.data += data

    def finish(self) -> Stored:
        if self.fails_at == "finish":
            raise MigrationError("complete", "x", "the store is away")
        self.state = "published"
        return Stored("x", len(self.data), 0, "nobody")

    def abort(self) -> None:
        self.state = "aborted"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def send(code: str, writer: Memory, crew: t.Optional[stream.Crew] = None) -> stream.Sums:
    codec = packing.packer("zstd", 3)
    return stream.send(crew or stream.Crew(), python(code), dict(os.environ), codec, writer)[0]


def test_a_whole_stream_is_published() -> None:
    writer = Memory()
    sums = send("import sys; sys.stdout.write('x' * 3_000_000)", writer)
    assert (writer.state, sums.bytes_plain, sums.bytes_packed) == ("published", 3_000_000, len(writer.data))


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import os; os.write(1, b'x' * 100); raise SystemExit(1)", "it ended with status 1"),
        (
            "import os, signal; os.write(1, b'x' * 100); os.kill(os.getpid(), signal.SIGKILL)",
            "ended by SIGKILL",
        ),
        ("import sys; sys.exit('pg_dump: error: query failed: ERROR:  no such thing')", "no such thing"),
        (
            "import sys; sys.exit('pg_dump: error: could not write: No space left on device')",
            "the disk is full",
        ),
        ("import os, sys; os.close(1); sys.exit(3)", "it ended with status 3"),
    ],
)
def test_a_child_that_fails_publishes_nothing(code: str, cause: str) -> None:
    writer = Memory()
    with pytest.raises(MigrationError, match=cause):
        send(code, writer)
    assert writer.state == "aborted"


@pytest.mark.parametrize("fails_at", ["write", "finish"])
def test_a_store_that_fails_ends_the_child(fails_at: str) -> None:
    writer, crew = Memory(fails_at), stream.Crew()
    with pytest.raises(MigrationError, match="the store is away"):
        send("import os\nfor _ in range(20): os.write(1, os.urandom(1 << 20))", writer, crew)
    assert writer.state == "aborted"
    assert not crew._children


def test_a_crew_that_is_stopped_ends_a_silent_child_at_once() -> None:
    writer, crew = Memory(), stream.Crew()
    threading.Timer(0.3, crew.stop, ["somebody asked"]).start()
    began = time.monotonic()
    with pytest.raises(stream.Cancelled, match="somebody asked"):
        send("import time; print('x', flush=True); time.sleep(60)", writer, crew)
    assert time.monotonic() - began < 5
    assert writer.state == "aborted"


def test_nobody_joins_a_crew_that_was_stopped() -> None:
    crew = stream.Crew()
    crew.stop("it is over")
    with pytest.raises(stream.Cancelled, match="it is over"):
        send("pass", Memory(), crew)


def received(data: bytes, expected: stream.Sums, kind: str = "zstd") -> bytes:
    got: list[bytes] = []
    pieces = iter([data[i : i + 1000] for i in range(0, len(data), 1000)])
    stream.receive(pieces, packing.unpacker(kind), expected, "data", got.append, stream.Crew())
    return b"".join(got)


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=5000))
def test_what_is_sent_is_received(kind: str, data: bytes) -> None:
    codec = packing.packer(kind, 3)
    packed = codec.feed(data) + codec.flush()
    meter = [stream._Meter(), stream._Meter()]
    meter[0].add(data)
    meter[1].add(packed)
    sums = stream.Sums(meter[0].bytes, meter[0].sha256, meter[1].bytes, meter[1].sha256)
    assert received(packed, sums, kind) == data


@pytest.mark.parametrize("threads", [0, 2])
@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=8), st.integers(0, 2**32))
def test_a_stream_of_several_frames_is_received(threads: int, sizes: list[int], seed: int) -> None:
    """Of any length, and a multiple of a frame too: nothing is lost at a seam, and ``zstd -d`` reads it."""
    source = random.Random(seed)
    data = b"".join(source.randbytes(size) for size in sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_MOST_FRAME", 1000)
        codec = packing.packer("zstd", 2, threads)
        packed = b"".join(codec.feed(data[at : at + 500]) for at in range(0, len(data), 500)) + codec.flush()
    meter = [stream._Meter(), stream._Meter()]
    meter[0].add(data)
    meter[1].add(packed)
    sums = stream.Sums(meter[0].bytes, meter[0].sha256, meter[1].bytes, meter[1].sha256)
    assert received(packed, sums) == data
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed), read_across_frames=True)
    assert reader.read() == data


def test_frames_that_are_missing_at_the_end_are_missed() -> None:
    codec = packing.packer("zstd", 2)
    # Of level 2: twice its window.
    frames = [codec.feed(os.urandom(4 << 20)), codec.feed(os.urandom(4 << 20)), codec.flush()]
    assert [bool(frame) for frame in frames] == [True, True, False]
    plain, packed = stream._Meter(), stream._Meter()
    plain.add(packing.unpacker("zstd").feed(frames[0] + frames[1]))
    packed.add(frames[0] + frames[1])
    sums = stream.Sums(plain.bytes, plain.sha256, packed.bytes, packed.sha256)
    with pytest.raises(MigrationError, match="Cannot use object data: it is damaged"):
        received(frames[0], sums)


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
@pytest.mark.parametrize("damage", ["cut", "flip", "more", "other"])
def test_damage_is_seen(kind: str, damage: str) -> None:
    def pack(data: bytes) -> bytes:
        codec = packing.packer(kind, 3)
        return codec.feed(data) + codec.flush()

    data = os.urandom(20_000)
    packed, plain = pack(data), stream._Meter()
    plain.add(data)
    meter = stream._Meter()
    meter.add(packed)
    sums = stream.Sums(plain.bytes, plain.sha256, meter.bytes, meter.sha256)
    middle = len(packed) // 2
    damaged = {
        "cut": packed[:middle],
        "flip": packed[:middle] + bytes([packed[middle] ^ 1]) + packed[middle + 1 :],
        "more": packed + b"x",
        "other": pack(os.urandom(20_000)),
    }[damage]
    with pytest.raises(MigrationError, match="Cannot use object data: it is damaged"):
        received(damaged, sums, kind)


def test_a_reader_sees_its_end_only_when_all_was_written() -> None:
    """A child that took the end of a failed stream for its end would count half a table as whole."""
    code = "import sys; data = sys.stdin.buffer.read(); sys.exit(0 if data else 5)"

    def fill(write: t.Callable[[bytes], None]) -> None:
        write(b"half")
        raise MigrationError("read", "x", "the store is away")

    crew = stream.Crew()
    with pytest.raises(MigrationError, match="the store is away"):
        stream.feed_child(crew, python(code), dict(os.environ), fill)
    assert not crew._children
    stream.feed_child(crew, python(code), dict(os.environ), lambda write: write(b"all"))


def test_a_reader_that_ends_early_tells_why() -> None:
    code = "import sys; sys.stdin.buffer.read(1); sys.exit('pg_restore: error: no such table')"
    with pytest.raises(MigrationError, match="no such table"):
        stream.feed_child(
            stream.Crew(),
            python(code),
            dict(os.environ),
            lambda write: [write(b"x" * 65536) for _ignored in range(99)] and None,
        )

# SPDX-License-Identifier: GPL-3.0-or-later
"""An encrypted stream is age's own, and every change of it is found; the second hand is another library."""

from __future__ import annotations

import os
import typing as t

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._archive import keys, packing, sealing
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

IDENTITY = pyrage.x25519.Identity.generate()
(KEY,) = keys.keyring({"age_keys": [str(IDENTITY)]})
SIZES = (0, 1, sealing.CHUNK - 1, sealing.CHUNK, sealing.CHUNK + 1, 3 * sealing.CHUNK, 3 * sealing.CHUNK + 9)
HEAD = len(sealing.Sealer(KEY).flush()) - 16
CHUNK = sealing.CHUNK + 16


def through(codec: packing.Codec, data: bytes, step: int) -> bytes:
    pieces = [codec.feed(data[at : at + step]) for at in range(0, len(data), step)]
    return b"".join([*pieces, codec.flush()])


def sealed(data: bytes, step: int = 50_000, key: keys.Key = KEY) -> bytes:
    return through(sealing.Sealer(key), data, step)


def opened(data: bytes, step: int = 50_000, key: keys.Key = KEY) -> bytes:
    return through(sealing.Opener(key), data, step)


@pytest.mark.parametrize("size", SIZES)
def test_another_library_reads_what_we_write(size: int) -> None:
    data = os.urandom(size)
    assert bytes(pyrage.decrypt(sealed(data), [IDENTITY])) == data


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SIZES), st.integers(1, 200_000), st.integers(30, 200_000))
def test_pieces_of_any_size_make_the_same_stream(size: int, write: int, read: int) -> None:
    data = os.urandom(size)
    assert opened(sealed(data, max(write, size // 50 + 1)), max(read, size // 50 + 1)) == data


def test_nothing_is_repeated_between_two_streams() -> None:
    first, second = sealed(b"the same"), sealed(b"the same")
    assert first[-24:] != second[-24:]
    assert b"the same" not in first
    assert first[HEAD - 16 : HEAD] != second[HEAD - 16 : HEAD]
    streams_own = {sealing._opened_head(KEY, data[: HEAD - 16]) for data in (first, second)}
    assert len(streams_own) == 2


def test_an_empty_chunk_is_the_end_of_an_empty_stream_only() -> None:
    """age refuses it too: else the same content could be written in two ways."""
    key = os.urandom(32)
    writer, reader, other = (sealing._Chunks(key) for _turn in range(3))
    assert reader.open(writer.seal(bytes(sealing.CHUNK), False), False)
    with pytest.raises(MigrationError, match="it ends before its end"):
        reader.open(writer.seal(b"", True), True)
    assert other.open(sealing._Chunks(key).seal(b"", True), True) == b""


def damages() -> dict[str, t.Callable[[bytes], bytes]]:
    def chunk(data: bytes, number: int) -> bytes:
        return data[HEAD + number * CHUNK : HEAD + (number + 1) * CHUNK]

    def built(*numbers: int) -> t.Callable[[bytes], bytes]:
        return lambda data: data[:HEAD] + b"".join(chunk(data, n) for n in numbers)

    return {
        "nothing": lambda data: b"",
        "half a head": lambda data: data[: HEAD // 2],
        "only a head": lambda data: data[:HEAD],
        "cut in a chunk": lambda data: data[:-5],
        "cut after a chunk": built(0, 1, 2),
        "cut to one chunk": built(0),
        "without the first": built(1, 2, 3),
        "without a middle one": built(0, 2, 3),
        "in another order": built(0, 2, 1, 3),
        "one twice": built(0, 1, 1, 2, 3),
        "the last twice": built(0, 1, 2, 3, 3),
        "more behind it": lambda data: data + b"x",
        "another stream's chunk": lambda data: (
            data[: HEAD + CHUNK] + chunk(sealed(os.urandom(250_000)), 1) + data[HEAD + 2 * CHUNK :]
        ),
        "another stream's head": lambda data: sealed(b"")[:HEAD] + data[HEAD:],
        "an older head": lambda data: data.replace(b"org/v1", b"org/v0", 1),
    }


@pytest.mark.parametrize("damage", damages())
def test_damage_is_found(damage: str) -> None:
    data = sealed(os.urandom(250_000))
    assert len(opened(data)) == 250_000
    with pytest.raises(MigrationError, match=r"^Cannot unpack the stream: its? (head|chunk|ends)"):
        opened(damages()[damage](data))


def test_each_of_a_thousand_flipped_bits_is_found() -> None:
    data = sealed(os.urandom(70_000))
    places = {*range(HEAD + 40), *range(len(data) - 40, len(data))}
    places |= {HEAD + int.from_bytes(os.urandom(3), "big") % (len(data) - HEAD) for _turn in range(700)}
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(MigrationError, match=r"^Cannot unpack the stream: its (head|chunk)"):
            opened(bytes(changed))


def test_nothing_unproven_is_given_out() -> None:
    data = bytearray(sealed(bytes(250_000)))
    data[HEAD + CHUNK + 5] ^= 1
    codec = sealing.Opener(KEY)
    assert codec.feed(bytes(data[: HEAD + CHUNK + 100])) == bytes(sealing.CHUNK)
    with pytest.raises(MigrationError, match="its chunk 2 is not the one that was written"):
        codec.feed(bytes(data[HEAD + CHUNK + 100 :]))


def test_another_key_opens_nothing() -> None:
    (other,) = keys.keyring({"age_keys": [str(pyrage.x25519.Identity.generate())]})
    with pytest.raises(MigrationError, match=f"its head is not one for key {other.id}"):
        opened(sealed(b"x"), key=other)


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
@pytest.mark.parametrize("size", [0, 10, 500_000])
def test_packed_and_sealed_and_back(kind: str, size: int) -> None:
    data = os.urandom(size)
    there = sealing.Both(packing.packer(kind, 2), sealing.Sealer(KEY))
    back = sealing.Both(sealing.Opener(KEY), packing.unpacker(kind))
    assert through(back, through(there, data, 30_000), 30_000) == data

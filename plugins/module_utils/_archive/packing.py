# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressing and decompressing a stream: zstd where the library is there, gzip where not."""

from __future__ import annotations

import typing as t
import zlib

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment]

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

# Level 2 with the window and the table of level 3 and the matches of level 1: quicker than the one and as
# small as the other, for the keys of a dump come again at a distance.
_REACH: t.Final = {"window_log": 21, "hash_log": 17, "min_match": 7}
# Bytes of one frame, at most: it is held in memory. A stream in one frame lies in the compressor's buffer in
# two pieces, and to look for matches across the seam takes a quarter more time. The price of frames twice the
# window of their level is a hundredth more bytes.
_MOST_FRAME: t.Final = 32 << 20


class Codec(t.Protocol):
    """One direction of one stream; ``flush`` gives what is left at its end."""

    def feed(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class _Pack:
    def __init__(self, packer: t.Any) -> None:
        self._packer = packer

    def feed(self, data: bytes) -> bytes:
        return self._packed(lambda: self._packer.compress(data))

    def flush(self) -> bytes:
        return self._packed(self._packer.flush)

    @staticmethod
    def _packed(pack: t.Callable[[], bytes]) -> bytes:
        try:
            return pack()
        except Exception as exc:
            raise MigrationError("pack", "the stream", str(exc), "Run it again") from None


class _Frames:
    """What a frame of zstd takes at once, for ``_Pack``. Together they are one stream for every unpacker."""

    def __init__(self, compressor: t.Any, frame_bytes: int) -> None:
        self._compressor = compressor
        self._frame_bytes = frame_bytes
        self._held: list[bytes] = []
        self._bytes = 0
        self._is_begun = False

    def compress(self, data: bytes) -> bytes:
        self._held.append(data)
        self._bytes += len(data)
        return self._frame() if self._bytes >= self._frame_bytes else b""

    def flush(self) -> bytes:
        # Nothing at all is a frame too: an empty object would be no stream.
        return self._frame() if self._held or not self._is_begun else b""

    def _frame(self) -> bytes:
        frame: bytes = self._compressor.compress(b"".join(self._held))
        self._held, self._bytes, self._is_begun = [], 0, True
        return frame


class _Unpack:
    """``make`` gives what unpacks one frame; None where a stream is one and ends with it."""

    def __init__(self, unpacker: t.Any, make: t.Callable[[], t.Any] | None = None) -> None:
        self._unpacker = unpacker
        self._make = make

    def feed(self, data: bytes) -> bytes:
        try:
            plain: list[bytes] = []
            while data:
                if self._make and self._unpacker.eof:
                    self._unpacker = self._make()
                plain.append(self._unpacker.decompress(data))
                data = self._unpacker.unused_data if self._make and self._unpacker.eof else b""
        except Exception as exc:
            raise MigrationError("unpack", "the stream", f"it is damaged ({exc})", kind="storage") from None
        return b"".join(plain)

    def flush(self) -> bytes:
        if not self._unpacker.eof:
            raise MigrationError("unpack", "the stream", "it ends before its end", kind="storage")
        return b""


def best_kind() -> str:
    return "zstd" if zstandard is not None else "gzip"


def packer(kind: str, level: int, threads: int = 0) -> Codec:
    """``threads`` 0 compresses in the calling thread."""
    if kind == "zstd":
        more = _REACH if level == 2 else {}
        settings = zstandard.ZstdCompressionParameters.from_level(
            level, threads=threads, write_checksum=True, **more
        )
        compressor = zstandard.ZstdCompressor(compression_params=settings)
        # Several threads have pieces of their own.
        frame_bytes = min(2 << settings.window_log, _MOST_FRAME)
        return _Pack(compressor.compressobj() if threads else _Frames(compressor, frame_bytes))
    return _Pack(zlib.compressobj(min(level, 9), zlib.DEFLATED, 31))


def unpacker(kind: str) -> Codec:
    if kind == "zstd":
        if zstandard is None:
            raise MigrationError(
                "unpack",
                "the backup",
                "it is compressed with zstd and the Python library is missing",
                "Install zstandard",
            )
        make = zstandard.ZstdDecompressor().decompressobj
        return _Unpack(make(), make)
    return _Unpack(zlib.decompressobj(31))

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

# Level 2 with the window and the table of level 3: as quick as the one, as small as the other, for
# the keys of a dump come again at a distance.
_REACH: t.Final = {"window_log": 21, "hash_log": 17}


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


class _Unpack:
    def __init__(self, unpacker: t.Any) -> None:
        self._unpacker = unpacker

    def feed(self, data: bytes) -> bytes:
        try:
            plain: bytes = self._unpacker.decompress(data)
        except Exception as exc:
            raise MigrationError("unpack", "the stream", f"it is damaged ({exc})", kind="storage") from None
        return plain

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
        return _Pack(zstandard.ZstdCompressor(compression_params=settings).compressobj())
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
        return _Unpack(zstandard.ZstdDecompressor().decompressobj())
    return _Unpack(zlib.decompressobj(31))

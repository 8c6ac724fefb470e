# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a log that grows while it is read, whatever logrotate does to it meanwhile."""

from __future__ import annotations

import hashlib
import os
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Position

_MARK_BYTES: t.Final = 256
_CHUNK_BYTES: t.Final = 1 << 20
# Where logrotate leaves the last file, not yet compressed if "delaycompress" is set.
_ROTATED: t.Final = ".1"


def lines_since(path: str, position: Position, notes: list[str]) -> t.Iterator[str]:
    """Whole lines after the position, which is moved along; what was rotated away is read first."""
    with _open(path) as handle:
        state = os.fstat(handle.fileno())
        if position.get("inode") not in (None, state.st_ino):
            yield from _rest_of_rotated(path, position, notes)
            position["offset"] = 0
        elif not _is_where_we_were(handle, position):
            notes.append(f"{path} was truncated: what was not yet read of it is not known")
            position["offset"] = 0
        position["inode"] = state.st_ino
        yield from _lines(handle, position)


def end_of(path: str) -> Position:
    """The position after the last whole line there is now."""
    with _open(path) as handle:
        state = os.fstat(handle.fileno())
        return _marked(handle, {"inode": state.st_ino, "offset": _line_start(handle, state.st_size)})


def first_at(path: str, is_late: t.Callable[[str], bool | None]) -> Position:
    """The position of about the first line that ``is_late``: lines are written in order of time, nearly.

    ``is_late`` answers None for a line that has no time. Where the log begins too late,
    the place is in the file that was rotated away last.
    """
    place = _first_in(path, is_late)
    rotated = path + _ROTATED
    return _first_in(rotated, is_late) if not place["offset"] and os.path.exists(rotated) else place


def _first_in(path: str, is_late: t.Callable[[str], bool | None]) -> Position:
    with _open(path) as handle:
        state = os.fstat(handle.fileno())
        low, high = 0, state.st_size
        while high - low > 4096:
            middle = _line_start(handle, (low + high) // 2)
            if middle <= low:
                break
            if _any_late(handle, middle, is_late):
                high = middle
            else:
                low = middle
        return _marked(handle, {"inode": state.st_ino, "offset": low})


def _any_late(handle: t.BinaryIO, offset: int, is_late: t.Callable[[str], bool | None]) -> bool:
    handle.seek(offset)
    for _attempt in range(20):
        line = handle.readline()
        answer = is_late(line.decode("utf-8", "replace")) if line else True
        if answer is not None:
            return answer
    return False


def _lines(handle: t.BinaryIO, position: Position) -> t.Iterator[str]:
    offset = int(position.get("offset", 0))
    handle.seek(offset)
    rest = b""
    while True:
        chunk = handle.read(_CHUNK_BYTES)
        if not chunk:
            break
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            offset += len(line) + 1
            yield line.decode("utf-8", "replace")
    # A line that is still being written is read when it is whole.
    position["offset"] = offset
    _marked(handle, position)


def _rest_of_rotated(path: str, position: Position, notes: list[str]) -> t.Iterator[str]:
    rotated = path + _ROTATED
    try:
        with open(rotated, "rb") as handle:
            if os.fstat(handle.fileno()).st_ino == position["inode"]:
                yield from _lines(handle, position)
                return
    except OSError:
        pass
    notes.append(f"{path} was rotated: the end of the old file was not found as {rotated}")


def _is_where_we_were(handle: t.BinaryIO, position: Position) -> bool:
    """Whether what stands before our position is what we read there.

    A file that was truncated and has grown again is longer than before, but different.
    """
    return "mark" not in position or _mark(handle, int(position["offset"])) == position["mark"]


def _marked(handle: t.BinaryIO, position: Position) -> Position:
    position["mark"] = _mark(handle, int(position["offset"]))
    return position


def _mark(handle: t.BinaryIO, offset: int) -> str:
    start = max(0, offset - _MARK_BYTES)
    handle.seek(start)
    # The text itself is not kept: logs hold addresses and names.
    return hashlib.sha256(handle.read(offset - start)).hexdigest()[:16]


def _line_start(handle: t.BinaryIO, offset: int) -> int:
    """Where the line begins that holds this byte; the end of the file counts as a line to come."""
    while offset > 0:
        start = max(0, offset - 4096)
        handle.seek(start)
        found = handle.read(offset - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        offset = start
    return 0


def _open(path: str) -> t.BinaryIO:
    try:
        return open(path, "rb")
    except OSError as exc:
        raise MigrationError("read", f"log {path}", exc.strerror or str(exc)) from None

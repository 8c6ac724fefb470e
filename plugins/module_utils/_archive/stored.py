# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kinds of store have in common: the shapes that go in and come out."""

from __future__ import annotations

import base64
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    import datetime


@dataclass(frozen=True)
class Entry:
    """An object as the store lists it; ``crc32`` is 0 or more where the store told it, else -1."""

    key: str
    size: int
    modified: datetime.datetime
    crc32: int = -1


@dataclass(frozen=True)
class Pending:
    key: str
    token: str
    started: datetime.datetime


@dataclass(frozen=True)
class Stored:
    """An object that was written and then asked for again."""

    key: str
    size: int
    crc32: int
    validated_by: str
    version: str = ""


class Writer(t.Protocol):
    def write(self, data: bytes) -> None: ...

    def finish(self) -> Stored: ...

    def abort(self) -> None:
        """Leave nothing behind. May be called at any time, also after a failed ``finish``."""


def as_base64(crc32: int) -> str:
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()


def from_base64(text: str) -> int:
    """-1 for what is not a checksum of one whole object."""
    raw = base64.b64decode(text)
    return int.from_bytes(raw, "big") if len(raw) == 4 else -1

# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prisma calls a constraint or an index; nothing of the world."""

from __future__ import annotations

import hashlib
import typing as t

MAX_BYTES: t.Final = 63


def object_name(table: str, columns: t.Sequence[str], kind: str) -> str:
    """``table_column_kind``, the part before the kind cut to what PostgreSQL keeps.

    kind: pkey, key, idx or fkey. The primary key is named by its table alone.
    """
    stem = table if kind == "pkey" else "_".join([table, *columns])
    return f"{cut(stem, MAX_BYTES - len(kind) - 1)}_{kind}"


def distinct(names: t.Mapping[t.Hashable, str]) -> dict[t.Hashable, str]:
    """The same names, with those that were cut to the same text told apart by a digest of what they name."""
    result: dict[t.Hashable, str] = {}
    taken: set[str] = set()
    for thing, name in names.items():
        if name in taken:
            digest = hashlib.sha256(repr(thing).encode()).hexdigest()[:8]
            stem, kind = name.rsplit("_", 1)
            name = f"{cut(stem, MAX_BYTES - len(kind) - 10)}_{digest}_{kind}"
        taken.add(name)
        result[thing] = name
    return result


def cut(text: str, size: int) -> str:
    """At most ``size`` bytes of UTF-8, never half a character."""
    return text.encode()[:size].decode(errors="ignore")

# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a stream of unknown length is cut: into parts for the store, and into streams by table. Pure."""

from __future__ import annotations

import typing as t

MIB: t.Final = 1024 * 1024
MOST_PARTS: t.Final = 10_000
LARGEST_PART: t.Final = 5 * 1024 * MIB
FIRST_PART: t.Final = 8 * MIB
LARGE_TABLE: t.Final = 64 * MIB
# What all parts that wait for the store may hold together.
MEMORY: t.Final = 96 * MIB

# Equal parts of 8 MiB would end a stream at 78 GiB, hours after it began. The
# size doubles each thousand parts, so that ten thousand of them pass 5 TiB, and
# stays at 8 MiB for everything a small machine ever sees.
_PARTS_A_STEP: t.Final = 1_000


def part_bytes(index: int) -> int:
    """Size of the part with this index, counted from 0."""
    return min(LARGEST_PART, FIRST_PART << (index // _PARTS_A_STEP))


def parts_in_flight(size: int, streams: int) -> int:
    """How many parts of one stream may travel at once within the memory of all streams."""
    return max(1, min(4, MEMORY // max(1, streams) // size))


def group_tables(sizes: t.Mapping[str, int], groups: int) -> list[list[str]]:
    """Which tables get a stream of their own together; the rest stays in the common stream.

    Only large tables are worth another pg_dump. The largest goes first, into the
    group that holds least. With one group nothing is gained, so there is none.
    """
    large = sorted(
        (name for name, size in sizes.items() if size >= LARGE_TABLE), key=lambda name: (-sizes[name], name)
    )
    wanted = min(groups, len(large))
    if wanted < 2:
        return []
    made: list[list[str]] = [[] for _ignored in range(wanted)]
    weights = [0] * wanted
    for name in large:
        lightest = weights.index(min(weights))
        made[lightest].append(name)
        weights[lightest] += sizes[name]
    return made

# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From shares of the fleet to servers at a time. Touches nothing."""

from __future__ import annotations

import typing as t

_Server = t.TypeVar("_Server")


class BatchError(ValueError):
    """Percents that do not describe a way from nothing to everything."""


def counts(servers: int, percents: t.Sequence[int]) -> list[int]:
    """How many servers each batch takes, so that after it at most its percent run the new release.

    The first batch takes at least one. A step too small for a further server is left out:
    a batch of nobody would only wait.
    """
    if not percents or percents[-1] != 100 or percents[0] < 1:
        raise BatchError(f"the batches {list(percents)} must begin above 0 and end at 100 percent")
    if any(later <= earlier for earlier, later in zip(percents, percents[1:])):
        raise BatchError(f"the batches {list(percents)} must grow from one to the next")
    sizes = []
    done = 0
    for percent in percents:
        reached = max(servers * percent // 100, min(1, servers))
        if reached > done:
            sizes.append(reached - done)
            done = reached
    return sizes


def cut(servers: t.Sequence[_Server], percents: t.Sequence[int]) -> list[list[_Server]]:
    """The servers themselves, batch by batch, in their order."""
    batches = []
    start = 0
    for size in counts(len(servers), percents):
        batches.append(list(servers[start : start + size]))
        start += size
    return batches

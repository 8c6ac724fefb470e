# SPDX-License-Identifier: GPL-3.0-or-later
"""Worlds to watch: a clock of their own, and services whose true error rate is known."""

from __future__ import annotations

import random
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Event, Reading

WINDOW = 60
BASELINE = {"p95_ms": 100, "requests": 5000}


def reading(
    slot: int = 0,
    name: str = "log",
    error: str = "",
    events: t.Sequence[Event] = (),
    measures: tuple[str, ...] = ("errors", "p95"),
    **servers: tuple[int, int, int],
) -> Reading:
    """What a provider saw in one window: server = (requests, errors, milliseconds)."""
    result = Reading(name, "access_log", measures, error=error, events=list(events))
    for server, (requests, errors, milliseconds) in servers.items():
        tally = result.tally(slot, server.replace("_", "-"))
        for number in range(requests):
            tally.count(number < errors, milliseconds)
    return result


class World:
    """Time passes only when somebody sleeps; ``serve`` says what was seen meanwhile."""

    def __init__(self, serve: t.Callable[[float, float], list[Reading]]) -> None:
        self.serve = serve
        self.now = 0.0
        self.looked_at = 0.0
        self.lines: list[tuple[float, str]] = []

    def look(self) -> list[Reading]:
        since, self.looked_at = self.looked_at, self.now
        return self.serve(since, self.now)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def say(self, line: str) -> None:
        self.lines.append((self.now, line))


def steady(
    per_minute: float, milliseconds: int = 90, name: str = "log", seed: int = 1, **rates: float
) -> t.Callable[[float, float], list[Reading]]:
    """Servers that get so many requests a minute each and fail at these rates, by chance."""
    chance = random.Random(seed)

    def serve(since: float, until: float) -> list[Reading]:
        result = Reading(name, "access_log", ("errors", "p95"))
        for server, rate in rates.items():
            served = int(until * per_minute / 60) - int(since * per_minute / 60)
            for _request in range(served):
                tally = result.tally(int(max(since, until - 0.001) // WINDOW), server.replace("_", "-"))
                tally.count(chance.random() < rate, milliseconds)
        return [result]

    return serve

# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that was seen since the watch began, by provider, window and server."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import WHOLE, Event, Reading
from ansible_collections.emailai.migration.plugins.module_utils._gate.tally import Tally, total

# Requests that found no server at all: HAProxy's name for nobody.
NOBODY: t.Final = ("<NOSRV>", "-", "")


@dataclass
class Source:
    """What one provider has told so far. ``error`` is that of its last look."""

    name: str
    kind: str
    measures: tuple[str, ...] = ()
    lag_seconds: float = 0.0
    requests_of: str = ""
    error: str = ""
    windows: dict[int, dict[str, Tally]] = field(default_factory=dict)
    figures: dict[str, t.Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    # Who counts the requests for it.
    lender: Source | None = None

    def take(self, reading: Reading) -> None:
        self.error = reading.error
        if reading.measures:
            self.measures, self.lag_seconds = reading.measures, reading.lag_seconds
            self.requests_of = reading.requests_of
        self.figures.update(reading.figures)
        self.notes.extend(note for note in reading.notes if note not in self.notes)
        for (slot, server), tally in reading.slots.items():
            self.windows.setdefault(slot, {}).setdefault(server, Tally()).merge(tally)

    def servers(self) -> list[str]:
        return sorted({server for window in self.windows.values() for server in window})

    @property
    def is_whole(self) -> bool:
        """It tells no server from another: all it can be asked about is the service."""
        return self.servers() == [WHOLE]

    def over(self, servers: t.Collection[str]) -> list[tuple[int, Tally]]:
        """Window by window, these servers together."""
        if self.requests_of:
            return [(slot, self._held_against_lender(slot)) for slot in sorted(self.windows)]
        return [
            (slot, total(tally for server, tally in self.windows[slot].items() if server in servers))
            for slot in sorted(self.windows)
        ]

    def _held_against_lender(self, slot: int) -> Tally:
        lent = total(self.lender.windows.get(slot, {}).values()) if self.lender else Tally()
        # One request may report several errors; more than all of them cannot have failed.
        return Tally(lent.requests, min(total(self.windows[slot].values()).errors, lent.requests))

    def total(self, servers: t.Collection[str]) -> Tally:
        return total(tally for _slot, tally in self.over(servers))


@dataclass
class Record:
    sources: dict[str, Source] = field(default_factory=dict)
    # Each event with the second of the watch in which it was seen.
    events: list[tuple[float, Event]] = field(default_factory=list)

    def take(self, readings: t.Iterable[Reading], elapsed: float) -> None:
        for reading in readings:
            source = self.sources.setdefault(reading.name, Source(reading.name, reading.kind))
            source.take(reading)
            self.events.extend((elapsed, event) for event in reading.events)
        for source in self.sources.values():
            source.lender = self.sources.get(source.requests_of)

    def measuring(self, what: str) -> list[Source]:
        return [source for source in self.sources.values() if what in source.measures]

    @property
    def lag_seconds(self) -> float:
        return max((source.lag_seconds for source in self.sources.values()), default=0.0)


def joined(windows: t.Sequence[tuple[int, Tally]], smallest: int) -> list[Tally]:
    """Windows with enough requests to say something: small ones are joined with those after them."""
    result: list[Tally] = []
    open_one = Tally()
    for _slot, tally in windows:
        open_one.merge(tally)
        if open_one.requests >= smallest:
            result.append(open_one)
            open_one = Tally()
    if open_one.requests and result:
        result[-1].merge(open_one)
    return result

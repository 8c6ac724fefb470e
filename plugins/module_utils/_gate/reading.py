# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one provider saw in one look, and in which form it travels."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._gate.tally import Packed, Tally, unpacked

Position = t.Dict[str, t.Any]
Slots = t.Dict[t.Tuple[int, str], Tally]

# Whose figures they are where a source tells no server from another.
WHOLE: t.Final = "*"


@dataclass(frozen=True)
class Event:
    """Something that happened, not a rate: a trigger, where, how often and when."""

    trigger: str
    text: str
    server: str = ""
    count: int = 1


@dataclass(frozen=True)
class Look:
    """What every provider is told: since when, in windows of which length, and for what to look.

    Times are those of the host that looks. ``now`` is injected, so that a test owns the clock.
    """

    now: float
    since: float
    window_seconds: int
    fatal_patterns: tuple[str, ...] = ()
    connection_patterns: tuple[str, ...] = ()
    queries_of: str = "Organization"
    connections_percent: float = 80.0

    def slot(self, at: float) -> int:
        """The number of the window in which a moment lies; negative before the watch began."""
        return int((at - self.since) // self.window_seconds)


@dataclass
class Reading:
    """An ``error`` says why a provider could not be read: what it would have said is not known."""

    name: str
    kind: str
    measures: tuple[str, ...] = ()
    lag_seconds: float = 0.0
    # The provider whose requests its errors are held against, where it counts none itself.
    requests_of: str = ""
    error: str = ""
    slots: Slots = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    figures: dict[str, t.Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    position: Position = field(default_factory=dict)

    def tally(self, slot: int, server: str) -> Tally:
        return self.slots.setdefault((slot, server), Tally())

    def packed(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "measures": list(self.measures),
            "lag_seconds": self.lag_seconds,
            "requests_of": self.requests_of,
            "error": self.error,
            "slots": [[slot, server, tally.packed()] for (slot, server), tally in self.slots.items()],
            "events": [[event.trigger, event.text, event.server, event.count] for event in self.events],
            "figures": self.figures,
            "notes": self.notes,
            "position": self.position,
        }


def reading_from(packed: t.Mapping[str, t.Any]) -> Reading:
    slots: t.Sequence[tuple[int, str, Packed]] = packed["slots"]
    return Reading(
        name=packed["name"],
        kind=packed["kind"],
        measures=tuple(packed["measures"]),
        lag_seconds=float(packed["lag_seconds"]),
        requests_of=packed["requests_of"],
        error=packed["error"],
        slots={(int(slot), server): unpacked(tally) for slot, server, tally in slots},
        events=[Event(*event) for event in packed["events"]],
        figures=dict(packed["figures"]),
        notes=list(packed["notes"]),
        position=dict(packed["position"]),
    )

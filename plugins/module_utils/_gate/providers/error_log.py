# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the application's log that no running service writes: fatal errors, lost connections."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._gate import follow
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import (
    Event,
    Look,
    Position,
    Reading,
)


class ErrorLog:
    measures: tuple[str, ...] = ()

    def __init__(self, description: t.Mapping[str, t.Any]) -> None:
        self.path = str(description["path"])
        self.server = str(description.get("server") or "")

    def observe(self, reading: Reading, position: Position | None, look: Look) -> None:
        # Lines have no time that we know of: a watch begins at the log's present end.
        place = dict(position) if position else follow.end_of(self.path)
        rules = [("connection_failures", p) for p in look.connection_patterns]
        rules += [("fatal_log", p) for p in look.fatal_patterns]
        counts: dict[tuple[str, str], int] = {}
        read = 0
        for line in follow.lines_since(self.path, place, reading.notes):
            read += 1
            for trigger, pattern in rules:
                if matches(pattern, line):
                    counts[trigger, pattern] = counts.get((trigger, pattern), 0) + 1
        reading.position = place
        reading.figures["lines"] = int((position or {}).get("lines", 0)) + read
        place["lines"] = reading.figures["lines"]
        # The logs of several servers mostly have one path.
        whose = f" of {self.server}" if self.server else ""
        # The line itself stays where it is: it may hold a person's data.
        reading.events += [
            Event(trigger, f'"{pattern}" in {self.path}{whose}', self.server, count)
            for (trigger, pattern), count in counts.items()
        ]


def matches(pattern: str, line: str) -> bool:
    """A pattern in capitals is meant so (FATAL is no "non-fatal"); any other ignores the case."""
    return pattern in line if pattern.isupper() else pattern.lower() in line.lower()

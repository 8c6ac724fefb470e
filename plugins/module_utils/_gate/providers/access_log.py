# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Error rates and true p95 of each server from an access log with a declared format."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate import follow
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import (
    Event,
    Look,
    Position,
    Reading,
)

# What a request must say, and under which name the default format says it.
FIELDS: t.Final = {
    "at": "ts",
    "server": "server",
    "status": "status",
    "ms": "ms",
    "method": "method",
    "path": "path",
}
_NEEDED: t.Final = ("at", "server", "status", "ms")
# Requests that are counted apart by path and status: what they tell is not a rate of errors.
COUNTED: t.Final[tuple[dict[str, t.Any], ...]] = (
    {"trigger": "failed_logins", "path": "/api/login", "from_status": 401, "to_status": 403},
    {"trigger": "billing", "path": "/api/webhooks/", "from_status": 400, "to_status": 599},
)
_UNREADABLE_SHARE: t.Final = 0.1


@dataclass(frozen=True)
class Request:
    """``at`` is the moment that decides the window: best when it ended, for then it is known."""

    at: float
    server: str
    status: int
    milliseconds: float
    path: str


class Format:
    """How a line is taken apart: ``name=value`` words, or columns in a given order."""

    def __init__(self, description: t.Mapping[str, t.Any]) -> None:
        self.delimiter = description.get("delimiter") or " "
        self.columns = list(description.get("columns") or [])
        self.names = {**FIELDS, **(description.get("names") or {})}
        self.time = description.get("time") or "epoch_ms"
        self.duration_factor = 1000 if description.get("duration") == "s" else 1

    def request(self, line: str) -> Request | None:
        """None for a line that is not a request in this format."""
        words = line.rstrip("\r\n").split(self.delimiter)
        values = (
            dict(zip(self.columns, words))
            if self.columns
            else dict(w.split("=", 1) for w in words if "=" in w)
        )
        fields = {ours: values.get(theirs, "") for ours, theirs in self.names.items()}
        if not all(fields[name] for name in _NEEDED):
            return None
        try:
            return Request(
                self._epoch(fields["at"]),
                fields["server"],
                int(fields["status"]),
                float(fields["ms"]) * self.duration_factor,
                fields.get("path", ""),
            )
        except ValueError:
            return None

    def _epoch(self, text: str) -> float:
        if self.time == "iso":
            return datetime.datetime.fromisoformat(text.strip("[]").replace("Z", "+00:00")).timestamp()
        return float(text) / (1000 if self.time == "epoch_ms" else 1)


class AccessLog:
    measures: tuple[str, ...] = ("errors", "p95")

    def __init__(self, description: t.Mapping[str, t.Any]) -> None:
        self.path = str(description["path"])
        self.format = Format(description)
        counted = description.get("counted")
        self.counted = COUNTED if counted is None else counted

    def observe(self, reading: Reading, position: Position | None, look: Look) -> None:
        place = (
            dict(position)
            if position
            else follow.first_at(self.path, lambda line: self._is_late(line, look.since))
        )
        read = unreadable = 0
        counts: dict[str, int] = {}
        for line in follow.lines_since(self.path, place, reading.notes):
            request = self.format.request(line)
            read += 1
            if request is None:
                unreadable += 1
            elif request.at >= look.since:
                # HAProxy writes -1 where the client went away: no failure, but its wait counts.
                is_error = request.status >= 500
                reading.tally(look.slot(request.at), request.server).count(is_error, request.milliseconds)
                self._count_apart(request, counts)
        if unreadable > max(10, _UNREADABLE_SHARE * read):
            raise MigrationError(
                "read",
                f"access log {self.path}",
                f"{unreadable} of {read} lines are not in the declared format",
                "Set delimiter, columns, names, time and duration of the provider to what the log has",
            )
        reading.position = place
        reading.events += [
            Event(trigger, _said(trigger, self.path), count=count) for trigger, count in counts.items()
        ]

    def _is_late(self, line: str, since: float) -> bool | None:
        request = self.format.request(line)
        # Where the log says when requests began, they stand in another order than by time;
        # the slowest is hardly older than this.
        return None if request is None else request.at >= since - 120

    def _count_apart(self, request: Request, counts: dict[str, int]) -> None:
        for rule in self.counted:
            if (
                request.path.startswith(rule["path"])
                and rule["from_status"] <= request.status <= rule["to_status"]
            ):
                counts[rule["trigger"]] = counts.get(rule["trigger"], 0) + 1


def _said(trigger: str, path: str) -> str:
    what = {"failed_logins": "failed logins", "billing": "failed webhooks of the billing service"}
    return f"{what.get(trigger, trigger)} in {path}"

# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitors that a stand-in for Datadog or Sentry holds: made, listed, changed, deleted, in their shapes.

Datadog  POST /api/v1/monitor and PUT /api/v1/monitor/{id}: the monitor with id, state and more options;
         GET /api/v1/monitor?monitor_tags=...: a list; DELETE: {"deleted_monitor_id": 1};
         unknown: 404 {"errors": ["Monitor not found"]}.
Sentry   POST /api/0/organizations/{org}/alert-rules/: 201 with ids for rule, triggers and actions;
         PUT .../{id}/ overwrites; GET: a list; DELETE: 202 without a body.
"""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, field

Document = dict[str, t.Any]


@dataclass
class Alerts:
    """``forgets``: answers well and keeps nothing, as a service in read-only maintenance may.

    ``tells_all``: lists every monitor, whatever was asked for, as a gateway that drops queries makes it.
    """

    datadog: dict[int, Document] = field(default_factory=dict)
    sentry: dict[int, Document] = field(default_factory=dict)
    forgets: bool = False
    tells_all: bool = False
    numbers: t.Iterator[int] = field(default_factory=lambda: itertools.count(101))

    def answer(
        self, method: str, path: str, words: dict[str, list[str]], document: t.Any
    ) -> tuple[int, t.Any] | None:
        """None: not about monitors."""
        parts = path.strip("/").split("/")
        if parts[:3] == ["api", "v1", "monitor"]:
            return self._datadog(method, parts[3:], words, document)
        if parts[:3] == ["api", "0", "organizations"] and "alert-rules" in parts:
            return self._sentry(method, parts[5:], document)
        return None

    def _datadog(
        self, method: str, key: list[str], words: dict[str, list[str]], document: t.Any
    ) -> tuple[int, t.Any]:
        if method == "GET":
            tag = words["monitor_tags"][0]
            return 200, [row for row in self.datadog.values() if self.tells_all or tag in row["tags"]]
        number, is_known = self._number(self.datadog, key)
        if not is_known:
            return 404, {"errors": ["Monitor not found"]}
        if method == "DELETE":
            if not self.forgets:
                del self.datadog[number]
            return 200, {"deleted_monitor_id": number}
        options = {**document["options"], "include_tags": True, "silenced": {}}
        row = {**document, "id": number, "options": options, "overall_state": "No Data", "priority": None}
        # Datadog sorts the tags.
        row["tags"] = sorted(row["tags"])
        if not self.forgets:
            self.datadog[number] = row
        return 200, row

    def _sentry(self, method: str, key: list[str], document: t.Any) -> tuple[int, t.Any]:
        if method == "GET":
            return 200, list(self.sentry.values())
        number, is_known = self._number(self.sentry, key)
        if not is_known:
            return 404, {"detail": "The requested resource does not exist"}
        if method == "DELETE":
            if not self.forgets:
                del self.sentry[number]
            return 202, None
        triggers = [
            {**trigger, "id": "7", "actions": [{**action, "id": "9"} for action in trigger["actions"]]}
            for trigger in document["triggers"]
        ]
        row = {**document, "id": str(number), "triggers": triggers, "status": 0, "resolveThreshold": None}
        if not self.forgets:
            self.sentry[number] = row
        return (200 if key else 201), row

    def _number(self, rows: dict[int, Document], key: list[str]) -> tuple[int, bool]:
        """The id that is meant, or a new one; and whether there is such a thing."""
        if not key:
            return next(self.numbers), True
        return int(key[0]), int(key[0]) in rows

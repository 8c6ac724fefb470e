# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric alert rules of Sentry. It keeps no marks of ours: they are known by how their names begin."""

from __future__ import annotations

import typing as t
from urllib.parse import quote

from ansible_collections.emailai.migration.plugins.module_utils._gate import asked, monitors

_URL: t.Final = "https://sentry.io"
_OURS: t.Final = "emailai.migration "
_ROWS: t.Final = 100
# Aggregate, dataset and filter; Sentry has no metrics of ours, it has errors and spans.
_RULES: t.Final = {
    "errors": ("count()", "events", ""),
    "queries": (
        "avg(span.duration)", "events_analytics_platform", "span.op:db* span.description:*Organization*",
    ),
    "logins": ("count()", "events", "message:*auth.failed*"),
}  # fmt: skip


class Sentry:
    def __init__(self, description: t.Mapping[str, t.Any], wanted: t.Sequence[monitors.Monitor]) -> None:
        self.line = asked.Line(description, _URL)
        self.line.authorize(description)
        self._root = f"/api/0/organizations/{quote(str(description['organization']), safe='')}/alert-rules/"
        self._projects = [str(name) for name in description["projects"]]
        self._environment = description.get("environment") or None
        self._calls = {kind: description[kind] for kind in (monitors.PAGE, monitors.TELL)}
        for kind, action in self._calls.items():
            if not isinstance(action, dict):
                raise self.line.refused(
                    f"{kind} is no action", "Give it as Sentry's API has it: docs/gate.md"
                )
        self._queries = dict(description.get("queries") or {})
        self.wanted = {one.name: self._document(one) for one in wanted}

    def _document(self, one: monitors.Monitor) -> monitors.Document:
        aggregate, dataset, query = _RULES[one.name]
        trigger = {"label": "critical", "alertThreshold": one.above, "actions": [self._calls[one.calls]]}
        return {
            "name": f"{_OURS}{one.name}: {monitors.sentence(one)}",
            "aggregate": aggregate,
            "dataset": dataset,
            "query": str(self._queries.get(one.name) or query),
            "timeWindow": one.minutes,
            # Above the threshold, not below it.
            "thresholdType": 0,
            "projects": self._projects,
            "environment": self._environment,
            "triggers": [trigger],
        }

    def read(self) -> list[monitors.Found]:
        self.line.begin()
        rows = self.line.ask(f"{self._root}?per_page={_ROWS}")
        if not isinstance(rows, list):
            raise self.line.refusal("its answer is no list of alert rules", "Check the address")
        if len(rows) >= _ROWS:
            raise self.line.refusal(f"it tells of {_ROWS} rules or more, and ours may be beyond them")
        return [
            monitors.Found(name[len(_OURS) :].partition(":")[0], str(row["id"]), row)
            for row in rows
            for name in [str(row.get("name") or "")]
            if name.startswith(_OURS)
        ]

    def act(self, step: monitors.Step) -> None:
        path = self._root + (f"{step.key}/" if step.key else "")
        method = {"create": "POST", "change": "PUT", "remove": "DELETE"}[step.act]
        self.line.begin()
        self.line.send(method, path, None if step.act == "remove" else self.wanted[step.name])

# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitors of Datadog. Ours are known by a tag, whatever people rename them to."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._gate import asked, monitors

_URL: t.Final = "https://api.datadoghq.com"
_OURS: t.Final = "managed_by:emailai.migration"
_ALERT: t.Final = "emailai_alert:"
_SCOPES: t.Final = {"queries": "query:Organization"}


class Datadog:
    def __init__(self, description: t.Mapping[str, t.Any], wanted: t.Sequence[monitors.Monitor]) -> None:
        self.line = asked.Line(description, _URL)
        self.line.headers["DD-API-KEY"] = str(description.get("api_key"))
        self.line.headers["DD-APPLICATION-KEY"] = str(description.get("application_key"))
        self._calls = {kind: str(description[kind]) for kind in (monitors.PAGE, monitors.TELL)}
        self._queries = dict(description.get("queries") or {})
        self.wanted = {one.name: self._document(one) for one in wanted}

    def _document(self, one: monitors.Monitor) -> monitors.Document:
        return {
            "name": f"EmailAI: {monitors.sentence(one)}",
            "type": "query alert",
            "query": f"{self._queries.get(one.name) or _query(one)} > {one.limit}",
            "message": f"{monitors.sentence(one)}. {self._calls[one.calls]}",
            "tags": [_OURS, f"{_ALERT}{one.name}"],
            "options": {"thresholds": {"critical": one.above}, "notify_no_data": False},
        }

    def read(self) -> list[monitors.Found]:
        self.line.begin()
        rows = self.line.ask(f"/api/v1/monitor?monitor_tags={_OURS}")
        if not isinstance(rows, list):
            raise self.line.refusal("its answer is no list of monitors", "Check the address")
        return [self._found(row) for row in rows if _OURS in (row.get("tags") or [])]

    @staticmethod
    def _found(row: monitors.Document) -> monitors.Found:
        name = next((tag[len(_ALERT) :] for tag in row["tags"] if tag.startswith(_ALERT)), "")
        # The order of tags is not promised.
        mine = [tag for tag in (_OURS, f"{_ALERT}{name}") if tag in row["tags"]]
        return monitors.Found(name, str(row["id"]), dict(row, tags=mine))

    def act(self, step: monitors.Step) -> None:
        path = "/api/v1/monitor" + (f"/{step.key}" if step.key else "")
        method = {"create": "POST", "change": "PUT", "remove": "DELETE"}[step.act]
        self.line.begin()
        self.line.send(method, path, None if step.act == "remove" else self.wanted[step.name])


def _query(one: monitors.Monitor) -> str:
    scope = _SCOPES.get(one.name, "*")
    if one.is_count:
        return f"sum(last_{one.minutes}m):sum:{one.measure}{{{scope}}}.as_count()"
    return f"avg(last_{one.minutes}m):avg:{one.measure}{{{scope}}}"

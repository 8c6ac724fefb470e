# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests, errors and response times by metric queries of Datadog, all in one request."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._gate import asked
from ansible_collections.emailai.migration.plugins.module_utils._gate.figures import P95, Told
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import WHOLE

_URL: t.Final = "https://api.datadoghq.com"


class Datadog(asked.AskedByQueries):
    lag_seconds = 60.0

    def __init__(self, description: t.Mapping[str, t.Any]) -> None:
        super().__init__(description, _URL)
        self.line.headers["DD-API-KEY"] = str(description.get("api_key"))
        self.line.headers["DD-APPLICATION-KEY"] = str(description.get("application_key"))

    def told(self, since: float, until: float) -> Told:
        told = Told(self.line.name, self.errors_may_be_absent)
        answer = self.line.ask("/api/v2/query/scalar", self._document(since, until))
        servers: list[str] | None = None
        columns: dict[str, list[t.Any]] = {}
        for column in self._columns(answer):
            # Their order is not promised: a group names the servers, a number bears its formula's name.
            if column.get("type") == "group":
                servers = [self._server(value) for value in column["values"]]
            elif column.get("name") in self.queries:
                columns[column["name"]] = list(column["values"])
        for measure in self.queries:
            told.asked(measure)
            for place, value in enumerate(columns.get(measure, [])):
                server = servers[place] if servers is not None else self._nobody()
                told.add(measure, server, value, self.factor(measure))
        return told

    def _document(self, since: float, until: float) -> dict[str, t.Any]:
        return {
            "data": {
                "type": "scalar_request",
                "attributes": {
                    "from": round(since * 1000),
                    "to": round(until * 1000),
                    "formulas": [{"formula": name} for name in self.queries],
                    "queries": [
                        {
                            "data_source": "metrics",
                            "name": name,
                            "query": query,
                            "aggregator": "avg" if name == P95 else "sum",
                        }
                        for name, query in self.queries.items()
                    ],
                },
            }
        }

    def _columns(self, answer: t.Any) -> list[dict[str, t.Any]]:
        try:
            data = answer["data"]
            said = data.get("errors") or answer.get("errors")
            if said:
                raise self.line.refusal(f"it says {str(said)[:200]}", "Check the queries")
            columns = data["attributes"]["columns"]
            if len({len(column["values"]) for column in columns}) > 1:
                raise TypeError
        except (KeyError, TypeError, AttributeError):
            raise self.line.refusal(
                "its answer is not one of Datadog", "Check the address: https://api. and the site"
            ) from None
        return list(columns)

    def _nobody(self) -> str:
        if self.label:
            raise self.line.refusal(
                "its series tell no server from another", f"Let the queries group by {{{self.label}}}"
            )
        return WHOLE

    def _server(self, value: t.Any) -> str:
        """Several tags of one group come as a list."""
        words = value if isinstance(value, list) else [value]
        if not self.label:
            raise self.line.refusal(
                "a query gives several series", "Let it give one, or set server_label to the tag it groups by"
            )
        return self.server(",".join(str(word) for word in words))
